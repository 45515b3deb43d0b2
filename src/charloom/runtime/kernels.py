"""The compiled engine: whole stretches of text in one call, outside Python and without its lock.

A step is, for every layer and panel by panel, products into gates (products.py) and what these do (gates.py);
then the product with the output matrix, the sampler and the draw. `packed.py` says how weights lie.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from charloom.compiled import address, compiled, jitable
from charloom.runtime import sampler
from charloom.runtime.arrays import Floats, Ids, Longs, aligned
from charloom.runtime.automaton import Automaton
from charloom.runtime.draw import uniform
from charloom.runtime.gates import (
    add,
    call,
    copy,
    gru_gates,
    id_at,
    lstm_gates,
    number,
    prefetch,
    quantise,
    rnn_gates,
    softmax_weights,
)
from charloom.runtime.options import SamplerConfig
from charloom.runtime.packed import (
    AFTER,
    BLOCKS,
    CELL,
    CODED,
    DEPTH,
    FORM_H,
    FORM_Y,
    FROM_HIDDEN,
    FROM_INPUT,
    GATES,
    GRU,
    LAYER_0,
    LAYER_SIZE,
    LAYERS,
    LOGITS,
    LSTM,
    MULTIPLY,
    OUTPUTS,
    ROWS,
    SCALES,
    START,
    STATE,
    STEP,
    STRIDE,
    SUMS,
    TOTAL,
    VOCABULARY,
    WEIGHTS,
    WIDE,
    WORDS,
    Packed,
)
from charloom.runtime.products import PANEL, WORD
from charloom.runtime.products import ROWS as ROWS_OF_A_TILE
from charloom.runtime.slots import CANDIDATE, ENDED_BY_EOS, ENDED_BY_MATCH, RUNNING, SEED, STREAM, Slots
from charloom.runtime.vectors import LANES
from charloom.runtime.weights import Folded

BLOCK = 8 * ROWS_OF_A_TILE
"""Rows that go through a step together: what they read and write stays in the second cache with a panel."""

PLAIN = SamplerConfig().row()
"""Options under which nothing but temperature, the first of them, stands between the logits and the draw."""


lean = partial(compiled, _nrt=False)
"""For functions that allocate nothing: a third less code to compile."""


@jitable
def product(plan: Any, matrix: Any, c: Any, c_stride: Any, a: Any, rows: Any, before: Any, width: Any) -> Any:
    """C (rows, width) += A (rows, H) times that panel of the matrix whose place in the plan is given.

    `before` outputs lie in the panels before it; a is what `ready` gave.
    """
    depth, base = number(plan, DEPTH), number(plan, WORDS)
    w = base + WORD * (number(plan, matrix + WEIGHTS) + before * depth)
    sums = base + WORD * (number(plan, matrix + SUMS) + before)
    scales = base + WORD * (number(plan, matrix + SCALES) + before)
    stride = number(plan, STRIDE)
    call(number(plan, MULTIPLY), (c, c_stride, a, stride, w, rows, depth, width, sums, scales))


@jitable
def ready(plan: Any, codes: Any, a: Any, rows: Any) -> Any:
    """Rows (rows, Hp) at address a as products want them: themselves, or their codes at `codes`."""
    if not number(plan, CODED):
        return a
    stride, wide, depth = number(plan, STRIDE), number(plan, WIDE), number(plan, DEPTH)
    for b in range(rows):
        quantise(codes + WORD * b * stride, a + WORD * b * wide, wide, depth)
    return codes


def step(plan: int, ids: int, first: int, last: int, output: int, backwards: int) -> None:
    """Feed ids[first:last] to these rows: state and, where `output`, logits move on in place.

    plan and ids are addresses. `backwards` runs through the weights from the end, so that of weights larger
    than the cache the part used last is used first.
    """
    layers, wide = number(plan, LAYERS), number(plan, WIDE)
    blocks, cell = number(plan, BLOCKS), number(plan, CELL)
    base, gate, new, total = (
        number(plan, WORDS),
        number(plan, GATES),
        number(plan, AFTER),
        number(plan, TOTAL),
    )
    unit, part = PANEL // blocks, WORD * wide * number(plan, ROWS)
    parts = 2 if cell == LSTM else 1
    panels, added = (wide + unit - 1) // unit, 3 if cell == GRU else blocks
    for begin in range(first, last, BLOCK):
        rows = min(BLOCK, last - begin)
        y = 0
        for k in range(layers):
            layer = LAYER_0 + k * LAYER_SIZE
            h = number(plan, STATE) + part * parts * k + WORD * wide * begin
            read_h = ready(plan, number(plan, FORM_H), h, rows)
            read_y = ready(plan, number(plan, FORM_Y), y, rows if k else 0)
            for i in range(panels):
                at = unit * (panels - 1 - i if backwards else i)
                width = min(unit, wide - at)
                start = base + WORD * (number(plan, layer + START) + blocks * at)
                further = -blocks * unit if backwards else blocks * unit  # where the next panel begins
                for b in range(rows):
                    row = blocks * wide * id_at(ids, begin + b) if k == 0 else 0
                    copy(gate + WORD * PANEL * b, start + WORD * row, blocks * width)
                    prefetch(start + WORD * (row + further), blocks * width)
                if k:
                    product(plan, layer + FROM_INPUT, gate, PANEL, read_y, rows, added * at, added * width)
                target = gate + (WORD * width if cell == GRU else 0)
                product(plan, layer + FROM_HIDDEN, target, PANEL, read_h, rows, added * at, added * width)
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
                add(total, y, h, rows * wide)
            y = total if k else h
        if output:
            outputs, place = number(plan, OUTPUTS), LAYER_0 + layers * LAYER_SIZE
            target = number(plan, LOGITS) + WORD * outputs * begin
            for b in range(rows):
                copy(target + WORD * outputs * b, base + WORD * number(plan, place), outputs)
            read_y = ready(plan, number(plan, FORM_Y), y, rows)
            for at in range(0, outputs, PANEL):
                width = min(PANEL, outputs - at)
                product(plan, place + 1, target + WORD * at, outputs, read_y, rows, at, width)


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


@lean
def generate(
    plan: Any,
    scratch: Any,
    work: Any,
    fed: Any,
    plain: Any,
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
    """`Kernels.generate` on the arrays of Slots and Automaton.

    Where all rows are `plain`, `work` is None, and numba does not compile what the others need.
    """
    width, vocabulary = logits.shape[1], counts.shape[1]
    chances, masked, nothing = scratch[0], scratch[1], scratch[2]
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
            k = 0
            if plain[b]:
                inverse = np.float32(1 / options[b, sampler.TEMPERATURE])
                source, shift = logits.ctypes.data + row, added.ctypes.data + row
                softmax_weights(chances.ctypes.data, source, shift, inverse, width)
                k = pick(chances, width, vocabulary, u)
            elif work is not None:
                for j in range(width):
                    masked[j] = logits[b, j] + added[b, j]
                if place[b] >= 0:
                    sampler.keep_matching(masked, follow, distance, place[b], remaining[b])
                sampler.shape(masked[:vocabulary], options[b], counts[b], history[b, : used[b]], work)
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
        call(plan[STEP], (plan.ctypes.data, fed.ctypes.data, begin, end, 1, t[begin] & 1))


@lean
def read(
    plan: Any, scratch: Any, fed: Any, ids: Any, lengths: Any, logits: Any, scores: Any, trace: Any
) -> Any:
    """`Kernels.read`."""
    rows, longest = ids.shape
    width, vocabulary = logits.shape[1], plan[VOCABULARY]
    chances, nothing = scratch[0], scratch[2]
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
        call(plan[STEP], (plan.ctypes.data, fed.ctypes.data, 0, rows, needed, t & 1))
        if trace.shape[1]:
            for b in range(rows):
                for j in range(width):
                    trace[b, t, j] = logits[b, j]


class Kernels:
    """The compiled engine; the arguments of its methods are told in `charloom.runtime.twins.Twins`."""

    def __init__(self, network: Folded) -> None:
        self._packed = Packed(network)

    def _call(self, rows: int, state: Floats, logits: Floats) -> tuple[Longs, Floats, list[Floats]]:
        """The plan of a call on so many rows, memory for the sampler, and what the plan has addresses of."""
        plan = self._packed.plan.copy()
        wide, stride = int(plan[WIDE]), int(plan[STRIDE])
        memory = [aligned((min(rows, BLOCK), width)) for width in (PANEL, wide, wide, stride, stride)]
        plan[STEP] = address(step)
        plan[GATES : FORM_H + 1] = [each.ctypes.data for each in memory]
        plan[STATE], plan[ROWS], plan[LOGITS] = state.ctypes.data, state.shape[2], logits.ctypes.data
        width = logits.shape[1]
        return plan, np.zeros((3, width + width // LANES + 1), np.float32), memory

    def generate(self, slots: Slots, automaton: Automaton, eos: int, rows: range, steps: int) -> None:
        """Draw and feed back up to `steps` ids in each of these rows of slots."""
        plan, scratch, _memory = self._call(len(rows), slots.state, slots.logits)
        plain = (
            (slots.options[:, 1:] == PLAIN[1:]).all(axis=1) & (slots.options[:, 0] > 0) & (slots.place < 0)
        )
        generate(
            plan,
            scratch,
            None if plain[rows.start : rows.stop].all() else np.empty(slots.counts.shape[1], np.int64),
            np.zeros(rows.stop, np.int32),
            plain,
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
        plan, scratch, _memory = self._call(len(ids), state, logits)
        read(plan, scratch, np.zeros(len(ids), np.int32), ids, lengths, logits, scores, trace)
