import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import UsageError
from charloom.insight.score import TOLERANCE, by_character, score, strangest, threshold
from charloom.text.vocabulary import Vocabulary

CHANCES = {"a": 0.5, "b": 0.25, "c": 0.125, "\n": 0.125}
BITS = {"a": 1, "b": 2, "c": 3, "\n": 3}
ENTROPY = 1.75


def test_bits_of_a_model_that_always_expects_the_same(constant):
    lines = ["abc", "", "aaaa", "cab"]
    found = list(score(constant(CHANCES), iter(lines)))
    assert [each.text for each in found] == lines
    for each in found:
        assert each.surprise.tolist() == pytest.approx([BITS[c] for c in each.text], abs=1e-5)
        assert each.end == pytest.approx(BITS["\n"], abs=1e-5)
        assert each.bits == pytest.approx(sum(map(BITS.get, each.text)) + 3, abs=1e-4)
        assert each.bits_per_character == pytest.approx(each.bits / (len(each.text) + 1))
    record = found[0].to_json()
    assert record["surprise"] == [1, 2, 3]
    assert (record["characters"], record["bits"], record["end"]) == (3, 9, 3)


def test_documents_as_they_stand_have_no_line_end(constant):
    (found,) = score(constant(CHANCES), ["abc\na"], lines=False)
    assert found.surprise.tolist() == pytest.approx([1, 2, 3, 3, 1], abs=1e-5)
    assert found.end == 0


def test_a_model_of_documents_is_asked_for_their_end(constant):
    chances = {"a": 0.5, "b": 0.25}
    generator = constant(chances, ("<bos>", "<eos>"))
    generator.model.weights["output.bias"][generator.model.vocabulary.eos] = math.log(0.25)
    generator = type(generator)(generator.model)
    for lines in (True, False):
        (found,) = score(generator, ["ab"], lines=lines)
        assert (found.surprise.tolist(), found.end) == (
            pytest.approx([1, 2], abs=1e-5), pytest.approx(2, abs=1e-5)
        )  # fmt: skip


def test_what_nothing_comes_before_is_not_scored(constant):
    (found,) = score(constant({"a": 0.5, "b": 0.5}, ()), ["ab"])
    assert found.surprise.tolist() == pytest.approx([0, 1], abs=1e-5)
    assert found.end == 0


def test_an_unknown_character_pays_for_each_of_its_bytes(constant):
    generator = constant({"a": 0.5, "b": 0.5}, ("<bos>", "<byte>"))
    (found,) = score(generator, ["aé漢b"], lines=False)
    alone = float(next(generator.score([generator.model.vocabulary.encode("é")[:1]])).log_probabilities[0])
    byte = -alone / math.log(2)
    assert byte > 8
    assert found.surprise.tolist() == pytest.approx([1, 2 * byte, 3 * byte, 1], rel=1e-4)


@given(st.text("aé漢🙂", min_size=1), st.sampled_from(["char", "byte"]))
def test_bits_of_bytes_become_bits_of_characters(text, unit):
    vocabulary = Vocabulary.of_bytes() if unit == "byte" else Vocabulary.of_characters("a", ("<byte>",))
    ids = vocabulary.encode(text)
    found = by_character(vocabulary, ids, np.ones(len(ids)))
    assert found.tolist() == [len(character.encode()) for character in text]


def test_no_text_has_no_characters():
    vocabulary = Vocabulary.of_bytes()
    assert by_character(vocabulary, vocabulary.encode(""), np.zeros(0)).tolist() == []


@given(st.lists(st.integers(-9, 9), max_size=12))
def test_the_strangest_stretch_is_the_greatest_sum(values):
    sums = [sum(values[i:j]) for i in range(len(values) + 1) for j in range(i, len(values) + 1)]
    assert strangest(np.array(values, float)) == pytest.approx(max(sums))


def test_strangeness_counts_an_odd_stretch_alike_in_short_and_long_lines(constant):
    generator = constant(CHANCES)
    long, short, ordinary = score(generator, ["ab" * 40 + "cc" + "a" * 60, "cca", "ab" * 100])
    odd = 2 * (3 - ENTROPY - TOLERANCE)
    assert long.strangeness == pytest.approx(odd, abs=1e-4)
    assert short.strangeness == pytest.approx(odd, abs=1e-4)
    assert ordinary.strangeness == pytest.approx(3 - ENTROPY - TOLERANCE, abs=1e-4)  # its line end
    assert short.bits_per_character > long.bits_per_character  # which is why that ranks badly


def test_a_score_depends_on_no_other_text(constant, successor):
    generator = successor("abcdef\n")
    lines = ["abc", "fed" * 40, "", "aaa", "abcdef" * 9] * 70
    together = list(score(generator, lines))
    for text, found in zip(lines[:5], together[-5:], strict=True):
        (alone,) = score(generator, [text])
        assert alone.surprise.tolist() == found.surprise.tolist()
        assert alone.strangeness == found.strangeness


def test_a_threshold_is_exceeded_by_the_share_that_was_asked_for():
    scores = np.random.default_rng(0).permutation(1000) + 1.0
    for share in (0, 0.5, 0.99, 0.999):
        value, count = threshold(scores.tolist(), share)
        assert count == 1000
        assert (scores > value).mean() == pytest.approx(min(1 - share, 0.999), abs=0.0011)
    with pytest.raises(UsageError, match="at least 10,000 held-out lines, and there are 1,000"):
        threshold(scores.tolist(), 0.9999)
    with pytest.raises(UsageError, match="p100 is no percentile"):
        threshold(scores.tolist(), 1)
