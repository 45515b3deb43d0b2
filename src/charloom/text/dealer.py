"""Documents are dealt to the parts; what that has come to can be noted, and gone on from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import compress, islice
from pathlib import Path
from typing import Any

import numpy as np

from charloom.text.config import DataConfig
from charloom.text.documents import Document, places
from charloom.text.parts import TextWriter, encode_text
from charloom.text.tallies import Tallies
from charloom.text.vocabulary import FirstAppearances

PIECE = 2**17  # characters of documents that are dealt at a time
MAX_RANKED = 10_000  # documents that may still be too few for one of the parts
PARTS = ("train", "validation", "test")


def borders(
    documents: Iterable[Document], unit: str, fractions: Sequence[float], usual: tuple[float, float]
) -> tuple[float, float]:
    """Return where training and validation end among the places of documents, from 0 to 100.

    That is `usual`, which follows from the `fractions`, unless the documents are so few that a part of
    which there should be something gets none. Then the parts are cut by rank among the places: each gets a
    document at least, training before validation before test, as far as there are different ones.
    """
    found: set[float] = set()
    missing = {part for part, fraction in enumerate(fractions) if fraction}
    for document in documents:
        if document.text and not document.text.isspace():
            (place,) = places([_identity(document, encode_text(document.text, unit))]).tolist()
            found.add(place)
            missing.discard(int(np.searchsorted(usual, place, side="right")))
        if not missing or len(found) > MAX_RANKED:
            return usual
    ranked = [*sorted(found), 100.0]
    ends = np.rint(np.cumsum(fractions) / 100 * len(found)).astype(int)
    sizes = np.diff(ends, prepend=0)
    for part in [part for part, fraction in enumerate(fractions) if fraction][: len(found)]:
        if not sizes[part]:
            sizes[len(sizes) - 1 - sizes[::-1].argmax()] -= 1
            sizes[part] = 1
    first, second = np.cumsum(sizes)[:2].tolist()
    return ranked[first], ranked[second]


class Dealer:
    """Deals documents to the parts, many at a time, and notes the characters of the training part.

    `elsewhere` are those of the other parts, where there are no specials to write them with. With `noted`
    it goes on where another dealer's `note` was taken.
    """

    def __init__(
        self, folder: Path, data: DataConfig, tallies: Tallies, specials: bool, noted: Mapping[str, Any]
    ) -> None:
        self.seen, self.elsewhere = (FirstAppearances(*each) for each in noted.get("seen", ((), ())))
        self.tallies = tallies
        self._unit = data.unit
        self.bytes, self.blank = noted.get("sizes", (0, 0))
        written = noted.get("written", {})
        self._writers = [TextWriter(folder, name, data.unit, written.get(name)) for name in PARTS]
        self._noted = (
            [] if data.unit == "byte" else [self.seen] if specials else [self.seen, *[self.elsewhere] * 2]
        )

    def deal(self, piece: list[Document], borders: tuple[float, float]) -> None:
        """Write these documents, each to the part that its place among the borders gives.

        Those of nothing but white space are left out.
        """
        given = len(piece)
        piece = [document for document in piece if document.text and not document.text.isspace()]
        self.blank += given - len(piece)
        labels, arrays = self.tallies.numbers(piece)
        data = [encode_text(document.text, self._unit) for document in piece]
        self.bytes += sum(map(len, data))
        parts = np.searchsorted(borders, places(map(_identity, piece, data)), side="right")
        for number, writer in enumerate(self._writers):
            mask = parts == number
            chosen = list(compress(piece, mask))
            writer.add_documents(chosen, list(compress(data, mask)), labels[mask], arrays[mask])
            if number < len(self._noted):
                self._noted[number].add("".join(document.source + document.text for document in chosen))

    def note(self) -> dict[str, Any]:
        """All that dealing has come to, of what JSON holds; what was written is in the files."""
        return {
            "written": {name: writer.note() for name, writer in zip(PARTS, self._writers, strict=True)},
            "seen": [[each.positions, each.length] for each in (self.seen, self.elsewhere)],
            "sizes": [self.bytes, self.blank],
            "tallies": self.tallies.note(),
        }

    def close(self) -> list[int]:
        """Nothing more comes; the number of documents in each part."""
        for writer in self._writers:
            writer.close()
        return [writer.documents for writer in self._writers]


def pieces(
    files: Sequence[Callable[[], Iterator[Document]]], begun: tuple[int, int] = (0, 0)
) -> Iterator[tuple[list[Document], tuple[int, int]]]:
    """Lists of documents, of about `PIECE` characters each; and after each of them the place it ends at.

    A place is a file and how many of its documents come before it. `begun` is where to begin: whole files
    before it are not opened.
    """
    piece: list[Document] = []
    size = 0
    for number in range(begun[0], len(files)):
        skipped = begun[1] if number == begun[0] else 0
        for place, document in enumerate(islice(files[number](), skipped, None), skipped + 1):
            piece.append(document)
            size += len(document.text)
            if size > PIECE:
                yield piece, (number, place)
                piece, size = [], 0
    if piece:
        yield piece, (len(files), 0)


def _identity(document: Document, encoded: bytes) -> bytes:
    """What makes a document another one: its text, its source and its arrays, but not its labels.

    Many images may have one caption; what two labels share is still the same text.
    """
    given = [document.source.encode("utf-8", "surrogatepass")] if document.source else []
    given += [each.tobytes() for each in document.conditions if not isinstance(each, str)]
    return b"\0".join([encoded, *given])
