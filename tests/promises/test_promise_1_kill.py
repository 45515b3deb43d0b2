"""Promise 1: kill -9 at any moment loses at most the work since the last checkpoint, and no run.

Power cuts are in test_promise_1_power_cut.py. Here real processes die, and what goes on from their runs
ends, to the bit, like a run that nobody killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "nothing_lost.py"
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")


def measured(part: str, *arguments: str, results: Path) -> dict[str, int]:
    """The rows of the benchmark taken together, measured anew in a process of its own."""
    environment = {**os.environ, "CHARLOOM_RESULTS": str(results), "CHARLOOM_SCRATCH": str(results)}
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), part, *arguments],
        env=environment, capture_output=True, encoding="utf-8", timeout=3000, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (results / "nothing_lost.jsonl").read_text("utf-8").splitlines()]
    numbers = [key for key, value in rows[0].items() if isinstance(value, int)]
    return {key: (max if "most" in key else sum)(row[key] for row in rows) for key in numbers}


@pytest.mark.parametrize("kills", [2, pytest.param(40, marks=pytest.mark.slow)])
def test_killed_at_random(kills: int, tmp_path: Path) -> None:
    row = measured("kills", "--kills", str(kills), results=tmp_path)
    assert row["kills"] == kills
    assert (row["unloadable"], row["damaged"], row["different"]) == (0, 0, 0)
    assert row["finished"] >= 1
    assert row["most steps lost"] <= 5


@pytest.mark.slow
def test_killed_at_each_file_operation(tmp_path: Path) -> None:
    row = measured("saves", "--operations", "60", results=tmp_path)
    assert row["kills"] == 60
    assert (row["unloadable"], row["damaged"], row["different"]) == (0, 0, 0)
    assert row["most steps lost"] <= 5
