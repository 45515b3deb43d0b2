"""Held-out loss for given seconds of training, no knob touched, on several texts, beside a transformer's.

    CHARLOOM_DATA=… python benchmarks/quality.py [TEXT:SECONDS:SEEDS… | --peer TEXT:SECONDS…]

    CHARLOOM_DATA=… python benchmarks/quality.py tinyshakespeare:75:0,1,2 --peer tinyshakespeare:75

Without arguments it takes all of `ROWS` and `PEERS`: about three hours. Rows that stand in
results/quality.jsonl are not measured again. `tinyshakespeare:until:0` finds the shortest budget that ends
below the loss of nanoGPT's own recipe on a processor, 1.886.

Protocol. A row of ours is two commands, run one after the other on an otherwise idle machine:
`charloom train TEXT --minutes M --seed S` and `charloom eval --part test`. Evaluation on the way, samples and
writing count as training time; imports, encoding and compilation do not. Settings were tuned on validation
parts; reported is the test part, on which nothing was trained, tuned or chosen. Tiny Shakespeare is split as
nanoGPT splits it: the last tenth is the test part, all before it is trained on, and the last weights are kept
since nothing is left to choose by. AG News is split by document, 80/10/10. Carried: one stream from a zero
state; of AG News, each document from what its class gives. Windows of 64 and of 256 do not overlap and begin
from nothing, without a class, for both models the same; the transformer (transformer.py) is given the better
of its own number of steps and of equal seconds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import charloom
from charloom.insight.heldout import HeldOut
from charloom.text.config import DataConfig
from charloom.text.corpus import Corpus, prepare
from rows import Rows, data_folder, table

CHARLOOM = [sys.executable, "-m", "charloom"]
FRACTIONS = {"tinyshakespeare": "90/0/10", "ag_news:test": "80/10/10"}
DEFAULT = "90/5/5"
OTHERS = [
    f"{text}:{seconds}" for text in ("ag_news:test", "python-docs", "python-source") for seconds in (60, 300)
]
ROWS = [
    *(f"tinyshakespeare:{seconds}:0,1,2" for seconds in (75, 150, 300)),
    *(f"{other}:0,1,2" for other in OTHERS),
    "tinyshakespeare:1800:0",
    "tinyshakespeare:until:0",
]
PEERS = ["tinyshakespeare:75", "tinyshakespeare:300", *OTHERS]
WINDOWS = (64, 256)  # characters; the transformer's context is the first
TARGET = 1.886  # nats: nanoGPT's recipe for processors after 2,000 steps


def train(text: str, run: str, *more: str) -> list[dict[str, Any]]:
    """The events of a training with nothing but the text, its split and a budget said."""
    split = ["--fractions", FRACTIONS.get(text, DEFAULT)]
    command = [*CHARLOOM, "train", text, *split, "--out", run, *more, "--json"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in told.splitlines()]


def ours(text: str, seconds: int, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder, "run"))
        done = train(text, run, "--minutes", str(seconds / 60), "--seed", str(seed))[-1]
        test = [*CHARLOOM, "eval", run, "--part", "test", "--json"]
        found = json.loads(subprocess.run(test, check=True, capture_output=True, text=True).stdout)
        config = json.loads(Path(run, "config.json").read_text("utf-8"))["model"]
        windows = {f"windows_{size}": cold(run, corpus_of(text), size) for size in WINDOWS}
    shape = f"{config['cell']} {config['layers']}×{config['hidden']}"
    return {
        "carried": found["carried"]["nats"],
        **windows,
        "bits_per_character": found["carried"]["bits_per_character"],
        "model": shape,
        "dropout": config["dropout"],
        **{key: done[key] for key in ("parameters", "characters", "seconds", "step")},
    }


def cold(run: str, corpus: Corpus, size: int) -> float:
    """Nats a character in windows of `size`, each from a zero state."""
    held_out = HeldOut(corpus.test, corpus.vocabulary)
    spans = list(held_out.windows(size))
    generator = charloom.load(run).generator
    scores = generator.score(np.asarray(held_out.ids[s.start : s.stop], np.int32) for s in spans)
    total = 0.0
    for span, score in zip(spans, scores, strict=True):
        total -= float(score.log_probabilities[span.skip :].astype(np.float64).sum())
        total += float(held_out.spelling[held_out.ids[span.start + span.skip : span.stop]].sum())
    return total / held_out.total(held_out.characters)


def until(text: str, seed: int) -> dict[str, Any]:
    """The first of these budgets, in seconds, whose run ends below the target."""
    for seconds in (10, 15, 20, 30, 40):
        found = ours(text, seconds, seed)
        if found["carried"] < TARGET:
            break
    return {**found, "budget": seconds}


def theirs(text: str, seconds: int) -> dict[str, Any]:
    import transformer

    corpus = corpus_of(text)
    network, done = transformer.trained(corpus, seconds, seed=0)
    held_out = HeldOut(corpus.test, corpus.vocabulary)
    windows = {f"windows_{size}": transformer.nats(network, held_out, size) for size in WINDOWS}
    return {**done, **windows}


def corpus_of(text: str) -> Corpus:
    """The corpus as `train` prepares it."""
    shares = tuple(float(share) for share in FRACTIONS.get(text, DEFAULT).split("/"))
    return prepare([text], DataConfig(fractions=shares))  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", nargs="*", metavar="TEXT:SECONDS:SEEDS")
    parser.add_argument("--peer", nargs="*", metavar="TEXT:SECONDS", default=[])
    arguments = parser.parse_args()
    data_folder()
    asked = arguments.rows or arguments.peer
    kept, lines = Rows("quality"), []
    for name in arguments.rows if asked else ROWS:
        text, seconds, listed = name.rsplit(":", 2)
        seeds = [int(seed) for seed in listed.split(",")]
        if seconds == "until":
            runs = [kept.measure(f"{text} until {TARGET} seed {seed}", until, text, seed) for seed in seeds]
            print(f"{text} below {TARGET} nats with a budget of", *(f"{run['budget']} s" for run in runs))
            continue
        runs = [
            kept.measure(f"{text} {seconds} s seed {seed}", ours, text, int(seconds), seed) for seed in seeds
        ]
        lines.append([text, seconds, len(runs), runs[0]["model"], *(spread(runs, key) for key in MEASURES)])
    for name in arguments.peer if asked else PEERS:
        text, seconds = name.rsplit(":", 1)
        run = kept.measure(f"transformer {text} {seconds} s", theirs, text, int(seconds))
        shape = f"transformer, {run['steps']:,} steps, {run['seconds']:.0f} s"
        lines.append([text, seconds, 1, shape, *(spread([run], key) for key in MEASURES)])
    print(__doc__.split("Protocol. ")[1])
    print(table(["text", "seconds", "seeds", "model", "carried", "windows of 64", "windows of 256"], lines))


MEASURES = ("carried", "windows_64", "windows_256")


def spread(runs: list[dict[str, Any]], key: str) -> str:
    """Mean and, of several seeds, standard deviation, in nats a character."""
    values = [run[key] for run in runs if key in run]
    if not values:
        return "–"
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


if __name__ == "__main__":
    main()
