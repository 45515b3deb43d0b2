"""Held-out loss: how many nats a model pays for each character of a text it was not trained on."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice, tee
from typing import Any

import numpy as np

from charloom.errors import UsageError
from charloom.insight import heldout
from charloom.insight.heldout import PIECE, Floats, HeldOut, Ids, Span
from charloom.insight.score import THREADS, rows_of
from charloom.model.folder import Model
from charloom.runtime.generator import Generator, Scores
from charloom.runtime.state import State
from charloom.text.corpus import Part

COLD = 256  # the context of the small transformers whose published figures `cold_256` compares with
BLOCK = 512  # symbols a bootstrap block: so far apart, losses hardly depend on each other
FEWEST_BLOCKS = 20  # a short text gets shorter blocks, for a few would all too often miss its spread
MOST_BLOCKS = 10_000  # neighbours are put together beyond it; the interval no longer changes
RESAMPLES = 1000  # leaves 25 beyond either end of a 95 % interval
SEED = 0  # the same text and model give the same interval


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A mean over held-out text: nats a character, the same in bits, and bits a byte of its UTF-8.

    `interval` holds 95 % of the means that a bootstrap gives (percentiles; blocks of neighbouring
    symbols of a whole text, Künsch 1989; documents, Efron and Tibshirani 1993, chapters 6 and 13): how
    far another text of the same kind might have led, not another training.
    """

    nats: float
    bits_per_character: float
    bits_per_byte: float
    interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """`characters` of text, scored in two ways; what counts is told in `charloom.insight.heldout`.

    `carried`: each text (the whole one, or every document) is read from a zero state to its end; where it is
    long and `exact` is False, in pieces side by side, each after the `AHEAD` symbols before it. `cold_256`:
    texts are cut into windows of 256 symbols without overlap, each read from a zero state (after `<bos>`,
    if the model has one), and each symbol is predicted from at most 256 before it: just as a transformer
    with that context is scored when its windows do not overlap. Documents with conditions or sources are not
    cut: both read them whole. `dynamic`, where it was asked for: as carried, by a model that goes on
    learning (`charloom.training.dynamic`). All score the same symbols.
    """

    characters: int
    carried: Measure
    cold_256: Measure
    dynamic: Measure | None = None
    exact: bool = False

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON holds them."""
        found = {key: value for key, value in asdict(self).items() if value is not None}
        for key in found.keys() - {"characters", "exact"}:
            found[key]["interval"] = list(found[key]["interval"])
        return found


def evaluate(
    generator: Generator,
    part: Part,
    *,
    limit: int | None = None,
    exact: bool = False,
    dynamic: bool = False,
    progress: Callable[[float], None] = lambda share: None,
) -> Evaluation:
    """Score `part`, or its first `limit` symbols, in memory that does not grow with it.

    `exact` reads a long text as one stream instead of in pieces (`charloom.insight.heldout.PIECES`): many
    times as slow, and hardly another figure. `progress` is told the share that is done. Raises DataError
    where there is nothing to score.
    """
    held_out = HeldOut(part, generator.model.vocabulary, limit, generator.model.config.conditions)
    if dynamic and held_out.given:
        raise UsageError(
            "dynamic: a model with conditions or sources does not learn while it reads; leave it out"
        )
    report = _share(progress, (2 + dynamic) * held_out.counts.sum())  # each symbol is scored so many times
    streams = _carried(generator, held_out, exact, report)
    cold = _Losses(held_out, report)
    for ids, nats in _from_zero(generator, held_out, held_out.windows(COLD)):
        cold.add(ids, nats, len(ids))
    learning = None
    if dynamic:
        learning = _Losses(held_out, report)
        for ids, nats in _learning(generator.model, held_out):
            learning.add(ids, nats, _block(held_out) if held_out.whole else len(ids))
    return Evaluation(
        characters=round(streams.characters),
        carried=streams.measure(),
        cold_256=cold.measure(),
        dynamic=learning.measure() if learning else None,
        exact=exact,
    )


def carried(
    generator: Generator,
    part: Part,
    *,
    limit: int | None = None,
    exact: bool = False,
    progress: Callable[[float], None] = lambda share: None,
) -> Measure:
    """The first measure of `evaluate` alone, in half the time."""
    held_out = HeldOut(part, generator.model.vocabulary, limit, generator.model.config.conditions)
    return _carried(generator, held_out, exact, _share(progress, held_out.counts.sum())).measure()


def _share(progress: Callable[[float], None], total: float) -> Callable[[int], None]:
    done = 0

    def report(count: int) -> None:
        nonlocal done
        done += count
        progress(done / total)

    return report


def _block(held_out: HeldOut) -> int:
    return max(1, min(BLOCK, len(held_out.ids) // FEWEST_BLOCKS))


def _carried(generator: Generator, held_out: HeldOut, exact: bool, report: Callable[[int], None]) -> _Losses:
    losses = _Losses(held_out, report)
    short = (span for span in held_out.streams() if span.stop - span.start <= heldout.LONG)
    if not held_out.whole:
        for ids, nats in _from_zero(generator, held_out, short):
            losses.add(ids, nats, len(ids))
    for span in held_out.streams():
        if held_out.whole or span.stop - span.start > heldout.LONG:
            for ids, nats in _long(generator, held_out, span, exact):
                losses.add(ids, nats, _block(held_out) if held_out.whole else len(ids))
    return losses


def _long(generator: Generator, held_out: HeldOut, span: Span, exact: bool) -> Iterator[tuple[Ids, Floats]]:
    """Yield scored ids of one long text, and their nats; its pieces would lack a source."""
    if exact or held_out.vocabulary.sep is not None:
        yield from _one_stream(generator, held_out, span)
        return
    pieces = _from_zero(generator, held_out, held_out.in_pieces(span))
    while group := list(islice(pieces, max(1, PIECE // heldout.PIECES))):
        ids, nats = zip(*group, strict=True)
        yield np.concatenate(ids), np.concatenate(nats)


def _learning(model: Model, held_out: HeldOut) -> Iterator[tuple[Ids, Floats]]:
    """Scored ids of each text, and their nats, by a model that goes on learning."""
    from charloom.training import dynamic

    read, scored = tee(held_out.streams())
    texts = ((np.asarray(held_out.ids[start:stop], np.int64), skip) for start, stop, skip, _ in read)
    for (start, stop, skip, _), nats in zip(scored, dynamic.losses(model, texts), strict=True):
        yield np.asarray(held_out.ids[start + skip : stop]), nats


def _start(generator: Generator, held_out: HeldOut, span: Span) -> State:
    """The state that a span is read from."""
    if not held_out.given:
        return generator.unconditioned()
    return generator.beginning.states(held_out.vectors([span.document]))[0]


def _one_stream(generator: Generator, held_out: HeldOut, span: Span) -> Iterator[tuple[Ids, Floats]]:
    """Scored ids of one text of any length, and their nats, some at a time."""
    state = _start(generator, held_out, span)
    skip = span.skip
    for start in range(span.start, span.stop, PIECE):
        piece = np.asarray(held_out.ids[start : min(start + PIECE, span.stop)], np.int32)
        scores, state = generator.continue_score(piece, state)
        yield piece[skip:], -scores.log_probabilities[skip:].astype(np.float64)
        skip = max(0, skip - len(piece))


def _from_zero(
    generator: Generator, held_out: HeldOut, spans: Iterable[Span]
) -> Iterator[tuple[Ids, Floats]]:
    """Scored ids of many short texts, and their nats, a text at a time."""
    waiting = iter(spans)
    rows = rows_of(generator)
    with ThreadPoolExecutor(THREADS) as threads:
        while group := list(islice(waiting, THREADS * rows)):
            share = -(-len(group) // THREADS)
            batches = [group[k : k + share] for k in range(0, len(group), share)]
            found = threads.map(partial(_scores, generator, held_out), batches)
            for batch, scores in zip(batches, found, strict=True):
                for (start, stop, skip, _), score in zip(batch, scores, strict=True):
                    ids = np.asarray(held_out.ids[start + skip : stop])
                    yield ids, -score.log_probabilities[skip:].astype(np.float64)


def _scores(generator: Generator, held_out: HeldOut, spans: Sequence[Span]) -> list[Scores]:
    texts = (np.asarray(held_out.ids[span.start : span.stop], np.int32) for span in spans)
    starts = [_start(generator, held_out, span) for span in spans] if held_out.given else None
    return list(generator.score(texts, starts=starts))


class _Losses:
    """Nats and characters of blocks: all that a mean and its interval need."""

    def __init__(self, held_out: HeldOut, report: Callable[[int], None]) -> None:
        self._held_out = held_out
        self._report = report
        self._nats = array("d")
        self._characters = array("d")
        self._bytes = 0.0

    @property
    def characters(self) -> float:
        return math.fsum(self._characters)

    def add(self, ids: Ids, nats: Floats, block: int) -> None:
        """Scored symbols that follow each other, in blocks of so many."""
        if len(ids):
            starts = np.arange(0, len(ids), block)
            self._nats.extend(np.add.reduceat(nats + self._held_out.spelling[ids], starts))
            self._characters.extend(np.add.reduceat(self._held_out.characters[ids], starts))
            self._bytes += float(self._held_out.bytes[ids].sum())
            self._report(len(ids))

    def measure(self) -> Measure:
        nats, characters = np.array(self._nats), np.array(self._characters)
        total = float(nats.sum())
        mean = total / float(characters.sum())
        return Measure(
            nats=mean,
            bits_per_character=mean / math.log(2),
            bits_per_byte=total / math.log(2) / self._bytes,
            interval=interval(nats, characters),
        )


def interval(nats: Floats, characters: Floats) -> tuple[float, float]:
    """The 95 % percentile interval of sum(nats) / sum(characters), resampling their common index (n,)."""
    low, high = np.percentile(resampled(nats, characters), (2.5, 97.5))
    return float(low), float(high)


def resampled(nats: Floats, characters: Floats) -> Floats:
    """`RESAMPLES` values of sum(nats) / sum(characters), each of n blocks drawn with replacement."""
    together = -(-len(nats) // MOST_BLOCKS)
    starts = np.arange(0, len(nats), together)
    nats, characters = np.add.reduceat(nats, starts), np.add.reduceat(characters, starts)
    random = np.random.default_rng(SEED)
    means: list[float] = []
    while len(means) < RESAMPLES:
        drawn = random.integers(0, len(nats), len(nats))
        if (count := characters[drawn].sum()) > 0:  # documents may be empty
            means.append(float(nats[drawn].sum() / count))
    return np.array(means)
