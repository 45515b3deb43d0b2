"""Where a training step's time goes, and how near it comes to the machine's own products.

    python benchmarks/training.py [--hidden 512] [--lanes 32] [--window 64]

For each cell: whole steps (read, forth, back, clip, Muon, AdamW); the layer alone, ours and torch's; and
the bare products that a step is made of, in its precision and of the same shapes, one after the other: the
recurrent products of every time step forth and back, the gradient of their matrix, those of inputs and output
forth and back, and Muon's. All alternate in the same minutes; told are medians. "Of the bare products" is
their time by the step's.
"Python" is what would be left of a step that reads nothing: at hidden 8, twice the least time of a step with
half of the lanes less that of a whole one; each has as many calls, and half as many characters.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from charloom.model.config import CELLS, GATES, Cell, ModelConfig
from charloom.training import device
from charloom.training.batches import Lanes
from charloom.training.config import TrainConfig
from charloom.training.learner import Learner
from charloom.training.network import Layer, Network
from charloom.training.optimiser import ROUNDS, Optimiser, blocks_of
from charloom.training.ranks import Ranks
from rows import Rows, table

VOCABULARY = 65
EMBEDDING = ModelConfig().embedding
REPEATS = 9
SMALL_REPEATS = 100  # of the steps at hidden 8, whose difference is looked for


def steps(cell: Cell, hidden: int, config: TrainConfig, place: device.Place) -> Callable[[], None]:
    """A function that takes the next step."""
    shape = ModelConfig(cell=cell, hidden=hidden, dropout=0.1)
    network = Network(shape, VOCABULARY, torch.Generator().manual_seed(0)).to(place.device)
    learner = Learner(network, Optimiser(network, config), place, 0, Ranks())
    ids = np.random.default_rng(0).integers(0, VOCABULARY, 100_000)
    layout = Lanes(ids, lanes=config.lanes, window=config.window, seed=0)
    at = iter(range(10**9))

    def step() -> None:
        number = next(at)
        learner.step(number, layout.batch(number), 0.5)
        learner.losses()  # waits for a GPU

    return step


def layer(
    cell: Cell, hidden: int, config: TrainConfig, place: device.Place, ours: bool
) -> Callable[[], None]:
    """A function that runs one layer forth and back."""
    made = Layer(ModelConfig(cell=cell, hidden=hidden), EMBEDDING).to(place.device)
    for parameter in made.parameters():
        torch.nn.init.uniform_(parameter, -0.04, 0.04)
    rows = (config.lanes, config.window, EMBEDDING)
    x = torch.randn(rows, device=place.device, requires_grad=True)
    state = torch.zeros(2 if cell == "lstm" else 1, config.lanes, hidden, device=place.device)

    def run() -> None:
        with place.autocast():
            if ours:
                y = made.columns(x.permute(2, 1, 0), state.transpose(1, 2))[0]
            else:
                y = made(x, state)[0]
        torch.autograd.backward(y, torch.ones_like(y))

    return run


def products(cell: Cell, hidden: int, config: TrainConfig, place: device.Place) -> Callable[[], None]:
    """A function that multiplies what a step multiplies, and does nothing else."""
    kind = torch.bfloat16 if place.precision == "bfloat16" else torch.float32
    gates, batch, read = GATES[cell] * hidden, config.lanes, config.lanes * config.window

    def of(rows: int, inner: int, columns: int) -> Callable[[], Tensor]:
        left = torch.randn(rows, inner, device=place.device).to(kind)
        right = torch.randn(inner, columns, device=place.device).to(kind)
        out = torch.empty(rows, columns, dtype=kind, device=place.device)
        return lambda: torch.mm(left, right, out=out)

    forth, back = of(gates, hidden, batch), of(hidden, gates, batch)
    matrix = of(gates, read, hidden)
    output = [of(VOCABULARY, hidden, read), of(hidden, VOCABULARY, read), of(VOCABULARY, read, hidden)]
    inputs = [of(gates, EMBEDDING, read), of(EMBEDDING, gates, read), of(gates, read, EMBEDDING)]
    blocks = blocks_of(cell, hidden)
    rows = torch.randn(blocks, gates // blocks, hidden, device=place.device).to(kind)

    def run() -> None:
        for _ in range(config.window):
            forth()
        for _ in range(config.window):
            back()
        matrix()
        for product in (*inputs, *output):
            product()
        for _ in range(ROUNDS):
            gram = rows @ rows.mT
            _ = gram @ gram @ rows

    return run


def seconds(functions: dict[str, Callable[[], None]], repeats: int) -> dict[str, list[float]]:
    """What each took, in turns, the least first."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(repeats):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            taken[name].append(time.perf_counter() - start)
    return {name: sorted(times) for name, times in taken.items()}


def measure(cell: Cell, hidden: int, config: TrainConfig) -> dict[str, Any]:
    place = device.choose(config)
    halved = replace(config, lanes=config.lanes // 2)
    whole = {
        "step": steps(cell, hidden, config, place),
        "layer": layer(cell, hidden, config, place, ours=True),
        "torch": layer(cell, hidden, config, place, ours=False),
        "products": products(cell, hidden, config, place),
    }
    small = {"small": steps(cell, 8, config, place), "half": steps(cell, 8, halved, place)}
    with place.engaged():
        medians = {name: statistics.median(times) for name, times in seconds(whole, REPEATS).items()}
        least = {name: times[0] for name, times in seconds(small, SMALL_REPEATS).items()}
    return medians | least


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--lanes", type=int, default=TrainConfig().lanes)
    parser.add_argument("--window", type=int, default=TrainConfig().window)
    given = parser.parse_args()
    config = TrainConfig(lanes=given.lanes, window=given.window)
    kept = Rows("training")
    lines: list[list[object]] = []
    for cell in CELLS:
        name = f"{cell} {given.hidden}, {given.lanes} × {given.window}"
        row = kept.measure(name, measure, cell, given.hidden, config)
        row["python"] = max(0.0, 2 * row["half"] - row["small"])
        milliseconds = [f"{1000 * row[key]:.0f} ms" for key in ("step", "layer", "torch", "products")]
        milliseconds.append(f"{1000 * row['python']:.1f} ms, {row['python'] / row['step']:.0%}")
        speed = given.lanes * given.window / row["step"]
        lines.append([name, *milliseconds, f"{row['products'] / row['step']:.0%}", f"{speed:,.0f}"])
    head = ["", "step", "layer", "torch's", "bare products", "Python", "of the bare products", "characters/s"]
    print(table(head, lines))


if __name__ == "__main__":
    main()
