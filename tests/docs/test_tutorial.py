"""The lesson, run: quickly in the fast tests, whole in the slow ones; its notebooks are what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial"
CELL = re.compile(r"^# %%(.*)\n", re.MULTILINE)
QUICK = {"TEXTS": 12, "STEPS": 1, "NUMBERS": 1}


def cells(name: str) -> list[tuple[str, str]]:
    """("markdown" or "code", source) of each cell of a jupytext source."""
    parts = CELL.split((TUTORIAL / f"{name}.py").read_text("utf-8"))[1:]
    found = []
    for head, text in zip(parts[::2], parts[1::2], strict=True):
        if "[markdown]" in head:
            lines = [line.removeprefix("#").removeprefix(" ") for line in text.strip().splitlines()]
            found.append(("markdown", "\n".join(lines)))
        else:
            found.append(("code", text.strip()))
    return found


def run(folder: Path, data: Path, **parameters: int) -> str:
    """The lesson as a script, with these parameters: what it prints."""
    text = (TUTORIAL / "lesson.py").read_text("utf-8")
    for name, value in parameters.items():
        text, count = re.subn(rf"^{name} = \d+", f"{name} = {value}", text, flags=re.MULTILINE)
        assert count == 1, name
    (folder / "lesson.py").write_text(text, encoding="utf-8")
    environment = {
        **os.environ, "CHARLOOM_DATA": str(data), "MPLBACKEND": "Agg", "TMPDIR": str(folder),
        "PYTHONIOENCODING": "utf-8",
    }  # fmt: skip
    found = subprocess.run(
        [sys.executable, "lesson.py"],
        cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=3000,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_both_languages_run_the_same_code() -> None:
    assert [cell for cell in cells("lesson") if cell[0] == "code"] == [
        cell for cell in cells("leccion") if cell[0] == "code"
    ]
    assert len(cells("lesson")) == len(cells("leccion"))


@pytest.mark.parametrize("name", ["lesson", "leccion"])
def test_the_notebooks_are_those_of_the_sources(name: str) -> None:
    notebook: dict[str, Any] = json.loads((TUTORIAL / f"{name}.ipynb").read_text("utf-8"))
    built = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    assert built == cells(name), "run python docs/tutorial/build.py"
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output["output_type"] == "error"]


def test_the_lesson_runs_and_its_first_figures_are_the_lessons(data_folder: Path, tmp_path: Path) -> None:
    told = run(tmp_path, data_folder, **QUICK)
    for line in (
        "7,600 texts, 1,788,274 characters",
        "a is 1 and 13 is c",
        "[0, 1, 2, 2, 3, 4, 5, 6, 3, 7, 8, 1, 9, 10, 3, 11, 2, 1, 12, 3] … [3, 1, 28, 1, 27, 16, 6]",
        "(44, 100) (44, 100)",
        "input  [0, 1, 2] … [28, 29, 30]",
        "target [1, 2, 2] … [29, 30, 1]",
        "before the first step: the lesson 4.399, here 4.407",
        "ends in a loop: True",
    ):
        assert line in told.splitlines()
    assert len(re.findall(r"^── [\d.]+ ──$", told, re.MULTILINE)) == 5
    assert re.search(r"^\d+ of 100 held-out items are put into their own class", told, re.MULTILINE)
    assert re.search(r"^\d+ of 600 numbers that it has never seen", told, re.MULTILINE)


@pytest.mark.slow
def test_the_whole_lesson_comes_out_as_it_tells(data_folder: Path, tmp_path: Path) -> None:
    told = run(tmp_path, data_folder)
    losses = [float(loss) for loss in re.findall(r"^text \d,000: .* here ([\d.]+)$", told, re.MULTILINE)]
    assert losses[0] < 2.4
    assert losses[1] <= 2.1
    assert "ends in a loop: True" in told
    bits = dict(re.findall(r"^(\w+) +([\d.]+) bits a character", told, re.MULTILINE))
    assert float(bits["lstm"]) < float(bits["lanes"]) < 4
    right = re.search(r"^(\d+) of 100 held-out items", told, re.MULTILINE)
    assert right is not None
    assert int(right[1]) > 35
