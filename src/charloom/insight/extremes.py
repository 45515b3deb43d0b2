"""The passages of a text that a model finds hardest and easiest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from charloom.insight.heldout import AHEAD, PIECES
from charloom.insight.score import Scored, score
from charloom.runtime.arrays import Doubles
from charloom.runtime.generator import Generator

LENGTH = 160  # characters: what one takes in at a glance
STEP = 40


@dataclass(frozen=True)
class Passage:
    """Some characters of a text and the surprise of each (n,), in bits."""

    text: str
    surprise: Doubles

    @property
    def bits_per_character(self) -> float:
        """The mean of `surprise`."""
        return float(self.surprise.mean())


def in_pieces(generator: Generator, text: str) -> Iterator[Scored]:
    """One whole text scored in pieces side by side, as `charloom.insight.heldout.PIECES` says."""
    starts = range(0, len(text), PIECES)
    ahead = [min(AHEAD, start) for start in starts]
    pieces = (text[start - more : start + PIECES] for start, more in zip(starts, ahead, strict=True))
    for found, more in zip(score(generator, pieces, lines=False), ahead, strict=True):
        yield replace(found, text=found.text[more:], surprise=found.surprise[more:])


def extremes(scored: Iterable[Scored], count: int) -> tuple[list[Passage], list[Passage]]:
    """The `count` hardest and easiest passages, none overlapping another of its kind.

    A passage is `LENGTH` characters out of a text, starting at every `STEP`th, or a shorter text whole
    (if it has `STEP` characters at least: the mean of a few says little).
    """
    windows: list[tuple[float, int, int, Passage]] = []
    for number, each in enumerate(scored):
        size = min(LENGTH, len(each.surprise))
        if size < STEP:
            continue
        for start in range(0, len(each.surprise) - size + 1, STEP):
            passage = Passage(each.text[start : start + size], each.surprise[start : start + size])
            windows.append((passage.bits_per_character, number, start, passage))
    windows.sort(key=lambda window: window[0])
    return _apart(windows[::-1], count), _apart(windows, count)


def _apart(windows: list[tuple[float, int, int, Passage]], count: int) -> list[Passage]:
    taken: list[tuple[int, int]] = []
    found: list[Passage] = []
    for _, number, start, passage in windows:
        if all(number != other or abs(start - at) >= LENGTH for other, at in taken):
            taken.append((number, start))
            found.append(passage)
        if len(found) == count:
            break
    return found
