"""A model's weights at another precision, as one safetensors file that the JavaScript engine reads."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from charloom.errors import UsageError
from charloom.model.folder import Model, serialized
from charloom.runtime.weights import Quantised

Precision = Literal["float32", "float16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

SCALE = ".scale"  # of an int8 matrix NAME, the float32 vector NAME.scale holds a factor a row
MOST_FLOAT16 = 65504.0


def weights(model: Model, precision: Precision) -> bytes:
    """The file's content: matrices at `precision`, vectors in float32, metrics in the metadata.

    The identity of a one-hot embedding is left out. Raises UsageError where float16 cannot hold a weight.
    """
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, array in model.weights.items():
        if name == "embedding.weight" and not model.config.embedding:
            continue
        if array.ndim < 2 or precision == "float32":
            arrays[name] = array
        elif precision == "float16":
            if np.abs(array).max(initial=0) > MOST_FLOAT16:
                raise UsageError(f"{name} holds a weight beyond float16; export with --precision float32")
            arrays[name] = array.astype(np.float16)
        else:
            quantised = Quantised.of(array)
            arrays[name], arrays[name + SCALE] = quantised.codes, quantised.scale
    return serialized(arrays, model.metrics)
