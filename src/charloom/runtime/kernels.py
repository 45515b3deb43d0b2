"""The compiled engine: whole stretches of text in one call, outside Python and without its lock.

A step is, for every layer, products into a row of gates (tiles.py) and what the gates do (gates.py); then
the product with the output matrix, the sampler and the draw. `packed.py` says how weights lie.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from charloom.compiled import compiled, jitable
from charloom.runtime import matrix_unit, sampler
from charloom.runtime.arrays import LINE, Bytes, Floats, Ids, Longs, aligned
from charloom.runtime.automaton import Automaton
from charloom.runtime.dots import multiply_codes
from charloom.runtime.draw import uniform
from charloom.runtime.gates import add, copy, gru_gates, lstm_gates, quantise, rnn_gates, softmax_weights
from charloom.runtime.packed import (
    CELL,
    CODED,
    DEEP,
    FROM_HIDDEN,
    FROM_INPUT,
    GATES,
    GROUP,
    GRU,
    HIDDEN,
    LAYER_0,
    LAYER_SIZE,
    LAYERS,
    LSTM,
    OUTPUTS,
    SCALES,
    START,
    SUMS,
    UNIT,
    VOCABULARY,
    WEIGHTS,
    WIDE,
    Packed,
)
from charloom.runtime.slots import CANDIDATE, ENDED_BY_EOS, ENDED_BY_MATCH, RUNNING, SEED, STREAM, Slots
from charloom.runtime.tiles import multiply
from charloom.runtime.vectors import LANES
from charloom.runtime.weights import Folded

FLOAT = 4
"""Bytes of a number."""


@jitable
def product(
    weights: Any,
    matrix: Any,
    coded: Any,
    c: Any,
    c_stride: Any,
    a: Any,
    a_stride: Any,
    rows: Any,
    depth: Any,
    outputs: Any,
    backwards: Any,
) -> Any:
    """C (rows, outputs) += A (rows, depth) times the matrix at that place of the plan.

    coded (rows, any) is working memory for the 8-bit form of A.
    """
    plan, numbers, codes, sums = weights
    c, a = np.int64(c), np.int64(a)  # one type for all callers: compiled once
    place = plan[matrix + WEIGHTS]
    if plan[CODED]:
        deep = (depth + DEEP - 1) // DEEP * DEEP
        form, form_stride = coded.ctypes.data, coded.shape[1]
        for b in range(rows):
            quantise(form + b * form_stride, deep, a + FLOAT * b * a_stride, plan[WIDE])
        multiply_codes(
            c,
            c_stride,
            form,
            form_stride,
            deep,
            codes.ctypes.data + place,
            sums.ctypes.data + FLOAT * plan[matrix + SUMS],
            numbers.ctypes.data + FLOAT * plan[matrix + SCALES],
            rows,
            (depth + GROUP - 1) // GROUP,
            deep // GROUP,
            outputs,
            plan[UNIT],
        )
    else:
        w = numbers.ctypes.data + FLOAT * place
        multiply(c, c_stride, a, a_stride, w, rows, depth, outputs, backwards)


@compiled
def step(
    weights: Any,
    working: Any,
    ids: Any,
    state: Any,
    logits: Any,
    begin: Any,
    end: Any,
    output: Any,
    backwards: Any,
) -> Any:
    """Feed ids[begin:end] to these rows: state and, where `output`, logits move on in place.

    working: memory of `Kernels._working`. `backwards` runs through the weights from the end, so that of
    weights larger than the cache the part used last is used first.
    """
    plan, numbers = weights[0], weights[1]
    scratch, coded = working
    rows, layers, hidden, wide, gates = end - begin, plan[LAYERS], plan[HIDDEN], plan[WIDE], plan[GATES]
    stride = scratch.shape[1]
    before = scratch.ctypes.data
    y = before + FLOAT * gates
    for k in range(layers):
        place = LAYER_0 + k * LAYER_SIZE
        start = plan[place + START]
        for b in range(rows):
            source = start + (gates * ids[begin + b] if k == 0 else 0)
            copy(before + FLOAT * b * stride, numbers.ctypes.data + FLOAT * source, gates)
        h = state.ctypes.data + FLOAT * wide * (k * state.shape[1] * state.shape[2] + begin)
        outputs = 3 * wide if plan[CELL] == GRU else gates
        if k:
            matrix = place + FROM_INPUT
            product(weights, matrix, coded, before, stride, y, stride, rows, hidden, outputs, backwards)
        matrix, target = place + FROM_HIDDEN, before + (FLOAT * wide if plan[CELL] == GRU else 0)
        product(weights, matrix, coded, target, stride, h, wide, rows, hidden, outputs, backwards)
        for b in range(rows):
            gate, own = before + FLOAT * b * stride, h + FLOAT * b * wide
            if plan[CELL] == LSTM:
                lstm_gates(gate, own, own + FLOAT * wide * state.shape[2], wide)
            elif plan[CELL] == GRU:
                gru_gates(gate, own, wide)
            else:
                rnn_gates(gate, own, wide)
            if k:
                add(gate + FLOAT * gates, own, wide)
            else:
                copy(gate + FLOAT * gates, own, wide)
    if output:
        place, outputs = LAYER_0 + layers * LAYER_SIZE, plan[OUTPUTS]
        bias = plan[place]
        for b in range(begin, end):
            copy(logits.ctypes.data + FLOAT * b * outputs, numbers.ctypes.data + FLOAT * bias, outputs)
        target = logits.ctypes.data + FLOAT * begin * outputs
        product(weights, place + 1, coded, target, outputs, y, stride, rows, hidden, outputs, backwards)


@jitable
def is_plain(options: Any, place: Any) -> Any:
    """Whether nothing but temperature stands between the logits and the draw."""
    return (
        place < 0
        and options[sampler.TEMPERATURE] > 0
        and options[sampler.TOP_K] == 0
        and options[sampler.TOP_P] == 1
        and options[sampler.MIN_P] == 0
        and options[sampler.FREQUENCY] == 0
        and options[sampler.PRESENCE] == 0
        and options[sampler.NO_REPEAT] == 0
    )


@jitable
def pick(weights: Any, width: Any, vocabulary: Any, u: Any) -> Any:
    """`draw.pick` on what softmax_weights leaves: whole vectors first, then within one, in id order."""
    total = np.float32(0)
    for j in range(width // LANES):
        total += weights[width + j]
    threshold = u * total
    reached, before = np.float32(0), np.float32(0)
    last = 0
    for j in range(width // LANES):
        vector = weights[width + j]
        if vector > 0:  # where rounding lets none exceed, it is the last that has a weight
            last, before = j, reached
            reached += vector
            if reached > threshold:
                break
    chosen = last * LANES
    for k in range(last * LANES, min(last * LANES + LANES, vocabulary)):
        if weights[k] > 0:
            before += weights[k]
            chosen = k
            if before > threshold:
                break
    return chosen


@compiled
def generate(
    weights: Any,
    working: Any,
    state: Any,
    logits: Any,
    added: Any,
    options: Any,
    keys: Any,
    t: Any,
    remaining: Any,
    counts: Any,
    history: Any,
    used: Any,
    place: Any,
    drawn: Any,
    count: Any,
    ended: Any,
    trace: Any,
    follow: Any,
    distance: Any,
    ends: Any,
    eos: Any,
    begin: Any,
    end: Any,
    steps: Any,
) -> Any:
    """`Kernels.generate` on the arrays of Slots and Automaton."""
    width, vocabulary = logits.shape[1], counts.shape[1]
    chances, masked = np.zeros(width + width // LANES + 1, np.float32), np.zeros(width, np.float32)
    nothing = np.zeros(width, np.float32)
    fed = np.zeros(end, np.int32)
    plain = np.zeros(end, np.bool_)
    for b in range(begin, end):
        plain[b] = is_plain(options[b], place[b])
    for s in range(steps):
        idle = 0
        for b in range(begin, end):
            idle += ended[b] != RUNNING or remaining[b] <= 0
        if idle == end - begin or (s and 8 * idle >= end - begin):
            return
        for b in range(begin, end):
            if ended[b] != RUNNING or remaining[b] <= 0:
                continue
            if trace.shape[1]:
                for j in range(width):
                    trace[b, count[b], j] = logits[b, j]
            u = uniform(keys[b, SEED], keys[b, STREAM], t[b], keys[b, CANDIDATE])
            row = FLOAT * width * b
            if plain[b]:
                inverse = np.float32(1 / options[b, sampler.TEMPERATURE])
                source, shift = logits.ctypes.data + row, added.ctypes.data + row
                softmax_weights(chances.ctypes.data, source, shift, inverse, width)
                k = pick(chances, width, vocabulary, u)
            else:
                for j in range(width):
                    masked[j] = logits[b, j] + added[b, j]
                if place[b] >= 0:
                    sampler.keep_matching(masked, follow, distance, place[b], remaining[b])
                sampler.shape(masked[:vocabulary], options[b], counts[b], history[b, : used[b]])
                if options[b, sampler.TEMPERATURE] == 0:
                    k = sampler.greedy(masked[:vocabulary])
                else:
                    one = np.float32(1)
                    softmax_weights(chances.ctypes.data, masked.ctypes.data, nothing.ctypes.data, one, width)
                    k = pick(chances, width, vocabulary, u)
            fed[b] = k
            drawn[b, count[b]] = k
            count[b] += 1
            t[b] += 1
            remaining[b] -= 1
            counts[b, k] += 1
            if used[b] < history.shape[1]:
                history[b, used[b]] = k
                used[b] += 1
            if place[b] >= 0:
                place[b] = follow[place[b], k]
                if ends[place[b]]:
                    ended[b] = ENDED_BY_MATCH
            if k == eos:
                ended[b] = ENDED_BY_EOS
        step(weights, working, fed, state, logits, begin, end, np.int64(1), t[begin] & 1)


@compiled
def read(
    weights: Any, working: Any, ids: Any, lengths: Any, state: Any, logits: Any, scores: Any, trace: Any
) -> Any:
    """`Kernels.read`."""
    rows, longest = ids.shape
    width, vocabulary = logits.shape[1], weights[0][VOCABULARY]
    chances = np.zeros(width + width // LANES + 1, np.float32)
    nothing, fed = np.zeros(width, np.float32), np.zeros(rows, np.int32)
    one = np.float32(1)
    for t in range(longest):
        while lengths[rows - 1] <= t:
            rows -= 1
        for b in range(rows):
            fed[b] = ids[b, t]
            if scores.shape[2]:
                source = logits.ctypes.data + FLOAT * width * b
                softmax_weights(chances.ctypes.data, source, nothing.ctypes.data, one, width)
                total, top = np.float32(0), chances[width + width // LANES]
                for j in range(width // LANES):
                    total += chances[width + j]
                normal, expected = np.log(total), np.float32(0)
                for k in range(vocabulary):
                    expected += chances[k] * (logits[b, k] - top)
                scores[0, b, t] = logits[b, fed[b]] - top - normal
                scores[1, b, t] = normal - expected / total
        needed = scores.shape[2] > 0 or trace.shape[1] > 0 or lengths[rows - 1] == t + 1
        step(weights, working, fed, state, logits, np.int64(0), rows, np.int64(needed), t & 1)
        if trace.shape[1]:
            for b in range(rows):
                for j in range(width):
                    trace[b, t, j] = logits[b, j]


class Kernels:
    """The compiled engine; the arguments of its methods are told in `charloom.runtime.twins.Twins`."""

    def __init__(self, network: Folded) -> None:
        packed = Packed(network)
        self._weights = packed.plan, packed.numbers, packed.codes, packed.sums
        self._width = int(packed.plan[GATES] + packed.plan[WIDE])
        deep = -(-network.config.hidden // DEEP) * DEEP
        self._coded_width = 2 * deep + LINE if packed.plan[CODED] else 0

    def _working(self, rows: int) -> tuple[Floats, Bytes]:
        """Memory of a call: gates and the last layer's output of each row, and a row's 8-bit form."""
        whole = -(-rows // matrix_unit.ROWS) * matrix_unit.ROWS
        return aligned((rows, self._width)), aligned((whole, self._coded_width), np.int8)

    def generate(self, slots: Slots, automaton: Automaton, eos: int, rows: range, steps: int) -> None:
        """Draw and feed back up to `steps` ids in each of these rows of slots."""
        generate(
            self._weights,
            self._working(len(rows)),
            slots.state,
            slots.logits,
            slots.added,
            slots.options,
            slots.keys,
            slots.t,
            slots.left,
            slots.counts,
            slots.history,
            slots.used,
            slots.place,
            slots.drawn,
            slots.count,
            slots.ended,
            slots.trace,
            automaton.follow,
            automaton.distance,
            automaton.ends(eos),
            eos,
            rows.start,
            rows.stop,
            steps,
        )

    def read(
        self, ids: Ids, lengths: Longs, state: Floats, logits: Floats, scores: Floats, trace: Floats
    ) -> None:
        """Feed each row's ids (B, T), the first `lengths` of them, longest rows first."""
        read(self._weights, self._working(len(ids)), ids, lengths, state, logits, scores, trace)
