"""The array types of this room, and memory that vectors like."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.int8]

LANES = 16
"""Rows of vectors are padded to a multiple of this: one AVX-512 register, two of AVX2, four of NEON."""

FINE = 127
"""8-bit weights, and the activations that meet them, are integers -FINE…FINE, times their row's scale."""

LINE = 64
"""Bytes of a cache line."""


def padded(size: int) -> int:
    """`size` rounded up to a multiple of `LANES`."""
    return -(-size // LANES) * LANES


def aligned(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    """Zeros that begin at a cache line: a vector that straddles two lines takes twice the time to load."""
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    raw = np.zeros(size + LINE, np.uint8)
    offset = -raw.ctypes.data % LINE
    return raw[offset : offset + size].view(kind).reshape(shape)
