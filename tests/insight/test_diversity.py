import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.insight.diversity import (
    LOOP,
    PERIOD,
    TEMPERATURES,
    distance,
    distinct,
    diversity,
    loops,
    recommend,
    write,
    write_at,
)
from charloom.runtime.sample import Given


def test_distinct_runs_of_words():
    words = ["a", "b", "a", "b", "a"]
    assert distinct([words], 1) == 2 / 5
    assert distinct([words], 2) == 2 / 4
    assert distinct([words, words], 2) == 2 / 8
    assert distinct([["a"]], 2) == 0
    assert distinct([list("abc"), list("def")], 2) == 1  # none runs from one text into the next


def test_a_loop_is_an_end_that_repeats():
    assert loops("it begins well, " + "and then the " * 4)
    assert loops("x" + "ab" * (LOOP // 2))
    assert not loops("ab" * (LOOP // 2 - 1))
    assert not loops("and then the " * 4 + "end of it all comes.")
    assert not loops("the " * 2)
    assert loops("abcdefghij" * 3)
    assert not loops("abcdefghij" * 2 + "abcdefghi")
    long = "".join(chr(0x100 + i) for i in range(PERIOD + 1))
    assert loops(long[:-1] * 3)
    assert not loops(long * 3)
    assert not loops("")


@given(st.lists(st.text("ab"), max_size=4), st.lists(st.text("ab"), max_size=4))
def test_the_distance_is_symmetric_and_between_0_and_1(texts, others):
    found = distance(texts, others)
    assert 0 <= found <= 1 + 1e-12
    assert found == pytest.approx(distance(others, texts))
    assert distance(texts, texts) == pytest.approx(0)


def test_the_distance_of_known_texts():
    assert distance(["aaaa"], ["bbbb"]) == 1
    half = distance(["a"], ["ab"])  # p = (1, 0), q = (1/2, 1/2), middle (3/4, 1/4); no longer runs but one
    js = (math.log2(4 / 3) + 0.5 * math.log2(2 / 3) + 0.5 * math.log2(2)) / 2
    assert half == pytest.approx((js + 1) / 4)


@pytest.mark.parametrize("truth", [0.5, 0.8, 1.0, 1.3])
def test_the_temperature_that_makes_up_for_a_wrong_confidence_is_recommended(constant, truth):
    """The model's logits are the true ones times `truth`: divided by it they are right again."""
    chances = {"a": 0.5, "b": 0.25, "c": 0.15, "d": 0.07, "e": 0.03}
    powers = {c: p**truth for c, p in chances.items()}
    total = sum(powers.values())
    generator = constant({c: p / total for c, p in powers.items()})
    real = [sample.text for sample in write(constant(chances), [""] * 16, 400, 1.0, seed=9)]
    found = [
        diversity(t, [sample.text for sample in write(generator, [""] * 16, 400, t)], real)
        for t in TEMPERATURES
    ]
    more = [sample.text for sample in write(constant(chances), [""] * 16, 400, 1.0, seed=10)]
    chosen = recommend(found, real, more)
    assert chosen.temperature == pytest.approx(truth, abs=0.1)
    assert f"At {chosen.temperature:g} the runs" in chosen.reason
    assert 0 < chosen.floor < 0.1
    greedy = found[0]
    assert (greedy.temperature, greedy.loops, greedy.distinct_1) == (0, 1, 1 / 16)
    assert "100% of its texts end in a loop" in chosen.reason
    assert found[-1].loops == 0


def test_another_temperature_that_is_a_hair_closer_is_told(constant):
    texts = [sample.text for sample in write(constant({"a": 0.5, " ": 0.5}), [""], 30, 1.0)]
    one = replace(diversity(0.9, texts, ["a a"]), distance=0.1001)
    chosen = recommend([one, replace(one, temperature=0.8, distance=0.1)], texts, texts)
    assert chosen.temperature == 0.9
    assert "(0.100 bits apart) as at 0.8 (0.100), within 2%" in chosen.reason
    assert "closest" not in chosen.reason


def test_what_is_told_of_a_temperature_is_json(constant):
    texts = [sample.text for sample in write(constant({"a": 0.5, " ": 0.5}), ["", "a"], 30, 1.0)]
    record = diversity(1.0, texts, ["a a"]).to_json()
    assert record["characters"] == 60
    assert record["example"] == texts[0]


def test_texts_at_several_temperatures_are_those_written_one_by_one(successor):
    generator = successor("abc def")
    together = write_at(generator, [Given(each) for each in "abc"], 20, (0.0, 1.0, 1.8))
    for temperature, texts in zip((0.0, 1.0, 1.8), together, strict=True):
        assert texts == [each.text for each in write(generator, ["a", "b", "c"], 20, temperature)]
