"""Products of rows with packed weights: C += A Wᵀ, a tile of rows × outputs held in registers.

Every output is one chain of fused multiply-adds in the order of k that starts from what C holds. With
8-bit weights the sum is one of integers, hence exact in any order.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from charloom.compiled import compiled
from charloom.runtime.vectors import (
    I64,
    LANES,
    LINE_VECTORS,
    PANEL,
    TILE_ROWS,
    TILE_VECTORS,
    Memory,
    Vector,
    cgutils,
    intrinsic,
)

UNROLL = 4


def tile(rows: int, vectors: int) -> Any:
    """A function of (c, c_stride, a, a_stride, w, w_stride, depth): C[r, n] += sum over k of A[r, k] W[k, n].

    Addresses of float32 numbers, strides counted in them; `depth` is how many k there are; n runs over
    `vectors` registers.
    """

    @intrinsic
    def product(
        typingctx: Any, c: Any, c_stride: Any, a: Any, a_stride: Any, w: Any, w_stride: Any, depth: Any
    ) -> Any:
        def build(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
            c, c_stride, a, a_stride, w, w_stride, depth = arguments
            outputs, inputs, weights = Memory(builder, c), Memory(builder, a), Memory(builder, w)
            places = [
                builder.add(builder.mul(c_stride, I64(r)), I64(j * LANES))
                for r in range(rows)
                for j in range(vectors)
            ]
            starts = [builder.mul(a_stride, I64(r)) for r in range(rows)]
            sums = [cgutils.alloca_once_value(builder, outputs.read(place).value) for place in places]

            def accumulate(k: ir.Value) -> None:
                at = builder.mul(k, w_stride)
                columns = [weights.read(builder.add(at, I64(j * LANES))) for j in range(vectors)]
                for r in range(rows):
                    number = inputs.spread(builder.add(starts[r], k))
                    for j, column in enumerate(columns):
                        total = sums[r * vectors + j]
                        builder.store(
                            number.times_plus(column, Vector(builder, builder.load(total))).value, total
                        )

            whole = builder.and_(depth, I64(-UNROLL))
            with cgutils.for_range_slice(builder, I64(0), whole, I64(UNROLL), intp=I64) as (k, _):
                for step in range(UNROLL):
                    accumulate(builder.add(k, I64(step)))
            with cgutils.for_range_slice(builder, whole, depth, I64(1), intp=I64) as (k, _):
                accumulate(k)
            for place, total in zip(places, sums, strict=True):
                outputs.write(place, Vector(builder, builder.load(total)))
            return context.get_dummy_value()

        return types.void(*[types.int64] * 7), build

    return product


_LINES = tuple(tile(1, vectors) for vectors in range(1, LINE_VECTORS + 1))
_line_1, _line_2, _line_3, _line_4, _line_5, _line_6, _line_7, _line_8 = _LINES
_whole, _half, _single = (tile(TILE_ROWS, TILE_VECTORS // part) for part in (1, 2, TILE_VECTORS))
_low_whole, _low_half, _low_single = (tile(2, TILE_VECTORS // part) for part in (1, 2, TILE_VECTORS))


@compiled
def multiply(
    c: int, c_stride: int, a: int, a_stride: int, w: int, rows: int, depth: int, outputs: int, backwards: int
) -> None:
    """C (rows, outputs) += A (rows, depth) W, for weights packed in panels; outputs a multiple of 16.

    Addresses of float32 numbers, strides counted in them. `backwards` begins with the last panel.
    """
    panels = (outputs + PANEL - 1) // PANEL
    for i in range(panels):
        at = PANEL * (panels - 1 - i if backwards else i)
        width = min(PANEL, outputs - at)
        panel = w + 4 * at * depth
        b = 0
        while b < rows:
            high = TILE_ROWS if rows - b >= TILE_ROWS else 2 if rows - b >= 2 else 1
            target, source = c + 4 * (b * c_stride + at), a + 4 * b * a_stride
            b += high
            if high == 1:
                vectors = width // LANES
                if vectors == 8:
                    _line_8(target, c_stride, source, a_stride, panel, width, depth)
                elif vectors == 7:
                    _line_7(target, c_stride, source, a_stride, panel, width, depth)
                elif vectors == 6:
                    _line_6(target, c_stride, source, a_stride, panel, width, depth)
                elif vectors == 5:
                    _line_5(target, c_stride, source, a_stride, panel, width, depth)
                elif vectors == 4:
                    _line_4(target, c_stride, source, a_stride, panel, width, depth)
                elif vectors == 3:
                    _line_3(target, c_stride, source, a_stride, panel, width, depth)
                elif vectors == 2:
                    _line_2(target, c_stride, source, a_stride, panel, width, depth)
                else:
                    _line_1(target, c_stride, source, a_stride, panel, width, depth)
                continue
            column = 0
            while column < width:
                left, here, weights = (width - column) // LANES, target + 4 * column, panel + 4 * column
                if left >= TILE_VECTORS:
                    column += TILE_VECTORS * LANES
                    if high == TILE_ROWS:
                        _whole(here, c_stride, source, a_stride, weights, width, depth)
                    else:
                        _low_whole(here, c_stride, source, a_stride, weights, width, depth)
                elif 2 * left >= TILE_VECTORS:
                    column += TILE_VECTORS // 2 * LANES
                    if high == TILE_ROWS:
                        _half(here, c_stride, source, a_stride, weights, width, depth)
                    else:
                        _low_half(here, c_stride, source, a_stride, weights, width, depth)
                else:
                    column += LANES
                    if high == TILE_ROWS:
                        _single(here, c_stride, source, a_stride, weights, width, depth)
                    else:
                        _low_single(here, c_stride, source, a_stride, weights, width, depth)
