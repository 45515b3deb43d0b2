"""Which passages of a text stand, letter for letter, in another: by a suffix array of the other.

A suffix array lists every place of a text in the alphabetical order of what follows there, so that a
passage is found by bisection (U. Manber, G. Myers, "Suffix arrays: a new method for on-line string
searches", SODA 1990, which also tells what bisection need not compare again). libdivsufsort makes it,
over UTF-8, in which bytes that are whole characters stand at whole characters only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from charloom.compiled import compiled, jitable
from charloom.errors import DataError, MissingExtraError
from charloom.runtime.arrays import Longs
from charloom.text.parts import Part
from charloom.text.vocabulary import begins

BETWEEN = b"\xff"  # no byte of UTF-8: no passage runs from one document into the next
LONG = 64  # bytes from which it pays to look ahead


@jitable
def match(text: Any, start: int, known: Any, suffixes: Any) -> int:
    """Bytes of the longest beginning of text[start:] that `known` holds; `suffixes` is its suffix array."""
    low, high = -1, len(suffixes)
    same_low = same_high = 0
    while high - low > 1:
        middle = (low + high) // 2
        at = suffixes[middle]
        same = min(same_low, same_high)  # all between the two begin alike for so long
        while start + same < len(text) and at + same < len(known) and text[start + same] == known[at + same]:
            same += 1
        if start + same == len(text):
            return same
        if at + same == len(known) or known[at + same] < text[start + same]:
            low, same_low = middle, same
        else:
            high, same_high = middle, same
    return max(same_low, same_high)


@compiled
def matches(text: Any, places: Any, known: Any, suffixes: Any, found: Any) -> None:
    """found[k] = match(text, places[k], …); `places` rise.

    Passages that begin further on never end earlier: where one is long, bisection finds the next that
    ends later, and those between end where it does. So a text copied whole takes no quadratic time.
    """
    k = 0
    while k < len(places):
        found[k] = match(text, places[k], known, suffixes)
        end = places[k] + found[k]
        same, beyond = k, k + 1
        if found[k] > LONG:
            beyond = np.searchsorted(places, end)
            while beyond - same > 1:
                middle = (same + beyond) // 2
                if places[middle] + match(text, places[middle], known, suffixes) > end:
                    beyond = middle
                else:
                    same = middle
            for inside in range(k + 1, same + 1):
                found[inside] = end - places[inside]
        k = beyond


class Passages:
    """All passages of some texts. Takes 6 bytes a byte of UTF-8 while it is made, 5 then (from 2 GiB: 10, 9).

    Raises MissingExtraError without pydivsufsort, DataError where there is no text.
    """

    def __init__(self, texts: Iterable[bytes]) -> None:
        try:
            from pydivsufsort import divsufsort
        except ImportError as error:
            raise MissingExtraError("finding copied passages", "novelty") from error
        known = BETWEEN.join(texts)
        if not known.strip(BETWEEN):
            raise DataError("there is no training text to look for copies in; name a run whose text is here")
        self._known = np.frombuffer(known, np.uint8)
        self._suffixes = divsufsort(known)

    @classmethod
    def of(cls, part: Part) -> Passages:
        """Those of a part of a corpus; no passage runs over a document's end."""
        if part.documents is None:
            return cls([part.utf8().tobytes()])
        return cls(_utf8(text) for text in part.texts())

    @property
    def bytes(self) -> int:
        """Memory held."""
        return int(self._known.nbytes + self._suffixes.nbytes)

    def lengths(self, text: str) -> Longs:
        """(n,): of each character of `text`, the length of the longest known passage that begins there.

        In characters. Takes a bisection a character, some microseconds.
        """
        data = np.frombuffer(_utf8(text), np.uint8)
        borders = np.append(np.flatnonzero(begins(data)), len(data))
        found = np.zeros(len(borders) - 1, np.int64)
        matches(data, borders[:-1], self._known, self._suffixes, found)
        ends = np.searchsorted(borders, borders[:-1] + found, side="right") - 1
        result: Longs = ends - np.arange(len(found))
        return result

    def first_copy(self, text: str, least: int) -> int | None:
        """Where in `text` the first known passage of `least` characters has come to its end, if any does."""
        copied = np.flatnonzero(self.lengths(text) >= least)
        return int(copied[0]) + least if len(copied) else None


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
