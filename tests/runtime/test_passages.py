import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import DataError, MissingExtraError
from charloom.runtime import passages as room
from charloom.runtime.passages import Passages
from charloom.text.config import DataConfig
from charloom.text.corpus import prepare

FEW = st.text("aé", max_size=40)  # two letters, of one byte and of two: long matches in short texts
MANY = st.text("ab é漢🙂\ud800\n", max_size=40)


def brute_force(text: str, known: list[str]) -> list[int]:
    """The definition: for each place, the longest beginning of the rest that some known text holds."""
    return [
        max(n for n in range(len(text) - i + 1) if any(text[i : i + n] in each for each in known))
        for i in range(len(text))
    ]


def index(known: list[str]) -> Passages:
    return Passages(text.encode("utf-8", "surrogatepass") for text in known)


@given(st.one_of(st.tuples(FEW, FEW), st.tuples(MANY, MANY)))
def test_lengths_are_those_of_the_definition(texts):
    text, known = texts
    assert index([known + "a"]).lengths(text).tolist() == brute_force(text, [known + "a"])


@given(FEW, st.integers(0, 30), st.integers(2, 4))
def test_looking_ahead_over_long_passages_changes_nothing(known, start, times):
    known = (known + "aaé") * times + "b" + known
    data, made = (known[start:] + known[: 2 * start] + "é").encode(), index([known])
    found = np.zeros(len(data), np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "LONG", 0)
        plain = getattr(room.matches, "py_func", room.matches)  # compiled code would not see the change
        plain(np.frombuffer(data, np.uint8), np.arange(len(data)), made._known, made._suffixes, found)
    assert found.tolist() == [
        max(n for n in range(len(data) - i + 1) if data[i : i + n] in known.encode())
        for i in range(len(data))
    ]


@given(st.lists(FEW, min_size=1, max_size=4).filter(any), FEW)
def test_no_passage_runs_from_one_document_into_the_next(known, text):
    assert index(known).lengths(text).tolist() == brute_force(text, known)


def test_a_copied_text_is_copied_from_beginning_to_end():
    known = "".join(f"line {i} of the book\n" for i in range(2000))
    made = index([known])
    assert made.lengths(known[100:30100]).tolist() == list(range(30000, 0, -1))
    assert made.lengths("Ω" * 50).tolist() == [0] * 50
    assert made.lengths("").tolist() == []
    assert made.bytes == 5 * len(known)


def test_the_first_copy_ends_where_enough_characters_are_copied():
    made = index(["the cat sat"])
    assert made.first_copy("a dog and the cat", 7) == len("a dog and the cat")
    assert made.first_copy("a dog and the cat", 5) == len("a dog and the c")
    assert made.first_copy("a dog and the cat", 9) is None
    assert made.first_copy("", 1) is None


def test_the_parts_of_a_corpus(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("anna\nberta\n" * 20 + "".join(f"clara{i}\n" for i in range(40)), encoding="utf-8")
    lines = prepare([path], DataConfig(documents="line", fractions=(100, 0, 0))).train
    whole = prepare([path], DataConfig(documents="whole", fractions=(100, 0, 0))).train
    assert Passages.of(lines).lengths("annaberta").tolist()[:5] == [4, 3, 2, 1, 5]
    assert Passages.of(whole).lengths("anna\nberta").tolist()[0] == 10


def test_what_cannot_be_searched_is_said(monkeypatch):
    with pytest.raises(DataError, match="no training text"):
        Passages([b"", b""])
    monkeypatch.setitem(sys.modules, "pydivsufsort", None)
    with pytest.raises(MissingExtraError, match=r"charloom\[novelty\]"):
        Passages([b"text"])
