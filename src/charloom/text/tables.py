"""Tables to documents: delimited text, JSON, Parquet; columns by name, or by number from 0."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count, islice
from typing import Any

from charloom.errors import DataError, MissingExtraError
from charloom.text import arrays, delimited, json_rows
from charloom.text.config import DataConfig
from charloom.text.decoding import normalised, text_blocks
from charloom.text.documents import Document
from charloom.text.sources import Source

TAB = "\t"
USUAL = {"csv": ",", "tsv": TAB}  # delimiters by kind
NULL = "\\N"  # how databases write a missing cell
HEAD = 100  # rows of JSON from which the columns are known


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
        """Return all columns that a table must have: texts, then conditions, then the source."""
        return (*self.text, *self.condition, *([self.source] if self.source else []))

    @property
    def numbered(self) -> bool:
        """Whether all columns are numbers, so that the first row of delimited text is no header."""
        return bool(self.text) and all(name.isdecimal() for name in self.names())


def rows(source: Source, columns: Columns, data: DataConfig) -> Iterator[Document]:
    """Yield the rows of a table as documents, texts normalised as `data` says.

    A cell without a value is an empty text or a missing condition. A condition may also be an array in an
    `.npz` beside the table. Raises DataError, naming file and line, for a broken row, and for a column that
    is not there, naming the nearest and those that are.
    """
    beside = arrays.read(source, columns.condition)
    of_table = replace(columns, condition=tuple(name for name in columns.condition if name not in beside))
    yield from arrays.joined(_rows(source, of_table, data), columns.condition, beside, source.label)


def delimiter(source: Source, columns: Columns, data: DataConfig) -> str:
    """Return what separates the cells of this table; "" for one that is not delimited text."""
    return _delimited(source, columns, data)[0].delimiter if source.kind in USUAL else ""


def _rows(source: Source, columns: Columns, data: DataConfig) -> Iterator[Document]:
    match source.kind:
        case "json":
            cells = _json_rows(source, columns, data)
        case "parquet":
            cells = _parquet_rows(source, columns)
        case _:
            cells = _delimited_rows(source, columns, data)
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
            f"{source.label}: the label {label!r} must be one of 1 to {len(names)}; fetch the file again"
        )
    return names[int(label) - 1]


def _places(source: Source, columns: Columns, header: Sequence[str], top: int | None = None) -> list[int]:
    """Return where the wanted columns stand among `header`, of which the first `top` are no nested fields."""
    names = columns.names()
    found = [] if columns.text else [_text_place(source, header[:top])]
    return found + [_place(source, name, header, top) for name in names]


def _text_place(source: Source, header: Sequence[str]) -> int:
    """Return where the text is that nobody has named."""
    named = [i for i, name in enumerate(header) if name.strip().lower() == "text"]
    if len(named) != 1 and len(header) != 1:
        listed = ", ".join(header) or "none"
        raise DataError(f"{source.label}: which column is the text? There are {listed}; say --text NAME")
    return named[0] if named else 0


def _place(source: Source, name: str, header: Sequence[str], top: int | None) -> int:
    if (found := list(header).count(name)) > 1:
        raise DataError(f"{source.label}: {found} columns are named {name!r}; rename one in the header")
    if found:
        return list(header).index(name)
    if name.isdecimal() and int(name) < len(header[:top]):
        return int(name)
    plain = {each.strip().casefold(): each for each in reversed(header)}
    near = difflib.get_close_matches(name.strip().casefold(), plain, 1)
    hint = f"did you mean {plain[near[0]]!r}?" if near else f"there are {', '.join(header) or 'none'}"
    raise DataError(f"{source.label}: there is no column {name!r}; {hint}")


def _delimited(
    source: Source, columns: Columns, data: DataConfig
) -> tuple[delimited.Dialect, Iterator[tuple[int, list[str]]]]:
    plain = DataConfig(encoding=data.encoding, normalize="none")
    return delimited.records(
        delimited.lines(text_blocks(source, plain)),
        () if columns.numbered else columns.names(),
        delimited.Dialect(data.delimiter, quotes=data.quotes),
        USUAL[source.kind],
        source.label,
    )


def _delimited_rows(source: Source, columns: Columns, data: DataConfig) -> Iterator[list[str]]:
    """Cells as text. The first row is a header unless every column wanted is a number."""
    _, records = _delimited(source, columns, data)
    header = next(records, None)
    if header is None:
        return
    if columns.numbered:
        records = chain([header], records)
        header = (1, [str(place) for place in range(len(header[1]))])
    places = _places(source, columns, header[1])
    for _, row in records:
        yield ["" if row[place] == NULL else row[place] for place in places]


def _json_rows(source: Source, columns: Columns, data: DataConfig) -> Iterator[list[Any]]:
    """Cells of JSON. A row may lack any column that one of the first rows has."""
    plain = DataConfig(encoding=data.encoding, normalize="none")
    within, found = json_rows.rows(text_blocks(source, plain), columns.names(), source.label)
    head = list(islice(found, HEAD))
    if not head:
        return
    if within:  # `data.text` is `text` of the rows in `data`
        columns = _without(columns, f"{within}.")
    header = list(dict.fromkeys(name for _, row in head for name in row))
    top = len(header)
    header += dict.fromkeys(path for _, row in head for path in json_rows.paths(row) if path not in header)
    names = [header[place] for place in _places(source, columns, header, top)]
    cell = _Cells(source, columns)
    for line, row in chain(head, found):
        yield cell.values(row, names, f"line {line}")


def _without(columns: Columns, prefix: str) -> Columns:
    return replace(
        columns,
        text=tuple(name.removeprefix(prefix) for name in columns.text),
        condition=tuple(name.removeprefix(prefix) for name in columns.condition),
        source=columns.source.removeprefix(prefix),
    )


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
            top = len(header)
            header += [path for field in table.schema_arrow for path in _fields(field) if path not in header]
            names = [header[place] for place in _places(source, columns, header, top)]
            needed = {name if name in header[:top] else name.partition(".")[0] for name in names}
            numbers, cell = count(1), _Cells(source, columns)
            for batch in table.iter_batches(batch_size=4096, columns=sorted(needed)):
                for row in batch.to_pylist():
                    yield cell.values(row, names, f"row {next(numbers)}")
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{source.label}: damaged, or not Parquet ({error}); fetch it again") from error


def _fields(field: Any) -> Iterator[str]:
    """Yield the name of a field of Arrow, and those of the fields within it after a dot."""
    yield field.name
    kind = field.type
    while hasattr(kind, "value_type"):  # a list
        kind = kind.value_type
    for within in kind if getattr(kind, "num_fields", 0) and hasattr(kind, "get_field_index") else ():
        yield from (f"{field.name}.{path}" for path in _fields(within))


class _Cells:
    """Values of JSON or Parquet as texts, labels and arrays; an array keeps the size of its first."""

    def __init__(self, source: Source, columns: Columns) -> None:
        self._label = source.label
        texts = len(columns.text) or 1
        self._conditions = range(texts, texts + len(columns.condition))
        self._sizes: dict[int, int] = {}

    def values(self, row: Mapping[str, Any], names: Sequence[str], where: str) -> list[Any]:
        """Return the cells of these names. Raises DataError for what is neither text nor numbers."""
        found: list[Any] = []
        for place, name in enumerate(names):
            value = row[name] if name in row else json_rows.reach(row, name.split("."))
            if isinstance(value, list) and place in self._conditions:
                found.append(self._array(value, place, f"{self._label}: {name} of {where}"))
            elif (text := json_rows.as_text(value)) is not None:
                found.append(text)
            else:
                raise self._no_text(value, name, where)
        return found

    def _array(self, value: list[Any], place: int, where: str) -> arrays.Array:
        array = arrays.of_numbers(value, where)
        size = self._sizes.setdefault(place, len(array))
        if len(array) != size:
            raise DataError(f"{where} has {len(array)} numbers, those before it {size}; fix the row")
        return array

    def _no_text(self, value: Any, name: str, where: str) -> DataError:
        inner = list(json_rows.paths({name: value}))[1:]
        kind = (
            "bytes" if isinstance(value, bytes) else "an object" if isinstance(value, Mapping) else "a list"
        )
        hint = f"name a field of it, such as {inner[0]}" if inner else "fix the row, or name another column"
        return DataError(f"{self._label}: {name} of {where} is {kind}, not text; {hint}")
