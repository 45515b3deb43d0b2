"""Every setting in its range, and one budget."""

from __future__ import annotations

import math
from typing import Any

import pytest

from charloom.errors import UsageError
from charloom.training.config import TrainConfig


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"layout": "rows"}, "layout 'rows' is not known; choose one of auto, lanes, windows"),
        ({"optimiser": "sgd"}, "choose one of muon, adam"),
        ({"precision": "float16"}, "choose one of auto, bfloat16, float32"),
        ({"minutes": -1}, "minutes is -1; it takes a number from 0"),
        ({"minutes": math.nan}, "minutes is nan; it takes a number"),
        ({"minutes": math.inf}, "minutes is inf; it takes a number"),
        ({"rate": "fast"}, "rate is 'fast'; it takes a number"),
        ({"lanes": 0}, "lanes is 0; it takes a number from 1"),
        ({"window": 0}, "window is 0; it takes a number from 1"),
        ({"decay": 1, "lanes": True}, "lanes is True; it takes a number"),
        ({"seed": 2**32}, "seed is 4294967296; it takes a number from 0"),
        ({"seed": -1}, "seed is -1"),
        ({"minutes": 1, "epochs": 2}, "minutes and epochs are given; a run has one budget"),
        ({"minutes": 1, "epochs": 2, "steps": 3}, "minutes and epochs and steps are given"),
    ],
)
def test_out_of_range_is_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        TrainConfig(**options)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_defaults_are_in_range() -> None:
    config = TrainConfig()
    assert (config.minutes, config.epochs, config.steps, config.plan) == (0, 0, 0, ())
