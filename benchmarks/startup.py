"""How long one waits: `charloom --help`, and from the start of `charloom sample` to the first character.

    python benchmarks/startup.py

The model is an untrained LSTM of 512: what it writes does not matter, how it is read does. The numba
cache is warm after the first run, which is timed by itself; of five warm runs the median is given.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from charloom.model import folder
from charloom.model.config import ModelConfig
from charloom.text.vocabulary import Vocabulary
from rows import Rows, table

CHARLOOM = [sys.executable, "-m", "charloom"]
RUNS = 5


def model(path: Path) -> None:
    config = ModelConfig(hidden=512)
    vocabulary = Vocabulary.from_text("".join(map(chr, range(32, 127))), ("<bos>", "<byte>"))
    generator = np.random.default_rng(0)
    weights = {
        name: generator.normal(0, 0.05, shape).astype(np.float32)
        for name, shape in config.weight_shapes(len(vocabulary)).items()
    }
    path.mkdir()
    folder.create(path, config=config, vocabulary=vocabulary, card="", sampling={}, provenance={})
    folder.write_weights(path, weights, {})


def first_byte(command: list[str], environment: dict[str, str]) -> float:
    """Seconds until the command has written its first byte."""
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.perf_counter() - start
        process.stdout.read()
    return seconds


def measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "model")
        model(path)
        environment = {**os.environ, "CHARLOOM_CACHE": str(Path(temporary, "cache"))}
        sample = [*CHARLOOM, "sample", str(path), "--length", "100"]
        cold = first_byte(sample, environment)
        return {
            "help": statistics.median(first_byte([*CHARLOOM, "--help"], environment) for _ in range(RUNS)),
            "cold": cold,
            "warm": statistics.median(first_byte(sample, environment) for _ in range(RUNS)),
        }


def main() -> None:
    row = Rows("startup").measure("hidden 512", measure)
    print(
        table(
            ["from the start of the command", "seconds"],
            [
                ["`charloom --help`", f"{row['help']:.2f}"],
                [
                    "`charloom sample`, 1×512, first character, the very first run (compiles)",
                    f"{row['cold']:.1f}",
                ],
                ["the same, every later run", f"{row['warm']:.2f}"],
            ],
        )
    )


if __name__ == "__main__":
    main()
