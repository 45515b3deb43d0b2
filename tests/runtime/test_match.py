"""Regular expressions as tables: against Python's own, and within bounds."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charloom.errors import UsageError
from charloom.runtime import generator as generators
from charloom.runtime import match
from charloom.runtime.generator import Generator
from charloom.runtime.match import automaton
from charloom.runtime.options import SamplerConfig
from charloom.text.vocabulary import Vocabulary

from .conftest import MakeModel

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
    r"\A(?:a|(?P<x>b))+?\Z",
    "(a*)*b{,2}",
    "(a?b?){2,}(?#a comment)",
    "(?i)A[B]+",
    "[]a]{1,2}[^]]",
    r"\x61\142\u0063?|\W{2}",
    "(|b)(a{2}){1,2}",
    "((a|b)c?){0,3}",
]


def accepts(table, ids) -> bool:
    place = 0
    for k in ids:
        place = table.follow[place, k]
        if place < 0:
            return False
    distance, within = int(table.distance[place]), int(table.ends[place, 1])
    return not within and distance == 0


TIMES = ["*", "+", "?", "*?", "{2}", "{,2}", "{1,}", "{0,3}", "{0}"]
ATOMS = ["a", "b", ".", "c", "[ab]", "[^a ]", r"\s", r"\.", "(?:)"]
MADE = st.recursive(
    st.sampled_from(ATOMS),
    lambda part: (
        st.tuples(part, part).map("".join)
        | st.tuples(part, part).map(lambda two: f"({two[0]}|{two[1]})")
        | st.tuples(part, st.sampled_from(TIMES)).map(lambda two: f"({two[0]}){two[1]}")
    ),
    max_leaves=8,
)


@pytest.mark.parametrize("vocabulary", [VOCABULARY, Vocabulary.of_bytes(("<eos>",))], ids=["char", "byte"])
@given(expression=st.sampled_from(EXPRESSIONS) | MADE, text=st.text(LETTERS, max_size=8))
@settings(max_examples=200, deadline=None)
def test_the_table_accepts_what_python_matches(vocabulary, expression, text) -> None:
    matches = re.compile(expression, re.DOTALL).fullmatch
    table = automaton(expression, vocabulary, np.zeros(len(vocabulary), np.float32))
    assert accepts(table, vocabulary.encode(text)) == bool(matches(text))
    shortest, place = "", 0  # the way along the distances is a match of that length
    while table.distance[place]:
        nearer = np.append(table.distance, match.NEVER)[table.follow[place]] < table.distance[place]
        shortest += vocabulary.decode([nearer.argmax()])
        place = table.follow[place, nearer.argmax()]
    assert matches(shortest)
    assert len(shortest) == table.shortest


@pytest.mark.parametrize(
    "expression", ["é+", "[^a]", ".", "(ü|x)a", "[à-ï]", "b", r"\w", r"[\W\d]", "(?i)É|[😀-🙏]"]
)
@pytest.mark.parametrize(
    "text", ["é", "éé", "É", "a", "b", "x", "ü", "üa", "xa", "è", "ж", "日", "٣", "😀", "\n", ""]
)
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
    ("expression", "reason"),
    [
        ("(", "match '(': missing ), unterminated subpattern at character 1; "),
        ("([", "match '([': unterminated character set at character 2; "),
        ("[z-a]", "bad character range z-a at character 2"),
        ("a**", "multiple repeat at character 3"),
        ("a{9999999999}", "repetition number is too large"),
        (r"\p{L}+", r"bad escape \p at character 1; for a class of Unicode use \w"),
        ("a(?=b)", "'(?=' at character 2: lookahead and lookbehind are not supported"),
        ("(?<!a)b", "lookahead and lookbehind"),
        (r"(a|b)\1", r"'\\1' at character 6: backreferences"),
        ("(?P<x>a)(?P=x)", "at character 9: backreferences"),
        ("(a)(?(1)b|c)", "conditional groups"),
        ("a++", "'++' at character 2: possessive"),
        ("(?>a)", "atomic groups"),
        ("a(?i:b)", "flags are not supported here"),
        ("(?x)a b", "flags are not supported here"),
        (r"a\b b", "word boundaries"),
        ("^a$|^b$", "'$' at character 3: an anchor"),
        ("a" * 3000, "3000 characters are too many"),
        ("(" * 700 + "a" + ")" * 700, "nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_named(expression: str, reason: str) -> None:
    with pytest.raises(UsageError, match=r"^match") as raised:
        automaton(expression, VOCABULARY, np.zeros(len(VOCABULARY), np.float32))
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("vocabulary", [VOCABULARY, Vocabulary.of_bytes(("<eos>",))], ids=["char", "byte"])
@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (".{9000}", "needs 9,001 states"),
        (".{0,9000}", "needs 9,001 states"),
        ("a{1000000000}b|a", "needs 1,000,000,002 states"),
        ("(((a{90}){90}){90})", "needs 729,001 states"),
        ("(a|b)*a(a|b){20}", "needs more than 3,000 states"),
        ("(.{0,50}){0,50}", "takes more than 0.2 seconds"),
        ("(a|aa|aaa)?" * 180, "takes more than 0.2 seconds"),
    ],
)
def test_what_is_too_large_is_refused_in_time(
    expression: str, reason: str, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is built where the size is plain; else the limits interrupt whatever is under way."""
    monkeypatch.setattr(match, "MAX_SECONDS", 0.2)
    if reason.startswith("needs more"):
        monkeypatch.setattr(match, "MAX_SECONDS", 60.0)
    begun = time.process_time()
    with pytest.raises(
        match.TooLarge, match=r"^match: the expression .*; shorten its repetitions$"
    ) as raised:
        automaton(expression, vocabulary, np.zeros(len(vocabulary), np.float32), 3000 * len(vocabulary))
    assert reason in str(raised.value)
    assert time.process_time() - begun < 5


def test_characters_the_model_lacks_do_not_count() -> None:
    table = automaton("(x{90000}|a)y*b?", VOCABULARY, np.zeros(len(VOCABULARY), np.float32))
    assert (len(table.distance), table.shortest) == (3, 1)


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


@pytest.mark.parametrize("compiles", [True, False], ids=["compiled", "numpy"])
@pytest.mark.parametrize(
    ("expression", "length", "longest"),
    [
        ("[aé]*", 25, 25),
        ("é{25}", 25, 25),
        ("[日é]*", 7, 7),
        ("(é日a)*", 8, 6),
        ("(ab)*", 1, 0),
        ("(ab)*", 25, 24),
        ("a{0}", 5, 0),
        ("a|ab{5}", 3, 1),
        (".*", 40, 40),
    ],
)
@pytest.mark.parametrize("specials", [(), ("<bos>", "<eos>")], ids=["bare", "eos"])
def test_a_match_that_has_no_room_for_more_ends(
    expression: str,
    length: int,
    longest: int,
    specials: tuple[str, ...],
    compiles: bool,
    make_model: MakeModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Length counts characters, not bytes; texts come alone, in pieces, in a batch, with likelihoods."""
    monkeypatch.setattr(generators, "COMPILES", compiles and generators.COMPILES)
    generator = Generator(make_model("gru", vocabulary=Vocabulary.of_bytes(specials)))
    settings = SamplerConfig(match=expression, length=length, ignore_eos=True)
    samples = list(generator.sample_many(["a"], settings=settings, n=12, batch=5, top=1))
    for sample in samples:
        assert re.fullmatch(expression, sample.text, re.DOTALL), sample.text
        assert len(sample.text) <= length
        assert sample.finish_reason == ("length" if len(sample.text) == length else "match")
        assert len(sample.log_probabilities) == len(sample.text.encode())
        assert np.isfinite(sample.log_probabilities).all()
    assert max(len(sample.text) for sample in samples) == longest
    pieces = generator.stream("a", settings=settings, stream=11)
    assert "".join(pieces) == samples[11].text
