"""Fetches the real texts that the tests read, checked, into a folder: python .github/data.py FOLDER."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from charloom.text import catalog

PLACES = {"tinyshakespeare": "tinyshakespeare.txt", "ag_news:test": "ag_news/test.csv"}

if __name__ == "__main__":
    for name, place in PLACES.items():
        (file,) = catalog.fetch(name, lambda progress: None)
        target = Path(sys.argv[1], place)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.resolve() != target.resolve():
            shutil.copyfile(file, target)
