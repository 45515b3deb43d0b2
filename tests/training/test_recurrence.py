"""The layer on columns against torch's own: outputs, final states and gradients, on any number of threads."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from charloom.compiled import COMPILES
from charloom.model.config import CELLS, Cell, ModelConfig
from charloom.training import recurrence
from charloom.training.network import Layer

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
pytestmark = pytest.mark.skipif(not COMPILES, reason="numba is not installed")


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def found(
    layer: Layer, columns: bool, low: bool, batch: int, steps: int, device: str = "cpu"
) -> list[Tensor]:
    """Outputs, the state after them, and the gradients of inputs, state and weights."""
    layer = copy.deepcopy(layer).to(device)
    random = torch.Generator().manual_seed(1)
    width = layer.weight_hidden.shape[1]
    parts = 2 if layer.cell == "lstm" else 1
    inputs = torch.randn(batch, steps, layer.weight_input.shape[1], generator=random).to(device)
    state = torch.randn(parts, batch, width, generator=random).to(device)
    inputs.requires_grad_()
    state.requires_grad_()
    with torch.autocast(device, torch.bfloat16, enabled=low):
        if columns:
            outputs, after = layer.columns(inputs.permute(2, 1, 0), state.transpose(1, 2))
            outputs, after = outputs.permute(2, 1, 0), after.transpose(1, 2)
        else:
            outputs, after = layer(inputs, state)
    weight = torch.randn(outputs.shape, generator=random).to(device)
    of_state = torch.randn(after.shape, generator=random).to(device)
    torch.autograd.backward((outputs * weight).sum() + (after * of_state).sum())
    gradients = [inputs.grad, state.grad, *(parameter.grad for parameter in layer.parameters())]
    return [each.detach().float().cpu() for each in (outputs, after, *gradients) if each is not None]


def layer(cell: Cell, hidden: int, inputs: int) -> Layer:
    made = Layer(ModelConfig(cell=cell, hidden=hidden), inputs)
    random = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        torch.nn.init.uniform_(parameter, -0.3, 0.3, random)
    return made


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("batch", "steps", "hidden", "inputs"), [(1, 5, 7, 3), (33, 9, 40, 17), (70, 2, 3, 1)]
)
def test_torchs_layer(cell: Cell, batch: int, steps: int, hidden: int, inputs: int, threads: int) -> None:
    made = layer(cell, hidden, inputs)
    theirs, ours = (found(made, columns, False, batch, steps) for columns in (False, True))
    assert len(ours) == len(theirs) == 8
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=2e-5, rtol=2e-5)
    again = found(made, True, False, batch, steps)
    assert all(torch.equal(a, b) for a, b in zip(ours, again, strict=True))
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(("columns", "device"), [(True, "cpu"), *((False, device) for device in DEVICES)])
def test_bfloat16_is_near(cell: Cell, columns: bool, device: str, threads: int) -> None:
    made = layer(cell, 48, 20)
    exact, rough = found(made, True, False, 40, 12), found(made, columns, True, 40, 12, device)
    assert len(rough) == len(exact) == 8
    for mine, other in zip(rough, exact, strict=True):
        assert (mine - other).norm() < 0.03 * other.norm()


@pytest.mark.parametrize("cell", CELLS)
def test_sixteen_threads(cell: Cell) -> None:
    """As many as a large machine has, each with a register of rows; here they share what cores there are."""
    before = torch.get_num_threads()
    layer_ = layer(cell, 7, 5)
    expected = found(layer_, True, False, 256, 6)
    torch.set_num_threads(16)
    try:
        assert recurrence._shares(256) == [16] * 16
        given = found(layer_, True, False, 256, 6)
    finally:
        torch.set_num_threads(before)
    for ours, theirs in zip(given, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("low", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("cell", CELLS)
def test_nothing_depends_on_uninitialized_memory(
    cell: Cell, low: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Odd sizes, since a product of odd depth reads beyond a row on processors with AMX."""
    empty = torch.empty

    def filled(*shape: Any, **options: Any) -> Tensor:
        made = empty(*shape, **options)
        return made.fill_(torch.nan) if made.is_floating_point() else made

    monkeypatch.setattr(torch, "empty", filled)
    for batch, steps, hidden in ((33, 5, 7), (5, 9, 24)):
        for each in found(layer(cell, hidden, 6), True, low, batch, steps):
            assert torch.isfinite(each).all()


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("device", DEVICES)
def test_torchs_layer_where_it_is_used(cell: Cell, device: str) -> None:
    """A GPU multiplies float32 with 10 of its 23 bits."""
    made = layer(cell, 48, 20)
    for mine, other in zip(
        found(made, False, False, 40, 12, device), found(made, True, False, 40, 12), strict=True
    ):
        assert (mine - other).norm() < 0.002 * other.norm()


def test_bits_of_bfloat16_are_torchs() -> None:
    """Numbers go through the kernel as products and come back as hidden values."""
    from charloom.training import cells

    numbers = torch.randn(1000, generator=torch.Generator().manual_seed(2)).bfloat16()
    hidden, after = torch.empty(1000, dtype=torch.bfloat16), torch.empty(1000)
    kept, gates = numbers.view(torch.uint16).numpy(), np.empty(0, np.uint16)
    nothing = np.empty(1000, np.float32)
    cells.FORWARD["rnn"](kept, nothing, gates, after.numpy(), hidden.view(torch.uint16).numpy())
    torch.testing.assert_close(after, numbers.float().tanh(), atol=3e-7, rtol=0)
    assert torch.equal(hidden, after.bfloat16())


@pytest.mark.parametrize("cell", CELLS)
def test_large_numbers_saturate_and_nan_stays(cell: Cell) -> None:
    """What has diverged must be seen."""
    made = layer(cell, 4, 2)
    for value in (1e30, -1e30, float("nan")):
        inputs, state = torch.full((2, 3, 5), value), torch.zeros(2 if cell == "lstm" else 1, 4, 5)
        outputs, after = made.columns(inputs, state)
        plain, _ = made(inputs.permute(2, 1, 0), state.transpose(1, 2))
        torch.testing.assert_close(outputs.permute(2, 1, 0), plain, atol=1e-5, rtol=0, equal_nan=True)
        assert bool(after.isfinite().all()) == (value == value)


def test_shares_are_whole_registers(threads: int) -> None:
    for batch in (1, 16, 17, 64, 100):
        shares = recurrence._shares(batch)
        assert sum(shares) == batch
        assert len(shares) <= threads
        assert all(share % recurrence.COLUMNS == 0 for share in shares[:-1])


FORKS = """
import multiprocessing, os, sys, threading, time
from pathlib import Path

sys.path.insert(0, {support!r})
import charloom, untrained
from charloom import compiled
from charloom.runtime.generator import Generator

text = Path("text.txt")


def train(name, threads):
    charloom.train(text, out=name, steps=2, hidden=16, layers=1, lanes=64, window=8, threads=threads)
    return "trained"


def refused(name):
    try:
        return train(name, 2)
    except charloom.UsageError as error:
        return str(error)


def forked(work, *given):
    with multiprocessing.get_context("fork").Pool(1) as pool:
        print(pool.apply_async(work, given).get(timeout=300), flush=True)


def prime():
    return len(generator.prime("the ").ids)


def rest():
    return len(list(texts))


if __name__ == "__main__":
    text.write_text("the rain in spain is mainly on the plain. " * 500, encoding="utf-8")
    generator = Generator(untrained.model())
    lock = compiled.lock
    held = threading.Thread(target=lambda: (lock.acquire(), time.sleep(1), lock.release()))
    held.start()
    forked(prime)  # first use: what is compiled wants the lock
    held.join()
    texts = generator.sample_many(["the "], n=600)
    next(texts)
    forked(rest)
    print(rest())
    forked(train, "first", 2)
    print(train("parent", 2))
    forked(refused, "second")
    forked(train, "third", 1)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply_async(train, ("fourth", 2)).get(timeout=300), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_and_spawned_processes_sample_and_train_or_say_why_not(tmp_path) -> None:
    script = tmp_path / "forks.py"
    script.write_text(FORKS.format(support=str(Path(__file__).parents[1] / "support")), encoding="utf-8")
    found = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=900,
        check=True,
    )
    assert found.stdout.splitlines() == [
        "4",
        "599",
        "599",
        "trained",
        "trained",
        "train: this process was forked after training, without torch's threads; set threads to 1, "
        "or start processes by multiprocessing's 'spawn'",
        "trained",
        "trained",
    ]
