"""Character models of a fixed order: what a text says about its next character without a network.

Interpolated modified Kneser-Ney smoothing (Chen and Goodman 1999, "An empirical study of smoothing
techniques for language modeling", section 3), over the rows of a vocabulary instead of words:

    p_k(x | c) = (n(c, x) − D(n(c, x))) / n(c) + (Σ_y D(n(c, y)) / n(c)) · p_{k−1}(x | c without its first)

The highest order counts how often x followed c, the lower ones how many different symbols stood before
(c, x); below order 0 stands the uniform distribution, so nothing has probability zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from charloom.errors import UsageError

Ids = np.ndarray[Any, np.dtype[Any]]
Keys = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

DENSE = 2**24  # possible runs up to which a table has a place for each: an eighth of a gigabyte
MOST_GRAMS = 2**23  # distinct runs kept where the table is sparse: counting stays under a gigabyte
COUNTED = 2**22  # symbols counted at once
DISCOUNT = 0.75  # where the counts of counts are too few to estimate one from


@dataclass(frozen=True)
class _Order:
    """One order's tables, both sorted by key: of a run (c, x) what is left after the discount, as a share
    of n(c); and of a context c the share that its discounts free for the order below.
    """

    runs: Keys
    left: Floats
    contexts: Keys
    freed: Floats


class Ngram:
    """A model of order n over `size` symbols, fitted on `ids` (N,), an integer array or memory map.

    Order n looks at n symbols to predict the next. The text is read once, from its end backwards, in
    bounded memory: where it holds more than `MOST_GRAMS` different runs, what comes before goes unread;
    `fitted` says how many symbols were counted. Raises UsageError for an order below 0, or so high that
    a run's number would not fit 63 bits.
    """

    def __init__(self, ids: Ids, *, order: int, size: int) -> None:
        if not 0 <= order <= highest_order(size):
            raise UsageError(
                f"an order of {order} with {size} symbols cannot be counted; use a number from 0 to "
                f"{highest_order(size)}"
            )
        self.size = size
        self.order = order
        runs, counts, self.fitted = _count(ids, order, size)
        self._orders: list[_Order] = []
        for k in range(order, -1, -1):
            self._orders.insert(0, _smooth(runs, counts, size))
            runs, counts = np.unique(runs % size**k, return_counts=True)

    def nats(self, ids: Ids, start: int = 0, stop: int | None = None) -> Floats:
        """−ln p of each of ids[start:stop] given those before it.

        The very first ids, with fewer than n before them, are predicted by the lower orders.
        """
        lead = min(start, self.order)
        piece = np.asarray(ids[start - lead : stop], np.int64)
        chance = np.full(len(piece), 1 / self.size)
        for k, table in enumerate(self._orders):
            runs = _runs(piece, k, self.size)
            left = _look_up(table.runs, table.left, runs, 0.0)
            freed = _look_up(table.contexts, table.freed, runs // self.size, 1.0)
            chance[k:] = left + freed * chance[k:]
        nats: Floats = -np.log(chance[lead:])
        return nats


def highest_order(size: int) -> int:
    """The highest order at which a run over `size` symbols still has a number of 63 bits."""
    return max(order for order in range(63) if size ** (order + 1) < 2**63)


def _runs(ids: Keys, order: int, size: int) -> Keys:
    """Every run of order + 1 symbols as one number in base `size`: (N,) gives (N − order,)."""
    count = max(len(ids) - order, 0)
    runs = np.zeros(count, np.int64)
    for k in range(order + 1):
        runs *= size
        runs += ids[k : k + count]
    return runs


def _count(ids: Ids, order: int, size: int) -> tuple[Keys, Keys, int]:
    """Sorted distinct runs, how often each occurs, and how many symbols, from the end, were read."""
    dense = size ** (order + 1) <= DENSE
    table = np.zeros(size ** (order + 1) if dense else 0, np.int64)
    keys = counts = np.empty(0, np.int64)
    stop = len(ids)
    while stop > 0 and len(keys) <= MOST_GRAMS:
        start = max(0, stop - COUNTED)
        runs = _runs(np.asarray(ids[max(0, start - order) : stop], np.int64), order, size)
        if dense:
            table += np.bincount(runs, minlength=len(table))
        else:
            found, times = np.unique(runs, return_counts=True)
            keys, places = np.unique(np.concatenate([keys, found]), return_inverse=True)
            counts = np.bincount(places, np.concatenate([counts, times])).astype(np.int64)
        stop = start
    if dense:
        keys = np.flatnonzero(table)
        counts = table[keys]
    return keys, counts, len(ids) - stop


def _smooth(runs: Keys, counts: Keys, size: int) -> _Order:
    contexts, starts = np.unique(runs // size, return_index=True)
    if not len(runs):
        return _Order(runs, np.empty(0), contexts, np.empty(0))
    discounts = _discounts(counts)[np.minimum(counts, 3)]
    totals = np.add.reduceat(counts, starts)
    freed = np.add.reduceat(discounts, starts) / totals
    repeats = np.diff(np.append(starts, len(runs)))
    return _Order(runs, (counts - discounts) / np.repeat(totals, repeats), contexts, freed)


def _discounts(counts: Keys) -> Floats:
    """D(0), D(1), D(2), D(3 and more), estimated from how many runs occur 1, 2, 3 and 4 times."""
    n1, n2, n3, n4 = (int(np.count_nonzero(counts == times)) for times in (1, 2, 3, 4))
    if n1 and n2 and n3:
        share = n1 / (n1 + 2 * n2)
        found = np.array([0, share, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3])
        if (found[1:] > 0).all():
            return found
    return np.array([0, DISCOUNT, DISCOUNT, DISCOUNT])


def _look_up(keys: Keys, values: Floats, wanted: Keys, otherwise: float) -> Floats:
    """The value beside each wanted key, or `otherwise`; `keys` are sorted."""
    if not len(keys):
        return np.full(len(wanted), otherwise)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places], otherwise)
