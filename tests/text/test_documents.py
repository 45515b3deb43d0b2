"""Cutting texts into documents, the guess, and the deal by hash."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.text.documents import guess, lines, paragraphs, places

ROWS = st.lists(st.text(st.sampled_from("ab \t\n\n\r")))


@given(ROWS)
def test_blocks_of_any_size_give_the_same_lines(blocks: list[str]) -> None:
    expected = "".join(blocks).split("\n")
    assert list(lines(blocks)) == (expected if expected[-1] else expected[:-1])


@given(ROWS)
def test_blocks_of_any_size_give_the_same_paragraphs(blocks: list[str]) -> None:
    """The plain twin walks line by line."""
    expected, current = [], []
    for line in "".join(blocks).split("\n"):
        if line.strip(" \t\r"):
            current.append(line)
        elif current:
            expected.append("\n".join(current))
            current = []
    expected += ["\n".join(current)] if current else []

    def words(texts: list[str]) -> list[str]:
        return [text.strip() for text in texts if text.strip()]

    assert words(list(paragraphs(blocks))) == words(expected)


def test_paragraphs_of_a_real_text(data_folder: Path) -> None:
    text = (data_folder / "tinyshakespeare.txt").read_text(encoding="utf-8")
    blocks = [text[i : i + 1000] for i in range(0, len(text), 1000)]
    assert list(paragraphs(blocks)) == re.split(r"\n\n+", text.strip("\n"))


def test_a_document_s_place_never_changes() -> None:
    """Fixed by the format: these decide what a model of an earlier release was trained on."""
    assert places([b"", b"a", "Grüße".encode()]).round(4).tolist() == PLACES
    spread = places(str(i).encode() for i in range(10_000))
    assert np.allclose(np.histogram(spread, 10, (0, 100))[0], 1000, atol=120)


PLACES = [89.3168, 25.3794, 2.6052]

NAMES = ["Anna", "Bernd", "Clara", "Dieter", "Eva-Maria", "Friedrich", "Gundula", "Hans"]
PROSE = """It was the best of times, it was the worst of times, it was the age of
wisdom, it was the age of foolishness, it was the epoch of belief, it was the
epoch of incredulity, it was the season of Light, it was the season of Darkness
"""
LOG = "".join(f"2024-05-0{i % 9 + 1} 12:00:{i:02} host{i % 3} started job {i * 7919}\n" for i in range(60))
TUNES = "".join(f"X:{i}\nT:Tune {i}\nK:G\nGABc|dBAG|\n\n" for i in range(30))
CODE = "def f(x):\n    return x\n\n\nclass A:\n    pass\n" * 10
SONNET = "Shall I compare thee to a summer's day,\nThou art more lovely and more temperate,\n" * 12


@pytest.mark.parametrize(
    ("sample", "mode"),
    [
        ("\n".join(NAMES * 5) + "\n", "line"),
        ("\n".join(name.lower() for name in NAMES * 5), "line"),
        (LOG, "line"),
        (TUNES, "blank"),
        (PROSE * 20, "whole"),
        (CODE, "whole"),
        (SONNET, "whole"),
        ("天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏\n" * 30, "whole"),
        ("one\ntwo\n", "whole"),
        ("", "whole"),
    ],
)
def test_the_guess(sample: str, mode: str) -> None:
    guessed, reason = guess(sample, 1)
    assert (guessed, bool(reason)) == (mode, True)


def test_many_files_are_documents() -> None:
    assert guess(PROSE, 1200) == ("file", "1,200 files, each a document")
    assert guess(PROSE, 3)[0] == "whole"


def test_real_texts_are_guessed_right(data_folder: Path) -> None:
    shakespeare = (data_folder / "tinyshakespeare.txt").read_text(encoding="utf-8")
    assert guess(shakespeare[:200_000], 1)[0] == "whole"
    news = (data_folder / "ag_news" / "test.csv").read_text(encoding="utf-8")
    titles = [line.split('","')[1] for line in news.splitlines()[:500]]
    assert guess("\n".join(titles), 1)[0] == "line"
