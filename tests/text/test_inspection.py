"""What a text is like."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from charloom.text.config import DataConfig, Progress
from charloom.text.inspection import inspect
from typed import here


def test_a_whole_text(tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_bytes(("aé" * 45 + "b" * 5 + "cc€cc").encode("cp1252"))
    told: list[Progress] = []
    found = inspect([path], DataConfig(encoding="cp1252"), progress=told.append)
    assert list(dict.fromkeys(each.doing for each in told)) == ["checking", "reading", "encoding", "counting"]
    assert told[-1].done == told[-1].total
    assert (found.mode, found.encoding, found.documents, found.duplicates) == ("whole", "cp1252", 1, 0)
    assert (found.characters, found.bytes, found.distinct, found.unseen) == (100, 100 + 45 + 2, 5, 3)
    assert found.parts == {"train": 90, "validation": 5, "test": 5}
    assert found.lengths[50] == 100
    assert found.first == "aé" * 45


def test_documents(data_folder: Path) -> None:
    found = inspect(["ag_news:test"])
    assert (found.mode, found.documents, found.distinct) == ("row", 7600, 82)
    assert sum(found.parts.values()) == found.characters
    assert found.parts["train"] / found.characters == pytest.approx(0.9, abs=0.02)
    assert found.lengths[0] < found.lengths[50] < found.lengths[100]
    assert found.duplicates == 0
    assert found.first.startswith("Fears for T N pension")


def test_lines_that_end_in_blanks(tmp_path: Path) -> None:
    path = tmp_path / "sayings.txt"
    for end, share in ((" ", 1.0), ("", 0)):
        path.write_text("".join(f"Saying {i}.{end}\n" for i in range(400)), encoding="utf-8")
        for cut in ("line", "whole"):
            found = inspect([path], DataConfig(documents=cut)).corpus.provenance
            assert found.get("blank_ends", 0) == pytest.approx(share, abs=0.01)  # the border cuts a line


def test_duplicates(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("\n".join(f"name {i % 100}" for i in range(400)), encoding="utf-8")
    assert inspect([path], DataConfig(documents="line")).duplicates == pytest.approx(0.75)


def test_what_is_left_out_of_a_folder_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    contents = {
        "a.txt": b"the fog comes\n" * 50, "b.txt": "on little caf\u00e9 feet\n".encode("cp1252") * 50,
        "c.txt.gz": gzip.compress(b"and moves on\n" * 50)[:-9], "d.pdf": b"%PDF-1.7", "e.txt": b"fog\n" * 50,
    }  # fmt: skip
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    found = here("data", "inspect", folder, "--json")
    assert found.code == 0, found.err
    record = json.loads(found.out)
    reasons = {Path(each["file"]).name: each["reason"] for each in record["skipped"]}
    assert reasons.keys() == {"b.txt", "c.txt.gz", "d.pdf"}
    assert reasons["b.txt"] == "byte 13 is not UTF-8; try --encoding cp1252"
    assert reasons["c.txt.gz"].startswith("damaged, or not a .gz file")
    assert reasons["d.pdf"] == "is a PDF"
    assert record["characters"] == 50 * len("the fog comesfog")
    assert f"left out    {folder / 'd.pdf'}: is a PDF\n" in here("data", "inspect", folder).out
    refused = here("train", folder, "--steps", "2")  # what is lost without a word would be worse
    assert refused.code == 1
    assert "b.txt: byte 13 is not UTF-8; try --encoding cp1252" in refused.err
    for name in ("a.txt", "e.txt"):
        (folder / name).unlink()
    assert here("data", "inspect", folder).code == 1
