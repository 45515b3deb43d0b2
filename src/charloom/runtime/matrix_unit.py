"""The processor's matrix unit (AMX): 8-bit products of 16 rows at once, where system and processor have it.

The sums are those of dots.py, integers and therefore the same. Source: Intel 64 and IA-32 Architectures
Software Developer's Manual, volume 1, chapter 18; Linux, Documentation/arch/x86/xstate.rst.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from llvmlite import ir
from numba import types

from charloom.runtime.vectors import (
    F32,
    FEATURES,
    I8,
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

ROWS = 16  # of a tile
DEPTH = 64  # bytes of a tile's row

PRESENT = LANES == 16 and bool(FEATURES.get("amx-int8"))
"""Whether the processor has the unit; `permitted` tells whether it may be used."""

_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18

# palette 1, then at byte 16 the width of each of 8 tiles (64 bytes), at byte 48 their rows (16)
_CONFIGURATION = bytes([1, *[0] * 15, *[DEPTH, 0] * 8, *[0] * 16, *[ROWS] * 8, *[0] * 8])


def permitted() -> bool:
    """Ask Linux for the unit's registers, which a process must do once; False where they cannot be had."""
    if not PRESENT or sys.platform != "linux":
        return False
    try:
        return int(ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA)) == 0
    except (OSError, AttributeError):
        return False


def _call(builder: ir.IRBuilder, name: str, *arguments: ir.Value) -> None:
    """One of the unit's instructions; tiles are named by number."""
    kinds = [argument.type for argument in arguments]
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), kinds), f"llvm.x86.{name}"
    )
    builder.call(function, arguments)


@intrinsic
def begin(_typing: Any) -> Any:
    """Shape the tiles; to be called in each thread before `block`, and `end` after."""

    def build(context: Any, builder: ir.IRBuilder, _signature: Any, _arguments: Any) -> ir.Value:
        if PRESENT:
            kind = ir.ArrayType(I8, len(_CONFIGURATION))
            shape = cgutils.alloca_once_value(builder, ir.Constant(kind, bytearray(_CONFIGURATION)))
            _call(builder, "ldtilecfg", builder.bitcast(shape, I8.as_pointer()))
        return context.get_dummy_value()

    return types.void(), build


@intrinsic
def end(_typing: Any) -> Any:
    """Let go of the tiles."""

    def build(context: Any, builder: ir.IRBuilder, _signature: Any, _arguments: Any) -> ir.Value:
        if PRESENT:
            _call(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), build


def block(vectors: int) -> Any:
    """A function of (c, c_stride, a, a_stride, half, w, w_stride, sums, scales, deep, rows) that adds to C.

    As in `dots.dots`, for up to 16 `rows` (16 are read) and `vectors` (1 or 2) vectors of outputs; `deep`
    bytes of a row's form, a multiple of 64.
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
        deep: Any,
        rows: Any,
    ) -> Any:
        def build(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
            if not PRESENT:
                return context.get_dummy_value()
            c, c_stride, a, a_stride, half, w, w_stride, sums, scales, deep, rows = arguments
            tiles = [I8(n) for n in range(8)]
            upper_in, lower_in, weights_in = tiles[4], tiles[5], tiles[6:]
            outputs = Memory(builder, c)

            def load(tile: ir.Value, address: ir.Value, stride: ir.Value) -> None:
                _call(builder, "tileloadd64", tile, builder.inttoptr(address, I8.as_pointer()), stride)

            for n in range(4):
                _call(builder, "tilezero", tiles[n])
            with cgutils.for_range_slice(builder, I64(0), deep, I64(DEPTH), intp=I64) as (k, _):
                row, codes = builder.add(a, k), builder.add(w, builder.mul(builder.udiv(k, I64(4)), w_stride))
                load(upper_in, row, a_stride)
                load(lower_in, builder.add(row, half), a_stride)
                for j in range(vectors):
                    load(weights_in[j], builder.add(codes, I64(DEPTH * j)), w_stride)
                for j in range(vectors):
                    _call(builder, "tdpbusd", tiles[j], upper_in, weights_in[j])
                    _call(builder, "tdpbusd", tiles[2 + j], lower_in, weights_in[j])
            kept = []
            for n in range(4):
                memory = cgutils.alloca_once(builder, ir.ArrayType(I32, ROWS * LANES))
                memory.align = DEPTH
                _call(builder, "tilestored64", tiles[n], builder.bitcast(memory, I8.as_pointer()), I64(DEPTH))
                kept.append(Memory(builder, builder.ptrtoint(memory, I64), I32))
            with cgutils.for_range(builder, rows, intp=I64) as loop:
                r = loop.index
                form = Memory(builder, builder.add(a, builder.mul(r, a_stride)), I8)
                scale = spread(builder, form.read(builder.shl(half, I64(1)), F32).value)
                for j in range(vectors):
                    at = builder.mul(r, I64(LANES))
                    first = Memory(builder, sums, I32).read(I64(j * LANES), INTEGERS).value
                    integers = (
                        builder.add(kept[j].read(at, INTEGERS).value, first),
                        kept[2 + j].read(at, INTEGERS).value,
                    )
                    upper, lower = (Vector(builder, builder.sitofp(value, VECTOR)) for value in integers)
                    factor = scale * Memory(builder, scales).read(I64(j * LANES))
                    place = builder.add(builder.mul(c_stride, r), I64(j * LANES))
                    total = outputs.read(place).plus_product(upper.times_plus(256.0, lower), factor)
                    outputs.write(place, total)
            return context.get_dummy_value()

        return types.void(*[types.int64] * 11), build

    return product
