"""How fast text is written, against the peers in the same run, and where the time goes.

    python benchmarks/runtime.py

Prints README's table and the one of docs/performance.md. Every row is appended to results/runtime.jsonl when
it is measured; delete that file to measure anew. Wants some five minutes of a machine that does nothing else,
and `python -m pip install --group bench` for its peer from Hugging Face.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

import charloom
import startup
from charloom import verdict
from charloom.compiled import address
from charloom.model.config import ModelConfig
from charloom.model.folder import Model
from charloom.runtime.arrays import aligned, padded
from charloom.runtime.batch import Batch, Stream
from charloom.runtime.gates import call
from charloom.runtime.generator import Generator
from charloom.runtime.kernels import Kernels, step
from charloom.runtime.options import SamplerConfig
from charloom.runtime.packed import DEPTH, FORM_H, GATES, MULTIPLY, STRIDE
from charloom.runtime.products import PANEL, ROWS, VECTORS, WORD
from charloom.runtime.vectors import LANES
from charloom.runtime.weights import PRECISIONS, Precision, fold
from charloom.text.vocabulary import Vocabulary
from rows import Rows, table

CHARACTERS = 82  # of AG News, the lesson's corpus
HIDDEN = 64, 256, 512
BATCH = 256
FEW = 4  # steps a call where a call is to be as short as the peer's
SECONDS = 1.0  # spent on each figure; the best repetition counts
PROCESSORS = os.cpu_count() or 1

jit: Any = numba.njit  # uncached: what these functions call may change

Row = dict[str, Any]


def model(hidden: int) -> Model:
    """One LSTM layer over one-hot characters, as the lesson's, with random weights."""
    vocabulary = Vocabulary.of_characters(map(chr, range(32, 32 + CHARACTERS)))
    config = ModelConfig(cell="lstm", hidden=hidden, embedding=0)
    random = np.random.default_rng(0)
    weights = {
        name: random.uniform(-1, 1, shape).astype(np.float32) / np.float32(np.sqrt(hidden))
        for name, shape in config.weight_shapes(CHARACTERS).items()
    }
    weights["embedding.weight"] = np.eye(CHARACTERS, dtype=np.float32)
    return Model(config=config, vocabulary=vocabulary, weights=weights)


def best(work: Callable[[], object], seconds: float = SECONDS) -> float:
    """The least wall time of one call, in seconds, over some seconds of calls after a first one."""
    work()
    least, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        work()
        least = min(least, time.perf_counter() - begin)
    return least


def over_threads(work: Callable[[], object]) -> tuple[float, int]:
    """The least time of `work` over torch's thread counts, and the count."""
    timed = []
    for threads in range(1, PROCESSORS + 1):
        torch.set_num_threads(threads)
        timed.append((best(work), threads))
    return min(timed)


def torch_loop(hidden: int, length: int) -> tuple[float, int]:
    """Seconds a character of the lesson's loop: one-hot, nn.LSTM a step at a time, multinomial."""
    torch.manual_seed(0)
    lstm, output = torch.nn.LSTM(CHARACTERS, hidden, batch_first=True), torch.nn.Linear(hidden, CHARACTERS)

    def write() -> None:
        state, drawn = None, torch.tensor([1])
        with torch.inference_mode():
            for _ in range(length):
                x = torch.nn.functional.one_hot(drawn, CHARACTERS).float().view(1, 1, CHARACTERS)
                y, state = lstm(x, state)
                drawn = torch.multinomial(torch.softmax(output(y[0, -1]), -1), 1)

    seconds, threads = over_threads(write)
    return seconds / length, threads


def single_stream(hidden: int) -> Row:
    """One text: seconds a character."""
    length = 4000 if hidden < 512 else 1500
    loop, threads = torch_loop(hidden, 300)
    row: Row = {"peer": loop, "its threads": threads}
    for precision in PRECISIONS:
        generator, settings = Generator(model(hidden), precision), SamplerConfig(length=length)
        row[precision] = best(partial(generator.sample, " ", settings=settings)) / length
    return row


def batch(hidden: int = 512, length: int = 256) -> Row:
    """Many texts, Gflop/s: whole steps (products, gates, draws) against bare products, in short calls."""
    flops = 2 * BATCH * hidden * (4 * hidden + CHARACTERS)
    random = np.random.default_rng(0)
    a, recurrent, output = (
        random.normal(size=shape).astype(np.float32)
        for shape in ((BATCH, hidden), (hidden, 4 * hidden), (hidden, CHARACTERS))
    )
    row: Row = {"numpy": flops / best(lambda: (a @ recurrent, a @ output)) / 1e9}
    for kind in (torch.float32, torch.bfloat16):
        x, r, o = (torch.from_numpy(array).to(kind) for array in (a, recurrent, output))
        seconds, _ = over_threads(lambda x=x, r=r, o=o: (x @ r, x @ o))  # type: ignore[misc]
        row[str(kind)] = flops / seconds / 1e9
    row["peer"] = max(row["numpy"], row["torch.float32"])
    for precision in PRECISIONS:
        generator = Generator(model(hidden), precision)
        entered = filled(generator, BATCH)
        with ThreadPoolExecutor(PROCESSORS) as threads:
            row[precision] = flops * FEW / best(partial(drawn, entered, threads)) / 1e9
        settings = SamplerConfig(length=length)
        seconds = best(lambda g=generator, s=settings: list(g.sample_many([" "], settings=s, n=BATCH)))  # type: ignore[misc]
        row[f"{precision}, characters a second"] = BATCH * length / seconds
    return row


def filled(generator: Generator, rows: int) -> Batch:
    """A batch of endless streams."""
    batch, start = Batch(generator.engine, generator.model, rows), generator.prime(" ")
    for number in range(rows):
        batch.enter(Stream(generator.model, start, SamplerConfig(length=10**8), number=number))
    batch.advance(FEW)
    return batch


def drawn(batch: Batch, threads: ThreadPoolExecutor) -> None:
    """What `Batch.advance` has its threads do, without what Python does with the ids afterwards."""
    slots = batch._slots
    slots.count[:] = 0
    borders = [BATCH * k // PROCESSORS for k in range(PROCESSORS + 1)]
    jobs = [
        threads.submit(batch._engine.generate, slots, batch._automaton, -1, range(*share), FEW)
        for share in pairwise(borders)
    ]
    for job in jobs:
        job.result()


def against_transformer(rows: int) -> Row:
    """Characters a second: Hugging Face's generate, a GPT-2 of nanoGPT's CPU shape; ours, an LSTM of 512."""
    from transformers import GPT2Config, GPT2LMHeadModel

    ends = {"bos_token_id": 0, "eos_token_id": None}
    shape = GPT2Config(vocab_size=CHARACTERS, n_positions=64, n_embd=128, n_layer=4, n_head=4, **ends)
    gpt, ids, length = GPT2LMHeadModel(shape).eval(), torch.ones((rows, 1), dtype=torch.long), 63
    write = partial(
        gpt.generate,
        ids,
        do_sample=True,
        use_cache=True,
        max_new_tokens=length,
        pad_token_id=0,
        attention_mask=torch.ones_like(ids),
    )
    with torch.inference_mode():
        seconds, threads = over_threads(write)
    row: Row = {"peer": rows * length / seconds, "its threads": threads}
    settings = SamplerConfig(length=length)
    for precision in PRECISIONS:
        generator = Generator(model(512), precision)
        ours = best(lambda g=generator: list(g.sample_many([" "], settings=settings, n=rows)))  # type: ignore[misc]
        row[precision] = rows * length / ours
    return row


def loss_of_int8() -> Row:
    """Nats a character on the test part of Python's own documentation, after a minute of training."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder, "run")
        trained = charloom.train("python-docs", out=run, minutes=1, hidden=512, layers=1)
        text = verdict.own_text(run, trained.model).part
        row: Row = {"characters": text.characters}
        for precision in PRECISIONS:
            generator = Generator(trained.model, precision)
            scores = generator.score(map(trained.model.encode, text.texts()))
            row[precision] = -float(np.concatenate([each.log_probabilities for each in scores]).mean())
    return row


@jit  # type: ignore[untyped-decorator]
def read_through(numbers: Any, repeat: int) -> Any:
    """Read an array, and do next to nothing with it: the rate at which weights can come."""
    total = 0
    for _ in range(repeat):
        for i in range(len(numbers)):
            total += numbers[i]
        numbers[0] = total  # or the compiler would see that once is enough
    return total


@jit  # type: ignore[untyped-decorator]
def products(
    repeat: int, multiply: int, c: int, a: int, stride: int, w: int, rows: int, depth: int, panels: int
) -> None:
    """The recurrent products of so many steps, and nothing else."""
    for n in range(repeat):
        for i in range(panels):
            panel = w + WORD * depth * PANEL * (panels - 1 - i if n % 2 else i)
            call(multiply, (c, PANEL, a, stride, panel, rows, depth, PANEL, w, w))


@jit  # type: ignore[untyped-decorator]
def tiles(multiply: int, c: int, a: int, w: int, many: int, few: int, width: int) -> None:
    """Many tiles of rows, all at one place: stride 0."""
    call(multiply, (c, 0, a, 0, w, many, few, width, w, w))


@jit  # type: ignore[untyped-decorator]
def steps(repeat: int, step: int, plan: int, ids: Any, output: int) -> None:
    """Whole steps, without the draws."""
    for n in range(repeat):
        call(step, (plan, ids.ctypes.data, 0, len(ids), output, n & 1))


def where_time_goes(hidden: int, precision: Precision, rows: int) -> Row:
    """Microseconds a character on one thread, by part; the rate of the products, and its limit.

    The limit of one row is how fast its weights can be read (GB/s), that of many how fast a tile is done
    whose operands all lie in the first cache (Gflop/s).
    """
    described, repeat = model(hidden), max(1, 2**22 // (rows * hidden**2))
    generator = Generator(described, precision)
    wide = padded(hidden)
    state, logits = aligned((1, 2, rows, wide)), aligned((rows, padded(CHARACTERS)))
    engine = Kernels(fold(described.config, described.weights, precision))
    plan, _, _memory = engine._call(rows, state, logits)
    depth, stride, multiply = (int(plan[place]) for place in (DEPTH, STRIDE, MULTIPLY))
    words = aligned((depth * 4 * wide,))
    c, a, w, panels = int(plan[GATES]), int(plan[FORM_H]), words.ctypes.data, 4 * wide // PANEL
    ids = np.random.default_rng(0).integers(0, CHARACTERS, rows).astype(np.int32)
    fed = address(step), plan.ctypes.data, ids

    drawing = filled(generator, rows)
    drawing.advance(repeat)  # room for so many ids

    def write() -> None:
        drawing._slots.count[:] = 0
        generator.engine.generate(drawing._slots, drawing._automaton, -1, range(rows), repeat)

    def part(work: Callable[[], object]) -> float:
        return 1e6 * best(work) / rows / repeat

    matrices = part(lambda: products(repeat, multiply, c, a, stride, w, rows, depth, panels))
    layer, whole = (part(lambda output=output: steps(repeat, *fed, output)) for output in (0, 1))  # type: ignore[misc]
    written = part(write)
    drawing.close()
    if rows == 1:
        rate, limit, unit = (
            words.nbytes / matrices / 1e3,
            words.nbytes / part(lambda: read_through(words.view(np.int64), repeat)) / 1e3,
            "GB/s",
        )
    else:
        few, many, width = min(depth, 96), 200 * ROWS, VECTORS * LANES
        seconds = best(lambda: tiles(multiply, c, a, w, many, few, width))
        operations = 2 if precision == "float32" else 8
        rate, unit = operations * depth * 4 * wide / matrices / 1e3, "Gflop/s"
        limit = operations * many * few * width / seconds / 1e9
    return {
        "matrices": matrices,
        "gates": layer - matrices,
        "output": whole - layer,
        "draw": written - whole,
        "together": written,
        "rate": rate,
        "limit": limit,
        "unit": unit,
    }


def times(row: Row, precision: str, shown: str) -> str:
    """A figure and how many times the peer's it is; of seconds, the fewer the better."""
    ratio = row["peer"] / row[precision] if row[precision] < 0.01 else row[precision] / row["peer"]
    return f"{shown} ({ratio:.{1 if ratio < 10 else 0}f} ×)"


def main() -> None:
    """Measure every row that is not yet there, and print the tables."""
    rows = Rows("runtime")
    lines: list[list[object]] = []
    for hidden in HIDDEN:
        row = rows.measure(f"single stream, hidden {hidden}", single_stream, hidden)
        ours = [times(row, precision, f"{1e6 * row[precision]:.1f}") for precision in PRECISIONS]
        what = f"one text, hidden {hidden}: µs a character; a loop in torch"
        lines.append([what, f"{1e6 * row['peer']:.0f}", *ours])
    row = rows.measure("batch of 256, hidden 512", batch)
    ours = [times(row, precision, f"{row[precision]:.0f}") for precision in PRECISIONS]
    what = "256 texts, hidden 512: Gflop/s of whole steps; the bare float32 product in the best library"
    lines.append([what, f"{row['peer']:.0f}", *ours])
    for n in (1, 64):
        row = rows.measure(f"against GPT-2, {n} texts", against_transformer, n)
        ours = [times(row, precision, f"{row[precision]:,.0f}") for precision in PRECISIONS]
        what = f"{n} text{'s' if n > 1 else ''} of 64, hidden 512: characters a second; GPT-2 4 × 128"
        lines.append([what, f"{row['peer']:,.0f}", *ours])
    row = rows.measure("loss of int8", loss_of_int8)
    what = "loss on held-out text after a minute of training, nats a character"
    lines.append(
        [what, "", f"{row['float32']:.4f}", f"{row['int8']:.4f} ({row['int8'] - row['float32']:+.4f})"]
    )
    row = Rows("startup").measure("hidden 512", startup.measure)
    what = "first character of `charloom sample`, hidden 512, s (the very first run compiles)"
    lines.append([what, "", f"{row['warm']:.2f} ({row['cold']:.0f})", ""])
    print(table(["", "peer", "float32", "int8"], lines) + "\n")

    lines = []
    for n, hidden in ((1, 64), (1, 256), (1, 512), (BATCH // 2, 512)):
        for precision in PRECISIONS:
            name = f"{n} row{'s' if n > 1 else ''}, hidden {hidden}, {precision}"
            row = rows.measure(f"where time goes, {name}", where_time_goes, hidden, precision, n)
            parts = [f"{row[part]:.2f}" for part in ("matrices", "gates", "output", "draw", "together")]
            share = f"{row['rate']:.0f} of {row['limit']:.0f} {row['unit']}"
            lines.append([name, *parts, share])
    print(
        table(["µs a character", "matrices", "gates", "output", "draw", "together", "matrices' rate"], lines)
    )


if __name__ == "__main__":
    main()
