"""The first pass over a corpus: texts are read, normalised, cut into documents and dealt to the parts."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from charloom.errors import DataError, UsageError
from charloom.text import arrays, cache
from charloom.text.condition import Condition
from charloom.text.config import DataConfig, Progress, Report
from charloom.text.dealer import PARTS, Dealer, borders, pieces
from charloom.text.decoding import encoding_of, text_blocks
from charloom.text.documents import Document, Mode, guess, lines, paragraphs
from charloom.text.parts import TextWriter, are_there
from charloom.text.sources import Collection, Source
from charloom.text.tables import TAB, Columns, delimiter, rows
from charloom.text.tallies import Tallies
from charloom.text.vocabulary import FirstAppearances

Told = Callable[[int], None]
Doing = Literal["reading", "reading on"]
Documents = Callable[[], Iterator[Document]]
Sums = dict[str, tuple[int, int]]

SAMPLE = 2**18  # characters that the guess of the documents looks at
SEGMENT = 2**26  # bytes between two notes of how far a reading is: half a second


@dataclass(frozen=True)
class Reading:
    """What the first pass found.

    `encoding` is that of the first file ("bytes" where nothing is decoded).
    `cuts`, for one whole text: of each text file, where the parts lie in it, in characters.
    `characters` are the vocabulary's in order. `bytes` is the size of all texts as UTF-8. `contents` tell
    equal normalized texts of collections by their lengths and checksums, held out ones last. `columns` are
    those that a tab joins to the text, `delimiter` separates those of the first table, `blank` is how many
    documents had no text and were left out.
    """

    mode: Mode
    guess: str
    encoding: str
    characters: tuple[str, ...]
    conditions: Sequence[Condition]
    cuts: Mapping[str, Mapping[str, tuple[int, int]]]
    bytes: int
    contents: Sequence[str]
    columns: Sequence[str] = ()
    delimiter: str = ""
    blank: int = 0


def read(
    collections: Sequence[Collection],
    held_out: Sequence[Collection],
    data: DataConfig,
    labels: Mapping[str, Sequence[str]],
    folder: Path,
    specials: bool,
    progress: Report,
) -> Reading:
    """Write the parts' texts into `folder`. `held_out` is the validation part, where it stands apart.

    `labels` gives the values of conditions, where they are known beforehand.
    """
    mode, reason = _mode(collections, data)
    for source in (source for collection in held_out for source in collection.sources):
        if (source.kind == "text") == (mode == "row"):
            found = (
                "no table, but the training text is one"
                if mode == "row"
                else "a table, but the training text is none"
            )
            raise UsageError(f"validation: {source.label} is {found}; give two of a kind")
    if mode == "whole":
        return _read_whole(collections, held_out, data, folder, specials, progress, reason)
    return _read_documents(collections, held_out, data, labels, folder, specials, progress, mode, reason)


def documents(
    collections: Sequence[Collection], mode: Mode, data: DataConfig, sums: Sums | None = None, group: int = 0
) -> list[Documents]:
    """What gives the documents of each of these files, in order; of long files of lines, of each piece.

    `sums` takes down what tells equal ones, by group, collection and file.
    """
    cut = mode == "line" and not data.conditions
    found: list[Documents] = []
    for owner, collection in enumerate(collections):
        columns = columns_of(collection, data)
        for source in _segments([collection], data) if cut else collection.sources:
            file: Documents = partial(_documents, source, columns, mode, data)
            key = f"{group}.{owner}.{len(found)}"
            found.append(file if sums is None else partial(_summed, file, sums, key))
    return found


def _summed(file: Documents, sums: Sums, key: str) -> Iterator[Document]:
    """The documents of a file; when all are given, their number and the sum of their CRC-32s is noted."""
    count = total = 0
    for document in file():
        if document.text and not document.text.isspace():
            count += 1
            whole = f"{document.source}\0{document.text}" if document.source else document.text
            total += zlib.crc32(whole.encode("utf-8", "surrogatepass"))
        yield document
    sums[key] = (count, total)


def _of(sums: Sums, prefix: str) -> list[tuple[int, int]]:
    return [found for key, found in sums.items() if key.startswith(prefix)]


def columns_of(collection: Collection, data: DataConfig) -> Columns:
    """The columns of a table: those asked for, else those that the catalog knows."""
    entry = collection.entry
    if entry and entry.text and not data.text and data.condition in ((), (entry.called,)):
        return Columns(entry.text, entry.condition, data.source, entry.labels, between=" ")
    if entry and entry.text and not data.text and not data.conditions:
        return Columns(entry.text, (), data.source, between=" ")
    return Columns(data.text, data.conditions, data.source)


def _documents(source: Source, columns: Columns, mode: Mode, data: DataConfig) -> Iterator[Document]:
    if source.kind != "text":
        return rows(source, columns, data)
    blocks = text_blocks(source, data)
    found: Iterator[Document]
    match mode:
        case "line":
            found = map(Document, lines(blocks))
        case "blank":
            found = map(Document, paragraphs(blocks))
        case _:
            found = iter((Document("".join(blocks)),))
    beside = arrays.read(source, columns.condition)
    if missing := [name for name in columns.condition if name not in beside]:
        raise DataError(f"{source.label}: {missing[0]} is no array in an .npz beside it; leave it out")
    return arrays.joined(found, columns.condition, beside, source.label)


def _mode(collections: Sequence[Collection], data: DataConfig) -> tuple[Mode, str]:
    sources = [source for collection in collections for source in collection.sources]
    if any(source.kind != "text" for source in sources):
        if data.documents != "auto":
            raise UsageError(f"documents: the rows of a table are documents; leave out {data.documents!r}")
        return "row", ""
    if (
        data.text
        or data.source
        or data.delimiter
        or (data.conditions and not all(map(arrays.beside, sources)))
    ):
        raise UsageError(
            f"{sources[0].label}: is no table by its name, so it has no columns; rename it to .csv, .tsv or "
            ".json, or leave out columns and delimiter"
        )
    if data.documents != "auto":
        return data.documents, ""
    if all(collection.entry for collection in collections):
        return "whole", ""
    sample = next(text_blocks(sources[0], data), "")
    return guess(sample[:SAMPLE], len(sources))


def _segments(collections: Sequence[Collection], data: DataConfig) -> list[Source]:
    """The files, long ones in pieces, at whose borders a reading that was broken off can go on."""
    found: list[Source] = []
    for source in (source for collection in collections for source in collection.sources):
        long = source.path.stat().st_size >= 2 * SEGMENT
        cut = long and (data.unit == "byte" or encoding_of(source, data).startswith("utf-8"))
        found += source.cut(SEGMENT) if cut else [source]
    return found


def _read_text(
    folder: Path, name: str, group: Sequence[Collection], data: DataConfig, seen: FirstAppearances, told: Told
) -> tuple[TextWriter, FirstAppearances, list[str]]:
    """All files as one text; in the unit "char" each file begins on a new line. Last: each one's content.

    Now and then it is noted in NAME.json how far the reading is; where there is such a note, it goes on.
    """
    noted = _noted(folder, name)
    done, last = noted.get("done", 0), noted.get("last", "\n")
    segments = [(n, source) for n, each in enumerate(group) for source in _segments([each], data)]
    contents = noted.get("contents") or [[0, 0, 1] for _ in group]  # bytes, CRC-32, Adler-32
    if noted:
        seen = FirstAppearances(*noted["seen"])
    writer = TextWriter(folder, name, data.unit, noted.get("written", {}).get(name))
    with contextlib.closing(writer):
        at = writer.bytes
        for number, (owner, source) in enumerate(segments[done:], done + 1):
            joins = not source.start and last != "\n" and data.unit == "char"
            for block in text_blocks(source, data):
                text = "\n" + block if joins and block else block
                written = writer.add(text)[len(text) - len(block) :]
                joins = joins and not block
                length, crc, adler = contents[owner]
                contents[owner] = [
                    length + len(written), zlib.crc32(written, crc), zlib.adler32(written, adler)
                ]  # fmt: skip
                seen.add(text)
                last = text[-1:] or last
                told(writer.bytes)
            if writer.bytes - at >= SEGMENT or number == len(segments):
                known = [seen.positions, seen.length]
                note = {"done": number, "last": last, "seen": known, "written": {name: writer.note()}}
                _note(folder, name, {**note, "contents": contents})
                at = writer.bytes
    return writer, seen, ["{}-{:08x}{:08x}".format(*content) for content in contents]


def _note(folder: Path, name: str, note: Mapping[str, Any]) -> None:
    """Write down how far the reading is."""
    cache.replace_file(folder / f"{name}.json", json.dumps(note).encode("ascii"))


def _noted(folder: Path, name: str) -> Mapping[str, Any]:
    """The note of one who was interrupted, if all that it tells of is still there after a power cut."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return {}
    note: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return note if all(are_there(folder, part, told) for part, told in note["written"].items()) else {}


def _doing(noted: Mapping[str, Any]) -> Doing:
    return "reading on" if noted else "reading"


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
    contents: list[str] = []
    seen = FirstAppearances()
    for name, group in (("whole", collections), ("held-out", held_out)):
        if name == "held-out":  # is read anew
            (folder / f"{name}.json").unlink(missing_ok=True)
        before, doing = size, _doing(_noted(folder, name))

        def told(written: int, before: int = before, doing: Doing = doing) -> None:
            progress(Progress(before + written, total, doing))

        if name == "whole":
            writer, seen, found = _read_text(folder, name, group, data, seen, told)
        else:
            elsewhere = FirstAppearances() if specials else seen
            writer, _, found = _read_text(folder, name, group, data, elsewhere, told)
        contents += found
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
    encoding = _encoding(collections, data)
    return Reading("whole", reason, encoding, characters, (), cuts, size, contents)


def _read_documents(
    collections: Sequence[Collection],
    held_out: Sequence[Collection],
    data: DataConfig,
    labels: Mapping[str, Sequence[str]],
    folder: Path,
    specials: bool,
    progress: Report,
    mode: Mode,
    reason: str,
) -> Reading:
    noted = _noted(folder, "documents")
    begun, *place = noted.get("place", (0, 0, 0))
    tallies = Tallies(_conditions(collections, data, labels), _label(collections), noted.get("tallies"))
    dealer, sums = Dealer(folder, data, tallies, specials, noted), dict(noted.get("sums", {}))
    total = _size([*collections, *held_out])
    at = dealer.bytes
    try:
        for number, group in enumerate((collections, held_out)):
            if number < begun:
                continue
            start = (place[0], place[1]) if number == begun else (0, 0)
            files = documents(group, mode, data, sums, number)
            ends = (0.0, 100.0)
            if group is collections:
                read = chain.from_iterable(file() for file in files)
                ends = borders(read, data.unit, _shares(data, bool(held_out)), _borders(data, bool(held_out)))
            for piece, end in pieces(files, start):
                dealer.deal(piece, ends)
                if dealer.bytes - at >= SEGMENT:
                    _note(folder, "documents", {"place": [number, *end], "sums": sums, **dealer.note()})
                    at = dealer.bytes
                progress(Progress(dealer.bytes, total, _doing(noted)))
        _note(folder, "documents", {"place": [2, 0, 0], "sums": sums, **dealer.note()})
    finally:
        counts = dealer.close()
    _check(collections, data, sum(counts), counts[0], counts[1], "rows" if mode == "row" else "documents")
    characters = tuple(dict.fromkeys((*dealer.seen.positions, *dealer.elsewhere.positions)))
    conditions = dealer.tallies.settle([folder / name for name in PARTS])
    encoding, columns = _encoding(collections, data), columns_of(collections[0], data)
    joined = columns.text if columns.between == TAB else ()
    cut = delimiter(collections[0].sources[0], columns, data) if mode == "row" else ""
    contents = [
        "{:x}-{:x}".format(*map(sum, zip(*_of(sums, f"{number}.{owner}."), strict=True)))
        for number, group in enumerate((collections, held_out))
        for owner in range(len(group))
    ]
    return Reading(
        mode, reason, encoding, characters, conditions, {}, dealer.bytes, contents, joined, cut, dealer.blank
    )


def _shares(data: DataConfig, apart: bool) -> tuple[float, float, float]:
    """The percentages of the parts; apart, validation leaves its share to training."""
    first, validation, test = data.fractions
    return (first + validation, 0, test) if apart else data.fractions


def _borders(data: DataConfig, apart: bool) -> tuple[float, float]:
    """Where training and validation end, in percent."""
    first, validation, test = _shares(data, apart)
    return (100 if validation == test == 0 else first, 100 if test == 0 else first + validation)


def _conditions(
    collections: Sequence[Collection], data: DataConfig, labels: Mapping[str, Sequence[str]]
) -> dict[str, Sequence[str]]:
    """The conditions and the values known beforehand."""
    columns, entry = columns_of(collections[0], data), collections[0].entry
    if entry and columns.labels:
        return {entry.called: columns.labels}
    return {name: labels.get(name, ()) for name in columns.condition}


def _size(collections: Sequence[Collection]) -> int | None:
    """Bytes of text to come, unless only reading them can tell."""
    if any(source.packed or source.kind == "parquet" for c in collections for source in c.sources):
        return None
    return sum(collection.size() for collection in collections)


def _encoding(collections: Sequence[Collection], data: DataConfig) -> str:
    source = collections[0].sources[0]
    return (
        "bytes"
        if data.unit == "byte"
        else data.encoding
        if source.kind == "parquet"
        else encoding_of(source, data)
    )


def _label(collections: Sequence[Collection]) -> str:
    sources = collections[0].sources
    return (
        sources[0].label if len(collections) == len(sources) == 1 else f"{collections[0].name} and the rest"
    )


def _check(
    collections: Sequence[Collection], data: DataConfig, length: int, train: int, validation: int, what: str
) -> None:
    if not length and what == "rows":
        raise DataError(
            f"{_label(collections)}: no row has a text; give a table with a header and rows below"
        )
    if not length:
        raise DataError(f"{_label(collections)}: is empty; give a file with text in it")
    for name, size, fraction in (("training", train, 100.0), ("validation", validation, data.fractions[1])):
        if not size and (fraction or data.validation):
            raise DataError(
                f"{_label(collections)}: {length} {what} leave nothing for {name}; give more text, "
                "or --fractions 100/0/0 to hold nothing out"
            )
