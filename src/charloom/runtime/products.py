"""Products of rows with packed weights, C += A Wᵀ: a tile of rows × outputs held in registers.

Memory is counted in words of 32 bits. A word of W is a float32, or the 8-bit codes of GROUP neighbouring k;
a word of A likewise. A float32 output is one chain of fused multiply-adds in the order of k that starts from
what C holds, whatever the tile; a sum of codes is one of integers, hence exact in any order. So a row's
result has the same bits in every batch.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from charloom.compiled import compiled
from charloom.runtime.vectors import (
    DOTS,
    F32,
    I32,
    I64,
    INTEGERS,
    LANES,
    VECTOR,
    Memory,
    Vector,
    cgutils,
    intrinsic,
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
    coded: Any,
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

    `coded` says that the words are codes. A's are unsigned, and the row's scale follows the last. Of each
    output, sums[n] is the integer to start from (what undoes the offset of A's codes), scales[n] its scale.
    """

    def build(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
        coded, rows, vectors, *operands = arguments
        end = builder.append_basic_block()
        shape = builder.add(builder.mul(rows, I64(2 * LINE)), builder.add(vectors, vectors))
        chosen = builder.switch(builder.add(shape, coded), end)
        for of_codes in (False, True)[: 1 + DOTS]:
            for height, width in SHAPES:
                arm = builder.append_basic_block()
                chosen.add_case(I64(2 * LINE * height + 2 * width + of_codes), arm)
                builder.position_at_end(arm)
                _multiply_add(builder, of_codes, height, width, *operands)
                builder.branch(end)
        builder.position_at_end(end)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 12), build


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
        for r in range(rows):
            word = spread(builder, inputs[r].read(loop.index, I32 if coded else F32).value)
            for total, column in zip(totals[r * vectors :], line, strict=False):
                so_far = Vector(builder, builder.load(total))
                more = so_far.plus_dots(word, column) if coded else so_far.plus_product(word, column)
                builder.store(more.value, total)
    for n, (place, total) in enumerate(zip(places, totals, strict=True)):
        result = Vector(builder, builder.load(total))
        if coded:
            scale = spread(builder, inputs[n // vectors].read(depth, F32).value)
            factor = scale * Memory(builder, scales).read(columns[n % vectors])
            number = Vector(builder, builder.sitofp(result.value, VECTOR))
            result = outputs.read(place).plus_product(number, factor)
        outputs.write(place, result)


@compiled
def multiply(
    coded: int,
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
            tile(coded, high, vectors, target, c_stride, source, a_stride, w + at, width, depth, mine, scale)
            b += high
        column += vectors * LANES
