"""A primed state as a value: fork it as often as wanted, save it, load it elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from charloom.errors import ModelError
from charloom.runtime.arrays import Floats, Ids


@dataclass(frozen=True)
class State:
    """What a model knows after reading a text.

    hidden (layers, parts, H); logits (V,) for the next id; ids (n,) of what was read, without `<bos>`,
    virtual ids of bytes among them. Nothing writes into a State: it may be shared between streams.
    """

    hidden: Floats
    logits: Floats
    ids: Ids

    def save(self) -> bytes:
        """The state as a safetensors file's content."""
        arrays = {"hidden": self.hidden, "logits": self.logits, "ids": self.ids}
        return bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))

    @classmethod
    def load(cls, content: bytes) -> State:
        """Back from `save`. Raises ModelError for anything else."""
        try:
            arrays: dict[str, Any] = load(content)
            hidden, logits, ids = arrays["hidden"], arrays["logits"], arrays["ids"]
        except (SafetensorError, KeyError, ValueError) as error:
            raise ModelError(f"saved state: not a readable state ({error}); prime the text again") from error
        if (hidden.ndim, logits.ndim, ids.ndim) != (3, 1, 1) or (hidden.dtype, logits.dtype, ids.dtype) != (
            np.float32,
            np.float32,
            np.int32,
        ):
            raise ModelError("saved state: shapes or types are not a state's; prime the text again")
        if not (np.isfinite(hidden).all() and np.isfinite(logits).all()):
            raise ModelError("saved state: it holds NaN or infinity; prime the text again")
        return cls(hidden, logits, ids)
