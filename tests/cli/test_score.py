"""`charloom score`, and the reading of lines as they arrive."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from charloom.cli.arriving import MOST, arriving
from charloom.text.config import DataConfig
from charloom.text.decoding import text_lines
from charloom.text.sources import Arriving

LINES = [
    "The fog comes on little cat feet and sits",
    "looking over harbour and city on silent",
    "ЖЖЖ 漢字漢字漢字",
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "new.log"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8", newline="\n")
    return path


def rows(out: str) -> list[list[str]]:
    return [line.split("\t") for line in out.splitlines()]


def test_the_rows_of_a_table_are_scored_unless_lines_are_asked_for(quick, trained, tmp_path):
    (tmp_path / "new.csv").write_text("title,text\na,fog\n", encoding="utf-8")
    found = [rows(quick("score", trained, "new.csv", *more).out) for more in (
        (), ("--text", "title"), ("--documents", "line")
    )]  # fmt: skip
    assert [[row[3] for row in each] for each in found] == [["fog"], ["a"], ["title,text", "a,fog"]]


def test_a_line_a_row_with_its_number_and_the_odd_one_first_if_asked(quick, trained, log):
    plain = rows(quick("score", trained, log).out)
    assert [(row[0], row[3]) for row in plain] == [(str(k + 1), line) for k, line in enumerate(LINES)]
    ranked = rows(quick("score", trained, log, "--sort").out)
    assert ranked == sorted(plain, key=lambda row: -float(row[1]))
    assert ranked[0][3] == "ЖЖЖ 漢字漢字漢字"


def test_json_holds_the_surprise_of_each_character(quick, trained, log):
    found = [json.loads(line) for line in quick("score", trained, log, "--json").out.splitlines()]
    for record, line in zip(found, LINES, strict=True):
        assert record["text"] == line
        assert len(record["surprise"]) == record["characters"] == len(line)
        assert sum(record["surprise"]) + record["end"] == pytest.approx(record["bits"], abs=0.01 * len(line))
        assert record["bits"] / (len(line) + 1) == pytest.approx(record["bits_per_character"], abs=0.01)


def test_only_what_is_stranger_than_the_threshold(quick, trained, log, tmp_path):
    shutil.copy(trained.parent / "verse.txt", tmp_path)  # it is named by a relative path
    scores = [float(row[1]) for row in rows(quick("score", trained, log).out)]
    between = sum(sorted(scores)[-2:]) / 2  # a printed score is rounded: itself it may be above or below
    assert [float(row[1]) for row in rows(quick("score", trained, log, "--above", between).out)] == [
        max(scores)
    ]
    held_out = quick("score", trained, log, "--above", "p90")
    value = float(re.search(r"p90 is ([\d.]+) bits", held_out.err)[1])
    assert [float(row[1]) for row in rows(held_out.out)] == [each for each in scores if each > value]
    assert "ЖЖЖ" in held_out.out
    assert "lines of the test part of verse" in held_out.err
    too_fine = quick("score", trained, log, "--above", "p99.999")
    assert (too_fine.code, too_fine.out) == (2, "")
    assert "takes at least 100,000 held-out lines" in too_fine.err
    assert quick("score", trained, log, "--above", "many").code == 2


def test_documents_between_empty_lines_and_whole_files(quick, trained, tmp_path):
    path = tmp_path / "poems.txt"
    path.write_text("one\ntwo\n\nthree\n", encoding="utf-8", newline="\n")
    blank = [
        json.loads(line)
        for line in quick("score", trained, path, "--documents", "blank", "--json").out.splitlines()
    ]
    assert [record["text"] for record in blank] == ["one\ntwo", "three"]
    (whole,) = quick("score", trained, path, "--documents", "whole", "--json").out.splitlines()
    assert json.loads(whole)["text"] == "one\ntwo\n\nthree\n"


def test_several_files_are_named(quick, trained, log):
    found = rows(quick("score", trained, log, log).out)
    assert [row[0] for row in found] == [f"{log}:{k}" for k in (1, 2, 3)] * 2


def test_a_page_holds_the_lines_and_nothing_that_runs(quick, trained, tmp_path):
    log = tmp_path / "bad.log"
    log.write_text("<script>alert(1)</script>\n", encoding="utf-8")
    page = tmp_path / "page.html"
    assert quick("score", trained, log, "--html", page).out == ""
    text = page.read_text("utf-8")
    assert "<script" not in text
    assert "&gt;" in text
    assert '<span class="h' in text


def test_bytes_that_are_no_text_are_scored_as_strange_ones(quick, trained, tmp_path):
    log = tmp_path / "bad.log"
    log.write_bytes(b"the fog\r\nthe \xff\xfe fog\n\nend")
    found = rows(quick("score", trained, log).out)
    assert [row[3] for row in found] == ["the fog", "the �� fog", "", "end"]
    assert float(found[1][1]) > float(found[0][1])


def test_a_line_is_answered_before_the_next_one_comes(trained):
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        [sys.executable, "-m", "charloom", "score", str(trained)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        for k, line in enumerate(LINES):
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
            assert process.stdout.readline().split(b"\t")[0] == str(k + 1).encode()
        process.stdin.close()
        assert process.wait(60) == 0


def test_lines_that_wait_come_together_and_an_error_comes_through(tmp_path):
    path = tmp_path / "many.txt"
    path.write_text("".join(f"{n}\n" for n in range(2 * MOST + 5)), encoding="utf-8")
    with path.open("rb") as file:
        batches = list(arriving(line.decode().rstrip("\n") for line in file))
    assert [line for batch in batches for line in batch] == [str(n) for n in range(2 * MOST + 5)]
    assert all(1 <= len(batch) <= MOST for batch in batches)

    class Broken:
        def __iter__(self):
            yield "first"
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(arriving(Broken()))


def test_one_line_comes_alone_while_the_pipe_is_open():
    reading, writing = os.pipe()
    threading.Thread(target=lambda: os.write(writing, b"only\n"), daemon=True).start()
    with os.fdopen(reading, "rb") as pipe:
        lines = text_lines(Arriving(Path("-"), "-", stream=pipe), DataConfig())
        assert next(arriving(lines)) == ["only"]
        os.close(writing)
