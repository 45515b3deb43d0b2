"""Many processes train one model: what they tell each other.

Each owns some rows of every batch. Gradients are summed in the order of the ranks: every rank adds up one
stretch of the flat buffer for all of them and passes the sum on, so that all hold the same bits, whatever
the network does, and twice the gradients' bytes are sent however many ranks there are. Nothing that is
received is unpickled: values travel as JSON, arrays as tensors.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from charloom.errors import RunError, UsageError
from charloom.job import Job

PATIENCE = 300.0  # seconds that a rank waits for another: longer than any step, evaluation or save takes
Made = TypeVar("Made")


class Ranks:
    """All processes of a run, seen from one of them. Alone, nothing is exchanged.

    What is called by one rank is called by all, in the same order. A rank that is gone, or does not
    answer, raises RunError.
    """

    def __init__(self, job: Job | None = None) -> None:
        self.job = job or Job()
        self.rank, self.size = self.job.rank, self.job.size
        self._now = time.perf_counter()

    @property
    def leads(self) -> bool:
        """Whether this is the rank that decides, writes and prints."""
        return self.rank == 0

    def clock(self) -> float:
        """Seconds, the same on all ranks: those of rank 0 when they agreed last."""
        return time.perf_counter() if self.size == 1 else self._now

    def agree(self, reason: str) -> str:
        """The reason to stop that the first rank has which has one, or nothing; sets the clock."""
        if self.size == 1:
            return reason
        data = reason.encode("utf-8")
        told = self._gathered(torch.tensor([time.perf_counter(), len(data)], dtype=torch.float64))
        self._now = float(told[0][0])
        sizes = [int(numbers[1]) for numbers in told]
        if not any(sizes):
            return ""
        buffers = self._gathered(torch.frombuffer(bytearray(data.ljust(max(sizes))), dtype=torch.uint8))
        rank = next(rank for rank, size in enumerate(sizes) if size)
        return buffers[rank].numpy().tobytes()[: sizes[rank]].decode("utf-8")

    def total(self, values: Sequence[float]) -> list[float]:
        """The sum of each number over the ranks, in their order."""
        if self.size == 1:
            return list(values)
        told = [numbers.tolist() for numbers in self._gathered(torch.tensor(values, dtype=torch.float64))]
        return [sum(column) for column in zip(*told, strict=True)]

    def share(self, value: Any) -> Any:
        """Rank 0's value, of what JSON holds."""
        if self.size == 1:
            return value
        data = json.dumps(value).encode() if self.leads else b""
        size = torch.tensor([len(data)])
        self._broadcast(size)
        buffer = torch.frombuffer(bytearray(data.ljust(int(size), b" ")), dtype=torch.uint8)
        self._broadcast(buffer)
        return json.loads(buffer.numpy().tobytes())

    def share_tensors(
        self, tensors: Mapping[str, Mapping[str, Tensor]] | None
    ) -> Mapping[str, Mapping[str, Tensor]]:
        """Rank 0's tensors, by group and name; what the others give does not matter."""
        if self.size == 1:
            assert tensors is not None
            return tensors
        shapes = {
            group: {name: [str(t.dtype).removeprefix("torch."), list(t.shape)] for name, t in named.items()}
            for group, named in (tensors or {}).items()
        }
        found: dict[str, dict[str, Tensor]] = {}
        for group, named in self.share(shapes).items():
            found[group] = {}
            for name, (kind, shape) in named.items():
                tensor = tensors[group][name] if self.leads and tensors else torch.empty(0)
                if not self.leads:
                    tensor = torch.empty(shape, dtype=getattr(torch, kind))
                found[group][name] = tensor.contiguous()
                self._broadcast(found[group][name])
        return found

    def rows(self, count: int) -> slice:
        """Which of `count` rows are this rank's."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum(self, flat: Tensor) -> Tensor:
        """The sum (n,) over the ranks' flat (n,), added up in the order of the ranks."""
        if self.size == 1:
            return flat
        each = math.ceil(len(flat) / self.size)
        padded = torch.nn.functional.pad(flat, (0, each * self.size - len(flat)))
        received = torch.empty_like(padded)
        with self._exchange():
            dist.all_to_all_single(received, padded)
        parts = received.view(self.size, each)
        mine = parts[0].clone()
        for part in parts[1:]:
            mine += part
        with self._exchange():
            dist.all_gather(list(padded.view(self.size, each)), mine)
        return padded[: len(flat)]

    def join_rows(self, state: Tensor, count: int) -> Tensor:
        """All `count` rows (layers, parts, count, H) of the states whose rows the ranks own."""
        if self.size == 1:
            return state
        longest = math.ceil(count / self.size)
        padded = torch.nn.functional.pad(state, (0, 0, 0, longest - state.shape[2])).contiguous()
        gathered = self._gathered(padded)
        lengths = [count * (r + 1) // self.size - count * r // self.size for r in range(self.size)]
        return torch.cat([rows[:, :, :n] for rows, n in zip(gathered, lengths, strict=True)], dim=2)

    def wait(self) -> None:
        """Until all are here, however long it takes: another may prepare a long text."""
        if self.size > 1:
            with self._exchange():
                dist.barrier(self._patient)

    def one_first(self, prepare: Callable[[], Made]) -> Made:
        """Let one rank of each machine do what the others then find done."""
        first = self.job.local_rank == 0
        made = prepare() if first else None
        self.wait()
        return made if made is not None else prepare()

    def require_same(self, what: str, value: Any) -> None:
        """Whether all ranks hold the same value, of what JSON holds; raises RunError where they do not."""
        if self.size > 1 and self.share(value) != json.loads(json.dumps(value)):
            raise RunError(
                f"rank {self.rank} reads another {what} than rank 0; put the same files on every machine"
            )

    def _gathered(self, tensor: Tensor) -> list[Tensor]:
        found = [torch.empty_like(tensor) for _ in range(self.size)]
        with self._exchange():
            dist.all_gather(found, tensor)
        return found

    def _broadcast(self, tensor: Tensor) -> None:
        with self._exchange():
            dist.broadcast(tensor, 0)

    @contextlib.contextmanager
    def _exchange(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # torch's own classes for it are subclasses
            reason = " ".join(str(error).split())[:160]
            raise RunError(
                f"another rank is gone, or did not answer for {PATIENCE:g} seconds ({reason}); look at what "
                "it said, then go on with train --resume"
            ) from error

    @contextlib.contextmanager
    def joined(self) -> Iterator[Ranks]:
        """Find the others, and part from them at the end. Raises UsageError, RunError."""
        if self.size == 1:
            yield self
            return
        if "MASTER_ADDR" not in os.environ:
            raise UsageError(
                f"WORLD_SIZE is {self.size} but nobody says where the others are; start it with torchrun, "
                "or unset WORLD_SIZE"
            )
        backend = "gloo"
        if torch.cuda.is_available():
            backend = "cpu:gloo,cuda:nccl"
            if self.job.local_rank < torch.cuda.device_count():  # else all train on the processor
                torch.cuda.set_device(self.job.local_rank)
        with self._exchange():
            dist.init_process_group(backend, timeout=timedelta(seconds=PATIENCE))
            self._patient = dist.new_group(timeout=timedelta(days=7), backend="gloo")
        try:
            yield self
        finally:
            with contextlib.suppress(Exception):  # the others may be gone
                dist.destroy_process_group()
