"""What comes after the products, on whole vectors: the cells' gates, softmax, and the 8-bit form of a row.

Addresses are of float32 numbers; `width` is how many, a multiple of 16.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir
from numba import types

from charloom.runtime.arrays import FINE, LINE
from charloom.runtime.vectors import (
    F32,
    I8,
    I32,
    I64,
    INTEGERS,
    LANES,
    OFFSET,
    VECTOR,
    Memory,
    Vector,
    cgutils,
    decay,
    exponential,
    gated_tanh,
    intrinsic,
    largest_lane,
    sigmoid,
    spread,
    sum_of_lanes,
    tanh,
)

Build = Callable[..., ir.Value | None]


def _on_addresses(build: Build, result: Any, *kinds: Any) -> Any:
    """The signature and the builder that numba wants of an intrinsic."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
        value = build(builder, *arguments)
        return context.get_dummy_value() if value is None else value

    return result(*kinds), generate


def _sweep(builder: ir.IRBuilder, width: ir.Value) -> Any:
    """A loop over the beginnings of vectors."""
    return cgutils.for_range_slice(builder, I64(0), width, I64(LANES), intp=I64)


@intrinsic
def call(_typing: Any, where: Any, numbers: Any) -> Any:
    """Call the function of integers at an address.

    numba would compile a function that is called by its name again within each of those that call it.
    """

    def build(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> ir.Value:
        given = [
            context.cast(builder, builder.extract_value(arguments[1], k), kind, types.int64)
            for k, kind in enumerate(numbers)
        ]
        function = ir.FunctionType(ir.VoidType(), [I64] * len(given))
        builder.call(builder.inttoptr(arguments[0], function.as_pointer()), given)
        return context.get_dummy_value()

    return types.void(where, numbers), build


@intrinsic
def number(_typing: Any, address: Any, index: Any) -> Any:
    """An int64 of an array at an address."""
    return _on_addresses(partial(_load, I64), types.int64, *[types.int64] * 2)


@intrinsic
def id_at(_typing: Any, address: Any, index: Any) -> Any:
    """An int32 of an array at an address."""
    return _on_addresses(partial(_load, I32), types.int64, *[types.int64] * 2)


def _load(kind: ir.Type, builder: ir.IRBuilder, address: Any, index: Any) -> ir.Value:
    return builder.sext(Memory(builder, address, kind).read(index, kind).value, I64)


@intrinsic
def copy(_typing: Any, target: Any, source: Any, width: Any) -> Any:
    """Target = source, without the index checks that keep numba's own loops from whole vectors."""

    def build(builder: ir.IRBuilder, target: Any, source: Any, width: Any) -> None:
        result, given = Memory(builder, target), Memory(builder, source)
        with _sweep(builder, width) as (at, _):
            result.write(at, given.read(at))

    return _on_addresses(build, types.void, *[types.int64] * 3)


@intrinsic
def prefetch(_typing: Any, source: Any, width: Any) -> Any:
    """Have it brought to the cache while something else is computed."""

    def build(builder: ir.IRBuilder, source: Any, width: Any) -> None:
        kind = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), *[I32] * 3])
        fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        read, keep, data = I32(0), I32(2), I32(1)
        with cgutils.for_range_slice(builder, I64(0), width, I64(LINE // 4), intp=I64) as (at, _):
            address = builder.add(source, builder.shl(at, I64(2)))
            builder.call(fetch, [builder.inttoptr(address, I8.as_pointer()), read, keep, data])

    return _on_addresses(build, types.void, *[types.int64] * 2)


@intrinsic
def add(_typing: Any, target: Any, a: Any, b: Any, width: Any) -> Any:
    """Target = a + b."""

    def build(builder: ir.IRBuilder, target: Any, a: Any, b: Any, width: Any) -> None:
        result, left, right = Memory(builder, target), Memory(builder, a), Memory(builder, b)
        with _sweep(builder, width) as (at, _):
            result.write(at, left.read(at) + right.read(at))

    return _on_addresses(build, types.void, *[types.int64] * 4)


@intrinsic
def lstm_gates(_typing: Any, gates: Any, after: Any, c: Any, width: Any) -> Any:
    """C = sigmoid(f) c + sigmoid(i) tanh(g), h after = sigmoid(o) tanh(c); gates [i | f | g | o]."""

    def build(builder: ir.IRBuilder, gates: Any, after: Any, c: Any, width: Any) -> None:
        before, hidden, carried = Memory(builder, gates), Memory(builder, after), Memory(builder, c)
        with _sweep(builder, width) as (at, _):
            i, f, g, o = (before.read(builder.add(at, builder.mul(width, I64(n)))) for n in range(4))
            c_next = carried.read(at) / (decay(f) + 1.0) + gated_tanh(i, g)
            carried.write(at, c_next)
            hidden.write(at, gated_tanh(o, c_next))

    return _on_addresses(build, types.void, *[types.int64] * 4)


@intrinsic
def gru_gates(_typing: Any, gates: Any, after: Any, h: Any, width: Any) -> Any:
    """H after = n + sigmoid(z) (h - n), n = tanh(nx + sigmoid(r) nh); gates [nx | r | z | nh]."""

    def build(builder: ir.IRBuilder, gates: Any, after: Any, h: Any, width: Any) -> None:
        before, hidden, now = Memory(builder, gates), Memory(builder, after), Memory(builder, h)
        with _sweep(builder, width) as (at, _):
            nx, r, z, nh = (before.read(builder.add(at, builder.mul(width, I64(n)))) for n in range(4))
            n = tanh(nx.plus_product(sigmoid(r), nh))
            hidden.write(at, n.plus_product(sigmoid(z), now.read(at) - n))

    return _on_addresses(build, types.void, *[types.int64] * 4)


@intrinsic
def rnn_gates(_typing: Any, gates: Any, after: Any, width: Any) -> Any:
    """H after = tanh(gate)."""

    def build(builder: ir.IRBuilder, gates: Any, after: Any, width: Any) -> None:
        before, hidden = Memory(builder, gates), Memory(builder, after)
        with _sweep(builder, width) as (at, _):
            hidden.write(at, tanh(before.read(at)))

    return _on_addresses(build, types.void, *[types.int64] * 3)


@intrinsic
def softmax_weights(_typing: Any, weights: Any, logits: Any, added: Any, inverse: Any, width: Any) -> Any:
    """Weights = exp((logits + added - their largest) * inverse), and the sum of every LANES of them.

    weights[width + j] receives the sum of the j-th vector, and what comes after these sums the largest.
    """

    def build(builder: ir.IRBuilder, weights: Any, logits: Any, added: Any, inverse: Any, width: Any) -> None:
        result, source, shift = Memory(builder, weights), Memory(builder, logits), Memory(builder, added)
        largest = cgutils.alloca_once_value(builder, ir.Constant(VECTOR, [float("-inf")] * LANES))
        with _sweep(builder, width) as (at, _):
            x = source.read(at) + shift.read(at)
            result.write(at, x)
            builder.store(x.at_least(Vector(builder, builder.load(largest))).value, largest)
        top = largest_lane(builder, builder.load(largest))
        factor = spread(builder, inverse)
        with _sweep(builder, width) as (at, _):
            weight = exponential((result.read(at) - spread(builder, top)) * factor)
            result.write(at, weight)
            vector = builder.udiv(at, I64(LANES))
            result.put(builder.add(width, vector), sum_of_lanes(builder, weight.value))
        result.put(builder.add(width, builder.udiv(width, I64(LANES))), top)

    return _on_addresses(build, types.void, *[types.int64] * 3, types.float32, types.int64)


@intrinsic
def quantise(_typing: Any, codes: Any, numbers: Any, width: Any, depth: Any) -> Any:
    """A row's 8-bit form: number = scale * (code - OFFSET), scale = largest magnitude / FINE.

    From address `codes` on: `width` bytes, and in place of the word number `depth` the scale.
    """

    def build(builder: ir.IRBuilder, codes: Any, numbers: Any, width: Any, depth: Any) -> None:
        source, result = Memory(builder, numbers), Memory(builder, codes, I8)
        largest = cgutils.alloca_once_value(builder, ir.Constant(VECTOR, [0.0] * LANES))
        with _sweep(builder, width) as (at, _):
            magnitude = source.read(at).absolute()
            builder.store(magnitude.at_least(Vector(builder, builder.load(largest))).value, largest)
        top = largest_lane(builder, builder.load(largest))
        some = builder.fcmp_ordered(">", top, F32(0.0))
        scale = builder.select(some, builder.fdiv(top, F32(float(FINE))), F32(1.0))
        divisor = spread(builder, scale)
        with _sweep(builder, width) as (at, _):
            nearest = builder.fptosi((source.read(at) / divisor).rounded().value, INTEGERS)
            code = builder.add(nearest, ir.Constant(INTEGERS, [OFFSET] * LANES))
            result.put(at, builder.trunc(code, ir.VectorType(I8, LANES)))
        Memory(builder, codes).put(depth, scale)

    return _on_addresses(build, types.void, *[types.int64] * 4)
