"""How surprising each line or document is, and each character of it; which line is the strangest.

Surprise is −log2 of the probability that the model gave a character, in bits. Each text starts from a
fresh state, so that its score depends on nothing else, and its end is scored as well: `<eos>`, where a
model of documents has one. A model of one whole text knows lines by what separates them: there a text
is read after a line end, which is given, and the line end behind it is scored.

What a line costs, in all or a character, tells little about how strange it is: a line of numbers costs
much and is ordinary, a short one costs much a character because its beginning does. A model says
beforehand how much it expects to pay: its entropy. The *strangeness* of a text is that of its strangest
stretch, the sum over it of surprise − entropy − `TOLERANCE`, in bits: one odd word counts the same in a
short line and in a long one, and what could not be known anyway counts nothing. `benchmarks/insight.py`
ranks odd lines planted in a log (short, long, cut off, odd in one word) by this rule and by six others: it
is the one that leaves the fewest ordinary lines ahead of the worst-placed odd one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, repeat
from typing import Any

import numpy as np

from charloom.errors import UsageError
from charloom.job import processors
from charloom.runtime.arrays import Doubles, Ids
from charloom.runtime.generator import BATCH, Generator, Scores
from charloom.runtime.sample import Given
from charloom.runtime.state import State
from charloom.text.condition import Asked
from charloom.text.vocabulary import Vocabulary, begins

LINE_END = "\n"
ESCAPED = re.compile("[\udc80-\udcff]")
WORK = 2**25  # weights times rows of a batch: a minute of a wide model on one core
MIN_ROWS = 32  # of a batch; with fewer, products get slower
THREADS = min(processors(), 8)  # each reads a batch; the kernels leave Python's lock alone
TOLERANCE = 1.0  # bits a character: without it, long ordinary lines add up to something strange


@dataclass(frozen=True)
class Scored:
    """A text, the surprise of each of its characters (n,) and of its `end`, and its strangeness, in bits.

    What nothing comes before (the first character, for a model without `<bos>` that knows no line end)
    is not scored: its surprise is 0.
    """

    text: str
    surprise: Doubles
    end: float
    strangeness: float

    @property
    def bits(self) -> float:
        """Surprise of all characters and the end."""
        return float(self.surprise.sum()) + self.end

    @property
    def bits_per_character(self) -> float:
        """Bits by characters, the end counted as one: so an empty text, too, has a score."""
        return self.bits / (len(self.surprise) + 1)

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it; hundredths of a bit are beyond what any reader sees."""
        return {
            "text": self.text,
            "characters": len(self.surprise),
            "bits": round(self.bits, 3),
            "bits_per_character": round(self.bits_per_character, 4),
            "strangeness": round(self.strangeness, 3),
            "end": round(self.end, 2),
            "surprise": [round(value, 2) for value in self.surprise.tolist()],
        }


def score(
    generator: Generator,
    texts: Iterable[str],
    *,
    lines: bool = True,
    condition: Asked = None,
    source: str | Iterable[str] = "",
) -> Iterator[Scored]:
    """Each of `texts`, in order; a batch of them is read at a time, and memory does not grow.

    Each is read as one that `condition` and `source` belong to: one for all, or an iterator of conditions and
    an iterable of sources, one for each text. Raises UsageError as `Generator.prime` does.
    Without `lines`, a model of one whole text reads each as it stands: no line end before or behind it.
    """
    vocabulary = generator.model.vocabulary
    marks = _marks(vocabulary) if lines or vocabulary.eos is not None else _NOTHING
    if vocabulary.bos is None:
        starts: Iterable[State] = repeat(generator.unconditioned())
    elif isinstance(source, str) and not isinstance(condition, Iterator):
        starts = repeat(generator.prime(condition=condition, source=source))
    else:
        conditions = condition if isinstance(condition, Iterator) else repeat(condition)
        starts = _after(generator, conditions, repeat(source) if isinstance(source, str) else source)
    pairs = zip(texts, starts, strict=False)
    with ThreadPoolExecutor(THREADS) as threads:
        while group := list(islice(pairs, THREADS * rows_of(generator))):
            coded = [ids_of(vocabulary, text) for text, _ in group]
            order = sorted(range(len(group)), key=lambda i: -len(coded[i]))  # rows of a batch end together
            share = -(-len(group) // THREADS)
            batches = [order[k : k + share] for k in range(0, len(group), share)]
            read = partial(_read, generator, [start for _, start in group], coded, marks)
            scores = dict(chain.from_iterable(threads.map(read, batches)))
            for i, (text, _) in enumerate(group):
                yield _scored(vocabulary, text, coded[i], scores[i], marks)


def rows_of(generator: Generator) -> int:
    """Return how many texts to read at once: fewer for a wide model, so that progress is seen."""
    return max(MIN_ROWS, min(BATCH, WORK // generator.model.parameters))


def ids_of(vocabulary: Vocabulary, text: str) -> Ids:
    """Return the ids of a text, (n,); in the unit "byte", lone surrogates may stand for bytes (PEP 383)."""
    if vocabulary.unit == "byte" and ESCAPED.search(text):
        return vocabulary.encode(b"".join(_bytes_of(text)))
    return vocabulary.encode(text)


def _bytes_of(text: str) -> list[bytes]:
    """Return the bytes of each character."""
    errors = ("surrogateescape", "surrogatepass")
    return [letter.encode("utf-8", errors[not ESCAPED.match(letter)]) for letter in text]


def _after(generator: Generator, conditions: Iterable[Asked], sources: Iterable[str]) -> Iterator[State]:
    """The states in which the texts of these conditions and sources begin."""
    waiting = zip(conditions, sources, strict=False)
    while group := list(islice(waiting, BATCH)):
        yield from generator.prime_many([Given("", condition, source) for condition, source in group])


def _read(
    generator: Generator, starts: Sequence[State], coded: Sequence[Ids], marks: _Marks, batch: Sequence[int]
) -> list[tuple[int, Scores]]:
    scores = generator.score((marks.around(coded[i]) for i in batch), starts=[starts[i] for i in batch])
    return list(zip(batch, scores, strict=True))


def _scored(vocabulary: Vocabulary, text: str, ids: Ids, found: Scores, marks: _Marks) -> Scored:
    nats = np.stack([-found.log_probabilities, found.entropies]).astype(np.float64)
    bits, expected = np.nan_to_num(nats[:, len(marks.before) :] / math.log(2))
    surprise = by_character(vocabulary, ids, bits[: len(ids)])
    if len(surprise) != len(text):  # bytes that are no part of any character
        sizes = np.array([len(each) for each in _bytes_of(text)])
        surprise = np.add.reduceat(bits[: len(ids)], np.cumsum(sizes) - sizes)
    end = float(bits[len(ids) :].sum())
    text = ESCAPED.sub("\N{REPLACEMENT CHARACTER}", text) if vocabulary.unit == "byte" else text
    return Scored(text, surprise, end, strangest(bits - expected - TOLERANCE))


def strangest(excess: Doubles) -> float:
    """The greatest sum of neighbouring values (n,), 0 if all are negative."""
    sums = np.concatenate([[0.0], np.cumsum(excess)])
    return float((sums - np.minimum.accumulate(sums)).max())


def threshold(scores: Iterable[float], share: float) -> tuple[float, int]:
    """The value that `share` of these scores do not exceed, and how many scores there are.

    Raises UsageError for a share outside 0 to 1, or so near 1 that the greatest score would already lie
    beyond it.
    """
    found = np.sort(list(scores))
    if not 0 <= share < 1:
        raise UsageError(f"p{100 * share:g} is no percentile; it takes a number from p0 to below p100")
    needed = math.ceil(round(1 / (1 - share), 6))
    if len(found) < needed:
        raise UsageError(
            f"p{100 * share:g} takes at least {needed:,} held-out lines, and there are "
            f"{len(found):,}; name a lower percentile, or a number of bits"
        )
    return float(np.quantile(found, share, method="higher")), len(found)


def by_character(vocabulary: Vocabulary, ids: Ids, bits: Doubles) -> Doubles:
    """From the bits of each id (n,) to those of each character: its bytes' together, where it is spelt."""
    if not len(ids):
        return bits
    first = 0 if vocabulary.unit == "byte" else len(vocabulary)  # from here on, ids are bytes
    starts = (ids < first) | begins(ids - first)
    starts[0] = True
    result: Doubles = np.add.reduceat(bits, np.flatnonzero(starts))
    return result


@dataclass(frozen=True)
class _Marks:
    """Ids that are given before each text, and ids that end it and are scored."""

    before: Ids
    after: Ids

    def around(self, ids: Ids) -> Ids:
        return np.concatenate([self.before, ids, self.after])


_NOTHING = _Marks(np.zeros(0, np.int32), np.zeros(0, np.int32))


def _marks(vocabulary: Vocabulary) -> _Marks:
    if vocabulary.eos is not None:
        return _Marks(_NOTHING.before, np.array([vocabulary.eos], np.int32))
    if vocabulary.unit == "byte" or LINE_END in vocabulary.characters:
        end = vocabulary.encode(LINE_END)
        return _Marks(end, end)
    return _NOTHING
