"""The first pass over a corpus: texts are read, normalised, cut into documents and dealt to the parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from charloom.errors import DataError, UsageError
from charloom.text.config import DataConfig, Progress
from charloom.text.decoding import text_blocks
from charloom.text.documents import Document, Mode, guess, lines, paragraphs, place
from charloom.text.parts import TextWriter
from charloom.text.sources import Collection, Report, Source
from charloom.text.tables import Columns, rows
from charloom.text.vocabulary import FirstAppearances

SAMPLE = 2**18  # characters that the guess of the documents looks at
PIECE = 2**16  # characters of documents that are looked through at a time


@dataclass(frozen=True)
class Reading:
    """What the first pass found.

    `cuts`, for one whole text: of each text file, where the parts lie in it, in characters.
    `characters` are the vocabulary's in order. `bytes` is the size of all texts as UTF-8.
    """

    mode: Mode
    guess: str
    characters: tuple[str, ...]
    conditions: Mapping[str, list[str]]
    cuts: Mapping[str, Mapping[str, tuple[int, int]]]
    bytes: int


def read(
    collections: Sequence[Collection],
    held_out: Sequence[Collection],
    data: DataConfig,
    folder: Path,
    specials: bool,
    progress: Report,
) -> Reading:
    """Write the parts' texts into `folder`. `held_out` is the validation part, where it stands apart."""
    mode, reason = _mode(collections, data)
    if mode == "whole":
        return _read_whole(collections, held_out, data, folder, specials, progress, reason)
    return _read_documents(collections, held_out, data, folder, specials, progress, mode, reason)


def documents(collections: Sequence[Collection], mode: Mode, data: DataConfig) -> Iterator[Document]:
    """The documents of these files, in order; those of nothing but white space are left out."""
    for collection in collections:
        for source in collection.sources:
            for document in _documents(source, columns_of(collection, data), mode, data):
                if document.text and not document.text.isspace():
                    yield document


def columns_of(collection: Collection, data: DataConfig) -> Columns:
    """The columns of a table: those asked for, else those that the catalog knows."""
    entry = collection.entry
    if entry and entry.text and not data.text and not data.condition:
        return Columns(entry.text, entry.condition, data.source, entry.labels)
    return Columns(data.text, data.condition, data.source)


def _documents(source: Source, columns: Columns, mode: Mode, data: DataConfig) -> Iterator[Document]:
    if source.kind != "text":
        return rows(source, columns, data)
    blocks = text_blocks(source, data)
    match mode:
        case "line":
            return map(Document, lines(blocks))
        case "blank":
            return map(Document, paragraphs(blocks))
        case _:
            return iter((Document("".join(blocks)),))


def _mode(collections: Sequence[Collection], data: DataConfig) -> tuple[Mode, str]:
    sources = [source for collection in collections for source in collection.sources]
    if any(source.kind != "text" for source in sources):
        if data.documents != "auto":
            raise UsageError(f"documents: the rows of a table are documents; leave out {data.documents!r}")
        return "row", ""
    if data.text or data.condition or data.source:
        raise UsageError(
            f"{sources[0].label}: is no table, so it has no columns; leave out the columns' names"
        )
    if data.documents != "auto":
        return data.documents, ""
    if all(collection.entry for collection in collections):
        return "whole", ""
    sample = next(text_blocks(sources[0], data), "")
    return guess(sample[:SAMPLE], len(sources))


def _joined(collections: Sequence[Collection], data: DataConfig) -> Iterator[str]:
    """All files as one text; in the unit "char" each file begins on a new line."""
    last = "\n"
    for collection in collections:
        for source in collection.sources:
            first = True
            for block in text_blocks(source, data):
                if first and last != "\n" and data.unit == "char":
                    yield "\n"
                if block:
                    yield block
                    last, first = block[-1], False


def _read_whole(
    collections: Sequence[Collection],
    held_out: Sequence[Collection],
    data: DataConfig,
    folder: Path,
    specials: bool,
    progress: Report,
    reason: str,
) -> Reading:
    total, size, done = _size([*collections, *held_out]), 0, []
    seen = FirstAppearances()
    for name, group in (("whole", collections), ("held-out", held_out)):
        writer = TextWriter(folder, name, data.unit)
        for block in _joined(group, data):
            writer.add(block)
            if name == "whole" or not specials:
                seen.add(block)
            progress(Progress(size + writer.bytes, total, "reading"))
        writer.close()
        size += writer.bytes
        done.append(writer.characters)
    length, validation = done
    first, second = _borders(data, bool(held_out))
    ends = (int(length * first / 100 + 1e-6), int(length * second / 100 + 1e-6))
    cuts = {
        "whole.text": {"train": (0, ends[0]), "validation": ends, "test": (ends[1], length)},
        "held-out.text": {"validation": (0, validation)},
    }
    if not held_out:
        del cuts["held-out.text"]
        validation = ends[1] - ends[0]
    _check(collections, data, length, ends[0], validation, "characters")
    known = seen.positions
    characters = tuple(c for c, at in known.items() if at < ends[0] or not specials)
    _check_variety(collections, data, characters)
    return Reading("whole", reason, characters, {}, cuts, size)


def _read_documents(
    collections: Sequence[Collection],
    held_out: Sequence[Collection],
    data: DataConfig,
    folder: Path,
    specials: bool,
    progress: Report,
    mode: Mode,
    reason: str,
) -> Reading:
    first, second = _borders(data, bool(held_out))
    total = _size([*collections, *held_out])
    writers = {name: TextWriter(folder, name, data.unit) for name in ("train", "validation", "test")}
    conditions = _conditions(collections, data)
    numbers = [{value: i for i, value in enumerate(values)} for values in conditions.values()]
    seen, unseen = FirstAppearances(), FirstAppearances()
    waiting: list[str] = []
    size = 0
    dealt = chain(
        ((document, False) for document in documents(collections, mode, data)),
        ((document, True) for document in documents(held_out, mode, data)),
    )
    while piece := list(islice(dealt, 256)):
        for document, apart in piece:
            encoded = writers["train"].encoded(document.text)
            at = place(encoded)
            name = (
                "validation" if apart else "train" if at < first else "validation" if at < second else "test"
            )
            if len(document.labels) != len(numbers):
                raise DataError(
                    "a document without labels is among those with; give texts with the same columns"
                )
            labels = [
                known.setdefault(v, len(known)) for known, v in zip(numbers, document.labels, strict=True)
            ]
            writers[name].add_document(document, encoded, labels)
            size += len(encoded)
            if data.unit == "byte":
                continue
            if name == "train":
                waiting.append(document.source)
                waiting.append(document.text)
            elif not specials:
                unseen.add(document.source + document.text)
        seen.add("".join(waiting))
        waiting.clear()
        progress(Progress(size, total, "reading"))
    for writer in writers.values():
        writer.close()
    counts = {name: writer.documents for name, writer in writers.items()}
    _check(collections, data, sum(counts.values()), counts["train"], counts["validation"], "documents")
    characters = tuple(dict.fromkeys((*seen.positions, *unseen.positions)))
    _check_variety(collections, data, characters)
    named = {name: list(known) for name, known in zip(conditions, numbers, strict=True)}
    return Reading(mode, reason, characters, named, {}, size)


def _borders(data: DataConfig, apart: bool) -> tuple[float, float]:
    """Where training and validation end, in percent; apart, validation leaves its share to training."""
    first, validation, test = data.fractions
    end = 100 if test == 0 else first + validation
    return (end, end) if apart else (100 if validation == test == 0 else first, end)


def _conditions(collections: Sequence[Collection], data: DataConfig) -> dict[str, tuple[str, ...]]:
    """The conditions and the values known beforehand."""
    columns = columns_of(collections[0], data)
    return {"label": columns.labels} if columns.labels else dict.fromkeys(columns.condition, ())


def _size(collections: Sequence[Collection]) -> int | None:
    """Bytes of text to come, unless only reading them can tell."""
    if any(source.packed or source.kind == "parquet" for c in collections for source in c.sources):
        return None
    return sum(collection.size() for collection in collections)


def _label(collections: Sequence[Collection]) -> str:
    sources = collections[0].sources
    return (
        sources[0].label if len(collections) == len(sources) == 1 else f"{collections[0].name} and the rest"
    )


def _check(
    collections: Sequence[Collection], data: DataConfig, length: int, train: int, validation: int, what: str
) -> None:
    if not length:
        raise DataError(f"{_label(collections)}: is empty; give a file with text in it")
    for name, size, fraction in (("training", train, 100.0), ("validation", validation, data.fractions[1])):
        if not size and (fraction or data.validation):
            raise DataError(
                f"{_label(collections)}: {length} {what} leave nothing for {name}; give more text, "
                "or --fractions 100/0/0 to hold nothing out"
            )


def _check_variety(collections: Sequence[Collection], data: DataConfig, characters: Sequence[str]) -> None:
    if data.unit == "char" and len(characters) < 2:
        raise DataError(
            f"{_label(collections)}: the training text is nothing but {characters[0]!r}; "
            "give a text with more than one character in it"
        )
