import json
import math

import numpy as np
import pytest

from charloom.errors import DataError
from charloom.insight.paired import Paired, paired

FAIR, WRONG = {"a": 0.5, "b": 0.5}, {"a": 0.6, "b": 0.4}


def text_of(chance: float, size: int, seed: int = 0) -> str:
    return "".join("ab"[int(x > chance)] for x in np.random.default_rng(seed).random(size))


def test_the_better_of_two_is_named_with_the_difference_that_theory_gives(constant):
    text = text_of(0.5, 40_000)
    found = paired(constant(WRONG), constant(FAIR), [text], ("wrong", "fair"))
    divergence = 0.5 * math.log2(0.5 / 0.6) + 0.5 * math.log2(0.5 / 0.4)  # Kullback-Leibler, 0.0294 bits
    assert found.better == "fair"
    assert found.interval[0] <= divergence <= found.interval[1]
    assert found.bits_per_character[1] == pytest.approx(1, abs=1e-5)
    assert found.difference == pytest.approx(divergence, abs=0.01)
    assert found.p == pytest.approx(2 / 1001)
    assert found.verdict.startswith("fair is better than wrong by 0.0")
    turned = paired(constant(FAIR), constant(WRONG), [text], ("fair", "wrong"))
    assert turned.difference == pytest.approx(-found.difference)
    assert turned.better == "fair"
    assert json.loads(json.dumps(found.to_json()))["better"] == "fair"


def test_models_that_err_alike_cannot_be_told_apart(constant):
    """One expects too many a's, the other too many b's: on fair text they are equally bad."""
    other = {"a": 0.4, "b": 0.6}
    for seed in range(3):
        found = paired(constant(WRONG), constant(other), [text_of(0.5, 20_000, seed)])
        assert (found.better, found.p > 0.05) == ("", True)
        assert found.interval[0] < 0 < found.interval[1]
        assert "cannot be told apart" in found.verdict


def test_a_model_against_itself(constant):
    found = paired(constant(FAIR), constant(FAIR), [text_of(0.5, 5000)])
    assert (found.difference, found.interval, found.p, found.better) == (0, (0, 0), 1, "")


def test_a_difference_is_called_real_by_chance_no_oftener_than_said(constant):
    models = constant(WRONG), constant({"a": 0.4, "b": 0.6})
    called = sum(bool(paired(*models, [text_of(0.5, 2000, seed)]).better) for seed in range(60))
    assert called <= 9  # of 60 at one in twenty: more than 9 once in a thousand times


def test_the_blocks_of_documents_are_the_documents(constant):
    texts = [text_of(0.5, 200, seed) for seed in range(50)] + [""]
    found = paired(constant(WRONG), constant(FAIR), texts)
    assert (found.blocks, found.characters) == (51, 10_000)


def test_models_with_other_vocabularies_read_the_same_characters(constant):
    found = paired(
        constant(FAIR, ("<bos>", "<byte>")),
        constant({"b": 0.5, "a": 0.5, "c": 1e-9}, ()),
        [text_of(0.5, 3000)],
    )
    assert found.characters == 2999  # the second does not score the first one
    assert found.difference == pytest.approx(0, abs=1e-4)


def test_nothing_to_compare_on_is_said(constant):
    with pytest.raises(DataError, match="no text to compare"):
        paired(constant(FAIR), constant(FAIR), ["", ""])


def test_the_verdict_names_the_bounds():
    same = Paired(
        names=("A", "B"), bits_per_character=(2, 2), difference=0.001, interval=(-0.004, 0.006), p=0.4,
        characters=9, blocks=3,
    )  # fmt: skip
    assert same.verdict.endswith("hardly more than 0.006 bits a character.")
