"""Products of rows with 8-bit weights: C += A Wᵀ by dot products of four bytes at a time.

A row comes in the form that `quantise` gives it: number = scale_a * (256 (upper - 64) + lower). With
weights scale_w * code the sum over k is

    scale_a * scale_w * (256 (sum of upper * code - 64 sum of code) + sum of lower * code),

integers all, hence exact in any order. -64 times the sum of codes is known beforehand: the upper sum
begins there.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types

from charloom.compiled import compiled
from charloom.runtime import matrix_unit
from charloom.runtime.vectors import (
    F32,
    I8,
    I32,
    I64,
    INTEGERS,
    LANES,
    PANEL,
    VECTOR,
    Memory,
    Vector,
    cgutils,
    intrinsic,
    spread,
)

FEW = 3  # rows for which filling the matrix unit's 16 does not pay
ROWS = 3  # with 4 vectors and two bytes each: 24 of 32 registers


def dots(rows: int, vectors: int) -> Any:
    """A function of (c, c_stride, a, a_stride, half, w, w_stride, sums, scales, groups) that adds to C.

    c: address of float32, its stride counted in them; a: of the rows' bytes, a_stride bytes a row, `half`
    bytes an upper part; w: of codes, groups of 4 k, w_stride bytes a group; sums, scales: of one int32 and
    one float32 an output; `groups` how many groups of 4 k there are.
    """

    @intrinsic
    def product(
        _typing: Any,
        c: Any,
        c_stride: Any,
        a: Any,
        a_stride: Any,
        half: Any,
        w: Any,
        w_stride: Any,
        sums: Any,
        scales: Any,
        groups: Any,
    ) -> Any:
        def build(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
            c, c_stride, a, a_stride, half, w, w_stride, sums, scales, groups = arguments
            outputs, weights, starts = Memory(builder, c), Memory(builder, w, I8), Memory(builder, sums, I32)
            inputs = [Memory(builder, builder.add(a, builder.mul(a_stride, I64(r))), I8) for r in range(rows)]
            first = [starts.read(I64(j * LANES), INTEGERS).value for j in range(vectors)]
            none = ir.Constant(INTEGERS, [0] * LANES)
            totals = [
                [cgutils.alloca_once_value(builder, start) for start in first]
                + [cgutils.alloca_once_value(builder, none) for _ in first]
                for _ in range(rows)
            ]
            multiply_add = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(INTEGERS, [INTEGERS] * 3),
                f"llvm.x86.avx512.vpdpbusd.{32 * LANES}",
            )
            with cgutils.for_range(builder, groups, intp=I64) as loop:
                at, k = builder.mul(loop.index, w_stride), builder.shl(loop.index, I64(2))
                columns = [
                    weights.read(builder.add(at, I64(4 * j * LANES)), INTEGERS).value for j in range(vectors)
                ]
                for row, total in zip(inputs, totals, strict=True):
                    for part in range(2):
                        place = builder.add(k, half) if part else k
                        four = spread(builder, row.read(place, I32).value).value
                        for column, sum_ in zip(columns, total[part * vectors :], strict=False):
                            builder.store(
                                builder.call(multiply_add, [builder.load(sum_), four, column]), sum_
                            )
            for r, (row, total) in enumerate(zip(inputs, totals, strict=True)):
                scale = spread(builder, row.read(builder.shl(half, I64(1)), F32).value)
                for j in range(vectors):
                    upper, lower = (
                        Vector(builder, builder.sitofp(builder.load(total[j + n * vectors]), VECTOR))
                        for n in (0, 1)
                    )
                    factor = scale * Memory(builder, scales).read(I64(j * LANES))
                    place = builder.add(builder.mul(c_stride, I64(r)), I64(j * LANES))
                    outputs.write(
                        place, outputs.read(place).plus_product(upper.times_plus(256.0, lower), factor)
                    )
            return context.get_dummy_value()

        return types.void(*[types.int64] * 10), build

    return product


_line_8, _line_4, _line_2, _line_1 = (dots(1, vectors) for vectors in (8, 4, 2, 1))
_block = dots(ROWS, 4)
_pair, _one = (matrix_unit.block(vectors) for vectors in (2, 1))


@compiled
def multiply_codes(
    c: Any,
    c_stride: Any,
    a: Any,
    a_stride: Any,
    half: Any,
    w: Any,
    sums: Any,
    scales: Any,
    rows: Any,
    groups: Any,
    deep: Any,
    outputs: Any,
    unit: Any,
) -> Any:
    """C (rows, outputs) += A (rows, 4 groups) W, for codes packed in panels of `deep` groups.

    `unit` allows the matrix unit, which reads rows up to a multiple of 16.
    """
    if unit and rows > FEW:
        matrix_unit.begin()
        for at in range(0, outputs, PANEL):
            width = min(PANEL, outputs - at)
            for column in range(0, width, 2 * LANES):
                here, codes = at + column, w + 4 * (at * deep + column)
                start, scale = sums + 4 * here, scales + 4 * here
                for b in range(0, rows, matrix_unit.ROWS):
                    target, source = c + 4 * (b * c_stride + here), a + b * a_stride
                    few, bytes_ = min(matrix_unit.ROWS, rows - b), 4 * deep
                    if width - column > LANES:
                        _pair(
                            target,
                            c_stride,
                            source,
                            a_stride,
                            half,
                            codes,
                            4 * width,
                            start,
                            scale,
                            bytes_,
                            few,
                        )
                    else:
                        _one(
                            target,
                            c_stride,
                            source,
                            a_stride,
                            half,
                            codes,
                            4 * width,
                            start,
                            scale,
                            bytes_,
                            few,
                        )
        matrix_unit.end()
        return
    for at in range(0, outputs, PANEL):
        width = min(PANEL, outputs - at)
        column = 0
        while column < width:
            left = (width - column) // LANES
            step = 8 if left >= 8 and rows < ROWS else 4 if left >= 4 else 2 if left >= 2 else 1
            here, codes = at + column, w + 4 * (at * deep + column)
            start, scale = sums + 4 * here, scales + 4 * here
            b = 0
            while b < rows:
                target, source = c + 4 * (b * c_stride + here), a + b * a_stride
                if step == 8:
                    _line_8(target, c_stride, source, a_stride, half, codes, 4 * width, start, scale, groups)
                elif step == 4 and rows - b >= ROWS:
                    _block(target, c_stride, source, a_stride, half, codes, 4 * width, start, scale, groups)
                    b += ROWS - 1
                elif step == 4:
                    _line_4(target, c_stride, source, a_stride, half, codes, 4 * width, start, scale, groups)
                elif step == 2:
                    _line_2(target, c_stride, source, a_stride, half, codes, 4 * width, start, scale, groups)
                else:
                    _line_1(target, c_stride, source, a_stride, half, codes, 4 * width, start, scale, groups)
                b += 1
            column += step * LANES
