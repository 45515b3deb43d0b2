"""Which files a corpus is, and their bytes."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import os
import sys
import threading
from pathlib import Path

import pytest
import zstandard

from charloom.errors import DataError, MissingExtraError
from charloom.text.config import Progress
from charloom.text.sources import Collection, Source, collect

TEXT = "Grüße aus Köln\n".encode() * 1000
PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress}


def found(corpus: str | Path) -> Collection:
    return collect(corpus, stdin=None, spool=Path("unused"), progress=lambda _: None)


def labels(corpus: str | Path) -> list[str]:
    return [Path(source.label).name for source in found(corpus).sources]


def test_files_folders_and_globs(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "deep/c.txt", "deep/.hidden.txt", ".git/config", "deep/d.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    (tmp_path / "z.bin").write_bytes(b"\0\1")
    assert labels(tmp_path / "a.txt") == ["a.txt"]
    assert labels(tmp_path) == ["a.txt", "b.txt", "c.txt", "d.md"]
    assert labels(str(tmp_path / "*.txt")) == ["a.txt", "b.txt"]
    assert labels(str(tmp_path / "**" / "*.txt")) == ["a.txt", "b.txt", "c.txt"]
    assert found(tmp_path).name == tmp_path.name
    assert found(tmp_path).skipped == ((str(tmp_path / "z.bin"), "is binary data"),)
    assert found(tmp_path / "a.txt").name == "a"


@pytest.mark.parametrize("suffix", PACK)
def test_compressed_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"book.csv{suffix}"
    path.write_bytes(PACK[suffix](TEXT))
    (source,) = found(path).sources
    assert (source.kind, source.packed, found(path).name) == ("csv", suffix, "book")
    assert b"".join(source.blocks(100)) == TEXT
    path.write_bytes(PACK[suffix](TEXT) * 2)
    assert b"".join(source.blocks()) == TEXT * 2
    unnamed = tmp_path / "book"
    unnamed.write_bytes(PACK[suffix](TEXT))
    assert (found(unnamed).sources[0].packed, b"".join(found(unnamed).sources[0].blocks())) == (suffix, TEXT)
    for damaged in (path.read_bytes()[:-7], b"no such format, but long enough"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"book\.csv\{suffix}: damaged, or not a \{suffix} file"):
            list(source.blocks())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a", "text"),
        ("a.TXT", "text"),
        ("a.CSV", "csv"),
        ("a.tsv.xz", "tsv"),
        ("a.b.jsonl", "json"),
        ("a.json.gz", "json"),
        ("a.csv.txt", "text"),
        ("a.parquet", "parquet"),
    ],
)
def test_the_name_tells_the_kind(name: str, kind: str) -> None:
    assert Source(Path(name), name).kind == kind


def test_zstandard_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "book.txt.zst"
    path.write_bytes(zstandard.compress(TEXT))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'charloom\[data\]'"):
        next(found(path).sources[0].blocks())


def test_hashes_are_those_of_sha256sum(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    one, two = (hashlib.sha256(name.encode()).hexdigest() for name in ("a.txt", "b.txt"))
    assert found(tmp_path / "a.txt").sha256(lambda _: None, 0, 0) == one
    listing = f"{one}  a.txt\n{two}  b.txt\n"
    assert found(tmp_path).sha256(lambda _: None, 0, 0) == hashlib.sha256(listing.encode()).hexdigest()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other pipes")
def test_what_can_be_read_but_once_is_copied(tmp_path: Path) -> None:
    def collected(corpus: str | Path) -> Collection:
        return collect(corpus, stdin=io.BytesIO(TEXT), spool=tmp_path / "new", progress=told.append)

    def feed(end: int, data: bytes) -> None:
        with os.fdopen(end, "wb") as pipe:
            pipe.write(data)

    told: list[Progress] = []
    for data in (TEXT, gzip.compress(TEXT)):
        reading, writing = os.pipe()
        feeder = threading.Thread(target=feed, args=(writing, data))
        feeder.start()
        for corpus, name in (("-", "stdin"), (f"/dev/fd/{reading}", "pipe"), ("/dev/fd/999", "stdin")):
            collection = collected(corpus)
            assert collection.name == name
            for _ in range(2):
                assert b"".join(collection.sources[0].blocks()) == TEXT
        feeder.join()
        os.close(reading)
    assert {each.doing for each in told} == {"copying"}
    os.mkfifo(tmp_path / "rows.csv")
    threading.Thread(target=(tmp_path / "rows.csv").write_bytes, args=(TEXT,), daemon=True).start()
    collection = collected(tmp_path / "rows.csv")
    assert (collection.name, collection.sources[0].kind) == ("rows", "csv")
    assert b"".join(collection.sources[0].blocks()) == TEXT


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ("no/such/book.txt", r"no/such/book\.txt: there is no such file or folder"),
        ("tinyshakespear", "did you mean tinyshakespeare"),
        ("AG_news", "did you mean ag_news"),
        ("*.nothing", "no file matches"),
    ],
)
def test_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message):
        found(corpus)


def test_json_among_texts_is_text(tmp_path: Path) -> None:
    """Settings among code; by themselves, and as JSON lines, they are tables."""
    for name, content in (("a.json", b"{}"), ("b.json.gz", gzip.compress(b"{}")), ("c.jsonl", b"{}")):
        (tmp_path / name).write_bytes(content)
    assert {source.kind for source in found(tmp_path).sources} == {"json"}
    (tmp_path / "main.py").write_text("import json\n", encoding="utf-8")
    assert [source.kind for source in found(tmp_path).sources] == ["text", "text", "json", "text"]
    assert found(tmp_path / "a.json").sources[0].kind == "json"


def test_what_a_folder_is_read_without(tmp_path: Path) -> None:
    contents = {
        "a.txt": b"text", "wide.txt": "text, too\n".encode("utf-16-le"), "empty.txt": b"",
        "packed.pdf.gz": gzip.compress(b"%PDF-1.7"), "picture.png": b"\x89PNG\0", "tool": b"\x7fELF\0\1",
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    assert labels(tmp_path) == ["a.txt", "wide.txt"]
    assert {Path(label).name: reason for label, reason in found(tmp_path).skipped} == {
        "empty.txt": "is empty", "packed.pdf.gz": "is a PDF", "picture.png": "is a PNG image",
        "tool": "is binary data",
    }  # fmt: skip
    for name in ("a.txt", "wide.txt"):
        (tmp_path / name).unlink()
    with pytest.raises(DataError, match="no text file"):
        found(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(tmp_path, "folder.txt")  # opening a folder fails on every system, for root too
    with pytest.raises(DataError, match=r"folder\.txt: cannot be read \("):
        list(source.blocks())


def test_a_name_of_the_catalog_wins_over_a_file(
    data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tinyshakespeare").write_text("mine", encoding="utf-8")
    assert found("tinyshakespeare").sources[0].path == data_folder / "tinyshakespeare.txt"
    assert found("./tinyshakespeare").sources[0].path.read_text(encoding="utf-8") == "mine"
    assert found(Path("tinyshakespeare")).entry is None
