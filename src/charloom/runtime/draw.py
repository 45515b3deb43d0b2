"""Chance: Philox4x32-10 under key (seed, stream) and counter (t, candidate), and the inverse CDF.

Philox: J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3",
SC11, 2011. A draw is a pure function of where it stands, so that a text is the same alone, in a batch,
resumed, or in another language (`tests/runtime/draw_vectors.json`).
"""

from __future__ import annotations

import numpy as np

from charloom.compiled import jitable
from charloom.runtime.arrays import Floats

MOST_SEED = 2**32 - 1
"""Seeds and streams are 32 bits wide, as Philox's key words are."""

_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_WORD = 0xFFFFFFFF


@jitable
def philox(
    key_0: int, key_1: int, counter_0: int, counter_1: int, counter_2: int, counter_3: int
) -> tuple[int, int, int, int]:
    """Four words of 32 bits from a key of two and a counter of four."""
    x0, x1, x2, x3 = np.uint64(counter_0), np.uint64(counter_1), np.uint64(counter_2), np.uint64(counter_3)
    k0, k1 = np.uint64(key_0), np.uint64(key_1)
    word, half = np.uint64(_WORD), np.uint64(32)
    for _ in range(10):
        p0 = np.uint64(_MULTIPLIERS[0]) * x0
        p1 = np.uint64(_MULTIPLIERS[1]) * x2
        x0, x1, x2, x3 = (p1 >> half) ^ x1 ^ k0, p1 & word, (p0 >> half) ^ x3 ^ k1, p0 & word
        k0 = (k0 + np.uint64(_WEYL[0])) & word
        k1 = (k1 + np.uint64(_WEYL[1])) & word
    return x0, x1, x2, x3  # type: ignore[return-value]  # numpy's integers are integers


@jitable
def uniform(seed: int, stream: int, t: int, candidate: int) -> np.float32:
    """A number in [0, 1): the upper 24 bits of Philox's first word over 2^24, exact in float32.

    Key (seed, stream), counter (t, candidate, 0, 0).
    """
    word = philox(seed, stream, t, candidate, 0, 0)[0]
    return np.float32(np.float64(word >> np.uint64(8)) / 16777216.0)


@jitable
def pick(weights: Floats, u: np.float32) -> int:
    """The first id whose cumulative weight exceeds `u` times the whole; weights (V,), none negative.

    Inverse transform sampling in id order. Where rounding leaves no such id, the last with a weight.
    """
    total = np.float32(0)
    for weight in weights:
        total += weight
    threshold = u * total
    reached = np.float32(0)
    last = 0
    for k in range(len(weights)):
        if weights[k] > 0:
            reached += weights[k]
            last = k
            if reached > threshold:
                break
    return last
