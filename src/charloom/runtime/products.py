"""Products of rows with packed weights, C += A Wᵀ: a tile of rows × outputs held in registers.

Memory is counted in words of 32 bits. A word of W is a float32, or the 8-bit codes of GROUP neighbouring k;
a word of A likewise. A float32 output is one chain of fused multiply-adds in the order of k that starts from
what C holds, whatever the tile; a sum of codes is one of integers, hence exact in any order. So a row's
result has the same bits in every batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from charloom.compiled import jitable
from charloom.runtime.vectors import (
    F32,
    I32,
    I64,
    INTEGERS,
    LANES,
    VECTOR,
    Memory,
    Vector,
    cgutils,
    halves,
    intrinsic,
    plus_dots,
    spread,
)

WORD = 4
"""Bytes of a word."""

ROWS = 6
VECTORS = 2 if LANES == 8 else 4  # with 6 rows these fill 16 registers of AVX2, 32 of the others
LINE = 8  # of a single row: enough independent chains to hide the latency of a multiply-add
PANEL = LINE * LANES
"""Outputs whose weights lie together in memory."""

SHAPES = [(rows, vectors) for rows in (ROWS, 2) for vectors in range(1, VECTORS + 1)]
SHAPES += [(1, vectors) for vectors in range(1, LINE + 1)]


@intrinsic
def tile(
    _typing: Any,
    kind: Any,
    rows: Any,
    vectors: Any,
    c: Any,
    c_stride: Any,
    a: Any,
    a_stride: Any,
    w: Any,
    w_stride: Any,
    depth: Any,
    sums: Any,
    scales: Any,
) -> Any:
    """C[r, n] += sum over k < depth of A[r, k] W[k, n], in one of SHAPES; addresses, and strides in words.

    The type of `kind` is that of the weights. Codes of A have OFFSET added, and the row's scale follows the
    last. Of each output, sums[n] is the integer to start from (what undoes OFFSET), scales[n] its scale.
    """

    def build(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
        _, rows, vectors, *operands = arguments
        end = builder.append_basic_block()
        chosen = builder.switch(builder.add(builder.mul(rows, I64(LINE + 1)), vectors), end)
        for height, width in SHAPES:
            arm = builder.append_basic_block()
            chosen.add_case(I64((LINE + 1) * height + width), arm)
            builder.position_at_end(arm)
            _multiply_add(builder, kind == types.int8, height, width, *operands)
            builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(kind, *[types.int64] * 11), build


def _multiply_add(
    builder: ir.IRBuilder,
    coded: bool,
    rows: int,
    vectors: int,
    c: ir.Value,
    c_stride: ir.Value,
    a: ir.Value,
    a_stride: ir.Value,
    w: ir.Value,
    w_stride: ir.Value,
    depth: ir.Value,
    sums: ir.Value,
    scales: ir.Value,
) -> None:
    """One arm of `tile`."""
    outputs, weights = Memory(builder, c), Memory(builder, w)
    inputs = [Memory(builder, builder.add(a, builder.mul(a_stride, I64(WORD * r)))) for r in range(rows)]
    columns = [I64(j * LANES) for j in range(vectors)]
    places = [builder.add(builder.mul(c_stride, I64(r)), column) for r in range(rows) for column in columns]
    if coded:
        starts = [Memory(builder, sums).read(column, INTEGERS) for column in columns] * rows
    else:
        starts = [outputs.read(place) for place in places]
    totals = [cgutils.alloca_once_value(builder, start.value) for start in starts]

    with cgutils.for_range(builder, depth, intp=I64) as loop:
        at = builder.mul(loop.index, w_stride)
        line = [weights.read(builder.add(at, column), INTEGERS if coded else VECTOR) for column in columns]
        codes = [halves(builder, column, signed=True) for column in line] if coded else []
        for r in range(rows):
            word = spread(builder, inputs[r].read(loop.index, I32 if coded else F32).value)
            code = halves(builder, word, signed=False) if coded else ()
            for j, total in enumerate(totals[r * vectors : (r + 1) * vectors]):
                before = builder.load(total)
                if coded:
                    after = plus_dots(builder, before, code, codes[j])
                else:
                    after = Vector(builder, before).plus_product(word, line[j]).value
                builder.store(after, total)
    for n, (place, total) in enumerate(zip(places, totals, strict=True)):
        result = Vector(builder, builder.load(total))
        if coded:
            scale = spread(builder, inputs[n // vectors].read(depth, F32).value)
            factor = scale * Memory(builder, scales).read(columns[n % vectors])
            number = Vector(builder, builder.sitofp(result.value, VECTOR))
            result = outputs.read(place).plus_product(number, factor)
        outputs.write(place, result)


@jitable
def multiply(
    kind: Any,
    c: int,
    c_stride: int,
    a: int,
    a_stride: int,
    w: int,
    rows: int,
    depth: int,
    width: int,
    sums: int,
    scales: int,
) -> None:
    """C (rows, width) += A (rows, depth) times one panel, as in `tile`; width a multiple of LANES."""
    column = 0
    while column < width:
        vectors = min((width - column) // LANES, VECTORS if rows > 1 else LINE)
        b, at = 0, WORD * column
        while b < rows:
            high = ROWS if rows - b >= ROWS else 2 if rows - b >= 2 else 1
            target, source = c + WORD * b * c_stride + at, a + WORD * b * a_stride
            mine, scale = sums + at, scales + at
            tile(kind, high, vectors, target, c_stride, source, a_stride, w + at, width, depth, mine, scale)
            b += high
        column += vectors * LANES


def multiply_floats(
    c: int,
    stride: int,
    a: int,
    a_stride: int,
    w: int,
    rows: int,
    depth: int,
    width: int,
    sums: int,
    scales: int,
) -> None:
    """`multiply` of float32 weights."""
    multiply(np.float32(0), c, stride, a, a_stride, w, rows, depth, width, sums, scales)


def multiply_codes(
    c: int,
    stride: int,
    a: int,
    a_stride: int,
    w: int,
    rows: int,
    depth: int,
    width: int,
    sums: int,
    scales: int,
) -> None:
    """`multiply` of 8-bit codes."""
    multiply(np.int8(0), c, stride, a, a_stride, w, rows, depth, width, sums, scales)
