"""Sizes in their range, and from them the name and shape of every weight."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import UsageError
from charloom.model.config import CELLS, ModelConfig

CONFIGS = st.builds(
    ModelConfig,
    cell=st.sampled_from(CELLS),
    layers=st.integers(1, 64),
    hidden=st.integers(1, 32_768),
    embedding=st.integers(0, 32_768),
    dropout=st.floats(0, 1, exclude_max=True),
)


@given(CONFIGS)
def test_json_and_back(config: ModelConfig) -> None:
    assert ModelConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@given(CONFIGS, st.integers(1, 100_000))
def test_parameters_are_what_the_shapes_hold(config: ModelConfig, vocabulary: int) -> None:
    shapes = config.weight_shapes(vocabulary)
    assert config.parameters(vocabulary) == sum(math.prod(shape) for shape in shapes.values())
    assert len(shapes) == 3 + 4 * config.layers
    assert config.state_shape() == (config.layers, 2 if config.cell == "lstm" else 1, config.hidden)
    assert config.state_shape(5) == (config.layers, config.parts, 5, config.hidden)


def test_shapes_of_a_small_one() -> None:
    assert ModelConfig(cell="gru", layers=2, hidden=4, embedding=3).weight_shapes(7) == {
        "embedding.weight": (7, 3),
        "layers.0.weight_input": (12, 3),
        "layers.0.weight_hidden": (12, 4),
        "layers.0.bias_input": (12,),
        "layers.0.bias_hidden": (12,),
        "layers.1.weight_input": (12, 4),
        "layers.1.weight_hidden": (12, 4),
        "layers.1.bias_input": (12,),
        "layers.1.bias_hidden": (12,),
        "output.weight": (7, 4),
        "output.bias": (7,),
    }
    assert ModelConfig(hidden=4, embedding=0).weight_shapes(7)["layers.0.weight_input"] == (16, 7)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"cell": "transformer"}, "cell 'transformer' is not known; choose one of lstm, gru, rnn"),
        ({"cell": ["lstm"]}, "is not known"),
        ({"layers": 0}, "layers is 0; it takes a whole number from 1 to 64"),
        ({"layers": 65}, "layers is 65"),
        ({"hidden": 0}, "hidden is 0"),
        ({"hidden": 2**40}, "hidden is 1099511627776"),
        ({"hidden": 8.0}, "hidden is 8.0; it takes a whole number"),
        ({"hidden": True}, "hidden is True"),
        ({"hidden": None}, "hidden is None"),
        ({"embedding": -1}, "embedding is -1"),
        ({"dropout": 1.0}, "dropout is 1.0; it takes a number from 0 up to, not including, 1"),
        ({"dropout": -0.1}, "dropout is -0.1"),
        ({"dropout": math.nan}, "dropout is nan"),
        ({"dropout": "much"}, "dropout is 'much'"),
    ],
)
def test_out_of_range_is_one_line(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        ModelConfig(**options)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_keys_are_neither_missing_nor_unknown() -> None:
    good = ModelConfig().to_json()
    with pytest.raises(UsageError, match="the key 'hidden' is missing"):
        ModelConfig.from_json({key: value for key, value in good.items() if key != "hidden"})
    with pytest.raises(UsageError, match="the key 'attention' is not known; there are cell"):
        ModelConfig.from_json({**good, "attention": 8})
