"""How fast text is written, against the peers in the same run.

    python benchmarks/runtime.py [--model FOLDER --text FILE]

Every row is printed and appended to results/runtime.jsonl; delete that file to measure anew.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from charloom.model.config import ModelConfig
from charloom.model.folder import Model, create, read, write_weights
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.runtime.weights import PRECISIONS, Precision
from charloom.text.vocabulary import Vocabulary
from rows import Rows

CHARACTERS = 82  # of AG News, the lesson's corpus
HIDDEN = 64, 256, 512
BATCH = 256
SECONDS = 2.0  # spent on each figure; the best repetition counts
PROCESSORS = os.cpu_count() or 1

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
    """One text: microseconds a character and the ratio to the loop."""
    length = 4000 if hidden < 512 else 1500
    loop, threads = torch_loop(hidden, 300)
    row: Row = {"torch loop, µs": 1e6 * loop, "its threads": threads}
    for precision in PRECISIONS:
        generator, settings = Generator(model(hidden), precision), SamplerConfig(length=length)
        seconds = best(lambda g=generator, s=settings: g.sample(" ", settings=s)) / length  # type: ignore[misc]
        row |= {f"{precision}, µs": 1e6 * seconds, f"{precision}, times the loop": loop / seconds}
    return row


def batch(hidden: int = 512, length: int = 32) -> Row:
    """Many texts: whole steps against the bare products of the same shapes."""
    row: Row = {}
    flops = 2 * BATCH * hidden * (4 * hidden + CHARACTERS)
    random = np.random.default_rng(0)
    a = random.normal(size=(BATCH, hidden)).astype(np.float32)
    recurrent = random.normal(size=(hidden, 4 * hidden)).astype(np.float32)
    output = random.normal(size=(hidden, CHARACTERS)).astype(np.float32)
    row["bare product, numpy, Gflop/s"] = flops / best(lambda: (a @ recurrent, a @ output)) / 1e9
    for kind in (torch.float32, torch.bfloat16):
        x, r, o = (torch.from_numpy(array).to(kind) for array in (a, recurrent, output))
        seconds, _ = over_threads(lambda x=x, r=r, o=o: (x @ r, x @ o))  # type: ignore[misc]
        row[f"bare product, {str(kind).replace('torch.', 'torch ')}, Gflop/s"] = flops / seconds / 1e9
    for precision in PRECISIONS:
        generator, settings = Generator(model(hidden), precision), SamplerConfig(length=length)
        seconds = best(lambda g=generator, s=settings: list(g.sample_many([" "], settings=s, n=BATCH)))  # type: ignore[misc]
        row[f"whole steps, {precision}, Gflop/s"] = flops * length / seconds / 1e9
        row[f"{precision}, characters a second"] = BATCH * length / seconds
    return row


def against_transformer() -> Row:
    """Hugging Face's generate on a GPT-2 of nanoGPT's CPU shape against an LSTM of 512."""
    try:
        from transformers import GPT2Config, GPT2LMHeadModel
    except ImportError:
        return {"skipped": "transformers is not installed"}
    shape = GPT2Config(
        vocab_size=CHARACTERS,
        n_positions=64,
        n_embd=128,
        n_layer=4,
        n_head=4,
        bos_token_id=0,
        eos_token_id=None,
    )
    gpt = GPT2LMHeadModel(shape).eval()
    row: Row = {}
    for rows in (1, 64):
        ids = torch.ones((rows, 1), dtype=torch.long)

        def write(ids: torch.Tensor = ids) -> None:
            with torch.inference_mode():
                gpt.generate(
                    ids,
                    do_sample=True,
                    use_cache=True,
                    max_new_tokens=63,
                    pad_token_id=0,
                    attention_mask=torch.ones_like(ids),
                )

        seconds, _ = over_threads(write)
        generator, settings = Generator(model(512), "int8"), SamplerConfig(length=63)
        ours = best(lambda n=rows, g=generator, s=settings: list(g.sample_many([" "], settings=s, n=n)))  # type: ignore[misc]
        row |= {
            f"GPT-2, batch {rows}, characters a second": rows * 63 / seconds,
            f"LSTM 512 int8, batch {rows}, characters a second": rows * 63 / ours,
            f"ratio, batch {rows}": seconds / ours,
        }
    return row


FIRST_CHARACTER = """
import sys, time
from pathlib import Path
from charloom.model.folder import read
from charloom.runtime.generator import Generator
next(Generator(read(Path(sys.argv[1]))).stream(" "))
"""


def first_character() -> Row:
    """From the start of Python to the first character at hidden 512: compiling, and with a warm cache."""
    with tempfile.TemporaryDirectory() as folder:
        described = model(512)
        create(
            Path(folder),
            config=described.config,
            vocabulary=described.vocabulary,
            card="",
            sampling={},
            provenance={},
        )
        write_weights(Path(folder), described.weights, {})
        environment = {**os.environ, "CHARLOOM_CACHE": str(Path(folder) / "cache")}

        def start() -> float:
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", FIRST_CHARACTER, folder], env=environment, check=True)
            return time.perf_counter() - begin

        return {"first run, s": start(), "warm cache, s": min(start() for _ in range(5))}


def where_time_goes(hidden: int, precision: Precision) -> Row:
    """A single stream's character: products and gates, output, draw; and the bytes of weights a second."""
    generator, n = Generator(model(hidden), precision), 2000
    ids = np.random.default_rng(0).integers(0, CHARACTERS, n).astype(np.int32)
    text = generator.model.vocabulary.decode(ids)
    primed = best(lambda: generator.prime(text), 1) / n
    with_output = best(lambda: generator.logits(ids), 1) / n
    whole = best(lambda: generator.sample(" ", settings=SamplerConfig(length=n)), 1) / n
    size = (4 if precision == "float32" else 1) * 4 * hidden * hidden
    return {
        "layer, µs": 1e6 * primed,
        "output, µs": 1e6 * (with_output - primed),
        "draw, µs": 1e6 * (whole - with_output),
        "layer's weights, GB/s": size / primed / 1e9,
    }


def loss_of_int8(folder: Path, text: str) -> Row:
    """Nats a character on a text that the model has not seen, in both precisions."""
    row: Row = {}
    for precision in PRECISIONS:
        generator = Generator(read(folder), precision)
        parts = [text[k : k + 1000] for k in range(0, len(text), 1000)]
        scores = generator.score(map(generator.model.vocabulary.encode, parts))
        row[f"{precision}, nats"] = -float(np.nanmean(np.concatenate([s.log_probabilities for s in scores])))
    return row | {"difference": row["int8, nats"] - row["float32, nats"]}


def main() -> None:
    """Measure every row that is not yet there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="a trained model, for the loss of int8")
    parser.add_argument("--text", type=Path, help="the text to measure that loss on")
    arguments = parser.parse_args()
    if bool(arguments.model) != bool(arguments.text):
        parser.error("--model and --text go together")
    rows: dict[str, Callable[[], Row]] = {}
    for hidden in HIDDEN:
        rows[f"single stream, hidden {hidden}"] = partial(single_stream, hidden)
    rows["batch of 256, hidden 512"] = batch
    rows["against GPT-2 in Hugging Face transformers"] = against_transformer
    rows["first character, hidden 512"] = first_character
    for hidden in HIDDEN:
        for precision in PRECISIONS:
            rows[f"where time goes, hidden {hidden}, {precision}"] = partial(
                where_time_goes, hidden, precision
            )
    if arguments.model:
        text = arguments.text.read_text(encoding="utf-8")
        rows["loss of int8"] = partial(loss_of_int8, arguments.model, text)
    table = Rows("runtime")
    for name, measure in rows.items():
        print(name)
        for key, value in table.measure(name, measure).items():
            if key != "row":
                print(f"    {key:45} {value:.4g}" if isinstance(value, float) else f"    {key:45} {value}")


if __name__ == "__main__":
    main()
