"""What comes after the products, on whole vectors: the cells' gates, softmax, and the 8-bit form of a row.

Addresses are of float32 numbers; `width` is how many, a multiple of 16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types

from charloom.runtime.arrays import FINE, MIDDLE
from charloom.runtime.vectors import (
    F32,
    I8,
    I64,
    INTEGERS,
    LANES,
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
def copy(_typing: Any, target: Any, source: Any, width: Any) -> Any:
    """Target = source, without the index checks that keep numba's own loops from whole vectors."""

    def build(builder: ir.IRBuilder, target: Any, source: Any, width: Any) -> None:
        result, given = Memory(builder, target), Memory(builder, source)
        with _sweep(builder, width) as (at, _):
            result.write(at, given.read(at))

    return _on_addresses(build, types.void, *[types.int64] * 3)


@intrinsic
def add(_typing: Any, target: Any, source: Any, width: Any) -> Any:
    """Target += source."""

    def build(builder: ir.IRBuilder, target: Any, source: Any, width: Any) -> None:
        result, given = Memory(builder, target), Memory(builder, source)
        with _sweep(builder, width) as (at, _):
            result.write(at, result.read(at) + given.read(at))

    return _on_addresses(build, types.void, *[types.int64] * 3)


@intrinsic
def lstm_gates(_typing: Any, gates: Any, h: Any, c: Any, width: Any) -> Any:
    """C = sigmoid(f) c + sigmoid(i) tanh(g), h = sigmoid(o) tanh(c); gates [i | f | g | o]."""

    def build(builder: ir.IRBuilder, gates: Any, h: Any, c: Any, width: Any) -> None:
        before, hidden, carried = Memory(builder, gates), Memory(builder, h), Memory(builder, c)
        with _sweep(builder, width) as (at, _):
            i, f, g, o = (before.read(builder.add(at, builder.mul(width, I64(n)))) for n in range(4))
            c_next = carried.read(at) / (decay(f) + 1.0) + gated_tanh(i, g)
            carried.write(at, c_next)
            hidden.write(at, gated_tanh(o, c_next))

    return _on_addresses(build, types.void, *[types.int64] * 4)


@intrinsic
def gru_gates(_typing: Any, gates: Any, h: Any, width: Any) -> Any:
    """H = n + sigmoid(z) (h - n), n = tanh(nx + sigmoid(r) nh); gates [nx | r | z | nh] of `width` each."""

    def build(builder: ir.IRBuilder, gates: Any, h: Any, width: Any) -> None:
        before, hidden = Memory(builder, gates), Memory(builder, h)
        with _sweep(builder, width) as (at, _):
            nx, r, z, nh = (before.read(builder.add(at, builder.mul(width, I64(n)))) for n in range(4))
            n = tanh(nx.plus_product(sigmoid(r), nh))
            hidden.write(at, n.plus_product(sigmoid(z), hidden.read(at) - n))

    return _on_addresses(build, types.void, *[types.int64] * 3)


@intrinsic
def rnn_gates(_typing: Any, gates: Any, h: Any, width: Any) -> Any:
    """H = tanh(gate)."""

    def build(builder: ir.IRBuilder, gates: Any, h: Any, width: Any) -> None:
        before, hidden = Memory(builder, gates), Memory(builder, h)
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
def quantise(_typing: Any, codes: Any, half: Any, numbers: Any, width: Any) -> Any:
    """A row's 8-bit form: number = scale * (256 (upper - 64) + lower), scale = largest magnitude / FINE.

    From address `codes` on: the upper bytes, after `half` bytes the lower ones, after as many again the
    scale. Both bytes are unsigned.
    """

    def build(builder: ir.IRBuilder, codes: Any, half: Any, numbers: Any, width: Any) -> None:
        source = Memory(builder, numbers)
        uppers, lowers = Memory(builder, codes, I8), Memory(builder, builder.add(codes, half), I8)
        largest = cgutils.alloca_once_value(builder, ir.Constant(VECTOR, [0.0] * LANES))
        with _sweep(builder, width) as (at, _):
            magnitude = source.read(at).absolute()
            builder.store(magnitude.at_least(Vector(builder, builder.load(largest))).value, largest)
        top = largest_lane(builder, builder.load(largest))
        some = builder.fcmp_ordered(">", top, F32(0.0))
        scale = builder.select(some, builder.fdiv(top, F32(float(FINE))), F32(1.0))
        Memory(builder, builder.add(codes, builder.shl(half, I64(1)))).put(I64(0), scale)
        divisor = spread(builder, scale)
        with _sweep(builder, width) as (at, _):
            nearest = builder.fptosi((source.read(at) / divisor).rounded().value, INTEGERS)
            code = builder.add(nearest, ir.Constant(INTEGERS, [MIDDLE << 8] * LANES))
            upper = builder.lshr(code, ir.Constant(INTEGERS, [8] * LANES))
            uppers.put(at, builder.trunc(upper, ir.VectorType(I8, LANES)))
            lowers.put(at, builder.trunc(code, ir.VectorType(I8, LANES)))

    return _on_addresses(build, types.void, *[types.int64] * 4)
