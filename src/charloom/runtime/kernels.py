"""The compiled engine: whole stretches of text in one call, outside Python and without its lock.

A step is, for every layer and panel by panel, products into gates (products.py) and what these do (gates.py);
then the product with the output matrix, the sampler and the draw. `packed.py` says how weights lie.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from charloom.compiled import compiled, jitable
from charloom.runtime import sampler
from charloom.runtime.arrays import Floats, Ids, Longs, aligned
from charloom.runtime.automaton import Automaton
from charloom.runtime.draw import uniform
from charloom.runtime.gates import (
    add,
    copy,
    gru_gates,
    lstm_gates,
    prefetch,
    quantise,
    rnn_gates,
    softmax_weights,
)
from charloom.runtime.packed import (
    BLOCKS,
    CELL,
    CODED,
    DEPTH,
    FROM_HIDDEN,
    FROM_INPUT,
    GRU,
    LAYER_0,
    LAYER_SIZE,
    LAYERS,
    LSTM,
    OUTPUTS,
    SCALES,
    START,
    STRIDE,
    SUMS,
    VOCABULARY,
    WEIGHTS,
    WIDE,
    Packed,
)
from charloom.runtime.products import PANEL, ROWS, WORD, multiply
from charloom.runtime.slots import CANDIDATE, ENDED_BY_EOS, ENDED_BY_MATCH, RUNNING, SEED, STREAM, Slots
from charloom.runtime.vectors import LANES
from charloom.runtime.weights import Folded

BLOCK = 8 * ROWS
"""Rows that go through a step together: what they read and write stays in the second cache with a panel."""


@jitable
def product(
    weights: Any, matrix: Any, c: Any, c_stride: Any, a: Any, rows: Any, before: Any, width: Any
) -> Any:
    """C (rows, width) += A (rows, H) times that panel of the matrix whose place in the plan is given.

    `before` outputs lie in the panels before it; a is what `ready` gave.
    """
    plan, words = weights
    depth, base = plan[DEPTH], np.int64(words.ctypes.data)
    w = base + WORD * (plan[matrix + WEIGHTS] + before * depth)
    sums = base + WORD * (plan[matrix + SUMS] + before)
    scales = base + WORD * (plan[matrix + SCALES] + before)
    multiply(plan[CODED], c, c_stride, a, plan[STRIDE], w, rows, depth, width, sums, scales)


@jitable
def ready(plan: Any, form: Any, a: Any, rows: Any) -> Any:
    """Rows (rows, Hp) at address a as products want them: themselves, or their codes in `form`."""
    if not plan[CODED]:
        return a
    codes = np.int64(form.ctypes.data)
    for b in range(rows):
        quantise(codes + WORD * b * plan[STRIDE], a + WORD * b * plan[WIDE], plan[WIDE], plan[DEPTH])
    return codes


@compiled
def step(
    weights: Any,
    working: Any,
    ids: Any,
    state: Any,
    logits: Any,
    first: Any,
    last: Any,
    output: Any,
    backwards: Any,
) -> Any:
    """Feed ids[first:last] to these rows: state and, where `output`, logits move on in place.

    working: memory of `Kernels._working`. `backwards` runs through the weights from the end, so that of
    weights larger than the cache the part used last is used first.
    """
    plan, words = weights
    gates, after, total, form_y, form_h = working
    layers, wide, blocks, cell = plan[LAYERS], plan[WIDE], plan[BLOCKS], plan[CELL]
    base, gate, new = np.int64(words.ctypes.data), np.int64(gates.ctypes.data), np.int64(after.ctypes.data)
    unit, part = PANEL // blocks, WORD * wide * state.shape[2]
    panels, added = (wide + unit - 1) // unit, 3 if cell == GRU else blocks
    for begin in range(first, last, BLOCK):
        rows = min(BLOCK, last - begin)
        y = np.int64(0)
        for k in range(layers):
            layer = LAYER_0 + k * LAYER_SIZE
            h = np.int64(state.ctypes.data) + part * state.shape[1] * k + WORD * wide * begin
            read_h, read_y = ready(plan, form_h, h, rows), ready(plan, form_y, y, rows if k else 0)
            for i in range(panels):
                at = unit * (panels - 1 - i if backwards else i)
                width = min(unit, wide - at)
                start = base + WORD * (plan[layer + START] + blocks * at)
                further = -blocks * unit if backwards else blocks * unit  # where the next panel begins
                for b in range(rows):
                    row = blocks * wide * ids[begin + b] if k == 0 else 0
                    copy(gate + WORD * PANEL * b, start + WORD * row, blocks * width)
                    prefetch(start + WORD * (row + further), blocks * width)
                if k:
                    product(weights, layer + FROM_INPUT, gate, PANEL, read_y, rows, added * at, added * width)
                target = gate + (WORD * width if cell == GRU else 0)
                product(weights, layer + FROM_HIDDEN, target, PANEL, read_h, rows, added * at, added * width)
                for b in range(rows):
                    own, place = gate + WORD * PANEL * b, WORD * (wide * b + at)
                    if cell == LSTM:
                        lstm_gates(own, new + place, h + part + place, width)
                    elif cell == GRU:
                        gru_gates(own, new + place, h + place, width)
                    else:
                        rnn_gates(own, new + place, width)
            copy(h, new, rows * wide)
            if k:
                add(total.ctypes.data, y, h, rows * wide)
            y = np.int64(total.ctypes.data) if k else h
        if output:
            outputs, place = plan[OUTPUTS], LAYER_0 + layers * LAYER_SIZE
            target = np.int64(logits.ctypes.data) + WORD * outputs * begin
            for b in range(rows):
                copy(target + WORD * outputs * b, base + WORD * plan[place], outputs)
            read_y = ready(plan, form_y, y, rows)
            for at in range(0, outputs, PANEL):
                width = min(PANEL, outputs - at)
                product(weights, place + 1, target + WORD * at, outputs, read_y, rows, at, width)


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
    halt: Any,
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
        if idle == end - begin or (s and (halt[0] or 8 * idle >= end - begin)):
            return
        for b in range(begin, end):
            if ended[b] != RUNNING or remaining[b] <= 0:
                continue
            if trace.shape[1]:
                for j in range(width):
                    trace[b, count[b], j] = logits[b, j]
            u = uniform(keys[b, SEED], keys[b, STREAM], t[b], keys[b, CANDIDATE])
            row = WORD * width * b
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
                remaining[b] += ends[place[b], 1]
                if ends[place[b], 0] > remaining[b]:
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
                source = logits.ctypes.data + WORD * width * b
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
        self._weights = packed.plan, packed.words

    def _working(self, rows: int) -> tuple[Floats, ...]:
        """Memory of a call: a panel of gates, h after the step, the sum of layers, both as codes."""
        wide, stride = int(self._weights[0][WIDE]), int(self._weights[0][STRIDE])
        return tuple(aligned((min(rows, BLOCK), width)) for width in (PANEL, wide, wide, stride, stride))

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
            slots.halt,
            automaton.follow,
            automaton.distance,
            automaton.ends,
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
