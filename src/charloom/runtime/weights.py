"""A model's weights, folded for run time.

The input side of layer 0 (embedding, input weights, input bias, and the hidden bias except in GRU's
candidate, where the reset gate multiplies it) becomes one table, a row per character.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from charloom.errors import UsageError
from charloom.model.config import ModelConfig
from charloom.model.folder import Weights
from charloom.runtime.arrays import FINE, Bytes, Floats

Precision = Literal["float32", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True)
class Quantised:
    """A matrix of 8-bit integers, `scale[n] * codes[n, k]`; codes (N, K) in -FINE…FINE, scale (N,)."""

    codes: Bytes
    scale: Floats

    @classmethod
    def of(cls, matrix: Floats) -> Quantised:
        """The nearest such matrix, a scale a row."""
        largest = np.abs(matrix).max(axis=1, initial=0)
        scale = np.where(largest > 0, largest / FINE, 1).astype(np.float32)
        return cls(np.rint(matrix / scale[:, None]).astype(np.int8), scale)


Matrix = Floats | Quantised


@dataclass(frozen=True)
class Layer:
    """One layer: gates G*H in torch's order.

    `start` is what the gates hold before any product: for layer 0 one row a character (V, G*H), else
    one row of biases (1, G*H). `candidate_bias` (H,) is GRU's hidden bias of the candidate.
    """

    start: Floats
    from_input: Matrix | None
    from_hidden: Matrix
    candidate_bias: Floats


@dataclass(frozen=True)
class Folded:
    """All that a step needs: `layers`, and `output` (V, H) with its `bias` (V,)."""

    config: ModelConfig
    layers: tuple[Layer, ...]
    output: Matrix
    bias: Floats

    @property
    def vocabulary(self) -> int:
        """V, the number of ids."""
        return len(self.bias)


def fold(config: ModelConfig, weights: Weights, precision: Precision) -> Folded:
    """The weights of a model folder as a step wants them. Raises UsageError for an unknown precision."""
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is not known; choose one of {', '.join(PRECISIONS)}")

    def matrix(name: str) -> Matrix:
        array = np.ascontiguousarray(weights[name], dtype=np.float32)
        return Quantised.of(array) if precision == "int8" else array

    hidden = config.hidden
    layers = []
    for k in range(config.layers):
        bias = weights[f"layers.{k}.bias_input"].copy()
        of_hidden = weights[f"layers.{k}.bias_hidden"]
        folded = 2 * hidden if config.cell == "gru" else len(bias)
        bias[:folded] += of_hidden[:folded]
        start = bias[None]
        if k == 0:
            of_input = weights["layers.0.weight_input"].T
            start = bias + (weights["embedding.weight"] @ of_input if config.embedding else of_input)
        layers.append(
            Layer(
                start=np.ascontiguousarray(start, dtype=np.float32),
                from_input=matrix(f"layers.{k}.weight_input") if k else None,
                from_hidden=matrix(f"layers.{k}.weight_hidden"),
                candidate_bias=of_hidden[folded:],
            )
        )
    return Folded(config, tuple(layers), matrix("output.weight"), weights["output.bias"])
