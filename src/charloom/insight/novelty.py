"""What a model copied: passages of the training text in what it writes, and how much it recites.

A character is *copied at length n* where it lies in a passage of n characters that stands, letter for
letter, in the training text. Every text has short ones: people too write "of the " again. So the same
is measured on held-out text of the same kind, in pieces of the same lengths, and the two are shown
together: what a model copies beyond that, it has by heart. Exact (`charloom.runtime.passages`); what is
copied with a letter changed does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from charloom.runtime.arrays import Longs
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.runtime.passages import Passages
from charloom.runtime.sample import Given

LEVELS = (5, 10, 15, 20, 30, 50, 100, 200)  # characters: from a word to a paragraph
PREFIX = 50  # characters that a model is given of a passage it may know
RECITED = 50  # characters it then has to get right: as Carlini and others 2023 count, in tokens
PLACES = 100  # of the training text that are tried


@dataclass(frozen=True, kw_only=True)
class Copied:
    """Of some texts together: `lengths` (n,), for each character that of the longest known passage it lies
    in, and the longest passage of all.
    """

    lengths: Longs
    longest: str

    def share(self, level: int) -> float:
        """The share of characters that lie in copied passages longer than `level`."""
        return float((self.lengths > level).mean()) if len(self.lengths) else 0.0

    def to_json(self) -> dict[str, Any]:
        """Shares by level, as JSON holds them."""
        return {
            "characters": len(self.lengths),
            "longest": len(self.longest),
            "longest_passage": self.longest,
            "share_longer_than": {str(level): self.share(level) for level in LEVELS},
        }


def copied(texts: Iterable[str], passages: Passages) -> Copied:
    """The passages of each of `texts` that stand in the training text; none runs over a text's end."""
    lengths, longest = [np.zeros(0, np.int64)], ""
    for text in texts:
        begun = passages.lengths(text)
        lengths.append(covering(begun))
        if len(begun) and begun.max() > len(longest):
            at = int(begun.argmax())
            longest = text[at : at + int(begun[at])]
    return Copied(lengths=np.concatenate(lengths), longest=longest)


def covering(begun: Longs) -> Longs:
    """From the longest passage that begins at each character to the longest that it lies in, both (n,)."""
    found = np.zeros(len(begun), np.int64)
    ends = np.arange(len(begun)) + begun
    further = np.flatnonzero(np.diff(ends, prepend=0) > 0)  # the others lie within the one before
    for at in further[np.argsort(begun[further], kind="stable")].tolist():
        found[at : ends[at]] = begun[at]
    return found


@dataclass(frozen=True, kw_only=True)
class Recited:
    """Of `places` of a text, how the likeliest continuation of the `PREFIX` characters there goes.

    `lengths` (places,): how many characters it gets right before the first wrong one, `RECITED` at most.
    """

    places: int
    lengths: Longs

    @property
    def share(self) -> float:
        """The share of places from which all `RECITED` characters are right."""
        return float((self.lengths >= RECITED).mean()) if self.places else 0.0

    @property
    def mean(self) -> float:
        """The mean of `lengths`."""
        return float(self.lengths.mean()) if self.places else 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON holds them."""
        return {
            "places": self.places,
            "prefix": PREFIX,
            "wanted": RECITED,
            "share": self.share,
            "mean_characters": self.mean,
        }


def recited(
    generator: Generator, texts: Iterable[str], places: int = PLACES, sources: Iterable[str] = repeat("")
) -> Recited:
    """How much of `texts` the model recites greedily from their own prefixes, at evenly spread places.

    As N. Carlini and others, "Quantifying memorization across neural language models", ICLR 2023, but
    counted in characters. Texts shorter than `PREFIX` + `RECITED` are passed over.
    """
    long = [pair for pair in zip(texts, sources, strict=False) if len(pair[0]) >= PREFIX + RECITED]
    pairs = list(_spread(long, places))
    if not pairs:
        return Recited(places=0, lengths=np.zeros(0, np.int64))
    settings = SamplerConfig(temperature=0, length=RECITED)
    samples = generator.sample_many([given for given, _ in pairs], settings=settings, n=len(pairs))
    right = [same(sample.text, truth) for sample, (_, truth) in zip(samples, pairs, strict=True)]
    return Recited(places=len(pairs), lengths=np.array(right))


def _spread(texts: list[tuple[str, str]], places: int) -> Iterable[tuple[Given, str]]:
    """(prefix, what comes then) at places spread evenly over all texts, as far from each other as may be.

    `texts` are pairs of a text and its source.
    """
    room = np.cumsum([0, *(len(text) - PREFIX - RECITED + 1 for text, _ in texts)])
    count = min(places, int(room[-1]))
    for k in range(count):
        at = int(room[-1]) * k // count
        which = int(np.searchsorted(room, at, side="right")) - 1
        start = at - int(room[which])
        text, source = texts[which]
        given = Given(text[start : start + PREFIX], source=source)
        yield given, text[start + PREFIX : start + PREFIX + RECITED]


def same(a: str, b: str) -> int:
    """How many characters `a` and `b` begin with alike."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def pieces(text: str, lengths: Sequence[int]) -> list[str]:
    """Pieces of `text` of these lengths, spread evenly over it, overlapping only where it is too short."""
    starts = [
        (len(text) - length) * k // max(len(lengths) - 1, 1) if len(text) > length else 0
        for k, length in enumerate(lengths)
    ]
    return [text[start : start + length] for start, length in zip(starts, lengths, strict=True)]
