import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.insight.novelty import LEVELS, PREFIX, RECITED, copied, covering, pieces, recited, same
from charloom.runtime.passages import Passages

LETTERS = st.text("ab", max_size=30)


def index(*known: str) -> Passages:
    return Passages(text.encode() for text in known)


@given(LETTERS, LETTERS)
def test_the_longest_passage_around_each_character_is_that_of_the_definition(text, known):
    found = copied([text], index(known + "a"))
    passages = [
        (i, j) for i in range(len(text)) for j in range(i + 1, len(text) + 1) if text[i:j] in known + "a"
    ]
    expected = [max((j - i for i, j in passages if i <= k < j), default=0) for k in range(len(text))]
    assert found.lengths.tolist() == expected
    assert len(found.longest) == max(expected, default=0)
    assert found.longest in known + "a"
    for level in (0, 1, 2, 5):
        assert found.share(level) == pytest.approx(np.mean([n > level for n in expected]) if text else 0)


def test_shares_of_a_text_half_of_which_is_copied():
    known = "".join(chr(0x100 + i) for i in range(500))
    found = copied(["x" * 60 + known[100:160]], index(known))
    assert [found.share(level) for level in (0, 50, 59, 60, 100)] == [0.5, 0.5, 0.5, 0, 0]
    assert found.longest == known[100:160]
    record = found.to_json()
    assert record["longest"] == 60
    assert record["share_longer_than"] == {str(n): 0.5 * (n < 60) for n in LEVELS}


def test_no_passage_runs_from_one_text_into_the_next():
    assert copied(["ab", "cd"], index("abcd")).lengths.tolist() == [2, 2, 2, 2]
    assert copied([], index("abcd")).share(5) == 0


def test_overlapping_passages_give_each_character_its_longest():
    assert covering(np.array([3, 2, 4, 3, 2, 1])).tolist() == [3, 3, 4, 4, 4, 4]
    assert covering(np.array([0, 0])).tolist() == [0, 0]


@given(st.text("abc", max_size=60), st.lists(st.integers(1, 20), max_size=8))
def test_pieces_are_of_the_text_and_of_the_lengths(text, lengths):
    found = pieces(text, lengths)
    assert [len(piece) for piece in found] == [min(n, len(text)) for n in lengths]
    assert all(piece in text for piece in found)
    if lengths and len(text) >= sum(lengths) and len(set(lengths)) == 1:
        assert copied(found, index(text + "a")).share(lengths[0] - 1) == 1


def test_what_two_texts_begin_with():
    assert same("abcd", "abxd") == 2
    assert same("ab", "abc") == 2
    assert same("", "abc") == 0


def test_a_model_that_can_only_count_recites_the_alphabet_and_nothing_else(successor):
    """It answers each letter with the next one: of `abc…zabc…` it has everything right, of `zyx…` nothing."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    known = recited(successor(letters), [letters * 20], places=30)
    assert (known.places, known.share, known.mean) == (30, 1.0, RECITED)
    other = recited(successor(letters), [letters[::-1] * 20], places=30)
    assert (other.places, other.share, other.mean) == (30, 0.0, 0.0)
    half = letters * 5 + "a" + letters  # each place but those before the doubled letter
    found = recited(successor(letters), [half], places=10**6)
    assert found.places == len(half) - PREFIX - RECITED + 1
    wrong = sum(half.index("za" + "ab") + 2 < at + PREFIX + RECITED for at in range(found.places))
    assert found.share == pytest.approx(1 - wrong / found.places)


def test_texts_too_short_to_recite_are_passed_over(successor):
    found = recited(successor("abc"), ["abc"])
    assert (found.places, found.share, found.mean) == (0, 0, 0)
