"""One document a row, from a fresh state: for labels, arrays, sources, and lists of short texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charloom.errors import DataError
from charloom.text.condition import Condition, Vectors, slices
from charloom.text.corpus import Part
from charloom.text.vocabulary import Vocabulary
from charloom.training.batches import UNCOUNTED, Batch, Ids, shuffle

POOL = 32  # batches sorted by length together: little padding, and yet another mix each epoch
DROPPING = 2**32  # beyond every seed, so that what is dropped is drawn from numbers of its own


@dataclass(frozen=True)
class Bucket:
    """Documents of like lengths: `batches` of `rows` each, every batch read in `steps` steps."""

    documents: Ids
    batches: int
    rows: int
    steps: int


class Documents:
    """Every document once an epoch, `rows` side by side, those of like lengths together.

    Rows begin at `<bos>` from the state that their condition gives. What is longer than `window` characters
    goes on in the next step, with the state that the step before left. Padding counts nowhere, nor does
    a source; the target of a source's `<sep>` is its text's first character. A share `dropped` of the
    conditions, drawn anew for every row, is left unknown, so that the model learns to do without. Memory:
    16 bytes a document. Raises DataError where there are no documents.
    """

    def __init__(
        self,
        part: Part,
        vocabulary: Vocabulary,
        *,
        rows: int,
        window: int,
        seed: int,
        conditions: Sequence[Condition] = (),
        dropped: float = 0.0,
    ) -> None:
        if part.documents is None:
            raise DataError("the layout documents takes a text a row, and this is one; use --documents line")
        if vocabulary.bos is None or vocabulary.eos is None:
            raise DataError("the layout documents needs <bos> and <eos>, which --preset lesson does without")
        self._part = part
        self._sep = vocabulary.sep
        self._conditions = conditions
        self._window = window
        self._seed = seed
        self._dropped = dropped
        self._starts = part.documents
        self._lengths = np.diff(part.documents) - 1  # predictions
        self._buckets = _buckets(np.maximum(1, -(-self._lengths // window)), rows)
        self._of_bucket = np.repeat(np.arange(len(self._buckets)), [b.batches for b in self._buckets])
        self._first = np.cumsum([0, *(bucket.batches for bucket in self._buckets)])
        self._steps = np.array([bucket.steps for bucket in self._buckets])[self._of_bucket]  # of each batch
        self._epoch = -1
        self._order = self._ends = self._of_bucket

    @property
    def steps_per_epoch(self) -> float:
        """Steps until every document has been read once."""
        return float(self._steps.sum())

    def batch(self, step: int) -> Batch:
        """The next piece of some documents; fresh are those that begin."""
        epoch, at = divmod(step, int(self.steps_per_epoch))
        if epoch != self._epoch:
            random = np.random.Generator(np.random.Philox(key=(self._seed, epoch)))
            self._epoch, self._order = epoch, random.permutation(len(self._steps))
            self._ends = np.cumsum(self._steps[self._order])
        place = int(np.searchsorted(self._ends, at, side="right"))
        number = int(self._order[place])
        piece = at - int(self._ends[place] - self._steps[number])
        return self._read(self._documents(epoch, number), piece, step - piece)

    def _documents(self, epoch: int, number: int) -> Ids:
        """The documents of batch `number` in this epoch."""
        at = int(self._of_bucket[number])
        bucket = self._buckets[at]
        pool, row = divmod((number - int(self._first[at])) * bucket.rows, POOL * bucket.rows)
        count = len(bucket.documents)
        places = np.arange(pool * POOL * bucket.rows, min((pool + 1) * POOL * bucket.rows, count))
        key = (self._seed, epoch * len(self._buckets) + at)
        found = bucket.documents[shuffle(places, count, key)]
        found = found[np.argsort(self._lengths[found], kind="stable")]
        return found[row : row + bucket.rows]

    def _read(self, documents: Ids, piece: int, first: int) -> Batch:
        """Piece number `piece` of these documents, which began at step `first`."""
        begin = piece * self._window
        longest = int(self._lengths[documents].max())
        width = min(self._window, max(1, longest - begin))
        inputs = np.zeros((len(documents), width), np.int64)
        targets = np.full((len(documents), width), UNCOUNTED, np.int64)
        for row, document in enumerate(documents.tolist()):
            start, end = int(self._starts[document]), int(self._starts[document + 1])
            ids = self._part.ids[start + begin : min(start + begin + width + 1, end)]
            if len(ids) > 1:
                inputs[row, : len(ids) - 1] = ids[:-1]
                targets[row, : len(ids) - 1] = ids[1:]
                if self._sep is not None:
                    before = int(np.argmax(self._part.ids[start:end] == self._sep)) - begin
                    targets[row, : max(0, before)] = UNCOUNTED
        fresh = np.full(len(documents), piece == 0)
        return Batch(inputs, targets, fresh, self._vectors(documents, first))

    def _vectors(self, documents: Ids, first: int) -> Vectors:
        found = self._part.vectors(self._conditions, documents)
        random = np.random.Generator(np.random.Philox(key=(self._seed + DROPPING, first)))
        for _, place in slices(self._conditions):
            found[random.random(len(found)) < self._dropped, place] = 0
        return found


def _buckets(steps: Ids, rows: int) -> list[Bucket]:
    """Documents that take equally many `steps`, and, where those are too few for a batch, the next longer."""
    order = np.argsort(steps, kind="stable")
    borders = [0]
    for border in (np.flatnonzero(np.diff(steps[order])) + 1).tolist():
        if border - borders[-1] >= rows:
            borders.append(border)
    found = []
    for start, end in zip(borders, [*borders[1:], len(order)], strict=True):
        size = -(-(end - start) // -(-(end - start) // rows))  # about as many in each, and at most `rows`
        batches = -(-(end - start) // size)
        found.append(Bucket(order[start:end], batches, size, int(steps[order[end - 1]])))
    return found
