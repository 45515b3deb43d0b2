"""Which characters a step reads: a pure function of (ids, seed, step).

Every layout has `steps_per_epoch` and `batch(step)`. Nothing is copied until a batch is gathered, and
nothing about the order has to be saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from charloom.errors import DataError
from charloom.text.condition import Vectors

Ids = np.ndarray[Any, np.dtype[Any]]

LESSON_WINDOW = 100  # the lesson's nchars
FEWEST_WINDOWS = 10  # the lesson skips texts with fewer
MOST_SHUFFLED = 10_000_000  # documents: 240 MB; and a longer text is read from its disk, better in its order
UNCOUNTED = -100  # what torch's cross-entropy leaves out


@dataclass(frozen=True)
class Batch:
    """One step's reading: `inputs` and `targets` are int64 (B, T), `fresh` is bool (B,).

    A fresh row starts from the state that its row of `condition` (B, S) gives, zero where there is none;
    the others go on from the state that the step before left. A target of `UNCOUNTED` is none.
    """

    inputs: Ids
    targets: Ids
    fresh: Ids
    condition: Vectors = field(default_factory=lambda: np.zeros((0, 0), np.float32))


class Layout(Protocol):
    """What the loop asks of a layout."""

    @property
    def steps_per_epoch(self) -> float:
        """Steps until every training pair has been seen once."""

    def batch(self, step: int) -> Batch:
        """The batch of step 0, 1, 2, …"""


def pairs(ids: Ids, window: int) -> tuple[Ids, Ids]:
    """All windows of one text and the same windows one character later: two views (l − window, window).

    These are the lesson's training pairs. A text of l characters has l − window of them.
    """
    return sliding_window_view(ids[:-1], window), sliding_window_view(ids[1:], window)


class Windows:
    """The lesson's own batches: all pairs of one text make one step, texts in their order.

    Texts with fewer than `FEWEST_WINDOWS` windows are skipped, as the lesson does. `documents` are the texts'
    starts in `ids` and the end of the last. Raises DataError where no text is long enough.
    """

    def __init__(self, ids: Ids, documents: Ids, window: int = LESSON_WINDOW) -> None:
        lengths = np.diff(documents.astype(np.int64))
        kept = np.flatnonzero(lengths - window >= FEWEST_WINDOWS)
        if not len(kept):
            raise DataError(
                f"no text has {window + FEWEST_WINDOWS} characters, which a window of {window} needs; "
                "use longer texts or a smaller --set train.window"
            )
        self._ids = ids
        self._window = window
        self._starts = documents[kept].astype(np.int64)
        self._lengths = lengths[kept]

    @property
    def steps_per_epoch(self) -> float:
        """Texts that are long enough."""
        return float(len(self._starts))

    def batch(self, step: int) -> Batch:
        """All pairs of one text, from zero states."""
        k = step % len(self._starts)
        text = self._ids[self._starts[k] : self._starts[k] + self._lengths[k]]
        inputs, targets = pairs(text, self._window)
        return Batch(inputs.astype(np.int64), targets.astype(np.int64), np.ones(len(inputs), bool))


class Shuffled:
    """What the lesson proposes: all pairs of all texts as one block, shuffled, in batches of one size.

    Raises DataError where the block is shorter than one window.
    """

    def __init__(self, ids: Ids, *, rows: int, window: int, seed: int) -> None:
        self._ids = ids
        self._rows = rows
        self._window = window
        self._seed = seed
        self._count = len(ids) - window
        if self._count < 1:
            raise _too_short(len(ids), window)

    @property
    def steps_per_epoch(self) -> float:
        """Steps until every pair was drawn once."""
        return self._count / self._rows

    def batch(self, step: int) -> Batch:
        """The next `rows` pairs of the shuffled order, from zero states."""
        drawn = np.arange(step * self._rows, (step + 1) * self._rows)
        epochs, places = drawn // self._count, drawn % self._count
        starts = np.empty_like(places)
        for epoch in np.unique(epochs):
            chosen = epochs == epoch
            starts[chosen] = shuffle(places[chosen], self._count, (self._seed, int(epoch)))
        inputs, targets = pairs(self._ids, self._window)
        return Batch(
            inputs[starts].astype(np.int64), targets[starts].astype(np.int64), np.ones(len(starts), bool)
        )


class Lanes:
    """The default: B reading heads, evenly spaced in the text, each going on where it stopped.

    At every step a head reads the next T characters, and past the end it goes on at the beginning,
    so the state is carried across steps (truncated back-propagation through time) and there is no seam
    between epochs. A share `restarts` of the heads, drawn anew at each step, starts from a zero state
    instead, reading `bos` for the character before: so cold starts and empty prompts are learned too.
    With `documents`, their starts in `ids` and the end of the last, the text is these in a shuffled order,
    the same in every epoch: each begins from nothing when it is scored or written, so nothing must be
    expected of its neighbour, and a head that restarts goes back to its document's beginning, if that is
    not a window away.
    Memory: 24 bytes a document; beyond `MOST_SHUFFLED` they keep their order.
    Raises DataError where the text is shorter than one window and its target.
    """

    def __init__(
        self,
        ids: Ids,
        *,
        lanes: int,
        window: int,
        seed: int,
        restarts: float = 0.0,
        bos: int | None = None,
        documents: Ids | None = None,
    ) -> None:
        if len(ids) <= window:
            raise _too_short(len(ids), window)
        if len(ids) < lanes:
            raise DataError(
                f"the training text has {len(ids)} characters, too few for {lanes} lanes; use fewer"
            )
        self._ids = ids
        self._lanes = lanes
        self._window = window
        self._seed = seed
        self._restarts = restarts
        self._bos = bos
        self._starts = np.arange(lanes, dtype=np.int64) * len(ids) // lanes
        self._ends: Ids | None = None
        if documents is not None and 1 < len(documents) <= MOST_SHUFFLED:
            order = np.random.Generator(np.random.Philox(seed)).permutation(len(documents) - 1)
            lengths = np.diff(documents)[order]
            self._ends = np.cumsum(lengths)  # in the shuffled text
            self._begins = self._ends - lengths
            self._moved = documents[order] - self._begins  # from a place there to one in `ids`

    @property
    def steps_per_epoch(self) -> float:
        """Steps until the heads together have read the text once."""
        return len(self._ids) / (self._lanes * self._window)

    def batch(self, step: int) -> Batch:
        """Every head's next window."""
        heads = (self._starts + step * self._window) % len(self._ids)  # (B,)
        drawn = np.random.Generator(np.random.Philox(key=(self._seed, step))).random(self._lanes)
        fresh = (drawn < self._restarts) | (step == 0)
        if self._ends is not None:
            back = heads - self._begins[np.searchsorted(self._ends, heads, side="right")]
            heads -= np.where(fresh & (back < self._window), back, 0)
        read = self.read((heads[:, None] + np.arange(self._window + 1)) % len(self._ids))  # (B, T + 1)
        if self._bos is not None:
            read[fresh, 0] = self._bos
        return Batch(read[:, :-1], read[:, 1:], fresh)

    def read(self, places: Ids) -> Ids:
        """The ids, int64, that stand at these places of the text as the heads read it."""
        if self._ends is not None:
            places = places + self._moved[np.searchsorted(self._ends, places, side="right")]
        return self._ids[places].astype(np.int64)


def shuffle(places: Ids, size: int, key: Sequence[int]) -> Ids:
    """Where each of `places` comes to lie in one shuffled order of 0 … size − 1, without building it.

    A balanced Feistel network of four rounds permutes the next power of four; what falls outside is
    permuted again until it is inside (cycle walking, Black and Rogaway 2002).
    """
    half = max(1, (int(size - 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half) - 1)
    keys = np.random.Philox(key=key).random_raw(4)

    def permute(values: Ids) -> Ids:
        left, right = values >> np.uint64(half), values & mask
        for round_key in keys:
            mixed = (right ^ round_key) * np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
            left, right = right, left ^ ((mixed >> np.uint64(32)) & mask)
        return (left << np.uint64(half)) | right

    found = permute(places.astype(np.uint64))
    while (outside := found >= size).any():
        found[outside] = permute(found[outside])
    return found.astype(np.int64)


def _too_short(characters: int, window: int) -> DataError:
    return DataError(
        f"the training text has {characters} characters, but a window needs {window + 1}; "
        "use more text or a smaller --set train.window"
    )
