"""A folded network laid out for the kernels: a few flat buffers, and a plan that says what lies where."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from charloom.runtime import matrix_unit
from charloom.runtime.arrays import LINE, MIDDLE, Bytes, Floats, Ids, Longs, aligned, padded
from charloom.runtime.vectors import DOTS, PANEL
from charloom.runtime.weights import Folded, Layer, Matrix, Quantised

LSTM, GRU, RNN = range(3)
CELLS = ("lstm", "gru", "rnn")

CELL, LAYERS, HIDDEN, WIDE, VOCABULARY, OUTPUTS, GATES, CODED, UNIT, LAYER_0 = range(10)
"""Places in the plan: sizes H, Hp, V, Vp, the padded width of all gates; whether weights are 8-bit; whether
the matrix unit may be used for them."""

START, FROM_INPUT, FROM_HIDDEN, LAYER_SIZE = 0, 1, 4, 7
"""Places of a layer, from LAYER_0 + layer * LAYER_SIZE; the output's bias and matrix follow the last."""

WEIGHTS, SUMS, SCALES = range(3)
"""Places of a matrix: where its weights begin (in numbers or codes), its sums, its scales."""

GROUP = 4
"""Neighbouring k whose 8-bit weights lie together: what one dot-product instruction takes."""

DEEP = 64
"""8-bit matrices are padded to a multiple of so many k: one tile of the matrix unit."""

GATE_ORDER = {"lstm": (0, 1, 2, 3), "gru": (2, 0, 1), "rnn": (0,)}
"""Blocks of the input's products. Those of GRU's hidden stay r z n and lie one block further on, so that
in [nx | r | z | nh] only what may be added meets."""

Number = TypeVar("Number", bound=np.generic)


class Packed:
    """`numbers` (float32), `codes` (int8) and `sums` (int32) are flat; `plan` (int64) says where."""

    def __init__(self, network: Folded) -> None:
        config, vocabulary = network.config, network.vocabulary
        self._numbers, self._codes, self._sums = _Buffer(np.float32), _Buffer(np.int8), _Buffer(np.int32)
        blocks = 4 if config.cell == "gru" else config.gates
        wide, coded = padded(config.hidden), DOTS and isinstance(network.output, Quantised)
        plan = [CELLS.index(config.cell), config.layers, config.hidden, wide]
        plan += [vocabulary, padded(vocabulary), blocks * wide, coded, matrix_unit.permitted()]
        for layer in network.layers:
            order = GATE_ORDER[config.cell]
            plan.append(self._numbers.add(_start(layer, order, blocks, config.hidden)))
            absent = [0, 0, 0]
            plan += absent if layer.from_input is None else self._matrix(layer.from_input, order)
            plan += self._matrix(layer.from_hidden, tuple(range(config.gates)))
        bias = np.full(padded(vocabulary), -np.inf, np.float32)
        bias[:vocabulary] = network.bias
        plan += [self._numbers.add(bias), *self._matrix(network.output, (0,))]
        self.plan: Longs = np.array(plan, np.int64)
        self.numbers: Floats = self._numbers.joined()
        self.codes: Bytes = self._codes.joined()
        self.sums: Ids = self._sums.joined()

    def _matrix(self, matrix: Matrix, order: tuple[int, ...]) -> list[int]:
        """Pack a matrix (blocks * size, K), its blocks in that order, each padded; where it lies."""
        if isinstance(matrix, Quantised) and not DOTS:
            matrix = matrix.codes * matrix.scale[:, None]
        if not isinstance(matrix, Quantised):
            return [self._numbers.add(_panels(_blocks(matrix, order)[:, :, None])), 0, 0]
        codes = _blocks(matrix.codes, order)
        n, depth = codes.shape
        deep = np.zeros((n, -(-depth // DEEP) * DEEP), np.int8)
        deep[:, :depth] = codes
        sums = -MIDDLE * codes.sum(axis=1, dtype=np.int32)
        return [
            self._codes.add(_panels(deep.reshape(n, -1, GROUP))),
            self._sums.add(sums),
            self._numbers.add(_blocks(matrix.scale, order)),
        ]


class _Buffer(Generic[Number]):
    """Arrays one after the other, each from a cache line on."""

    def __init__(self, kind: type[Number]) -> None:
        self.kind, self.parts, self.size = np.dtype(kind), list[npt.NDArray[Any]](), 0

    def add(self, array: npt.NDArray[Any]) -> int:
        """Append, and tell where it begins."""
        begin, line = self.size, LINE // self.kind.itemsize
        self.parts.append(array.ravel())
        self.size = -(-(begin + array.size) // line) * line
        return begin

    def joined(self) -> npt.NDArray[Any]:
        """All in one array that begins at a cache line."""
        result, line, at = aligned((self.size,), self.kind), LINE // self.kind.itemsize, 0
        for part in self.parts:
            result[at : at + len(part)] = part
            at = -(-(at + len(part)) // line) * line
        return result


def _start(layer: Layer, order: tuple[int, ...], blocks: int, hidden: int) -> Floats:
    """What the gates hold before any product: (V or 1, blocks * Hp)."""
    start = np.zeros((len(layer.start), blocks * padded(hidden)), np.float32)
    folded = _blocks(layer.start.T, order).T
    start[:, : folded.shape[1]] = folded
    if len(layer.candidate_bias):  # GRU's nh
        start[:, folded.shape[1] : folded.shape[1] + hidden] = layer.candidate_bias
    return start


def _blocks(array: npt.NDArray[Any], order: tuple[int, ...]) -> npt.NDArray[Any]:
    """(blocks * size, …) to (blocks * padded size, …), the blocks in that order."""
    size = len(array) // len(order)
    result = np.zeros((len(order), padded(size), *array.shape[1:]), array.dtype)
    for target, source in enumerate(order):
        result[target, :size] = array[source * size : (source + 1) * size]
    return result.reshape(-1, *array.shape[1:])


def _panels(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(N, K, group) as panels of up to PANEL outputs, each (K, outputs, group), one after the other."""
    panels = [array[n : n + PANEL].transpose(1, 0, 2).ravel() for n in range(0, len(array), PANEL)]
    return np.concatenate(panels)
