"""Training, validation and test as files: first their texts, then their ids.

A part is written in two passes. `TextWriter` puts its normalised text into one UTF-8 file, and for
documents a table beside it; once the vocabulary is known, `encode` turns that file into ids.

    NAME.text        UTF-8 (unit "byte": the bytes themselves), documents one after another
    NAME.table       documents only: int64 (n, 4): bytes and characters of the source, of the text
    NAME.labels      documents only: int32 (n, label conditions): the number of each label
    NAME.numbers     the same while documents are read and their labels are not yet all known
    NAME.arrays      documents only: float32 (n, the arrays' sizes together)
    NAME.ids         rows of the model, the narrowest unsigned type
    NAME.documents   documents only: int64 (n + 1,): where each begins among the ids, and the end
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from charloom.text.condition import Condition, Vectors, vectors, width
from charloom.text.decoding import BYTES
from charloom.text.documents import Document
from charloom.text.sources import BLOCK
from charloom.text.vocabulary import (
    BOS,
    EOS,
    POINTS,
    SEP,
    SPECIALS,
    CodePoints,
    Utf8Decoder,
    Vocabulary,
    begins,
    code_points,
)

Array = npt.NDArray[Any]
WRITTEN = ("text", "table", "numbers", "arrays")  # by the first pass
ROWS = 2**14  # of a table, read at a time
STAND_IN = {name: POINTS + i for i, name in enumerate(SPECIALS)}  # see Vocabulary.encode_points


@dataclass(frozen=True)
class Part:
    """One part of a corpus, memory-mapped and read-only.

    `ids` (n,): rows of the model, never virtual ids. `documents` (d + 1,): where each document begins,
    and the end; None for one whole text. `labels` (d, label conditions): a number into each one's
    values, −1 unknown. `arrays` (d, their sizes together), NaN unknown. `characters` and `bytes` count the
    text that is scored: no specials, no sources.
    """

    ids: Array
    documents: npt.NDArray[np.int64] | None
    labels: npt.NDArray[np.int32]
    arrays: npt.NDArray[np.float32]
    characters: int
    bytes: int
    unit: str
    _text: npt.NDArray[np.uint8]
    _table: npt.NDArray[np.int64]

    def text(self) -> str:
        """The part's normalised text; its documents one after another."""
        return _decoded(self._text) if self.documents is None else "".join(self.texts())

    def texts(self, limit: int | None = None) -> Iterator[str]:
        """The texts of the first `limit` documents; of a whole text, the text alone."""
        if self.documents is None:
            yield self.text()
            return
        ends = 0
        for source_bytes, _, text_bytes, _ in self._rows(limit):
            ends += source_bytes + text_bytes
            yield _decoded(self._text[ends - text_bytes : ends])

    def blocks(self) -> Iterator[str]:
        """The part's text, piece by piece, in memory that does not grow with it."""
        if self.documents is not None:
            yield from self.texts()
            return
        decoder = Utf8Decoder()
        for start in range(0, len(self._text), BLOCK):
            yield decoder.decode(self._text[start : start + BLOCK].tobytes())
        yield decoder.decode(b"", True)

    def sources(self, limit: int | None = None) -> Iterator[str]:
        """The texts that the first `limit` documents translate; empty where they translate none."""
        start = 0
        for source_bytes, _, text_bytes, _ in self._rows(limit):
            yield _decoded(self._text[start : start + source_bytes])
            start += source_bytes + text_bytes

    @property
    def longest_source(self) -> int:
        """Characters of the longest source."""
        return int(self._table[:, 1].max(initial=0))

    def source(self, document: int) -> str:
        """The text that this document translates, or ""."""
        start = int(self._table[:document, [0, 2]].sum())
        return _decoded(self._text[start : start + int(self._table[document, 0])])

    def condition(self, conditions: Sequence[Condition], document: int) -> dict[str, Any]:
        """What this document depends on, by name; what is unknown is left out."""
        found: dict[str, Any] = {}
        column = start = 0
        for condition in conditions:
            if condition.kind == "label":
                number = int(self.labels[document, column])
                if number >= 0:
                    found[condition.name] = condition.values[number]
                column += 1
            else:
                array = self.arrays[document, start : start + condition.size]
                if np.isfinite(array).all():
                    found[condition.name] = array
                start += condition.size
        return found

    def vectors(self, conditions: Sequence[Condition], documents: Array) -> Vectors:
        """The conditions of these documents (their numbers), (B, S); see `charloom.text.condition`."""
        if len(conditions) and not self.labels.shape[1] + self.arrays.shape[1]:  # a text that tells nothing
            return np.zeros((len(documents), width(conditions)), np.float32)
        return vectors(conditions, self.labels[documents], self.arrays[documents])

    def end(self, symbols: int) -> Part:
        """Return its last `symbols` ids, and as many characters of its text, as one whole text."""
        count = max(0, min(symbols, len(self.ids)))
        tail = self._text[max(0, len(self._text) - 4 * count) :]  # of UTF-8
        starts = np.flatnonzero(begins(tail) | (self.unit == "byte"))
        starts = starts[max(0, len(starts) - count) :]
        text = tail[starts[0] :] if len(starts) else tail[:0]
        ids, characters = self.ids[len(self.ids) - count :], len(starts)
        return replace(self, ids=ids, documents=None, characters=characters, bytes=len(text), _text=text)

    def _rows(self, limit: int | None) -> Iterator[list[int]]:
        """The table's rows, read so that no more than a few thousand are held."""
        table = self._table[:limit]
        for start in range(0, len(table), ROWS):
            yield from table[start : start + ROWS].tolist()

    def utf8(self) -> npt.NDArray[np.uint8]:
        """The bytes of the part's text (and sources), memory-mapped, documents one after another."""
        return self._text


class TextWriter:
    """The first pass: texts go to disk as they come; with `noted`, on from where that `note` was taken."""

    def __init__(self, folder: Path, name: str, unit: str, noted: Sequence[Any] | None = None) -> None:
        self.characters: int
        self.bytes: int
        self.documents: int
        counts, sizes = noted or ((0, 0, 0), (0,) * len(WRITTEN))
        self.characters, self.bytes, self.documents = counts
        self._unit = unit
        paths = [folder / f"{name}.{of}" for of in WRITTEN]
        self._files = [_opened(path, size) for path, size in zip(paths, sizes, strict=True)]
        self._text, self._table, self._numbers, self._arrays = self._files

    def add(self, text: str) -> bytes:
        """The next piece of one whole text; what was written of it."""
        data = encode_text(text, self._unit)
        self._text.write(data)
        self.characters += len(text)
        self.bytes += len(data)
        return data

    def note(self) -> list[list[int]]:
        """How much was written, which is in the files by then."""
        for file in self._files:
            file.flush()
        counts = [self.characters, self.bytes, self.documents]
        return [counts, [file.tell() for file in self._files]]

    def add_documents(
        self, documents: Sequence[Document], encoded: Sequence[bytes], labels: Array, arrays: Array
    ) -> None:
        """The next documents: `encoded` are their texts; `labels` and `arrays` as `Part` has them."""
        sources = [encode_text(document.source, self._unit) for document in documents]
        self._text.write(b"".join(chain.from_iterable(zip(sources, encoded, strict=True))))
        table = np.array(
            [
                [len(source) for source in sources],
                [len(document.source) for document in documents],
                [len(data) for data in encoded],
                [len(document.text) for document in documents],
            ],
            dtype=np.int64,
        )
        table.T.tofile(self._table)
        np.ascontiguousarray(labels, np.int32).tofile(self._numbers)
        np.ascontiguousarray(arrays, np.float32).tofile(self._arrays)
        self.characters += int(table[3].sum())
        self.bytes += int(table[2].sum())
        self.documents += len(documents)

    def close(self) -> None:
        """Nothing more comes."""
        for file in self._files:
            file.close()


def encode_text(text: str, unit: str) -> bytes:
    """Return a text as it goes to disk."""
    return text.encode(*_codec(unit))


def are_there(folder: Path, name: str, noted: Sequence[Any]) -> bool:
    """Whether the files of a part hold all that a writer's `note` tells of."""
    paths = [folder / f"{name}.{of}" for of in WRITTEN]
    return all(p.is_file() and p.stat().st_size >= size for p, size in zip(paths, noted[1], strict=True))


def _opened(path: Path, size: int) -> BinaryIO:
    file = path.open("r+b" if size else "wb")
    file.truncate(size)
    file.seek(size)
    return file


def encode_whole(
    folder: Path,
    text: str,
    cuts: Mapping[str, tuple[int, int]],
    vocabulary: Vocabulary,
    report: Callable[[int], None],
) -> dict[str, dict[str, Any]]:
    """The second pass for one whole text: the file `text` is cut by characters into parts.

    `cuts` gives each part's first and last character (exclusive), in the order of the text. Returns
    what `open_part` has to be told of each part.
    """
    described: dict[str, dict[str, Any]] = {}
    pieces = _characters(folder / text, vocabulary.unit)
    piece = ""
    at = 0  # bytes
    for name, (start, stop) in cuts.items():
        begin, left = at, stop - start
        with (folder / f"{name}.ids").open("wb") as file:
            writer = _IdWriter(file, vocabulary)
            if left and vocabulary.bos is not None:
                writer.add(np.array([STAND_IN[BOS]], dtype=np.uint32))
            while left:
                piece = piece or next(pieces)
                taken, piece = piece[:left], piece[left:]
                left -= len(taken)
                writer.add(code_points(taken))
                at += len(encode_text(taken, vocabulary.unit))
                report(at)
        described[name] = {
            "ids": writer.count, "characters": stop - start, "bytes": at - begin, "documents": None,
            "text": [text, begin, at],
        }  # fmt: skip
    return described


def encode_documents(
    folder: Path, name: str, vocabulary: Vocabulary, report: Callable[[int], None]
) -> dict[str, Any]:
    """The second pass for documents, many at a time. Returns what `open_part` has to be told."""
    table = _mapped(folder / f"{name}.table", np.int64).reshape(-1, 4)
    at = 0  # bytes
    with (
        (folder / f"{name}.text").open("rb") as text,
        (folder / f"{name}.ids").open("wb") as file,
        (folder / f"{name}.documents").open("wb") as starts,
    ):
        writer = _IdWriter(file, vocabulary)
        for rows in _batches(table):
            data = text.read(int(rows[:, 0].sum() + rows[:, 2].sum()))
            at += len(data)
            points = code_points(data.decode(*_codec(vocabulary.unit)))
            writer.add_documents(points, rows).tofile(starts)
            report(at)
        np.array([writer.count], dtype=np.int64).tofile(starts)
    return {
        "ids": writer.count, "characters": int(table[:, 3].sum()), "bytes": int(table[:, 2].sum()),
        "documents": len(table), "text": [f"{name}.text", 0, at],
    }  # fmt: skip


def open_part(
    folder: Path,
    name: str,
    described: Mapping[str, Any],
    vocabulary: Vocabulary,
    conditions: Sequence[Condition],
) -> Part:
    """Map a part that was written into `folder`."""
    rows = described["documents"] or 0
    labels = sum(condition.kind == "label" for condition in conditions)
    numbers = sum(condition.size for condition in conditions)
    text, start, stop = described["text"]
    count = described["documents"]
    whole = count is None
    return Part(
        ids=_mapped(folder / f"{name}.ids", narrowest(len(vocabulary))),
        documents=None if whole else _mapped(folder / f"{name}.documents", np.int64),
        labels=_table(folder / f"{name}.labels", np.int32, rows, labels),
        arrays=_table(folder / f"{name}.arrays", np.float32, rows, numbers),
        characters=described["characters"],
        bytes=described["bytes"],
        unit=vocabulary.unit,
        _text=_mapped(folder / text, np.uint8)[start:stop],
        _table=np.zeros((0, 4), np.int64)
        if whole
        else _mapped(folder / f"{name}.table", np.int64).reshape(-1, 4),
    )


def _table(path: Path, dtype: npt.DTypeLike, rows: int, columns: int) -> Array:
    return (
        _mapped(path, dtype).reshape(rows, columns) if rows and columns else np.zeros((rows, columns), dtype)
    )


def _decoded(utf8: npt.NDArray[np.uint8]) -> str:
    return Utf8Decoder().decode(utf8.tobytes(), True)


def in_source(ids: Array, vocabulary: Vocabulary, inside: bool = False) -> tuple[npt.NDArray[np.bool_], bool]:
    """Which of `ids` belong to a source, from its `<bos>` to its `<sep>`, and whether one is still open.

    `inside` tells whether one was open before them.
    """
    if vocabulary.sep is None:
        return np.zeros(len(ids), np.bool_), False
    opened = np.cumsum((ids == vocabulary.bos).astype(np.int64) - (ids == vocabulary.sep)) + inside
    return (opened > 0) | (ids == vocabulary.sep), bool(opened[-1] > 0) if len(opened) else inside


def narrowest(rows: int) -> np.dtype[Any]:
    """The narrowest unsigned type that numbers so many rows."""
    return np.min_scalar_type(max(0, rows - 1))


class _IdWriter:
    def __init__(self, file: Any, vocabulary: Vocabulary) -> None:
        self.count = 0
        self._file = file
        self._vocabulary = vocabulary
        self._type = narrowest(len(vocabulary))

    def add(self, points: CodePoints) -> Array:
        ids = self._vocabulary.encode_points(points)
        self._vocabulary.rows(ids).astype(self._type).tofile(self._file)
        self.count += len(ids)
        return ids

    def add_documents(self, points: CodePoints, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Write documents, `<bos>` source `<sep>` text `<eos>` each; returns where they begin."""
        before, vocabulary = self.count, self._vocabulary
        ends = np.cumsum(rows[:, 1] + rows[:, 3])
        starts = np.concatenate([[0], ends[:-1]])
        if vocabulary.bos is None or vocabulary.eos is None:
            self.add(points)
            return before + starts
        columns, marks = [starts, ends], [STAND_IN[BOS], STAND_IN[EOS]]
        if vocabulary.sep is not None:
            columns.insert(1, starts + rows[:, 1])
            marks.insert(1, STAND_IN[SEP])
        places = np.stack(columns, axis=1).ravel()
        ids = self.add(np.insert(points.astype(np.uint32), places, np.tile(marks, len(rows))))
        return before + np.flatnonzero(ids == vocabulary.bos)


def _characters(path: Path, unit: str) -> Iterator[str]:
    decoder = Utf8Decoder()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block.decode(BYTES) if unit == "byte" else decoder.decode(block)


def _batches(table: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    """Rows of about a block's bytes each, one at least."""
    start = 0
    while start < len(table):
        sizes = table[start : start + ROWS, [0, 2]].sum(axis=1).cumsum()
        stop = start + max(1, int(np.searchsorted(sizes, BLOCK)))
        yield table[start:stop]
        start = stop


def _codec(unit: str) -> tuple[str, str]:
    return (BYTES, "strict") if unit == "byte" else ("utf-8", "surrogatepass")


def _mapped(path: Path, dtype: npt.DTypeLike) -> Array:
    """A read-only memory map; an empty array for an empty file, which cannot be mapped."""
    if path.stat().st_size == 0:
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, mode="r")
