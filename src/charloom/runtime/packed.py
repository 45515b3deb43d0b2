"""A folded network laid out for the kernels: one flat buffer of 32-bit words, and a plan of what lies where.

The outputs of a layer lie in panels. A panel holds the same few units of every gate, so that their gates can
be computed as soon as its product is done, while they are in the cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from charloom.compiled import address
from charloom.runtime.arrays import Ids, Longs, aligned, padded
from charloom.runtime.products import PANEL, multiply_codes, multiply_floats
from charloom.runtime.vectors import OFFSET
from charloom.runtime.weights import Folded, Layer, Matrix, Quantised

LSTM, GRU, RNN = range(3)
CELLS = ("lstm", "gru", "rnn")

CELL, LAYERS, WIDE, BLOCKS, VOCABULARY, OUTPUTS, CODED, DEPTH, STRIDE, MULTIPLY, WORDS = range(11)
"""Places in the plan: sizes Hp, V, Vp; how many gates a unit has; whether weights are 8-bit codes; the words
of a row that meet the weights, and those from one such row to the next; the addresses of the compiled product
with the weights and of `words`."""

STEP, GATES, AFTER, TOTAL, FORM_Y, FORM_H, STATE, ROWS, LOGITS, LAYER_0 = range(11, 21)
"""Places that each call fills: the addresses of the compiled step, a panel of gates, h after the step, the
sum of layers, both as codes, and the state; the state's rows; the address of the logits."""

START, FROM_INPUT, FROM_HIDDEN, LAYER_SIZE = 0, 1, 4, 7
"""Places of a layer, from LAYER_0 + layer * LAYER_SIZE; the output's bias and matrix follow the last."""

WEIGHTS, SUMS, SCALES = range(3)
"""Places of a matrix: where its weights begin; for codes what their sums start from, and their scales."""

GROUP = 4
"""Neighbouring k whose codes share a word."""

ORDER = {"lstm": (0, 1, 2, 3), "gru": (2, 0, 1), "rnn": (0,)}
"""Order of the input's products. Those of GRU's hidden stay r z n and lie one gate further on, so that in
[nx | r | z | nh] only what may be added meets."""


class Packed:
    """`words` (int32, whatever they mean) is flat; `plan` (int64) tells where."""

    def __init__(self, network: Folded) -> None:
        config, self._parts, self._size = network.config, list[Ids](), 0
        wide, gates = padded(config.hidden), ORDER[config.cell]
        blocks = 4 if config.cell == "gru" else config.gates
        coded = isinstance(network.output, Quantised)
        plan = [CELLS.index(config.cell), config.layers, wide, blocks]
        plan += [network.vocabulary, padded(network.vocabulary), coded]
        # behind a row's codes stands its scale, and rows begin at cache lines
        plan += [-(-config.hidden // GROUP), padded(wide // GROUP + 1)] if coded else [config.hidden, wide]
        plan += [address(multiply_codes if coded else multiply_floats)]
        plan += [0] * (LAYER_0 - len(plan))
        unit = PANEL // blocks
        for layer in network.layers:
            plan.append(self._add(_start(layer, gates, unit)))
            absent = [0, 0, 0]
            plan += absent if layer.from_input is None else self._matrix(layer.from_input, gates, unit)
            plan += self._matrix(layer.from_hidden, tuple(range(config.gates)), unit)
        bias = np.full(padded(network.vocabulary), -np.inf, np.float32)
        bias[: network.vocabulary] = network.bias
        plan += [self._add(bias), *self._matrix(network.output, (0,), PANEL)]
        self.plan: Longs = np.array(plan, np.int64)
        self.words: Ids = aligned((self._size,), np.int32)
        at = 0
        for part in self._parts:
            self.words[at : at + len(part)] = part
            at += padded(len(part))
        self.plan[WORDS] = self.words.ctypes.data

    def _add(self, array: npt.NDArray[Any]) -> int:
        """Append, from a cache line on, and tell where."""
        begin, words = self._size, np.ascontiguousarray(array).ravel().view(np.int32)
        self._parts.append(words)
        self._size += padded(len(words))
        return begin

    def _matrix(self, matrix: Matrix, order: tuple[int, ...], unit: int) -> list[int]:
        """Pack a matrix (blocks * size, K), its blocks in that order, `unit` of each a panel."""
        if not isinstance(matrix, Quantised):
            return [self._weights(_panels(matrix, order, unit)), 0, 0]
        codes = np.pad(matrix.codes, ((0, 0), (0, -matrix.codes.shape[1] % GROUP)))
        sums = -OFFSET * codes.sum(axis=1, dtype=np.int32)
        return [
            self._weights(_panels(codes.view(np.int32), order, unit)),
            self._add(np.concatenate(_panels(sums, order, unit))),
            self._add(np.concatenate(_panels(matrix.scale, order, unit))),
        ]

    def _weights(self, panels: list[npt.NDArray[Any]]) -> int:
        """Panels (outputs, words) one after the other, each k by k."""
        return self._add(np.concatenate([panel.T.ravel() for panel in panels]))


def _start(layer: Layer, order: tuple[int, ...], unit: int) -> npt.NDArray[Any]:
    """What the gates hold before any product, (V or 1, outputs), as panels hold them."""
    start = layer.start.T
    if len(layer.candidate_bias):  # GRU's nh
        order = (*order, len(order))
        start = np.concatenate([start, np.repeat(layer.candidate_bias[:, None], start.shape[1], axis=1)])
    return np.concatenate(_panels(start, order, unit)).T


def _panels(array: npt.NDArray[Any], order: tuple[int, ...], unit: int) -> list[npt.NDArray[Any]]:
    """(blocks * size, …) as panels (blocks * unit, …), the blocks in that order and padded with zeros."""
    size = len(array) // len(order)
    blocks = np.zeros((len(order), padded(size), *array.shape[1:]), array.dtype)
    for target, source in enumerate(order):
        blocks[target, :size] = array[source * size : (source + 1) * size]
    return [blocks[:, at : at + unit].reshape(-1, *array.shape[1:]) for at in range(0, blocks.shape[1], unit)]
