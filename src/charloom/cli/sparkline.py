"""A curve in a line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int) -> str:
    """`values` as at most `width` blocks, the lowest and the highest as they go; NaN is left out.

    Of many values each block shows the mean of its share, so that a noisy loss reads as a curve.
    """
    values = [value for value in values if math.isfinite(value)]
    count = min(width, len(values))
    if not count:
        return ""
    borders = [len(values) * k // count for k in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(borders)]
    low, high = min(means), max(means)
    steps = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((mean - low) * steps)] for mean in means)
