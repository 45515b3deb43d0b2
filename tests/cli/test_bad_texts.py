"""Bad texts and tables: told on one line, with what mends it, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bad_input import ANY, TINY, Case, check

CASES = [
    Case(
        "a file that is not there",
        f"train missing.txt {TINY}",
        "missing.txt: there is no such file or folder, nor a corpus of that name; "
        "`charloom data list` names the corpora there are",
    ),
    Case(
        "an unknown corpus name",
        f"train tinyshakespear {TINY}",
        "tinyshakespear: there is no such file or folder, nor a corpus of that name; "
        "did you mean tinyshakespeare?",
    ),
    Case(
        "a file that is mistyped",
        f"train itms.csv {TINY}",
        "itms.csv: there is no such file or folder, nor a corpus of that name; did you mean items.csv?",
    ),
    Case("an empty file", f"train empty.txt {TINY}", "empty.txt: is empty; give a file with text in it"),
    Case(
        "nothing but white space",
        f"train white.txt {TINY}",
        "white.txt: 3 characters leave nothing for validation; give more text, or --fractions 100/0/0 "
        "to hold nothing out",
    ),
    Case(
        "a text too short to learn from",
        f"train short.txt {TINY} --fractions 100/0/0",
        "short: its training part has 16 characters, too few to learn from; at least 100 are needed, and "
        "100,000 for readable text",
    ),
    Case(
        "a text shorter than a window",
        f"train text.txt {TINY} --set train.window=20000",
        f"the training text has {ANY} characters, but a window needs 20001; use more text or a smaller "
        "--set train.window",
    ),
    Case(
        "a text shorter than its lanes",
        f"train text.txt {TINY} --set train.lanes=20000",
        f"the training text has {ANY} characters, too few for 20000 lanes; use fewer",
    ),
    Case(
        "one single distinct character",
        f"train same.txt {TINY}",
        "same.txt: the training text is nothing but 'a'; give a text with more than one character in it",
    ),
    Case(
        "binary data",
        f"train binary.txt {TINY}",
        "binary.txt: byte 3 is NUL, so this is binary data, not text; give a text, or try --unit byte",
    ),
    Case(
        "a Word document",
        f"train essay.docx {TINY}",
        "essay.docx: this is a .docx, .odt, .epub or another zipped document; save it as plain text (.txt) "
        "first",
    ),
    Case(
        "a PDF",
        f"train essay.pdf {TINY}",
        "essay.pdf: this is a PDF; save it as plain text (.txt) first",
    ),
    Case(
        "a wrong encoding",
        f"train latin.txt {TINY}",
        "latin.txt: byte 5 is not UTF-8; try --encoding cp1252",
    ),
    Case(
        "an unknown encoding",
        f"train text.txt {TINY} --encoding utf8000",
        "encoding: there is none called 'utf8000'; utf-8, latin-1, cp1252 are some",
        2,
    ),
    Case(
        "a table and no column named",
        f"train items.csv {TINY}",
        "items.csv: which column is the text? There are title, body; say --text NAME",
    ),
    Case(
        "a table without the column",
        f"train items.csv {TINY} --text story",
        "items.csv: there is no column 'story'; there are title, body",
    ),
    Case(
        "a table with the column in another spelling",
        f"train items.csv {TINY} --text Title",
        "items.csv: there is no column 'Title'; did you mean 'title'?",
    ),
    Case(
        "a row with more cells than the header",
        f"train tweets.csv {TINY}",
        "tweets.csv: line 3: 2 cells, but the first row has 1; put cells that hold ',' or a line break into "
        "double quotes, or name the separator with --delimiter",
    ),
    Case(
        "a double quote that is never closed",
        f"train quote.tsv {TINY}",
        'quote.tsv: line 3: the double quote that opens here is never closed; remove it, write "" for a '
        "quote inside a quoted cell, or --set data.quotes=false where quotes are part of the text",
    ),
    Case(
        "a delimiter that cannot be one",
        f'train items.csv {TINY} --delimiter "',
        "delimiter: '\"' cannot separate cells; use another, such as ;",
        2,
    ),
    Case(
        "a broken line of JSON",
        f"train items.jsonl {TINY}",
        f"items.jsonl: line 6 is not valid JSON ({ANY}); fix the line",
    ),
    Case(
        "a list of JSON that breaks off",
        f"train items.json {TINY}",
        "items.json: the list that opens on line 1 is never closed, so the file is not whole; fetch or "
        "save it again",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.when)
def test_it_is_told_on_one_line_and_nothing_is_lost(either, folder: Path, case: Case) -> None:
    check(either, folder, case)


def test_a_table_is_read_as_it_was_meant(quick, tmp_path: Path) -> None:
    """The separator is recognized and reported, and so are rows without a text."""
    rows = [f'{n};ann;"tea, mat {n}; she said \\"hi\\""' for n in range(60)]
    (tmp_path / "own.csv").write_text("\r".join(["id;user;text", *rows, "60;ann;"]), encoding="utf-8")
    (tmp_path / "chats.json").write_text(
        json.dumps(
            [{"data": {"messages": [{"role": "user", "content": f"hi {n}"}]}} for n in range(60)] + [{}]
        ),
        encoding="utf-8",
    )
    for name, column, first in (
        ("own.csv", "text", 'tea, mat 0; she said "hi"'), ("chats.json", "data.messages", "user: hi 0")
    ):  # fmt: skip
        found = quick("train", name, "--text", column, *TINY.split(), "--out", f"{name}.run")
        assert found.code == 0, found.err
        assert "1 row has no text, left out" in found.out
        assert ("columns separated by ';'" in found.out) is (name == "own.csv")
        inspected = json.loads(quick("data", "inspect", name, "--text", column, "--json").out)
        assert inspected["first"] == first
        assert inspected["delimiter"] == (";" if name == "own.csv" else "")
        assert min(inspected["parts"].values()) > 0


def test_a_process_tells_it_too(charloom, folder: Path) -> None:
    """All of the cases are slow; here is one."""
    check(charloom, folder, CASES[0])
