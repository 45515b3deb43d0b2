"""What a text depends on besides itself: labels and arrays, and the vectors they become.

A label's vector is one-hot, an array's are its values less their mean by their deviation; a 1 follows.
Where the condition is unknown, all of it is zero. Several conditions stand one after the other.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from charloom.errors import UsageError, closest

Kind = Literal["label", "array"]
Vectors = npt.NDArray[np.float32]
Asked = Any
"""One value, or a mapping from conditions' names to values; None where nothing is known."""

MOST_VALUES = 2**24  # a vector of so many numbers is no condition any more
LISTED = 12  # values that a message names


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition. A label has `values` and how often the training part has each (`counts`).

    An array has `size` numbers, which are taken less `mean`, by `deviation`: those of the training part.
    """

    name: str
    kind: Kind
    values: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    size: int = 0
    mean: float = 0.0
    deviation: float = 1.0

    @property
    def width(self) -> int:
        """Numbers that the linear map multiplies; the vector has one more, for its bias."""
        return len(self.values) if self.kind == "label" else self.size

    def number(self, value: object) -> int:
        """A label's place among the values. Raises UsageError, with the nearest, where it is none."""
        asked = str(value)
        if asked in self.values:
            return self.values.index(asked)
        near = closest(asked, self.values)
        listed = ", ".join(self.values[:LISTED]) + (", …" if len(self.values) > LISTED else "")
        mend = f"did you mean {near}?" if near else f"choose one of {listed}"
        raise UsageError(f"condition {self.name}: the model knows no {asked!r:.60}; {mend}")

    def vector(self, value: object) -> Vectors:
        """(width + 1,) for one value, None being unknown. Raises UsageError for one that does not fit."""
        found = np.zeros(self.width + 1, np.float32)
        if value is None:
            return found
        found[-1] = 1
        if self.kind == "label":
            found[self.number(value)] = 1
            return found
        try:
            array = np.asarray(value, np.float64).ravel()
        except (TypeError, ValueError):
            raise UsageError(
                f"condition {self.name}: it takes {self.size} numbers, not {value!r:.40} (--condition-array)"
            ) from None
        if len(array) != self.size:
            raise UsageError(f"condition {self.name}: {len(array)} numbers were given; it takes {self.size}")
        if not np.isfinite(array).all():
            raise UsageError(f"condition {self.name}: the array holds NaN or infinity; give finite numbers")
        found[:-1] = (array - self.mean) / self.deviation
        return found

    def to_json(self) -> dict[str, Any]:
        """As config.json holds it, without its name."""
        if self.kind == "label":
            return {"kind": "label", "values": list(self.values), "counts": list(self.counts)}
        return {"kind": "array", "size": self.size, "mean": self.mean, "deviation": self.deviation}

    @classmethod
    def from_json(cls, name: str, found: object) -> Condition:
        """Back from `to_json`. Raises UsageError for anything else."""
        kind = found.get("kind") if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping) or kind not in get_args(Kind):
            raise UsageError(f"the condition {name!r} is no label and no array")
        if kind == "label":
            values, counts = found.get("values"), found.get("counts")
            if not (
                isinstance(values, list)
                and isinstance(counts, list)
                and 1 <= len(values) == len(counts) <= MOST_VALUES
                and all(isinstance(value, str) for value in values)
                and all(type(count) is int and count >= 0 for count in counts)
                and len(set(values)) == len(values)
            ):
                raise UsageError(f"the values of the condition {name!r} are no list of labels")
            return cls(name=name, kind="label", values=tuple(values), counts=tuple(counts))
        size, mean, deviation = found.get("size"), found.get("mean"), found.get("deviation")
        if type(size) is not int or not 1 <= size <= MOST_VALUES:
            raise UsageError(f"the size of the condition {name!r} is {size!r}")
        if not all(isinstance(value, int | float) and math.isfinite(value) for value in (mean, deviation)):
            raise UsageError(f"the scale of the condition {name!r} is no pair of numbers")
        if not deviation > 0:  # type: ignore[operator]
            raise UsageError(f"the deviation of the condition {name!r} is not above 0")
        return cls(name=name, kind="array", size=size, mean=float(mean), deviation=float(deviation))  # type: ignore[arg-type]


def width(conditions: Sequence[Condition]) -> int:
    """S, the length of their joint vector."""
    return sum(condition.width + 1 for condition in conditions)


def slices(conditions: Sequence[Condition]) -> Iterator[tuple[Condition, slice]]:
    """Each condition and its place in the joint vector."""
    start = 0
    for condition in conditions:
        yield condition, slice(start, start + condition.width + 1)
        start += condition.width + 1


def vector(conditions: Sequence[Condition], asked: Asked) -> Vectors:
    """(S,) for what was asked for; what is not named is unknown.

    Raises UsageError for a condition that the model has not, a value that it does not know, and a bare
    value where there are several conditions.
    """
    return np.concatenate(
        [
            np.zeros(0, np.float32),
            *(c.vector(v) for c, v in zip(conditions, _values(conditions, asked), strict=True)),
        ]
    )


def named(conditions: Sequence[Condition], asked: Asked) -> dict[str, Any]:
    """What was asked for, by name; labels as text."""
    pairs = zip(conditions, _values(conditions, asked), strict=True)
    return {c.name: str(v) if c.kind == "label" else v for c, v in pairs if v is not None}


def _values(conditions: Sequence[Condition], asked: Asked) -> list[object]:
    names = [condition.name for condition in conditions]
    if asked is None or (isinstance(asked, Mapping) and not asked):
        return [None] * len(names)
    if not names:
        raise UsageError("condition: the model was trained without any; leave it out")
    if not isinstance(asked, Mapping):
        if len(names) > 1:
            raise UsageError(
                f"condition {asked!r:.40}: there are {', '.join(names)}; say which, such as {names[0]}=VALUE"
            )
        return [asked]
    for name in asked:
        if name not in names:
            near = closest(str(name), names)
            mend = f"did you mean {near}?" if near else f"there are {', '.join(names)}"
            raise UsageError(f"condition {name}: the model has none of this name; {mend}")
    return [asked.get(name) for name in names]


def vectors(conditions: Sequence[Condition], labels: npt.ArrayLike, arrays: npt.ArrayLike) -> Vectors:
    """(B, S) from the labels' numbers (B, label conditions) and the arrays (B, their sizes together).

    Unknown are a number of −1 and an array with NaN.
    """
    numbers, values = np.asarray(labels, np.int64), np.asarray(arrays, np.float32)
    found = np.zeros((len(numbers), width(conditions)), np.float32)
    column = start = 0
    for condition, place in slices(conditions):
        part = found[:, place]
        if condition.kind == "label":
            known = np.flatnonzero(numbers[:, column] >= 0)
            part[known, numbers[known, column]] = 1
            column += 1
        else:
            given = values[:, start : start + condition.size]
            known = np.flatnonzero(np.isfinite(given).all(axis=1))
            part[known, :-1] = (given[known] - condition.mean) / condition.deviation
            start += condition.size
        part[known, -1] = 1
    return found
