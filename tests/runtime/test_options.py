"""Options out of range are refused in one line that names the range."""

from __future__ import annotations

import json
import math
from dataclasses import asdict

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
        *(("temperature", value) for value in (None, [1], np.bool_(True), np.float32(math.nan), 1j)),
        *(("length", value) for value in (np.int64(0), np.float64(3), True, "5", None)),
        *(("ban", value) for value in (None, 5, ["a"])),
        *(("only", value) for value in (None, 5)),
        *(("match", value) for value in (None, 5)),
        *(("ignore_eos", value) for value in (1, None, "yes")),
        *(("stop", value) for value in ("", ("",), 5, None, [5], {"a": 1})),
        *(("bias", value) for value in ({"ab": 1.0}, {"a": math.nan}, {"a": math.inf}, {"": 1}, {5: 1})),
        *(("bias", value) for value in ({"a": "1"}, {"a": 1e39}, {"a": True}, None, 5, "a")),
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


def test_numbers_of_numpy_become_those_of_python() -> None:
    options = {
        "temperature": np.float32(0.5), "top_p": np.float16(0.5), "top_k": np.uint8(3), "length": np.int64(9),
        "seed": np.uint32(7), "ignore_eos": np.bool_(False), "min_p": np.int32(0),
    }  # fmt: skip
    found = SamplerConfig(**options, bias={"a": np.float32(2)}, stop=["b", "c"])
    assert found == SamplerConfig(
        temperature=0.5, top_p=0.5, top_k=3, length=9, seed=7, min_p=0.0, bias={"a": 2.0}, stop=("b", "c")
    )
    plain = json.loads(json.dumps(asdict(found)))
    assert {type(value) for value in plain.values()} <= {int, float, bool, str, list, dict}
    assert SamplerConfig(stop="end").stop == ("end",)


def test_the_coldest_temperatures_are_greedy() -> None:
    assert [SamplerConfig(temperature=t).row()[0] for t in (0, 1e-320, 1e-40)] == [0, 0, 0]
    assert SamplerConfig(temperature=1e-20).row()[0] == 1e-20
    vocabulary = Vocabulary.of_characters("ab")
    added = SamplerConfig(bias={"a": -1e300, "b": -math.inf}).added(vocabulary)
    assert added.tolist() == [-10_000, -math.inf]


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
