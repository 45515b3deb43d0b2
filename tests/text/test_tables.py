"""Tables to documents."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from itertools import chain, cycle, islice
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import DataError, MissingExtraError, UsageError
from charloom.text import delimited, json_rows
from charloom.text.config import DataConfig
from charloom.text.documents import Document
from charloom.text.sources import Source
from charloom.text.tables import Columns, rows

CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))


def read(folder: Path, content: str | bytes, name: str, columns: Columns, **settings: Any) -> list[Document]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(rows(Source(path, name), columns, DataConfig(**settings)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@given(
    st.lists(st.tuples(CELL, CELL), min_size=1),
    st.sampled_from([*zip(["csv"] * 4, ",;|\t", strict=True), ("tsv", "\t")]),
)
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
    with pytest.raises(DataError, match="the label '3' must be one of 1 to 2"):
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
        ("t.csv", "Text ,id\na,1\n", Columns(("text",)), r"no column 'text'; did you mean 'Text '\?"),
        ("t.csv", "a,a,b\n1,2,3\n", Columns(("a",)), r"2 columns are named 'a'; rename one"),
        ("t.csv", "Text,text,b\n1,2,3\n", Columns(()), r"which column is the text\?"),
        ("t.jsonl", '{"a": "x", "b": "y"}\n', Columns(("c",)), r"there is no column 'c'; there are a, b"),
        ("t.jsonl", '{"a": {"txt": "y"}}\n', Columns(("a.text",)), r"did you mean 'a\.txt'\?"),
        ("t.parquet", "no parquet", Columns(()), r"t\.parquet: damaged, or not Parquet"),
    ],
)
def test_broken_tables(folder: Path, name: str, content: str, columns: Columns, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(folder, content, name, columns)


def texts(folder: Path, content: str, name: str = "t.csv", text: str = "", **settings: Any) -> list[str]:
    columns = Columns(tuple(text.split(",")) if text else ())
    return [document.text for document in read(folder, content, name, columns, **settings)]


LONG = "".join(f"{n},cat {n}\n" for n in range(1000))  # rows of two cells


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        ('id;user;text\n0;ann;"tea, mat"\n1;bo;a "b" c\n', "t.csv", ["tea, mat", 'a "b" c']),
        ("id|lang|text\n0|en|tea, mat; hat\n", "t.csv", ["tea, mat; hat"]),
        ("id\ttext\n0\ttea, mat\n", "t.csv", ["tea, mat"]),
        ("id,text\n0,tea; mat\n", "t.tsv", ["tea; mat"]),
        ("id,text,a|b|c|d\n0,tea|mat,\n", "t.csv", ["tea|mat"]),
        ("text;a,b;c\nx;y,z;\n", "t.csv", ["x"]),
        ('"id;x","text"\n0,tea\n', "t.csv", ["tea"]),
        ('"no.\n(id)";text\n0;tea, mat\n', "t.csv", ["tea, mat"]),
        ('id, text\n0, "tea, mat"\n1, hat\n', "t.csv", ["tea, mat", "hat"]),
        ("sep=;\r\nid;text\r\n0;tea, mat\r\n", "t.csv", ["tea, mat"]),
        ('id,text\r0,tea\r1,"a\rb"\r', "t.csv", ["tea", "a\nb"]),
        ("id,text\n0,tea\r\n1,mat\r2,hat", "t.csv", ["tea", "mat", "hat"]),
        ('id,text\n0,"a\n\n""b"", c"\n\n1,5" pipe\n', "t.csv", ['a\n\n"b", c', '5" pipe']),
        ('text,id\n"she said \\"hi, you\\"",1\n"C:\\\\x",2\n', "t.csv", ['she said "hi, you"', "C:\\x"]),
        ('text,id\nC:\\new,1\n"at the end \\",2\n', "t.csv", ["C:\\new", "at the end \\"]),
        (f'id,text\n{LONG * 10}1,"\\"tea\\", she said"\n', "t.csv", [None, '"tea", she said']),
        ("text,id\n,1\n\\N,2\n,,\n\nx,3\n", "t.csv", ["", "", "x"]),
        ("\ufefftext\nx\n", "t.csv", ["x"]),
        ("id,text\n", "t.csv", []),
        ("", "t.csv", []),
    ],
)
def test_delimited_text_as_people_write_it(
    folder: Path, content: str, name: str, expected: list[str | None]
) -> None:
    found = texts(folder, content, name, "text" if "id" in content else "")
    if expected[:1] == [None]:
        found = [None, *found[10_000:]]  # type: ignore[list-item]
    assert found == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("tweet\nI like it, really\n", "line 2: 2 cells, but the first row has 1"),
        ("tweet\nI like it\nor | not\n1, 2; 3\n", "line 4: 2 cells, but the first row has 1"),
        ("text|id\ntea|1\nmat\n", r"line 3: 1 cell, but the first row has 2; .* '\|'"),
        ("id,text\n1,a\n2,tea, mat\n", "line 3: 3 cells, but the first row has 2"),
        ("id,text\n1,a\n2,tea\nmat\n", "line 4: 1 cell, but the first row has 2"),
        (f'id,text\n{LONG}1,"tea\n{LONG}', "line 1002: the double quote that opens here is never closed"),
        (f'id,text\r{LONG}1,"tea\r'.replace("\n", "\r"), "line 1002: .* never closed"),
        (f'id,text\n{LONG}1,"tea\n{LONG}2,"a b"\n', "line 1002: .* closes on line 2003 before 'a'"),
        (f'id,text\n{LONG}1,"tea\n{LONG}2,mat"\n', "lines 1002 to 2003: one quoted cell .* look like rows"),
        ('id,text\n1,"tea\n2,mat\n3,hat"\n', "lines 2 to 4: one quoted cell .* look like rows"),
        ('a,b\n1,"x\ny"\n"2\n","z\n" x\n', "line 5: .* closes on line 6 before ' '"),
        ('text\n"Hi," he said\n', "line 2: .* closes before ' '; .* --set data.quotes=false"),
        ('text,id\n"she said \\"hi",1\n"bye" \\" x",2\n', "line 3: .* closes before ' '"),
    ],
)
def test_no_text_is_lost_in_silence(folder: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"t\.csv: {message}"):
        texts(folder, content, text="0" if content[0] == "t" else "1")
    with pytest.raises(DataError, match=message.replace("','", ".*")):
        texts(folder, content.replace(",", "\t"), "t.tsv", "0" if content[0] == "t" else "1")


def test_a_verse_of_many_lines_is_no_row(folder: Path) -> None:
    for verse in ("\n".join(f"line {n}, and more" for n in range(12)), "2\n3,4\n5,6", "2\n3\n4"):
        assert texts(folder, f'id,text\n1,"{verse}"\n', text="text") == [verse]


def test_another_delimiter_and_no_quotes(folder: Path) -> None:
    assert texts(folder, "id^text\n1^a,b\n", text="text", delimiter="^") == ["a,b"]
    assert texts(folder, 'id::text\n1::"a::b"\n', text="text", delimiter="::") == ["a::b"]
    assert texts(folder, "id\ttext,x\n1\ta,b\n", text="0", delimiter="tab")[1] == "1"
    assert texts(folder, 'text\n"Hi," he said\n"\n', "t.tsv", quotes=False) == ['"Hi," he said', '"']
    with pytest.raises(UsageError, match="cannot separate"):
        DataConfig(delimiter='"')


ROWS = [{"id": 0, "text": "one"}, {"id": 1, "text": None}, {"id": 2}, {"id": 3, "text": "e\u0301"}]


@pytest.mark.parametrize("name", ["t.json", "t.jsonl", "t.ndjson", "t.json.gz"])
@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ROWS),
        json.dumps(ROWS, indent=2),
        "\n".join(map(json.dumps, ROWS)),
        "\n\n".join(json.dumps(row, indent=1) for row in ROWS),
        "".join(map(json.dumps, ROWS)),
        ",\n".join(map(json.dumps, ROWS)),
        "\r".join(map(json.dumps, [ROWS[:2], ROWS[2:]])),
        json.dumps(["one", None, "", "e\u0301"]),
        json.dumps({"version": 1.0, "tags": [], "rows": ROWS}),
        json.dumps({"id": [0, 1, 2, 3], "text": ["one", None, "", "e\u0301"]}),
        json.dumps({"text": {"0": "one", "1": None, "2": "", "3": "e\u0301"}}),
        "\ufeff" + json.dumps(ROWS),
    ],
)
def test_json_in_every_form(folder: Path, content: str, name: str) -> None:
    data = content.encode()
    found = read(folder, gzip.compress(data) if name.endswith(".gz") else data, name, Columns(()))
    assert [document.text for document in found] == ["one", "", "", "é"]


CHAT = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": None, "tool_calls": []},
    {"role": "assistant", "content": [{"type": "text", "text": "hello"}, {"type": "image"}]},
]


@pytest.mark.parametrize(
    ("content", "text", "expected"),
    [
        ('{"data": {"text": "a"}, "id": 1}\n{"data": {}}\n{"data": null}', "data.text", ["a", "", ""]),
        ('{"data.text": "a", "data": {"text": "b"}}', "data.text", ["a"]),
        ('{"data": [{"text": "a"}, {"text": "b"}]}', "data.text", ["a", "b"]),
        ('{"x": [{"text": "a"}], "y": [{"text": "b"}]}', "y.text", ["b"]),
        ('{"data": [{"text": "a"}]}\n' * 2, "data.text", ["a"] * 2),
        ('{"text": "a", "tags": [{"name": "b"}]}', "text", ["a"]),
        (json.dumps({"messages": CHAT}), "", ["user: hi\nassistant: hello"]),
        (json.dumps([{"messages": CHAT}]), "messages.role", ["user\nassistant\nassistant"]),
        ('{"id": 1, "chat": [{"from": "human", "value": "hi"}]}', "chat", ["human: hi"]),
        (json.dumps({"id": 1, "messages": CHAT[:1]}), "messages.content", ["hi"]),
        ('{"lines": ["a", "b"], "title": "c"}', "lines", ["a\nb"]),
        ('[{"text": 1}, {"text": 2.5}, {"text": true}, {"text": NaN}]', "", ["1", "2.5", "true", ""]),
    ],
)
def test_nested_json(folder: Path, content: str, text: str, expected: list[str]) -> None:
    assert texts(folder, content, "t.json", text) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "a"}\n\n{"text: 1}\n', r"line 3 is not valid JSON \(Invalid control"),
        ('[\n{"text": "a"},\n{"text" "b"}]', r"line 3 is not valid JSON \(Expecting ':'"),
        ('{"text": "a"\n{"text": "b"}\n', r"line 2 is not valid .*, in the value that begins on line 1\)"),
        ('[{"text": "a"},\n', "the list that opens on line 1 is never closed"),
        ('{"text": "a"}\n{"text": "b', "line 2 is not valid JSON .Unterminated"),
        ("[" * 100_000 + "\n", "line 1 is not valid JSON"),
        ('{"text": ' + "1" * 5000 + "}", "line 1 is not valid JSON"),
        ("To be, or not to be", "line 1 is not valid JSON"),
        ("[1]\n", "line 1 holds a number"),
        ("[[1]]\n", "line 1 holds a list; each row must be a JSON object"),
        ('{"text": [[1]]}\n{}', "text of line 1 is a list, not text"),
        ('{}\n{"text": {"a": 1}}\n', r"text of line 2 is an object, not text; name a field .* text\.a"),
        (
            '{"x": [{"text": "a"}], "y": [{"text": "b"}]}',
            "has rows in 'x' and 'y'; name one: --text y.text",
        ),
    ],
)
def test_damaged_json(folder: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"t\.json: {message}"):
        texts(folder, content, "t.json")


def test_tables_longer_than_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text that never ends gives its first rows all the same."""
    monkeypatch.setattr(json_rows, "MAX_OBJECT", 500)
    row = '{"text": "' + "x" * 100 + '"}'
    for begins, between in (("[", ", "), ("", "\n"), ('{"version": [1], "data": [', ",\n")):
        blocks = chain([begins], cycle([row[:50], row[50:], between]))
        _, found = json_rows.rows(blocks, (), "t.json")
        assert [fields["text"] for _, fields in islice(found, 500)] == ["x" * 100] * 500
    endless = chain(["id,text\n"], cycle(['1,"a', '""\n', 'b"\r', "\n"]))
    _, records = delimited.records(delimited.lines(endless), (), delimited.Dialect(""), ",", "t.csv")
    assert list(islice(records, 50_001))[-1] == (100_000, ["1", 'a"\nb'])


def parquet(**columns: list[Any]) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns or {"kind": [1, 2], "text": ["one", "e\u0301"]}), out)
    return out.getvalue()


def test_parquet(folder: Path) -> None:
    assert read(folder, parquet(), "t.parquet", Columns((), ("kind",))) == [
        Document("one", ("1",)),
        Document("é", ("2",)),
    ]
    nested = parquet(
        text=["a", None], data=[{"text": "b", "n": 1}, None], chat=[CHAT[:1], []], score=[0.5, float("nan")]
    )
    for name, expected in {
        "text": ["a", ""],
        "data.text": ["b", ""],
        "chat": ["user: hi", ""],
        "chat.content": ["hi", ""],
        "score": ["0.5", ""],
    }.items():
        assert [d.text for d in read(folder, nested, "t.parquet", Columns((name,)))] == expected
    with pytest.raises(DataError, match=r"no column 'data\.txt'; did you mean 'data\.text'"):
        read(folder, nested, "t.parquet", Columns(("data.txt",)))
    with pytest.raises(DataError, match="there is no column 'body'; there are kind, text"):
        read(folder, parquet(), "t.parquet", Columns(("body",)))


def test_parquet_is_an_extra(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"parquet .*pip install 'charloom\[data\]'"):
        read(folder, parquet(), "t.parquet", Columns(()))
