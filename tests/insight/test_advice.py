import math

import pytest

from charloom.insight.advice import advice, praise
from charloom.insight.baselines import Baseline
from charloom.insight.evaluation import Measure

GROUND = [
    Baseline(name="uniform", nats=4.2, fitted=0, simple=True),
    Baseline(name="order 2", nats=2.0, fitted=1000, simple=True),
    Baseline(name="order 5", nats=1.5, fitted=1000, simple=False),
]


def measure(nats: float, width: float = 0.02) -> Measure:
    bits = nats / math.log(2)
    return Measure(
        nats=nats, bits_per_character=bits, bits_per_byte=bits, interval=(nats - width / 2, nats + width / 2)
    )


@pytest.mark.parametrize(
    ("nats", "train_nats", "said"),
    [
        (1.4, 1.2, []),  # as a good small model stands
        (1.4, 1.38, ["train longer"]),
        (1.4, 0.6, ["57% less on its training text"]),
        (1.7, 1.5, ["worse than order 5 (2.16)"]),
        (1.505, 1.4, ["no better than order 5 (2.16)"]),
        (1.7, 1.69, ["worse than order 5", "train longer"]),
        (2.3, 2.25, ["hardly been trained"]),
        (2.3, 1.0, ["order 5 (2.16), yet well on its own training text"]),
        (4.5, 4.4, ["worse than uniform (6.06), order 2 (2.89), order 5 (2.16): it has hardly"]),
    ],
)
def test_each_case_has_its_sentence(nats: float, train_nats: float, said: list[str]) -> None:
    found = advice(measure(nats), train_nats, GROUND)
    assert len(found) == len(said)
    assert len(praise(measure(nats), GROUND)) == (nats < 1.5)
    for sentence, part in zip(found, said, strict=True):
        assert part in sentence
        assert sentence.endswith(".")


def test_a_good_model_is_told_so() -> None:
    (sentence,) = praise(measure(1.4), GROUND)
    assert sentence.endswith("it does better than the best of the others, order 5 (2.16).")


def test_a_short_text_is_said_to_be_short() -> None:
    (sentence,) = advice(measure(1.4, 0.3), 1.2, GROUND)
    assert "short" in sentence
    assert "1.80 to 2.24 bits" in sentence
