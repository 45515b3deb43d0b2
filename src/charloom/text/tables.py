"""Tables to documents: CSV and TSV, JSON lines, Parquet; columns by name, or by number from 0."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from charloom.errors import DataError, MissingExtraError
from charloom.text import arrays
from charloom.text.config import DataConfig
from charloom.text.decoding import normalised, text_blocks
from charloom.text.documents import Document, lines
from charloom.text.sources import Source

TAB = "\t"
LONGEST_CELL = 2**31 - 1  # characters; csv's own limit, 131,072, is shorter than a book


@dataclass(frozen=True)
class Columns:
    """Which cells of a row are the text, the conditions and the text to translate.

    Several texts are joined by `between`, of which each then has none. `labels` are the values that the
    numbers 1, 2, … of the condition stand for, if they do.
    """

    text: tuple[str, ...]
    condition: tuple[str, ...] = ()
    source: str = ""
    labels: tuple[str, ...] = ()
    between: str = TAB

    def names(self) -> tuple[str, ...]:
        """All that a row must have: texts, then conditions, then the source."""
        return (*self.text, *self.condition, *([self.source] if self.source else []))


def rows(source: Source, columns: Columns, data: DataConfig) -> Iterator[Document]:
    """The rows of a table as documents, texts normalised as `data` says.

    A condition may also be an array in an `.npz` beside the table. Raises DataError, naming file and
    line, for a broken row, and for a column that is not there, naming those that are.
    """
    beside = arrays.read(source, columns.condition)
    of_table = replace(columns, condition=tuple(name for name in columns.condition if name not in beside))
    yield from arrays.joined(_rows(source, of_table, data), columns.condition, beside, source.label)


def _rows(source: Source, columns: Columns, data: DataConfig) -> Iterator[Document]:
    match source.kind:
        case "jsonl":
            cells = _json_rows(source, columns, data)
        case "parquet":
            cells = _parquet_rows(source, columns)
        case kind:
            cells = _csv_rows(source, columns, data, TAB if kind == "tsv" else ",")
    wanted = len(columns.text) or 1
    for row in cells:
        texts = row[:wanted]
        if wanted > 1 and columns.between == TAB:
            texts = [text.replace(TAB, " ") for text in texts]
        conditions = tuple(row[wanted : wanted + len(columns.condition)])
        if columns.labels:
            conditions = tuple(_named(label, columns.labels, source) for label in conditions)
        original = row[-1] if columns.source else ""
        yield Document(normalised(columns.between.join(texts), data), conditions, normalised(original, data))


def _named(label: str, names: Sequence[str], source: Source) -> str:
    if not (label.isdecimal() and 1 <= int(label) <= len(names)):
        raise DataError(
            f"{source.label}: the label {label!r} is none of 1 to {len(names)}; fetch the file again"
        )
    return names[int(label) - 1]


def _places(source: Source, columns: Columns, header: Sequence[str]) -> list[int]:
    """Where the wanted columns stand among `header`."""
    listed = ", ".join(header) or "none"
    names = columns.names()
    if not columns.text:
        named = [i for i, name in enumerate(header) if name.strip().lower() == "text"]
        if not named and len(header) != 1:
            raise DataError(f"{source.label}: which column is the text? There are {listed}; say --text NAME")
        return [named[0] if named else 0, *_places_of(source, names, header, listed)]
    return _places_of(source, names, header, listed)


def _places_of(source: Source, names: Sequence[str], header: Sequence[str], listed: str) -> list[int]:
    places = []
    for name in names:
        if name in header:
            places.append(list(header).index(name))
        elif name.isdecimal() and int(name) < len(header):
            places.append(int(name))
        else:
            raise DataError(f"{source.label}: there is no column {name!r}; there are {listed}")
    return places


def _csv_rows(source: Source, columns: Columns, data: DataConfig, delimiter: str) -> Iterator[list[str]]:
    """Cells as text. The first row is a header unless every column wanted is a number."""
    csv.field_size_limit(LONGEST_CELL)
    plain = DataConfig(encoding=data.encoding, normalize="none")
    reader = csv.reader((line + "\n" for line in lines(text_blocks(source, plain))), delimiter=delimiter)
    names = columns.names()
    numbered = bool(columns.text) and all(name.isdecimal() for name in names)
    places: list[int] | None = None
    try:
        for row in reader:
            if places is None:
                header = [str(i) for i in range(len(row))] if numbered else row
                places = _places(source, columns, header)
                if not numbered:
                    continue
            if row:
                try:
                    yield [row[place] for place in places]
                except IndexError:
                    raise DataError(
                        f"{source.label}: line {reader.line_num} has {len(row)} columns, "
                        f"too few for column {max(places)}; mend the line"
                    ) from None
    except csv.Error as error:
        raise DataError(
            f"{source.label}: line {reader.line_num} is no CSV ({error}); mend the line"
        ) from error


def _json_rows(source: Source, columns: Columns, data: DataConfig) -> Iterator[list[Any]]:
    """A condition may be missing in any row but the first."""
    plain = DataConfig(encoding=data.encoding, normalize="none")
    names: list[str] = []
    cell = _Cells(source, columns)
    for number, line in enumerate(lines(text_blocks(source, plain)), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{source.label}: line {number} is no JSON ({error}); mend the line") from error
        if not isinstance(row, dict):
            raise DataError(f"{source.label}: line {number} is no JSON object; each line must be one")
        if not names or any(name not in row and not cell.is_condition(at) for at, name in enumerate(names)):
            header = list(row)
            names = [header[place] for place in _places(source, columns, header)]
        yield [cell.value(row.get(name), at, name, number) for at, name in enumerate(names)]


def _parquet_rows(source: Source, columns: Columns) -> Iterator[list[Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtraError("reading .parquet", "data") from None
    with source.open() as file:
        try:
            table = pyarrow.parquet.ParquetFile(file)
            header = table.schema_arrow.names
            names = [header[place] for place in _places(source, columns, header)]
            number, cell = 0, _Cells(source, columns)
            for batch in table.iter_batches(batch_size=4096, columns=sorted(set(names))):
                for row in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
                    yield [cell.value(value, at, names[at], number) for at, value in enumerate(row)]
                    number += 1
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{source.label}: damaged, or no Parquet ({error}); fetch it again") from error


class _Cells:
    """Values of JSON or Parquet as texts, labels and arrays; an array keeps the size of its first."""

    def __init__(self, source: Source, columns: Columns) -> None:
        self._label = source.label
        texts = len(columns.text) or 1
        self._conditions = range(texts, texts + len(columns.condition))
        self._sizes: dict[int, int] = {}

    def is_condition(self, place: int) -> bool:
        """Whether the column at `place` among those wanted is one."""
        return place in self._conditions

    def value(self, value: Any, place: int, name: str, number: int) -> Any:
        """One cell. Raises DataError for what is neither."""
        if isinstance(value, str):
            return value
        if isinstance(value, (int, float)):
            return str(value)
        where = f"{self._label}: {name} of row {number}"
        if self.is_condition(place):
            if value is None:
                return ""
            if isinstance(value, list):
                array = arrays.of_numbers(value, where)
                size = self._sizes.setdefault(place, len(array))
                if len(array) != size:
                    raise DataError(f"{where} has {len(array)} numbers, those before it {size}; mend the row")
                return array
        found = "missing" if value is None else f"a {type(value).__name__}"
        raise DataError(f"{where} is {found}, not text; mend the row")
