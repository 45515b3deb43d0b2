"""Preparing a long text that is interrupted goes on where it was, and gives the same."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charloom.system.files import locked
from charloom.text import cache, corpus, dealer, reading
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
    return left.conditions == right.conditions and all(
        np.array_equal(a.ids, b.ids)
        and a.text() == b.text()
        and list(a.sources()) == list(b.sources())
        and np.array_equal(a.labels, b.labels)
        and np.array_equal(a.arrays, b.arrays, equal_nan=True)
        for a, b in pairs
    )


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
            if progress.doing.startswith("reading") and progress.done > at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            prepare(files, config, progress=interrupt)
    before, said = len(read), set[str]()
    assert same(prepare(files, config, progress=lambda progress: said.add(progress.doing)), expected)
    assert "reading on" in said
    assert "reading" not in said
    pieces = sum(len(list(Source(path, "").cut(1000))) for path in files)
    assert 0 < len(read) - before < 0.7 * pieces  # the rest was read already
    assert sorted(path.name[:4] for path in cache.folder("corpora").iterdir() if "-" in path.name) == []


def document(number: int) -> dict[str, Any]:
    text = f"texte {number * number} d\u2019e\u0301te\u0301"
    return {
        "text": text, "kind": f"k{number % 7}", "from": f"{number}", "numbers": [number, 1 / (1 + number)],
    }  # fmt: skip


DOCUMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "line": ("".join(document(i)["text"] + "\n" for i in range(300)), {"documents": "line"}),
    "blank": ("".join(document(i)["text"] + "\n\n" for i in range(300)), {"documents": "blank"}),
    "csv": (
        "text,kind,from\n" + "".join("{text},{kind},{from}\n".format(**document(i)) for i in range(300)),
        {"text": ("text",), "condition": ("kind",), "source": "from"},
    ),
    "jsonl": (
        "".join(json.dumps(document(i)) + "\n" for i in range(300)),
        {"text": ("text",), "condition": ("numbers", "kind")},
    ),
}


@pytest.mark.parametrize("kind", [*DOCUMENTS, "file"])
def test_documents_interrupted_anywhere(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the middle of a file, between two, while encoding, and once with half of it lost to a power cut."""
    monkeypatch.setattr(reading, "SEGMENT", 1000)
    monkeypatch.setattr(dealer, "PIECE", 200)
    text, settings = DOCUMENTS.get(kind, ("", {}))
    folder = tmp_path / "texts"
    folder.mkdir()
    suffix = kind if kind in ("csv", "jsonl") else "txt"
    for number in range(300 if kind == "file" else 2):
        (folder / f"{number:03}.{suffix}").write_text(text or document(number)["text"], encoding="utf-8")
    config = DataConfig(**settings)
    monkeypatch.setenv("CHARLOOM_CACHE", str(tmp_path / "other"))
    expected = prepare([folder], config)
    assert expected.documents == ("row" if kind in ("csv", "jsonl") else kind)
    total = expected.train.bytes + expected.validation.bytes + expected.test.bytes
    monkeypatch.setenv("CHARLOOM_CACHE", str(tmp_path / "cache"))
    dealt: list[int] = []
    real = dealer.Dealer.deal

    def counted(self: dealer.Dealer, piece: list[Any], borders: tuple[float, float]) -> None:
        dealt.append(len(piece))
        real(self, piece, borders)

    monkeypatch.setattr(dealer.Dealer, "deal", counted)
    for share, doing in (
        (0, "reading"),
        (0.4, "reading"),
        (0.7, "reading"),
        (0.9, "reading"),
        (0, "encoding"),
    ):
        with pytest.raises(KeyboardInterrupt):
            prepare([folder], config, progress=after(int(share * total), doing))
    documents = 300 if kind == "file" else 600
    assert documents <= sum(dealt) < 1.6 * documents  # five times over, were nothing kept
    assert same(prepare([folder], config), expected)
    assert sum(dealt) < 1.6 * documents
    (entry,) = cache.folder("corpora").iterdir()
    assert not [path.name for path in entry.iterdir() if path.suffix == ".numbers"]
    corpus.shutil.rmtree(entry)
    with pytest.raises(KeyboardInterrupt):
        prepare([folder], config, progress=after(int(0.7 * total), "reading"))
    (left,) = cache.folder("corpora").iterdir()
    os.truncate(left / "train.text", 10)
    assert same(prepare([folder], config), expected)


def test_a_killed_process_leaves_its_work(files: list[Path]) -> None:
    """Who reads the text next goes on from it, unless another process is at it: then it waits."""
    config = DataConfig(documents="whole")
    root = cache.folder("corpora")
    with pytest.raises(KeyboardInterrupt):
        prepare(files, config, progress=after(9000))
    (left,) = root.iterdir()
    with locked(root / f"{left.name.removeprefix('new-')}.lock"), pytest.raises(KeyboardInterrupt):
        prepare(files, config, progress=after(-1, "waiting"))
    doing: list[str] = []
    expected = prepare(files, config, progress=lambda progress: doing.append(progress.doing))
    assert "reading" not in doing
    assert "reading on" in doing
    assert list(root.iterdir()) == [expected.folder]


def test_threads_that_prepare_one_text(files: list[Path]) -> None:
    with ThreadPoolExecutor(4) as pool:
        prepared = list(pool.map(lambda _: prepare(files, DataConfig(documents="whole")), range(4)))
    assert all(same(each, prepared[0]) for each in prepared)
    assert list(cache.folder("corpora").iterdir()) == [prepared[0].folder]


def test_what_cannot_be_read_leaves_nothing(files: list[Path]) -> None:
    files[1].write_bytes(b"\xff\xfe\xff" * 9)
    with pytest.raises(corpus.DataError):
        prepare(files, DataConfig(documents="whole"))
    assert list(cache.folder("corpora").iterdir()) == []


def after(done: int, doing: str = "reading") -> Any:
    def interrupt(progress: Progress) -> None:
        if progress.doing.startswith(doing) and progress.done > done:
            raise KeyboardInterrupt

    return interrupt
