"""What of a held-out part is scored, and what each symbol counts for.

Scored are all symbols that a text needs, `<eos>` at a document's end among them, but no `<bos>`, which
is given. The mean is taken over the characters of the text alone, and specials are none. In the unit
"byte", a byte is a character. Where a vocabulary has no `<bos>`, nothing comes before a text's first
symbol, which is then neither scored nor counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from charloom.errors import DataError, UsageError
from charloom.text.condition import Condition, Vectors
from charloom.text.corpus import Part
from charloom.text.parts import in_source
from charloom.text.vocabulary import Vocabulary

Ids = np.ndarray[Any, np.dtype[Any]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

PIECE = 2**16  # symbols that are looked at once
PIECES = 2**10
"""Symbols of a piece, where a long text is read in pieces side by side: many times as fast as one stream.
Each is read from `AHEAD` symbols before it, after which the state is nearly what it would have been."""
AHEAD = 256
LONG = 2**13  # symbols of a document from which it is read by itself, lest its batch grow with it


class Span(NamedTuple):
    """ids[start:stop] of a document are read from its beginning; the first `skip` are not scored.

    That is a zero state after `<bos>`, if there is one; where something is given of the documents, the
    state that the condition gives, and `<bos>` and the source are among the ids.
    """

    start: int
    stop: int
    skip: int
    document: int = 0


class HeldOut:
    """A part, or its beginning of `limit` symbols. Raises DataError where there is nothing to score.

    With `conditions`, or sources, documents are read whole, each after what is given of it.

    `characters` and `bytes` (V,) tell how much text a scored row stands for; `<byte>`, of which several
    make one character, counts the mean share of one. `spelling` (V,) are the nats beyond the row's own
    that say what it stands for: ln 256 for `<byte>`. `given` tells whether documents are read after what is
    given of them. `counts` (V,): how often each row is scored.
    """

    def __init__(
        self,
        part: Part,
        vocabulary: Vocabulary,
        limit: int | None = None,
        conditions: Sequence[Condition] = (),
    ) -> None:
        if limit is not None and limit < 1:
            raise UsageError(f"limit is {limit}; it takes a number of characters from 1")
        self.ids = part.ids if limit is None else part.ids[: limit + 1]  # the first is never scored
        self.vocabulary = vocabulary
        self._part, self._conditions = part, conditions
        self.given = bool(conditions) or vocabulary.sep is not None
        self._bounds = np.array([0, len(part.ids)]) if part.documents is None else part.documents
        self.whole = part.documents is None
        self.characters, self.bytes, self.spelling = np.zeros((3, len(vocabulary)))
        for row, token in enumerate(vocabulary.tokens):
            if isinstance(token, str):
                self.characters[row], self.bytes[row] = 1, len(token.encode("utf-8", "surrogatepass"))
            elif isinstance(token, int):
                self.characters[row] = self.bytes[row] = 1
        if vocabulary.byte is not None:
            counts = _count(part.ids, vocabulary)
            self.bytes[vocabulary.byte] = 1
            self.spelling[vocabulary.byte] = math.log(256)
            self.characters[vocabulary.byte] = (part.characters - counts @ self.characters) / max(
                counts[vocabulary.byte], 1
            )
        self.counts = np.zeros(len(vocabulary))
        for start, stop, scored in self.pieces():
            self.counts += np.bincount(self.ids[start:stop][scored], minlength=len(vocabulary))
        if not self.total(self.characters):
            raise DataError("there is no held-out text to score; set some aside with --fractions 90/5/5")

    def total(self, values: Floats) -> float:
        """The sum over all scored symbols of their row's value; `values` (V,)."""
        return float(self.counts @ values)

    def streams(self) -> Iterator[Span]:
        """The texts: the whole one, or every document."""
        given = int(self.vocabulary.bos is not None)  # then each text begins with it
        for document, (start, stop) in enumerate(pairwise(self._bounds)):
            if start >= len(self.ids):
                return
            end = min(int(stop), len(self.ids))
            if self.given:
                before = 1
                if self.vocabulary.sep is not None:
                    before += int(np.argmax(self._part.ids[start:stop] == self.vocabulary.sep))
                if start + before < end:
                    yield Span(int(start), end, before, document)
            elif start + given < end:
                yield Span(int(start) + given, end, 1 - given, document)

    def vectors(self, documents: Sequence[int]) -> Vectors:
        """What these documents depend on, (B, S)."""
        return self._part.vectors(self._conditions, np.array(documents, np.int64))

    def in_pieces(self, text: Span) -> Iterator[Span]:
        """Yield a text in pieces of `PIECES`, each with `AHEAD` symbols before it, which are not scored."""
        start, stop, skip, document = text
        for at in range(start, stop, PIECES):
            ahead = min(AHEAD, at - start)
            yield Span(at - ahead, min(at + PIECES, stop), ahead or skip, document)

    def windows(self, size: int) -> Iterator[Span]:
        """The texts cut so that no prediction knows more than `size` symbols; each is scored once."""
        if self.given:
            yield from self.streams()
            return
        for start, stop, skip, _ in self.streams():
            for at in range(start, max(stop - 1, start + 1), size):
                yield Span(at, min(at + size + 1, stop), skip if at == start else 1)

    def pieces(self) -> Iterator[tuple[int, int, Ids]]:
        """(start, stop, which of ids[start:stop] are scored) for all of the ids, some at a time."""
        for start, stop, source in _sources(self.ids, self.vocabulary):
            scored = ~source
            first, last = np.searchsorted(self._bounds, (start, stop))
            scored[self._bounds[first:last] - start] = False  # `<bos>`, or what nothing comes before
            yield start, stop, scored


def _count(ids: Ids, vocabulary: Vocabulary) -> Floats:
    counts = np.zeros(len(vocabulary))
    for start, stop, source in _sources(ids, vocabulary):
        counts += np.bincount(ids[start:stop][~source], minlength=len(vocabulary))
    return counts


def _sources(ids: Ids, vocabulary: Vocabulary) -> Iterator[tuple[int, int, Ids]]:
    """(start, stop, which of ids[start:stop] belong to a source) for all of the ids, some at a time."""
    inside = False
    for start in range(0, len(ids), PIECE):
        stop = min(start + PIECE, len(ids))
        source, inside = in_source(ids[start:stop], vocabulary, inside)
        yield start, stop, source
