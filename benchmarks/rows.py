"""Rows of a benchmark table: each appended to a file as it is measured, so that a broken-off run goes on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("CHARLOOM_RESULTS", Path(__file__).parent / "results"))


class Rows:
    """The rows of one script, in results/NAME.jsonl; delete the file to measure anew."""

    def __init__(self, name: str) -> None:
        FOLDER.mkdir(exist_ok=True)
        self._path = FOLDER / f"{name}.jsonl"
        lines = self._path.read_text("utf-8").splitlines() if self._path.exists() else []
        found: list[dict[str, Any]] = [json.loads(line) for line in lines]
        self.found = {row["row"]: row for row in found}

    def measure(self, name: str, work: Callable[..., dict[str, Any]], *arguments: object) -> dict[str, Any]:
        """The row of that name: `work(*arguments)` now, unless it stands in the file."""
        if name not in self.found:
            row = {"row": name, **work(*arguments), "machine": platform.processor() or platform.machine()}
            with self._path.open("a", encoding="utf-8", newline="\n") as file:
                file.write(json.dumps(row) + "\n")
            self.found[name] = row
        return self.found[name]


def table(header: list[str], rows: list[list[object]]) -> str:
    """A Markdown table."""
    lines: list[list[object]] = [[*header], ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def data_folder() -> Path:
    """The folder of real texts that CHARLOOM_DATA names."""
    folder = os.environ.get("CHARLOOM_DATA")
    if not folder or not Path(folder, "tinyshakespeare.txt").is_file():
        raise SystemExit("set CHARLOOM_DATA to a folder with tinyshakespeare.txt and ag_news/test.csv")
    return Path(folder)
