"""The network's step in plain NumPy: what the kernels are tested against, and what runs without numba."""

from __future__ import annotations

import numpy as np

from charloom.runtime import sampler
from charloom.runtime.arrays import FINE, Floats, Ids, Longs
from charloom.runtime.automaton import Automaton
from charloom.runtime.draw import uniform
from charloom.runtime.slots import ENDED_BY_EOS, ENDED_BY_MATCH, RUNNING, Slots
from charloom.runtime.weights import Folded, Matrix, Quantised


def step(network: Folded, ids: Ids, state: Floats) -> tuple[Floats, Floats]:
    """Logits (B, V) and the next state (layers, parts, B, H) after reading one id a row, ids (B,)."""
    state = state.copy()
    cell = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}[network.config.cell]
    hidden = network.config.hidden
    y = np.zeros((len(ids), hidden), np.float32)
    for k, layer in enumerate(network.layers):
        if layer.from_input is None:
            gates = layer.start[ids]
        else:
            gates = layer.start + product(y, layer.from_input)
        h = state[k, 0]
        cell(gates, product(h, layer.from_hidden), layer.candidate_bias, state[k])
        y = y + state[k, 0] if k else state[k, 0]
    return product(y, network.output) + network.bias, state


def product(rows: Floats, matrix: Matrix) -> Floats:
    """Rows (B, K) times the transpose of a matrix (N, K), each row by itself: (B, N).

    Row by row, because a matrix library's sums depend on a row's place in the batch.
    """
    if isinstance(matrix, Quantised):
        # integers below 2^53 in float64 are exact, and have fast products
        largest = np.abs(rows).max(axis=1, keepdims=True)
        scale = np.where(largest > 0, largest / np.float32(FINE), np.float32(1)).astype(np.float32)
        codes = np.rint(rows / scale).astype(np.float64)
        whole = (codes @ matrix.codes.T.astype(np.float64)).astype(np.float32)
        exact: Floats = whole * (scale * matrix.scale)
        return exact
    result: Floats = np.empty((len(rows), len(matrix)), np.float32)
    for b in range(len(rows)):
        result[b] = matrix @ rows[b]
    return result


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow."""
    result: Floats = np.float32(0.5) + np.float32(0.5) * np.tanh(np.float32(0.5) * x)
    return result


def _lstm(gates: Floats, recurrent: Floats, _bias: Floats, state: Floats) -> None:
    i, f, g, o = np.split(gates + recurrent, 4, axis=1)
    state[1] = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
    state[0] = sigmoid(o) * np.tanh(state[1])


def _gru(gates: Floats, recurrent: Floats, bias: Floats, state: Floats) -> None:
    hidden = len(bias)
    r, z = np.split(sigmoid(gates[:, : 2 * hidden] + recurrent[:, : 2 * hidden]), 2, axis=1)
    n = np.tanh(gates[:, 2 * hidden :] + r * (recurrent[:, 2 * hidden :] + bias))
    state[0] = n + z * (state[0] - n)


def _rnn(gates: Floats, recurrent: Floats, _bias: Floats, state: Floats) -> None:
    state[0] = np.tanh(gates + recurrent)


class Twins:
    """The engine without compilation, with the methods and arrays of `charloom.runtime.kernels.Kernels`."""

    def __init__(self, network: Folded) -> None:
        self.network = network

    def generate(self, slots: Slots, automaton: Automaton, eos: int, rows: range, steps: int) -> None:
        """Draw and feed back up to `steps` ids in each of these rows of slots.

        Returns early when an eighth of the rows has nothing left to do, or when told to halt. eos is -1
        where there is none.
        """
        for step_number in range(steps):
            running = [b for b in rows if slots.ended[b] == RUNNING and slots.left[b] > 0]
            if not running or (step_number and (slots.halt[0] or 8 * len(running) <= 7 * len(rows))):
                return
            for b in running:
                self._draw(slots, automaton, eos, b)
            self._feed(slots, np.array(running), slots.drawn[running, slots.count[running] - 1])

    def _draw(self, slots: Slots, automaton: Automaton, eos: int, b: int) -> None:
        vocabulary = self.network.vocabulary
        logits = slots.logits[b, :vocabulary] + slots.added[b, :vocabulary]
        place, n = slots.place[b], slots.count[b]
        if slots.trace.shape[1]:
            slots.trace[b, n] = slots.logits[b]
        if place >= 0:
            sampler.keep_matching(logits, automaton.follow, automaton.distance, place, int(slots.left[b]))
        used = slots.used[b]
        work = np.empty(vocabulary, np.int64)
        sampler.shape(logits, slots.options[b], slots.counts[b], slots.history[b, :used], work)
        if slots.options[b, sampler.TEMPERATURE] == 0:
            drawn = sampler.greedy(logits)
        else:
            seed, stream, candidate = (int(word) for word in slots.keys[b])
            drawn = sampler.draw(logits, uniform(seed, stream, int(slots.t[b]), candidate))
        slots.drawn[b, n] = drawn
        slots.count[b] += 1
        slots.t[b] += 1
        slots.left[b] -= 1
        slots.counts[b, drawn] += 1
        if used < slots.history.shape[1]:
            slots.history[b, used] = drawn
            slots.used[b] += 1
        if place >= 0:
            slots.place[b] = automaton.follow[place, drawn]
            slots.left[b] += automaton.ends[slots.place[b], 1]
            if automaton.ends[slots.place[b], 0] > slots.left[b]:
                slots.ended[b] = ENDED_BY_MATCH
        if drawn == eos:
            slots.ended[b] = ENDED_BY_EOS

    def _feed(self, slots: Slots, rows: Longs, ids: Ids) -> None:
        hidden = self.network.config.hidden
        logits, state = step(self.network, ids, slots.state[:, :, rows, :hidden])
        slots.state[:, :, rows, :hidden] = state
        slots.logits[rows, : logits.shape[1]] = logits

    def read(
        self, ids: Ids, lengths: Longs, state: Floats, logits: Floats, scores: Floats, trace: Floats
    ) -> None:
        """Feed each row's ids (B, T), the first `lengths` of them, longest rows first.

        state (layers, parts, B, Hp) and logits (B, Vp) go on in place. scores (2, B, T), if T is not 0
        there, receives each id's log-probability under the logits before it, and their entropy, in
        nats. trace (B, T, Vp), likewise, the logits after each id.
        """
        hidden, vocabulary = self.network.config.hidden, self.network.vocabulary
        for t in range(ids.shape[1]):
            rows = int(np.count_nonzero(lengths > t))
            if scores.shape[2]:
                normal = log_softmax(logits[:rows, :vocabulary])
                scores[0, :rows, t] = normal[np.arange(rows), ids[:rows, t]]
                scores[1, :rows, t] = -(np.exp(normal) * normal).sum(axis=1)
            after, moved = step(self.network, ids[:rows, t], state[:, :, :rows, :hidden])
            state[:, :, :rows, :hidden] = moved
            logits[:rows, :vocabulary] = after
            if trace.shape[1]:
                trace[:rows, t] = logits[:rows]


def log_softmax(logits: Floats) -> Floats:
    """Logits (..., V) as log-probabilities, in nats."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result
