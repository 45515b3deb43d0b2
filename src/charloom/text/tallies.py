"""What the conditions of a corpus turn out to be: noted while its documents are dealt, settled at the end.

Only what the training part has is a value: a label that is met elsewhere alone is unknown there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charloom.errors import DataError
from charloom.text.condition import Condition
from charloom.text.documents import Document

UNKNOWN = -1  # the number of a label that is missing
FEWEST = 20  # rows from which a label that hardly any two share is no accident
CHUNK = 2**16  # rows looked at together

Labels = npt.NDArray[np.int32]  # (n, label conditions)
Arrays = npt.NDArray[np.float32]  # (n, the sizes of the array conditions together); NaN is missing


class Tallies:
    """The conditions of these names; where `known` gives values beforehand, other labels are unknown.

    With `noted` it goes on where another's `note` was taken.
    """

    def __init__(
        self, known: Mapping[str, Sequence[str]], label: str, noted: Sequence[Any] | None = None
    ) -> None:
        self._label = label
        self._known = known
        numbers = {name: {value: i for i, value in enumerate(values)} for name, values in known.items()}
        self._numbers: dict[str, dict[str, int]]
        self._sizes: dict[str, int]  # of those that are arrays
        self._begun: bool
        self._numbers, self._sizes, self._begun = noted or (numbers, {}, False)

    def note(self) -> list[Any]:
        """What was found so far, of what JSON holds."""
        return [self._numbers, self._sizes, self._begun]

    def numbers(self, documents: Sequence[Document]) -> tuple[Labels, Arrays]:
        """The documents' labels as numbers, and their arrays. Raises DataError for what does not fit."""
        if any(len(document.conditions) != len(self._known) for document in documents):
            raise DataError(
                f"{self._label}: documents with conditions are among some without; "
                "give tables with the same columns"
            )
        rows = [document.conditions for document in documents]
        if not self._begun and rows:
            self._begun = True
            for place, name in enumerate(self._known):
                first = next((row[place] for row in rows if not isinstance(row[place], str)), None)
                if first is not None:
                    self._sizes[name] = len(first)
        labels = [
            [self._number(name, row[place]) for row in rows]
            for place, name in enumerate(self._known)
            if name not in self._sizes
        ]
        arrays = [
            self._array(name, row[place])
            for row in rows
            for place, name in enumerate(self._known)
            if name in self._sizes
        ]
        return (
            np.array(labels, np.int32).reshape(len(labels), len(rows)).T,
            np.concatenate([np.zeros(0, np.float32), *arrays]).reshape(len(rows), sum(self._sizes.values())),
        )

    def settle(self, parts: Sequence[Path]) -> tuple[Condition, ...]:
        """The conditions, once `parts` (PART.numbers and PART.arrays, training first) are written.

        PART.labels are the numbers without those of values that training lacks. Raises DataError for a
        condition that tells nothing.
        """
        names = [name for name in self._known if name not in self._sizes]
        files = [_numbers(part.with_suffix(".numbers"), len(names)) for part in parts]
        described: dict[str, Condition] = {}
        tables = []
        for column, name in enumerate(names):
            described[name], table = self._settle_label(name, [file[:, column] for file in files])
            tables.append(table)
        for part, file in zip(parts, files, strict=True):
            with part.with_suffix(".labels").open("wb") as labels:
                for start in range(0, len(file), CHUNK):
                    rows = file[start : start + CHUNK]
                    columns = [table[column] for table, column in zip(tables, rows.T, strict=True)]
                    np.ascontiguousarray(np.stack(columns, axis=1)).tofile(labels)
        start, width = 0, sum(self._sizes.values())
        for name, size in self._sizes.items():
            mean, deviation = _scale(parts[0].with_suffix(".arrays"), width, slice(start, start + size))
            described[name] = Condition(name=name, kind="array", size=size, mean=mean, deviation=deviation)
            start += size
        return tuple(described[name] for name in self._known)

    def _number(self, name: str, value: object) -> int:
        if not isinstance(value, str):
            raise DataError(
                f"{self._label}: {name} is a label in some rows and an array in others; mend them"
            )
        stripped = value.strip()
        numbers = self._numbers[name]
        if self._known[name]:
            return numbers.get(stripped, UNKNOWN)
        return numbers.setdefault(stripped, len(numbers)) if stripped else UNKNOWN

    def _array(self, name: str, value: object) -> Arrays:
        size = self._sizes[name]
        if isinstance(value, np.ndarray):
            if len(value) != size:
                raise DataError(
                    f"{self._label}: {name} has {len(value)} numbers in one row, {size} in another; mend them"
                )
            return value
        if value:
            raise DataError(
                f"{self._label}: {name} is a label in some rows and an array in others; mend them"
            )
        return np.full(size, np.nan, np.float32)

    def _settle_label(self, name: str, columns: Sequence[Labels]) -> tuple[Condition, Labels]:
        """The condition, and what each number becomes; the last one is UNKNOWN's."""
        values = np.array(list(self._numbers[name]) or [""], object)
        counts = np.bincount(columns[0][columns[0] >= 0], minlength=len(values))
        kept = np.ones(len(values), bool) if self._known[name] else counts > 0
        if not self._known[name]:
            self._check(name, values[kept].tolist(), sum(map(len, columns)))
        table = np.append(np.where(kept, np.cumsum(kept) - 1, UNKNOWN), UNKNOWN).astype(np.int32)
        found = tuple(values[kept].tolist()), tuple(counts[kept].tolist())
        return Condition(name=name, kind="label", values=found[0], counts=found[1]), table

    def _check(self, name: str, values: Sequence[str], rows: int) -> None:
        if not values:
            raise DataError(f"{self._label}: {name} is empty in every row to train on; leave it out")
        if len(values) == 1:
            raise DataError(f"{self._label}: {name} is {values[0]!r} in every row; leave it out")
        if rows >= FEWEST and len(values) > rows / 2:
            raise DataError(
                f"{self._label}: {name} has {len(values):,} values in {rows:,} rows, and a condition is what "
                "many rows share; leave it out, or name it as --text or --source"
            )


def _numbers(path: Path, columns: int) -> Labels:
    if not path.stat().st_size:
        return np.zeros((0, columns), np.int32)
    return np.memmap(path, np.int32, mode="r").reshape(-1, columns)


def _scale(path: Path, width: int, place: slice) -> tuple[float, float]:
    """Mean and standard deviation of all numbers in these columns, some rows at a time."""
    if not path.stat().st_size:
        return 0.0, 1.0
    rows = np.memmap(path, np.float32, mode="r").reshape(-1, width)[:, place]
    sums = np.zeros(3)
    for start in range(0, len(rows), CHUNK):
        found = rows[start : start + CHUNK].astype(np.float64)
        found = found[~np.isnan(found).any(axis=1)]
        sums += found.size, found.sum(), np.square(found).sum()
    count, total, squares = sums
    mean = total / max(count, 1)
    deviation = max(squares / max(count, 1) - mean**2, 0.0) ** 0.5
    return float(mean), float(deviation) or 1.0
