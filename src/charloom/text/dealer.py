"""Documents are dealt to the parts; what that has come to can be noted, and gone on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress, islice
from pathlib import Path
from typing import Any

import numpy as np

from charloom.text.config import DataConfig
from charloom.text.documents import Document, places
from charloom.text.parts import TextWriter
from charloom.text.tallies import Tallies
from charloom.text.vocabulary import FirstAppearances

PIECE = 2**17  # characters of documents that are dealt at a time
PARTS = ("train", "validation", "test")


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
        encoded = [self._writers[0].encoded(document.text) for document in piece]
        self.bytes += sum(map(len, encoded))
        parts = np.searchsorted(borders, places(map(_identity, piece, encoded)), side="right")
        for number, writer in enumerate(self._writers):
            mask = parts == number
            chosen = list(compress(piece, mask))
            writer.add_documents(chosen, list(compress(encoded, mask)), labels[mask], arrays[mask])
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
