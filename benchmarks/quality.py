"""Held-out loss for given seconds of training, with no knob touched, on several texts.

    CHARLOOM_DATA=… python benchmarks/quality.py [--seconds 60,120,300] [--seeds 0,1,2] [TEXT…]

Protocol. Every row is two commands, run one after the other on an otherwise idle machine:
`charloom train TEXT --minutes M --seed S` and `charloom eval --part test`. Evaluation on the way, samples
and writing count as training time; imports and encoding do not. Settings were tuned on validation parts;
reported is the test part, on which nothing was trained, tuned or chosen. Tiny Shakespeare is split as
nanoGPT splits it: the last tenth is the test part, all before it is trained on, and the last weights are
kept since nothing is left to choose by. AG News is split by document, 80/10/10.
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

from rows import Rows, data_folder, table

CHARLOOM = [sys.executable, "-m", "charloom"]
TEXTS = {  # name: arguments of `train`
    "tinyshakespeare": ["tinyshakespeare", "--fractions", "90/0/10"],
    "ag_news:test": ["ag_news:test", "--fractions", "80/10/10"],
    "python-docs": ["python-docs"],
    "python-source": ["python-source"],
}


def measure(text: str, seconds: int, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder, "run"))
        train = [
            *CHARLOOM,
            "train",
            *TEXTS[text],
            "--out",
            run,
            "--minutes",
            str(seconds / 60),
            "--seed",
            str(seed),
        ]
        told = subprocess.run([*train, "--json"], check=True, capture_output=True, text=True).stdout
        done = json.loads(told.splitlines()[-1])
        test = [*CHARLOOM, "eval", run, "--part", "test", "--json"]
        found = json.loads(subprocess.run(test, check=True, capture_output=True, text=True).stdout)
        config = json.loads(Path(run, "config.json").read_text("utf-8"))["model"]
    return {
        "carried": found["carried"],
        "cold_256": found["cold_256"],
        "parameters": done["parameters"],
        "trained": done["characters"],
        "seconds": done["seconds"],
        "steps": done["step"],
        "model": config,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("texts", nargs="*", default=list(TEXTS))
    parser.add_argument("--seconds", default="60,120,300")
    parser.add_argument("--seeds", default="0,1,2")
    arguments = parser.parse_args()
    data_folder()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    rows, lines = Rows("quality"), []
    for text in arguments.texts:
        for seconds in map(int, arguments.seconds.split(",")):
            runs = [
                rows.measure(f"{text} {seconds} s seed {seed}", measure, text, seconds, seed)
                for seed in seeds
            ]
            shape = runs[0]["model"]
            lines.append(
                [
                    text,
                    seconds,
                    f"{shape['cell']} {shape['layers']}×{shape['hidden']}",
                    spread(runs, "carried", "nats"),
                    spread(runs, "carried", "bits_per_character"),
                    spread(runs, "cold_256", "nats"),
                ]
            )
    print(table(["text", "seconds", "model", "carried, nats", "bits a character", "cold 256, nats"], lines))


def spread(runs: list[dict[str, Any]], kind: str, unit: str) -> str:
    """Mean and, of several seeds, standard deviation."""
    values = [run[kind][unit] for run in runs]
    return f"{statistics.mean(values):.3f}" + (
        f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    )


if __name__ == "__main__":
    main()
