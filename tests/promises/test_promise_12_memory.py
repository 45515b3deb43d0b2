"""Promise 12: corpora larger than memory prepare and train in constant memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pages import PAGES

PEAK = """
import sys, threading, time

def anonymous():
    with open("/proc/self/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))

peak = [0]
def watch():
    while True:
        peak[0] = max(peak[0], anonymous())
        time.sleep(0.01)

threading.Thread(target=watch, daemon=True).start()
"""
PREPARE = (
    PEAK
    + """
from charloom.text.corpus import DataConfig, prepare
from charloom.text.inspection import inspect
inspect([sys.argv[1]], DataConfig(documents=sys.argv[2]))
print(peak[0])
"""
)
TRAIN = (
    PEAK
    + """
import charloom
charloom.train(sys.argv[1], documents=sys.argv[2], out=sys.argv[3], steps=3, hidden=8, lanes=4, window=8,
               threads=1, precision="float32")
print(peak[0])
"""
)
ROOM = 16  # MiB; data inspect holds 32 bytes a document, of four million at most
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def peak(script: str, *arguments: object, cache: Path) -> int:
    """The most anonymous memory of a process that runs the script, in MiB."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "CHARLOOM_CACHE": str(cache)}, capture_output=True, encoding="utf-8", check=False,
        timeout=3000,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1]) // 1024


def write(path: Path, megabytes: int, line: int = 0) -> Path:
    """Write a text of that size; `line` joins its lines to ones of so many characters."""
    text = PAGES
    if line:
        joined = text.replace("\n", " ")
        text = "".join(f"{joined[at : at + line]}\n" for at in range(0, len(joined), line))
    block = text.encode("utf-8")
    with path.open("wb") as file:
        number = 0
        while file.tell() < megabytes * 10**6:
            file.write(b"%d\n" % number + block)
            number += 1
    return path


@pytest.mark.parametrize("documents", ["whole", "line"])
def test_memory_does_not_grow_with_the_text(documents: str, tmp_path: Path) -> None:
    small, large = (
        peak(PREPARE, write(tmp_path / f"{size}.txt", size, line=400), documents, cache=tmp_path / "cache")
        for size in (4, 48)
    )
    assert large < small + ROOM  # of 44 MB more


@pytest.mark.slow
@pytest.mark.parametrize("documents", ["whole", "line"])
def test_a_gigabyte_trains_in_little(documents: str, tmp_path: Path) -> None:
    text = write(tmp_path / "text.txt", 1000, line=400)
    assert peak(TRAIN, text, documents, tmp_path / "run", cache=tmp_path / "cache") < 1024


@pytest.mark.parametrize("files", [1000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_folder_of_many_small_files(files: int, tmp_path: Path) -> None:
    for number in range(files):
        folder = tmp_path / "texts" / str(number % 100)
        if number < 100:
            folder.mkdir(parents=True)
        (folder / f"{number}.txt").write_text(f"This is text number {number}, é.\n", encoding="utf-8")
    used = peak(
        PREPARE.replace("print(", "print(len(prepare([sys.argv[1]], DataConfig()).train.documents));print("),
        tmp_path / "texts", "auto", cache=tmp_path / "cache",
    )  # fmt: skip
    assert used < 512
