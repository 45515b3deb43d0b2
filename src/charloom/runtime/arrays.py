"""The array types of this room, and memory that vectors like."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.int8]

LANES = 16
"""Rows of vectors are padded to a multiple of this: one AVX-512 register, two of AVX2, four of NEON."""


def padded(size: int) -> int:
    """`size` rounded up to a multiple of `LANES`."""
    return -(-size // LANES) * LANES
