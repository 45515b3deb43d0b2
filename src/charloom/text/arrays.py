"""Arrays that belong to documents: in an `.npz` beside the texts, a row a document, or in JSON."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from charloom.errors import DataError
from charloom.text.documents import Document
from charloom.text.sources import Source

Array = npt.NDArray[np.float32]


def beside(source: Source) -> Path | None:
    """`items.npz` for `items.csv`, if it is there."""
    path = source.path.with_name(source.path.name.split(".")[0] + ".npz")
    return path if path.is_file() else None


def read(source: Source, names: Sequence[str]) -> dict[str, Array]:
    """Those of the arrays beside `source` that `names` name, flattened to (rows, size).

    Raises DataError where the file is damaged, or an array is none of finite numbers.
    """
    path = beside(source) if names else None
    if path is None:
        return {}
    try:
        with path.open("rb") as opened, np.load(opened) as file:  # NumPy leaves a broken file open
            found = {name: np.asarray(file[name]) for name in names if name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: is no .npz of plain arrays ({error}); save it with numpy.savez") from error
    return {name: _flat(array, f"{path}: {name}") for name, array in found.items()}


def of_numbers(value: Any, where: str) -> Array:
    """A list out of JSON or Parquet, nested or not, as (size,). Raises DataError."""
    try:
        array = np.asarray(value, np.float32).ravel()
    except (TypeError, ValueError):
        raise DataError(f"{where} is a list, but not of numbers; fix the row") from None
    if not len(array) or not np.isfinite(array).all():
        raise DataError(f"{where} {'is empty' if not len(array) else 'holds NaN or infinity'}; fix the row")
    return array


def joined(
    documents: Iterable[Document], names: Sequence[str], arrays: Mapping[str, Array], label: str
) -> Iterator[Document]:
    """Documents with their rows of `arrays` put among their conditions, in the order of `names`.

    Raises DataError where there are more rows of the one than of the other.
    """
    if not arrays:
        yield from documents
        return
    name, rows = next((name, len(array)) for name, array in arrays.items())
    number = 0
    for number, document in enumerate(documents, 1):
        if number <= rows:
            others = iter(document.conditions)
            values = (arrays[name][number - 1] if name in arrays else next(others) for name in names)
            yield document._replace(conditions=tuple(values))
    if number != rows:
        raise DataError(
            f"{label}: has {number:,} documents, but {name} beside it has {rows:,} rows; give as many"
        )


def _flat(array: npt.NDArray[Any], where: str) -> Array:
    if array.ndim < 1 or array.dtype.kind not in "fiub":
        raise DataError(f"{where} is no array of numbers; give one with a row a document")
    rows = array.reshape(len(array), -1).astype(np.float32)
    if bad := np.flatnonzero(~np.isfinite(rows).all(axis=1)).tolist():
        raise DataError(f"{where}: row {bad[0]} holds NaN or infinity; fix it, or leave the row out")
    return rows
