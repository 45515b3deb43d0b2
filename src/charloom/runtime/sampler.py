"""The sampler: what happens between logits and a drawn id, each option one pure function on logits (V,).

The order, which clients may rely on:

1. `bias`, `ban`, `only` and the ids that are never drawn: one number added to each logit (-inf forbids)
2. `match`: what would leave the regular expression is forbidden
3. frequency and presence penalty
4. `no_repeat`: what would complete a run of N characters seen before is forbidden, if anything else is left
5. temperature (0: the largest logit wins, and nothing below applies)
6. top-k, then top-p, then min-p
7. the draw: softmax and inverse CDF

The functions work in place, and are plain NumPy that numba can compile; memory is given to them, since code
that allocates takes numba a third longer to compile.
"""

from __future__ import annotations

import numpy as np

from charloom.compiled import jitable
from charloom.runtime.arrays import Doubles, Floats, Ids, Longs
from charloom.runtime.draw import pick

TEMPERATURE, TOP_K, TOP_P, MIN_P, FREQUENCY, PRESENCE, NO_REPEAT = range(7)
"""Places in a row of options."""

OPTIONS = 7


@jitable
def keep_matching(logits: Floats, follow: Ids, distance: Ids, place: int, left: int) -> None:
    """Forbid every id that leaves the automaton, or from which no match can be reached in time.

    follow (S, V) is the next state, -1 for none; distance (S,) how many ids a match is away; `left`
    ids may be drawn, this one included.
    """
    for k in range(follow.shape[1]):
        then = follow[place, k]
        if then < 0 or distance[then] > left - 1:
            logits[k] = -np.inf


@jitable
def penalise(logits: Floats, counts: Ids, frequency: float, presence: float) -> None:
    """Logit -= count * frequency + (count > 0) * presence; counts (V,) of what was generated so far.

    Source: the OpenAI API reference, "frequency and presence penalties".
    """
    for k in range(len(counts)):
        if counts[k] > 0:
            logits[k] -= np.float32(counts[k] * frequency + presence)


@jitable
def forbid_repeats(logits: Floats, history: Ids, n: int, work: Longs) -> None:
    """Forbid every id that would complete a run of n ids that `history` already holds; `work` is memory (V,).

    Where that would forbid everything still possible, nothing is forbidden. Source: R. Paulus, C. Xiong,
    R. Socher, "A deep reinforced model for abstractive summarization", ICLR 2018, section 2.5.
    """
    size = len(history)
    if size < n:
        return
    work[:] = 0
    for start in range(size - n + 1):
        same = True
        for k in range(n - 1):
            if history[start + k] != history[size - n + 1 + k]:
                same = False
                break
        last = history[start + n - 1]
        if same and last < len(logits):  # a byte of an unknown character is no row: it is never drawn
            work[last] = 1
    for k in range(len(logits)):
        if work[k] == 0 and logits[k] > -np.inf:
            break
    else:
        return
    for k in range(len(logits)):
        if work[k]:
            logits[k] = -np.inf


# A heap, of which seldom more than a few are taken: numba's own sort takes ten times as long to compile.


@jitable
def to_heap(heap: Longs, logits: Floats) -> None:
    """Fill the heap (V,) with all ids: the one of the largest logit comes first, of equal ones the lowest."""
    for k in range(len(heap)):
        heap[k] = k
    for at in range(len(heap) // 2 - 1, -1, -1):
        sink(heap, len(heap), logits, at)


@jitable
def sink(heap: Longs, size: int, logits: Floats, at: int) -> None:
    """Put the id at that place where it belongs below it, in a heap of that size."""
    while 2 * at + 1 < size:
        below = 2 * at + 1
        if below + 1 < size and comes_before(logits, heap[below + 1], heap[below]):
            below += 1
        if not comes_before(logits, heap[below], heap[at]):
            return
        heap[at], heap[below] = heap[below], heap[at]
        at = below


@jitable
def comes_before(logits: Floats, a: int, b: int) -> bool:
    """Whether a is likelier than b, or as likely and lower."""
    return bool(logits[a] > logits[b] or (logits[a] == logits[b] and a < b))


@jitable
def keep_top_k(logits: Floats, k: int, heap: Longs) -> None:
    """Keep the k largest logits, ties to the lowest id; `heap` is memory (V,). Source: A. Fan, M. Lewis,
    Y. Dauphin, "Hierarchical neural story generation", ACL 2018.
    """
    if k >= len(logits):
        return
    to_heap(heap, logits)
    for size in range(len(heap) - 1, len(heap) - 1 - k, -1):
        heap[0] = heap[size]
        sink(heap, size, logits, 0)
    for at in range(len(heap) - k):
        logits[heap[at]] = -np.inf


@jitable
def keep_top_p(logits: Floats, p: float, heap: Longs) -> None:
    """Keep the likeliest ids up to the first whose cumulative probability reaches p, ties to the lowest id.

    `heap` is memory (V,). Source: A. Holtzman and others, "The curious case of neural text degeneration",
    ICLR 2020.
    """
    to_heap(heap, logits)
    top = logits[heap[0]]
    total = 0.0
    for k in range(len(logits)):
        total += np.exp(logits[k] - top)
    reached, size = 0.0, len(heap)
    while size and reached < p * total:
        reached += np.exp(logits[heap[0]] - top)
        size -= 1
        heap[0] = heap[size]
        sink(heap, size, logits, 0)
    for at in range(size):
        logits[heap[at]] = -np.inf


@jitable
def keep_min_p(logits: Floats, p: float) -> None:
    """Keep the ids at least p times as likely as the likeliest. Source: M. N. Nguyen and others,
    "Turning up the heat: min-p sampling for creative and coherent LLM outputs", ICLR 2025.
    """
    if p > 0:
        least = largest(logits) + np.float32(np.log(p))
        for k in range(len(logits)):
            if logits[k] < least:
                logits[k] = -np.inf


@jitable
def largest(logits: Floats) -> np.float32:
    """The largest logit."""
    result: np.float32 = logits[greedy(logits)]
    return result


@jitable
def greedy(logits: Floats) -> int:
    """The id of the largest logit, ties to the lowest id."""
    best = 0
    for k in range(1, len(logits)):
        if logits[k] > logits[best]:
            best = k
    return best


@jitable
def shape(logits: Floats, options: Doubles, counts: Ids, history: Ids, work: Longs) -> None:
    """Steps 3 to 6 of the order above on logits (V,); options (OPTIONS,), history the ids so far, and
    memory to work in (V,).
    """
    if options[FREQUENCY] != 0 or options[PRESENCE] != 0:
        penalise(logits, counts, options[FREQUENCY], options[PRESENCE])
    if options[NO_REPEAT] > 0:
        forbid_repeats(logits, history, int(options[NO_REPEAT]), work)
    if options[TEMPERATURE] > 0:
        for k in range(len(logits)):
            logits[k] /= np.float32(options[TEMPERATURE])
        if options[TOP_K] > 0:
            keep_top_k(logits, int(options[TOP_K]), work)
        if options[TOP_P] < 1:
            keep_top_p(logits, options[TOP_P], work)
        if options[MIN_P] > 0:
            keep_min_p(logits, options[MIN_P])


@jitable
def draw(logits: Floats, u: np.float32) -> int:
    """Softmax, then the inverse CDF at `u`."""
    return pick(np.exp(logits - logits.max()), u)
