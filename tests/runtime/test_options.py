"""Options out of range are refused in one line that names the range."""

from __future__ import annotations

import math

import numpy as np
import pytest

from charloom.errors import UsageError
from charloom.runtime.options import MOST_TEMPERATURE, SamplerConfig
from charloom.text.vocabulary import Vocabulary


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(("temperature", value) for value in (-0.1, math.nan, math.inf, 101, 1e300, "hot", True)),
        *(("top_p", value) for value in (0, -1, 1.1, math.nan)),
        *(("min_p", value) for value in (-0.1, 1.5, math.nan)),
        *(("top_k", value) for value in (-1, 1.5, True)),
        *(("length", value) for value in (0, -5, 2.5)),
        *(("seed", value) for value in (-1, 2**32, 0.5)),
        *(("best_of", value) for value in (0, 1001)),
        *(("no_repeat", value) for value in (-1,)),
        *(("frequency_penalty", value) for value in (math.nan, math.inf)),
        *(("presence_penalty", value) for value in (math.nan, -math.inf)),
        ("stop", ("",)),
        *(("bias", value) for value in ({"ab": 1.0}, {"a": math.nan}, {"a": math.inf})),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(option, value) -> None:
    with pytest.raises(UsageError, match=option.split("_")[0]) as caught:
        SamplerConfig(**{option: value})
    assert "\n" not in str(caught.value)
    assert not str(caught.value).endswith(".")


def test_the_limits_themselves_are_allowed() -> None:
    SamplerConfig(temperature=0, top_p=1, min_p=1, length=1)
    SamplerConfig(temperature=MOST_TEMPERATURE, bias={"a": -math.inf})


def test_what_is_never_drawn_is_forbidden() -> None:
    vocabulary = Vocabulary.of_characters("abc", ("<bos>", "<eos>", "<sep>", "<byte>"))
    assert SamplerConfig().added(vocabulary).tolist() == [0, 0, 0, -np.inf, 0, -np.inf, -np.inf]
    assert SamplerConfig(ignore_eos=True, ban="b", bias={"c": 2}).added(vocabulary).tolist()[:5] == [
        0,
        -np.inf,
        2,
        -np.inf,
        -np.inf,
    ]
    assert np.isfinite(SamplerConfig(only="ca").added(vocabulary)).tolist()[:5] == [
        True,
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize("options", [{"ban": "abc"}, {"only": "a", "ban": "a"}])
def test_nothing_left_to_draw_is_refused(options) -> None:
    with pytest.raises(UsageError, match="leave no character"):
        SamplerConfig(**options).added(Vocabulary.of_characters("abc", ("<eos>",)))


@pytest.mark.parametrize("specials", [(), ("<byte>",)])
def test_characters_that_the_model_does_not_know(specials) -> None:
    vocabulary = Vocabulary.of_characters("abc", specials)
    assert SamplerConfig(ban="az").added(vocabulary).tolist()[:3] == [-np.inf, 0, 0]
    assert SamplerConfig(only="az").added(vocabulary).tolist()[:3] == [0, -np.inf, -np.inf]
    with pytest.raises(UsageError, match="'z'"):
        SamplerConfig(bias={"z": 1.0}).added(vocabulary)
    with pytest.raises(UsageError, match="leave no character"):
        SamplerConfig(only="z").added(vocabulary)
