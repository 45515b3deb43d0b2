"""Runs the lesson and writes its notebooks, lesson.ipynb and leccion.ipynb, with what it printed.

    python docs/tutorial/build.py

The sources are lesson.py and leccion.py, cells of jupytext's "percent" format: the same code with prose in
two languages, so that it is run once, and what it gave stands in both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
NAMES = ("lesson", "leccion")


def code(notebook: Any) -> list[Any]:
    """A notebook's cells of code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def read(name: str) -> Any:
    """The notebook that a source describes, with cells numbered, so that building it again changes no id."""
    notebook = jupytext.read(HERE / f"{name}.py")
    notebook.metadata.pop("jupytext", None)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"
    return notebook


def main() -> None:
    """Run one, fill both."""
    notebooks = [read(name) for name in NAMES]
    NotebookClient(notebooks[0], timeout=None, kernel_name="python3").execute()
    for cell, other in zip(*map(code, notebooks), strict=True):
        cell.metadata.pop("execution", None)
        other.outputs, other.execution_count = cell.outputs, cell.execution_count
    for name, notebook in zip(NAMES, notebooks, strict=True):
        text = nbformat.writes(notebook, indent=1) + "\n"
        (HERE / f"{name}.ipynb").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
