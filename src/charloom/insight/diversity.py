"""How varied generated text is, how often it falls into a loop, and at which temperature it is most like
real text.

*distinct-n* is the share of different runs of n words among all (J. Li and others, "A diversity-promoting
objective function for neural conversation models", NAACL 2016). It falls with the amount of text, so only
equal amounts compare. A text *loops* if it ends by repeating one stretch of at most `PERIOD` characters,
`TIMES` times or more and over `LOOP` characters at least: as greedy writing is known to do.

The *distance* of two texts is the Jensen-Shannon divergence (J. Lin, "Divergence measures based on the
Shannon entropy", 1991), in bits, between how often each run of n characters occurs in them, as the mean
over n = 1 … `RUN`. It is 0 for the same statistics and at most 1. Two finite texts of one source are never
0 apart: what is left is measured between as much of the real text and as much again, and told beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np

from charloom.runtime.batch import Batch, Stream
from charloom.runtime.generator import STRETCH, Generator, Sample
from charloom.runtime.options import SamplerConfig
from charloom.runtime.sample import Given

TEMPERATURES = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.3, 1.8)  # the lesson's, closer about the best
PERIOD = 100  # characters: a loop of a sentence or two
TIMES = 3
LOOP = 30  # characters: "ha ha ha" is no loop
RUN = 4  # longer runs are mostly single ones in a few thousand characters
LIKE = 0.02  # share of the least distance within which another is as good: then the one nearest 1 is taken


@dataclass(frozen=True, kw_only=True)
class Diversity:
    """Texts written at one temperature: what this module defines, and one of them."""

    temperature: float
    characters: int
    distinct_1: float
    distinct_2: float
    distinct_3: float
    loops: float
    distance: float
    example: str

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """A temperature, the reason in a sentence, and the distance of real text from other real text."""

    temperature: float
    reason: str
    floor: float


def write(
    generator: Generator, given: Sequence[str | Given], length: int, temperature: float, seed: int = 0
) -> list[Sample]:
    """One text of up to `length` characters after each of what is given."""
    settings = SamplerConfig(temperature=temperature, length=length, seed=seed)
    return list(generator.sample_many(given, settings=settings, n=len(given)))


def write_at(
    generator: Generator, given: Sequence[Given], length: int, temperatures: Sequence[float]
) -> list[list[str]]:
    """The texts of `write` at each temperature, all in one batch: the weights are read once for all."""
    starts = generator.prime_many(given)
    groups = [
        [
            Stream(
                generator.model, start, SamplerConfig(temperature=temperature, length=length), number=number
            )
            for number, start in enumerate(starts)
        ]
        for temperature in temperatures
    ]
    batch = Batch(generator.engine, generator.model, len(starts) * len(temperatures))
    try:
        for stream in chain.from_iterable(groups):
            batch.enter(stream)
        while batch.streams:
            batch.advance(STRETCH)
    finally:
        batch.close()
    return [[stream.writer.text for stream in group] for group in groups]


def diversity(temperature: float, texts: Sequence[str], real: Sequence[str]) -> Diversity:
    """Of texts that were written at `temperature`, held against real ones of about the same length."""
    words = [text.split() for text in texts]
    first, second, third = (distinct(words, n) for n in (1, 2, 3))
    return Diversity(
        temperature=temperature,
        characters=sum(map(len, texts)),
        distinct_1=first,
        distinct_2=second,
        distinct_3=third,
        loops=sum(map(loops, texts)) / max(len(texts), 1),
        distance=distance(texts, real),
        example=texts[0] if texts else "",
    )


def distinct(texts: Sequence[Sequence[str]], n: int) -> float:
    """The share of different runs of n words among all; 0 where there is none."""
    runs = [tuple(words[i : i + n]) for words in texts for i in range(len(words) - n + 1)]
    return len(set(runs)) / len(runs) if runs else 0.0


def loops(text: str) -> bool:
    """Whether the text ends in a repeated stretch."""
    for period in range(1, min(PERIOD, len(text) // TIMES) + 1):
        size = max(TIMES * period, LOOP)
        tail = text[-size:]
        if len(tail) == size and tail[period:] == tail[:-period]:
            return True
    return False


def distance(texts: Sequence[str], others: Sequence[str]) -> float:
    """The mean Jensen-Shannon divergence of the runs of 1 to `RUN` characters, in bits from 0 to 1."""
    return float(np.mean([_divergence(_runs(texts, n), _runs(others, n)) for n in range(1, RUN + 1)]))


def _runs(texts: Sequence[str], n: int) -> Counter[str]:
    return Counter(text[i : i + n] for text in texts for i in range(len(text) - n + 1))


def _divergence(counts: Counter[str], others: Counter[str]) -> float:
    keys = list(counts.keys() | others.keys())
    if not counts or not others:
        return float(bool(keys))
    p, q = (np.array([found[key] for key in keys]) / found.total() for found in (counts, others))
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        both = [np.where(each > 0, each * np.log2(each / middle), 0.0).sum() for each in (p, q)]
    return float(np.sum(both) / 2)


def recommend(found: Sequence[Diversity], real: Sequence[str], more: Sequence[str]) -> Recommendation:
    """The temperature whose text comes closest to real text; where several do, that nearest 1.

    `more` is other real text, about as much as `real`.
    """
    closest = min(found, key=lambda each: each.distance)
    best = min(
        (each for each in found if each.distance <= (1 + LIKE) * closest.distance),
        key=lambda each: (abs(each.temperature - 1), each.temperature),
    )
    loop = next((each for each in found if each.temperature == 0), None)
    cycling = f"; at 0, {loop.loops:.0%} of its texts end in a loop" if loop and loop.loops else ""
    how = f"come closest to those of held-out text ({best.distance:.3f} bits apart)"
    if best.distance > closest.distance:
        how = (
            f"come as close to those of held-out text ({best.distance:.3f} bits apart) as at "
            f"{closest.temperature:g} ({closest.distance:.3f}), within {LIKE:.0%}; of such the one nearest 1 "
            "is taken"
        )
    reason = f"At {best.temperature:g} the runs of one to {RUN} characters that it writes {how}{cycling}."
    return Recommendation(temperature=best.temperature, reason=reason, floor=distance(real, more))
