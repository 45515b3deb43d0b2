"""Tables to documents."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charloom.errors import DataError, MissingExtraError
from charloom.text.config import DataConfig
from charloom.text.documents import Document
from charloom.text.sources import Source
from charloom.text.tables import Columns, rows

CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))


def read(folder: Path, content: str | bytes, name: str, columns: Columns, **settings: str) -> list[Document]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(rows(Source(path, name), columns, DataConfig(**settings)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@settings(deadline=None)
@given(st.lists(st.tuples(CELL, CELL), min_size=1), st.sampled_from([("csv", ","), ("tsv", "\t")]))
def test_every_cell_comes_back(folder: Path, cells: list[tuple[str, str]], form: tuple[str, str]) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=form[1]).writerows([("label", "text"), *cells])
    got = read(folder, out.getvalue(), f"t.{form[0]}", Columns((), ("label",)), normalize="none")
    assert got == [Document(text, (label,)) for label, text in cells]
    lines = "".join(json.dumps({"label": a, "text": b}) + "\n" for a, b in cells)
    assert read(folder, lines, "t.jsonl", Columns((), ("label",)), normalize="none") == got


def test_by_name_by_number_and_joined(folder: Path) -> None:
    table = 'id,title,body\n1,One,first\n2,Two,"sec,\r\nond"\n'
    assert [d.text for d in read(folder, table, "t.csv", Columns(("title", "body")))] == [
        "One\tfirst",
        "Two\tsec,\nond",
    ]
    assert read(folder, table, "t.csv", Columns(("2",), ("0",)))[:2] == [
        Document("body", ("id",)),
        Document("first", ("1",)),
    ]
    assert [d.conditions for d in read(folder, table, "t.csv", Columns(("title",), ("0",)))] == [
        ("1",),
        ("2",),
    ]


def test_numbers_stand_for_labels(folder: Path) -> None:
    columns = Columns(("1",), ("0",), labels=("World", "Sports"))
    assert [d.conditions for d in read(folder, "1,a\n2,b\n", "t.csv", columns)] == [("World",), ("Sports",)]
    with pytest.raises(DataError, match="the label '3' is none of 1 to 2"):
        read(folder, "3,a\n", "t.csv", columns)


def test_texts_are_normalised(folder: Path) -> None:
    table = 'text\n"e\u0301\ra"\n'
    assert read(folder, table, "t.csv", Columns(()))[0].text == "é\na"
    assert read(folder, table, "t.csv", Columns(()), normalize="none")[0].text == "e\u0301\ra"
    assert read(folder, table, "t.csv", Columns(()), unit="byte")[0].text == "e\u0301\ra".encode().decode(
        "latin-1"
    )


def test_escapes_may_hold_lone_surrogates(folder: Path) -> None:
    assert read(folder, '{"text": "\\ud800"}\n', "t.jsonl", Columns(()))[0].text == "\ud800"


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        (
            "t.csv",
            "a,b\n1,2\n",
            Columns(()),
            r"t\.csv: which column is the text\? There are a, b; say --text",
        ),
        ("t.csv", "a,b\n1,2\n", Columns(("body",)), r"t\.csv: there is no column 'body'; there are a, b"),
        ("t.csv", "1,2\n", Columns(("7",)), r"there is no column '7'; there are 0, 1"),
        ("t.csv", "a,b\n1,2\n3\n", Columns(("b",)), r"t\.csv: line 3 has 1 columns, too few"),
        ("t.jsonl", '{"text": "a"}\n\n{"text: 1}\n', Columns(()), r"t\.jsonl: line 3 is no JSON \("),
        ("t.jsonl", "[" * 100_000 + "\n", Columns(()), r"t\.jsonl: line 1 is no JSON"),
        ("t.jsonl", "[1]\n", Columns(()), r"t\.jsonl: line 1 is no JSON object"),
        ("t.jsonl", '{"a": "x", "b": "y"}\n', Columns(("c",)), r"there is no column 'c'; there are a, b"),
        ("t.jsonl", '{"a": "x"}\n{"b": "y"}\n', Columns(("a",)), r"there is no column 'a'; there are b"),
        ("t.jsonl", '{"text": null}\n', Columns(()), r"text of row 1 is missing, not text"),
        ("t.jsonl", '{"text": ["a"]}\n', Columns(()), r"text of row 1 is a list, not text"),
        ("t.parquet", "no parquet", Columns(()), r"t\.parquet: damaged, or no Parquet"),
    ],
)
def test_broken_tables(folder: Path, name: str, content: str, columns: Columns, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(folder, content, name, columns)


def parquet() -> bytes:
    out = io.BytesIO()
    table = pyarrow.table({"kind": [1, 2], "text": ["one", "e\u0301"]})
    pyarrow.parquet.write_table(table, out)
    return out.getvalue()


def test_parquet(folder: Path) -> None:
    assert read(folder, parquet(), "t.parquet", Columns((), ("kind",))) == [
        Document("one", ("1",)),
        Document("é", ("2",)),
    ]
    with pytest.raises(DataError, match="there is no column 'body'; there are kind, text"):
        read(folder, parquet(), "t.parquet", Columns(("body",)))


def test_parquet_is_an_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"parquet .*pip install 'charloom\[data\]'"):
        read(folder, parquet(), "t.parquet", Columns(()))
