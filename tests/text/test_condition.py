"""Labels and arrays as vectors, and what is said of those that do not fit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import UsageError
from charloom.text.condition import Condition, named, vector, vectors, width

CLASS = Condition(name="class", kind="label", values=("World", "Sports", "Sci/Tech"), counts=(5, 3, 2))
YEAR = Condition(name="year", kind="label", values=("2003", "2004"), counts=(4, 6))
IMAGE = Condition(name="image", kind="array", size=4, mean=2.0, deviation=4.0)


def test_one_condition_takes_a_bare_value() -> None:
    expected = [0, 1, 0, 1]
    assert vector([CLASS], "Sports").tolist() == expected
    assert vector([CLASS], {"class": "Sports"}).tolist() == expected
    assert vector([CLASS], None).tolist() == vector([CLASS], {"class": None}).tolist() == [0] * 4
    assert vector([YEAR], 2004).tolist() == [0, 1, 1]
    assert vector([], None).shape == (0,)


def test_several_conditions_go_by_name_and_what_is_not_named_is_unknown() -> None:
    both = [CLASS, YEAR]
    assert vector(both, {"year": 2003}).tolist() == [0, 0, 0, 0, 1, 0, 1]
    assert vector(both, {"year": "2003", "class": "World"}).tolist() == [1, 0, 0, 1, 1, 0, 1]
    asked = {"year": 2003, "image": [1, 2, 3, 4]}
    assert named([CLASS, YEAR, IMAGE], asked) == {"year": "2003", "image": [1, 2, 3, 4]}


def test_an_array_is_scaled() -> None:
    assert vector([IMAGE], [[2, 6], [-2, 0]]).tolist() == [0, 1, -1, -0.5, 1]
    assert vector([IMAGE, YEAR], {"image": np.full(4, 2)}).tolist() == [0, 0, 0, 0, 1, 0, 0, 0]


@given(st.data())
def test_many_rows_are_what_each_is_alone(data: st.DataObject) -> None:
    conditions = data.draw(st.permutations([CLASS, YEAR, IMAGE]))
    asked: list[dict[str, Any]] = data.draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "class": st.sampled_from([None, *CLASS.values]),
                    "year": st.sampled_from([None, *YEAR.values]),
                    "image": st.none() | st.lists(st.integers(0, 16), min_size=4, max_size=4),
                }
            ),
            max_size=5,
        )
    )
    labelled = [c for c in conditions if c.kind == "label"]
    numbers = [[-1 if each[c.name] is None else c.number(each[c.name]) for c in labelled] for each in asked]
    arrays = [[np.nan] * 4 if each["image"] is None else each["image"] for each in asked]
    found = vectors(conditions, np.reshape(numbers, (-1, 2)), np.reshape(arrays, (-1, 4)))
    assert found.shape == (len(asked), width(conditions))
    for row, each in zip(found, asked, strict=True):
        np.testing.assert_allclose(row, vector(conditions, each), atol=1e-6)


@pytest.mark.parametrize(
    ("conditions", "asked", "message"),
    [
        ([], "Sports", "condition: the model was trained without any; leave it out"),
        ([CLASS], "Sport", "condition class: the model knows no 'Sport'; did you mean Sports?"),
        ([CLASS], "x", "condition class: the model knows no 'x'; choose one of World, Sports, Sci/Tech"),
        ([CLASS], {"clas": "Sports"}, "condition clas: the model has none of this name; did you mean class?"),
        (
            [CLASS, YEAR],
            "Sports",
            "condition 'Sports': there are class, year; say which, such as class=VALUE",
        ),
        ([IMAGE], [1, 2, 3], "condition image: 3 numbers were given; it takes 4"),
        ([IMAGE], [1, 2, 3, np.nan], "condition image: the array holds NaN or infinity; give finite numbers"),
        ([IMAGE], "seven", "condition image: it takes 4 numbers, not 'seven' (--condition-array)"),
    ],
)
def test_what_does_not_fit_is_told(conditions: list[Condition], asked: Any, message: str) -> None:
    with pytest.raises(UsageError) as error:
        vector(conditions, asked)
    assert str(error.value) == message


def test_of_many_values_a_message_names_some() -> None:
    many = Condition(
        name="n", kind="label", values=tuple(map(str, range(100, 200))), counts=tuple(range(100))
    )
    with pytest.raises(UsageError, match=r"choose one of 100, 101, .*, 111, …$"):
        vector([many], "x")


@pytest.mark.parametrize("condition", [CLASS, YEAR, IMAGE], ids=lambda condition: condition.name)
def test_json_and_back(condition: Condition) -> None:
    found = json.loads(json.dumps(condition.to_json()))
    assert Condition.from_json(condition.name, found) == condition


@pytest.mark.parametrize(
    "found",
    [
        None,
        {"kind": "colour"},
        {"kind": "label", "values": [], "counts": []},
        {"kind": "label", "values": ["a", "a"], "counts": [1, 1]},
        {"kind": "label", "values": ["a", 2], "counts": [1, 1]},
        {"kind": "label", "values": ["a"], "counts": [1, 1]},
        {"kind": "label", "values": ["a"], "counts": [True]},
        {"kind": "array", "size": 0, "mean": 0, "deviation": 1},
        {"kind": "array", "size": 2**40, "mean": 0, "deviation": 1},
        {"kind": "array", "size": 4, "mean": float("nan"), "deviation": 1},
        {"kind": "array", "size": 4, "mean": 0, "deviation": 0},
        {"kind": "array", "size": 4, "mean": "0", "deviation": 1},
    ],
)
def test_damaged_descriptions_are_refused(found: Any) -> None:
    with pytest.raises(UsageError):
        Condition.from_json("class", found)
