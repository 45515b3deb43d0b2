"""Preparing a long text that is interrupted goes on where it was, and gives the same."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charloom.text import cache, corpus, reading
from charloom.text.config import DataConfig, Progress
from charloom.text.corpus import Corpus, prepare
from charloom.text.sources import Source

TEXTS = [
    "".join(f"ligne {i} d\u2019e\u0301te\u0301, 行 {i * i}\r\n" for i in range(300)),
    "no line end at the end, and a lone \r in it",
    "".join(f"e\u0301\n\u0301 {i}\n" for i in range(400)),
]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("CHARLOOM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(reading, "SEGMENT", 1000)
    found = [tmp_path / f"{i}.txt" for i in range(len(TEXTS))]
    for path, text in zip(found, TEXTS, strict=True):
        path.write_bytes(text.encode("utf-8"))
    return found


def same(left: Corpus, right: Corpus) -> bool:
    assert left.vocabulary.to_json() == right.vocabulary.to_json()
    pairs = [(getattr(left, name), getattr(right, name)) for name in ("train", "validation", "test")]
    return all(np.array_equal(a.ids, b.ids) and a.text() == b.text() for a, b in pairs)


def test_a_file_in_pieces_is_the_file(files: list[Path]) -> None:
    for path in files:
        pieces = list(Source(path, "").cut(500))
        assert b"".join(block for piece in pieces for block in piece.blocks(64)) == path.read_bytes()
        assert all(piece.path.read_bytes()[: piece.end].endswith(b"\n") for piece in pieces[:-1])


@pytest.mark.parametrize("data", [{}, {"normalize": "none"}, {"unit": "byte"}], ids=str)
def test_interrupted_anywhere(
    data: dict[str, Any], files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = DataConfig(documents="whole", **data)
    with monkeypatch.context() as patched:
        patched.setattr(reading, "SEGMENT", 10**9)
        patched.setenv("CHARLOOM_CACHE", str(tmp_path / "other"))
        expected = prepare(files, config)
    read: list[int] = []
    real = reading.text_blocks

    def counted(source: Source, data: DataConfig) -> Iterator[str]:
        read.append(source.start)
        return real(source, data)

    monkeypatch.setattr(reading, "text_blocks", counted)
    for at in (0, 3000, 6000, 9000):

        def interrupt(progress: Progress, at: int = at) -> None:
            if progress.doing == "reading" and progress.done > at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prepare(files, config, progress=interrupt)
    before = len(read)
    assert same(prepare(files, config), expected)
    pieces = sum(len(list(Source(path, "").cut(1000))) for path in files)
    assert 0 < len(read) - before < 0.7 * pieces  # the rest was read already
    assert sorted(path.name[:4] for path in cache.folder("corpora").iterdir() if "-" in path.name) == []


def test_a_killed_process_leaves_its_work(files: list[Path]) -> None:
    """Only one of this machine that is gone: what another is at is left alone."""
    config = DataConfig(documents="whole")
    with pytest.raises(KeyboardInterrupt):
        prepare(files, config, progress=after(9000))
    root = cache.folder("corpora")
    (left,) = root.glob("left-*")
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    key = f"{left.name.removeprefix('left-')}-{corpus.platform.node() or 'here'}"
    for process, taken in ((os.getppid(), False), (gone.pid, True)):
        name = root / f"new-{key}-{process}"
        left.rename(name)
        with pytest.raises(KeyboardInterrupt):
            prepare(files, config, progress=after(0))
        assert name.exists() is not taken
        (left,) = root.glob("left-*")
        if not taken:
            corpus.shutil.rmtree(left)
            left = name


def test_what_cannot_be_read_leaves_nothing(files: list[Path]) -> None:
    files[1].write_bytes(b"\xff\xfe\xff" * 9)
    with pytest.raises(corpus.DataError):
        prepare(files, DataConfig(documents="whole"))
    assert list(cache.folder("corpora").iterdir()) == []


def after(done: int) -> Any:
    def interrupt(progress: Progress) -> None:
        if progress.doing == "reading" and progress.done > done:
            raise KeyboardInterrupt

    return interrupt
