"""Regular expressions as tables: against Python's own, and within bounds."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import UsageError
from charloom.runtime.generator import Generator
from charloom.runtime.match import automaton
from charloom.runtime.options import SamplerConfig
from charloom.text.vocabulary import Vocabulary

LETTERS = "abc .\n"
VOCABULARY = Vocabulary.of_characters(LETTERS, ("<eos>",))
EXPRESSIONS = [
    "a*b",
    "(a|bc){2,3}",
    "[^a]+",
    "a?b?c?",
    r"\s[a-c]+\.",
    "(ab*|c)*",
    "a{0}b",
    "(a|b|)c",
    "^[ab]{2}$",
]


def accepts(table, ids) -> bool:
    place = 0
    for k in ids:
        place = table.follow[place, k]
        if place < 0:
            return False
    return bool(table.distance[place] == 0)


@pytest.mark.parametrize("expression", EXPRESSIONS)
@given(text=st.text(LETTERS, max_size=8))
def test_the_table_accepts_what_python_matches(expression, text) -> None:
    table = automaton(expression, VOCABULARY, np.zeros(len(VOCABULARY), np.float32))
    assert accepts(table, VOCABULARY.encode(text)) == bool(re.fullmatch(expression, text, re.DOTALL))


@pytest.mark.parametrize("expression", ["é+", "[^a]", ".", "(ü|x)a", "[à-ï]", "b"])
@pytest.mark.parametrize("text", ["é", "éé", "a", "b", "x", "ü", "üa", "xa", "è", "😀", "\n", ""])
def test_characters_of_several_bytes(expression, text) -> None:
    vocabulary = Vocabulary.of_bytes()
    table = automaton(expression, vocabulary, np.zeros(len(vocabulary), np.float32))
    assert accepts(table, vocabulary.encode(text)) == bool(re.fullmatch(expression, text, re.DOTALL))


def test_what_may_not_be_drawn_is_not_counted_on() -> None:
    added = np.zeros(len(VOCABULARY), np.float32)
    added[VOCABULARY.encode("a")] = -np.inf
    table = automaton("(a|b)c", VOCABULARY, added)
    assert not accepts(table, VOCABULARY.encode("ac"))
    assert accepts(table, VOCABULARY.encode("bc"))
    with pytest.raises(UsageError, match="nothing that the model can write"):
        automaton("ab", VOCABULARY, added)


@pytest.mark.parametrize(
    "expression", ["(((a{90}){90}){90})", "(a|b)*a(a|b){20}", "a" * 3000, "(", "(?=a)b", "[z-a]", "a**"]
)
def test_what_is_too_large_or_unreadable_is_refused(expression) -> None:
    with pytest.raises(UsageError, match=r"^match"):
        automaton(expression, VOCABULARY, np.zeros(len(VOCABULARY), np.float32))


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("expression", ["(the|a) [aeo]{2,5}n", "[a-m]*", "x{10}", "[^a-z]{3}(,.)?"])
def test_every_text_matches_within_its_length(make_model, cell, expression) -> None:
    generator = Generator(make_model(cell))
    settings = SamplerConfig(match=expression, length=10, temperature=2.0)
    samples = list(generator.sample_many(settings=settings, n=60, batch=16))
    assert all(re.fullmatch(expression, sample.text, re.DOTALL) for sample in samples)
    assert len({sample.text for sample in samples}) > (expression != "x{10}")
    with pytest.raises(UsageError, match="raise length"):
        generator.sample(settings=SamplerConfig(match="a{11}", length=10))
