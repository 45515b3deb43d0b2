"""A recurrent layer over a whole window on a processor.

A time step is one product and one compiled call (cells.py). Each thread takes some rows of the batch from the
window's beginning to its end and never waits for another on the way, which also bears a busy machine.
torch's own layers are the plain twin: slower on processors, the rule on GPUs, and what is left where numba is
missing. Features come first and the batch last here: so few rows are multiplied faster as columns.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from charloom.compiled import COMPILES
from charloom.model.config import Cell

if COMPILES:
    from charloom.training import cells

COLUMNS = 16  # a register of float32: products of fewer columns take the same time
SHARED = 2**24  # multiplications of a product, from which on it is worth sharing among threads
APART = 32  # numbers between rows, which would all want the same places in the cache at a power of two


def fits(device: torch.device) -> bool:
    """Whether layers on this device run here."""
    return COMPILES and device.type == "cpu"


def precision(device: str) -> torch.dtype:
    """What products on such a device are made in: autocast's type under autocast."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32


def recur(cell: Cell, matrix: Tensor, inputs: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden values (H, T, B) and the state (parts, H, B) after them, from the `state` before.

    `matrix` (G·H, H + I + 1) multiplies the hidden values, the `inputs` (I, T, B), and one, for the biases.
    Its blocks are LSTM's i f g o; GRU's r and z, the candidate's input side, and the candidate's hidden
    side. Under autocast, products are bfloat16, and so are the hidden values.
    """
    hidden, after = _Recurrence.apply(cell, precision("cpu"), matrix, inputs, state)  # type: ignore[no-untyped-call]
    return hidden, after


class _Recurrence(torch.autograd.Function):
    """Shares the batch out among the threads; what needs no order in time is one product of all rows."""

    @staticmethod
    def forward(
        ctx: Any, cell: Cell, low: torch.dtype, matrix: Tensor, inputs: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Keeps what the way back needs, if there will be one."""
        width, batch = state.shape[1:]
        steps = inputs.shape[1]
        shares = _shares(batch)
        learns = any(ctx.needs_input_grad)
        matrix = matrix.detach().to(low)
        read = torch.empty(matrix.shape[1], steps + 1, batch, dtype=low)
        parts = zip(*(torch.split(each.detach(), shares, 2) for each in (inputs, state, read)), strict=True)
        found = _together(_forth, [(cell, matrix, *part, learns) for part in parts])
        if learns:
            ctx.cell, ctx.shares = cell, shares
            ctx.save_for_backward(matrix, read, *(tensor for _, *kept in found for tensor in kept))
        return read[:width, 1:], torch.cat([last for last, *_ in found], 2)

    @staticmethod
    def backward(ctx: Any, of_hidden: Tensor, of_state: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the matrix, the inputs and the first state."""
        matrix, read, *kept = ctx.saved_tensors
        width, steps, batch = of_hidden.shape
        flat = _rows(len(matrix), steps * batch, matrix.dtype)  # (G·H, T·B)
        parts = zip(
            *(torch.split(each, ctx.shares, 2) for each in (of_hidden, of_state)),
            torch.split(flat.view(-1, steps, batch), ctx.shares, 2),
            strict=True,
        )
        given = [(ctx.cell, matrix, *kept[2 * k : 2 * k + 2], *part) for k, part in enumerate(parts)]
        of_first = torch.cat(_together(_back, given), 2)
        read = read.flatten(1)[:, : steps * batch]
        # the same product; each kind is faster in its own order
        of_matrix = flat @ read.t() if flat.dtype == torch.bfloat16 else (read @ flat.t()).t()
        of_inputs = (matrix[:, width:-1].t() @ flat).view(-1, steps, batch)
        return None, None, of_matrix.float(), of_inputs.float(), of_first


def _forth(
    cell: Cell, matrix: Tensor, inputs: Tensor, state: Tensor, read: Tensor, learns: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Fill `read` (H + I + 1, T + 1, B), all that is multiplied; return the last state, memory and gates."""
    width, batch = state.shape[1:]
    steps, end = inputs.shape[1], width + inputs.shape[0]
    columns = torch.empty(steps + 1, matrix.shape[1], batch, dtype=matrix.dtype)  # a column is [h | x | 1]
    columns[0, :width] = state[0]
    columns[:-1, width:end] = inputs.permute(1, 0, 2)
    columns[-1, width:end] = 0
    columns[:, end:] = 1
    memory = torch.empty(steps + 1, width, batch)
    memory[0] = state[-1]
    kept = torch.empty(1, len(matrix), batch, dtype=matrix.dtype)
    gates = torch.empty(steps if learns else 1, 0 if cell == "rnn" else kept.numel(), dtype=matrix.dtype)
    step = cells.FORWARD[cell]
    kept_, gates_, memory_, hidden_ = map(_flat, (kept, gates, memory, columns[:, :width]))
    for t in range(steps):
        torch.mm(matrix, columns[t], out=kept[0])
        step(kept_[0], memory_[t], gates_[t if learns else 0], memory_[t + 1], hidden_[t + 1])
    read.copy_(columns.permute(1, 0, 2))
    last = memory[-1:] if cell != "lstm" else torch.stack((columns[-1, :width].float(), memory[-1]))
    return last, memory, gates


def _back(
    cell: Cell,
    matrix: Tensor,
    memory: Tensor,
    gates: Tensor,
    of_hidden: Tensor,
    of_state: Tensor,
    flat: Tensor,
) -> Tensor:
    """Fill `flat` (G·H, T, B), the gradient of all products; return that of the first state."""
    steps, width, batch = memory[1:].shape
    of_hidden = of_hidden.to(matrix.dtype).permute(1, 0, 2).contiguous()  # (T, H, B)
    blocks = torch.empty(steps, len(matrix), batch, dtype=matrix.dtype)
    carried = of_state[-1:].float().contiguous().clone()
    later = (
        (of_state[:1] if cell != "gru" else torch.zeros_like(carried)).to(matrix.dtype).contiguous().clone()
    )
    back = _rows(width, len(matrix), matrix.dtype).copy_(matrix[:, :width].t())
    step = cells.BACKWARD[cell]
    arrays = map(_flat, (gates, memory, of_hidden, later, carried, blocks))
    gates_, memory_, of_hidden_, later_, carried_, blocks_ = arrays
    for t in range(steps - 1, -1, -1):
        step(gates_[t], memory_[t], memory_[t + 1], of_hidden_[t], later_[0], carried_[0], blocks_[t])
        torch.mm(back, blocks[t], out=later[0])
    flat.copy_(blocks.permute(1, 0, 2))
    return torch.cat((later.float(), carried)) if cell == "lstm" else later + carried


def _rows(count: int, width: int, dtype: torch.dtype) -> Tensor:
    """Return rows (count, width) with a gap between them; the gap is zero, the rows are not initialized.

    On processors with AMX, oneDNN multiplies the first numbers of the gap by zero: NaN there would spread.
    """
    rows = torch.empty(count, width + APART, dtype=dtype)
    rows[:, width:] = 0
    return rows[:, :width]


def _shares(batch: int) -> list[int]:
    """Rows for each thread, whole registers of them."""
    registers = -(-batch // COLUMNS)
    most = COLUMNS * -(-registers // torch.get_num_threads())
    return [min(most, batch - start) for start in range(0, batch, most)]


def _together(work: Callable[..., Any], given: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Call `work` on each of `given`, each on a thread of its own.

    So is a single one that is small. Torch would share out each of its products among all threads, and wait
    for them at every time step: on a busy machine a hundred times as long as the product takes.
    """
    alone = torch.get_num_threads() == 1
    if len(given) == 1 and (alone or given[0][1].numel() * COLUMNS > SHARED):
        return [work(*given[0])]
    return list(_pool(torch.get_num_threads()).map(lambda one: work(*one), given))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that multiply alone, and take tiny numbers for zero as training does."""
    begun = threading.Barrier(threads)

    def begin() -> None:
        torch.get_num_threads()  # the first such question in a thread would undo what follows
        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        torch.set_grad_enabled(False)
        begun.wait()

    pool = ThreadPoolExecutor(threads, "charloom", begin)
    for done in [pool.submit(int) for _ in range(threads)]:
        done.result()
    torch.set_num_threads(threads)  # torch keeps a number for each thread, and one for threads to come
    return pool


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not live on in a forked process


def _flat(tensor: Tensor) -> np.ndarray[Any, Any]:
    """The same memory for NumPy, (T, numbers); bfloat16 as uint16."""
    bits = tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor
    array: np.ndarray[Any, Any] = bits.numpy()
    return array.reshape(len(array), -1)
