"""Explicit vectors inside compiled code: products in a fixed order of summation, gates, exponentials.

Each intrinsic takes addresses (integers) and builds LLVM instructions on vectors as wide as a register of
this processor. An output is one chain of fused multiply-adds in the order of k, whatever the tile, so
that a row's result has the same bits in every batch, on every width of vector.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import core, extending

cgutils: Any = core.cgutils  # numba's own types do not cover what intrinsics are
intrinsic: Callable[[Callable[..., Any]], Any] = extending.intrinsic

FEATURES = llvm.get_host_cpu_features()
LANES = 16 if FEATURES.get("avx512f") else 8 if FEATURES.get("avx2") and FEATURES.get("fma") else 4
"""Numbers in a register: AVX-512, AVX2, NEON (and the rest)."""

DOTS = (LANES == 16 and FEATURES.get("avx512vnni", False)) or (LANES == 8 and FEATURES.get("avxvnni", False))
"""Whether there is an instruction for dot products of four 8-bit pairs (VNNI)."""

I8, I32, I64, F32 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
VECTOR, INTEGERS = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)


class Vector:
    """A value of LANES floats under construction, with the operators of numbers."""

    def __init__(self, builder: ir.IRBuilder, value: ir.Value) -> None:
        self.builder, self.value = builder, value

    def _of(self, value: ir.Value) -> Vector:
        return Vector(self.builder, value)

    def _lift(self, other: Vector | float) -> ir.Value:
        return other.value if isinstance(other, Vector) else ir.Constant(VECTOR, [other] * LANES)

    def __add__(self, other: Vector | float) -> Vector:
        return self._of(self.builder.fadd(self.value, self._lift(other)))

    def __sub__(self, other: Vector | float) -> Vector:
        return self._of(self.builder.fsub(self.value, self._lift(other)))

    def __mul__(self, other: Vector | float) -> Vector:
        return self._of(self.builder.fmul(self.value, self._lift(other)))

    def __truediv__(self, other: Vector | float) -> Vector:
        return self._of(self.builder.fdiv(self.value, self._lift(other)))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: float) -> Vector:
        return self._of(self.builder.fsub(self._lift(other), self.value))

    def __rtruediv__(self, other: float) -> Vector:
        return self._of(self.builder.fdiv(self._lift(other), self.value))

    def __neg__(self) -> Vector:
        return self._of(self.builder.fneg(self.value))

    def times_plus(self, factor: Vector | float, summand: Vector | float) -> Vector:
        """Self * factor + summand, rounded once."""
        return self._call("fma", self._lift(factor), self._lift(summand))

    def plus_product(self, a: Vector, b: Vector) -> Vector:
        """Self + a * b, rounded once."""
        return a.times_plus(b, self)

    def plus_dots(self, a: Vector, b: Vector) -> Vector:
        """Self (integers) + in each lane the four products of a's bytes, unsigned, with b's, signed."""
        kind = ir.FunctionType(INTEGERS, [INTEGERS] * 3)
        name = f"llvm.x86.avx512.vpdpbusd.{32 * LANES}"
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self._of(self.builder.call(function, [self.value, a.value, b.value]))

    def rounded(self) -> Vector:
        """The nearest whole numbers, halves to the even one."""
        return self._call("nearbyint")

    def at_most(self, other: Vector | float) -> Vector:
        """The smaller, lane by lane."""
        return self._call("minnum", self._lift(other))

    def at_least(self, other: Vector | float) -> Vector:
        """The larger, lane by lane."""
        return self._call("maxnum", self._lift(other))

    def absolute(self) -> Vector:
        """Without sign."""
        return self._call("fabs")

    def _call(self, name: str, *others: ir.Value) -> Vector:
        arguments = [self.value, *others]
        return self._of(self.builder.call(_function(self.builder, name, VECTOR, len(arguments)), arguments))


def exponential(x: Vector) -> Vector:
    """exp(x), relative error below 2e-7; 0 below -87, where float32 ends. Source: Cephes, expf."""
    builder = x.builder
    bounded = x.at_least(-87.0).at_most(88.0)
    n = (bounded * 1.44269504088896341).rounded()
    r = n.times_plus(-0.693359375, bounded)
    r = n.times_plus(2.12194440e-4, r)
    p = r.times_plus(1.9875691500e-4, 1.3981999507e-3)
    for coefficient in (8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = p.times_plus(r, coefficient)
    p = p.times_plus(r * r, r + 1.0)
    exponent = builder.shl(builder.fptosi(n.value, INTEGERS), ir.Constant(INTEGERS, [23] * LANES))
    power = builder.bitcast(builder.add(builder.bitcast(p.value, INTEGERS), exponent), VECTOR)
    inside = builder.fcmp_ordered(">=", x.value, ir.Constant(VECTOR, [-87.0] * LANES))
    return Vector(builder, builder.select(inside, power, ir.Constant(VECTOR, [0.0] * LANES)))


def decay(x: Vector) -> Vector:
    """exp(-x), of x above -40: large enough for any gate, small enough that two of them multiply."""
    return exponential((-x).at_most(40.0))


def sigmoid(x: Vector) -> Vector:
    """1 / (1 + exp(-x)), absolute error below 2e-7."""
    return 1.0 / (decay(x) + 1.0)


def tanh(x: Vector) -> Vector:
    """2 / (1 + exp(-2x)) - 1, absolute error below 3e-7."""
    return 2.0 / (decay(x + x) + 1.0) - 1.0


def gated_tanh(gate: Vector, x: Vector) -> Vector:
    """sigmoid(gate) * tanh(x) with one division, absolute error below 3e-7."""
    e = decay(x + x)
    return (1.0 - e) / ((decay(gate) + 1.0) * (e + 1.0))


def _function(builder: ir.IRBuilder, name: str, kind: ir.Type, arguments: int) -> ir.Function:
    """LLVM's own function of that name on values of that type."""
    suffix = f"v{LANES}f32" if kind is VECTOR else "f32"
    return cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * arguments), f"llvm.{name}.{suffix}"
    )


class Memory:
    """Reading and writing vectors at an address, counted in float32 numbers."""

    def __init__(self, builder: ir.IRBuilder, address: ir.Value, kind: ir.Type = F32) -> None:
        self.builder, self.kind = builder, kind
        self.pointer = builder.inttoptr(address, kind.as_pointer())

    def _at(self, index: ir.Value, kind: ir.Type) -> ir.Value:
        return self.builder.bitcast(self.builder.gep(self.pointer, [index]), kind.as_pointer())

    def read(self, index: ir.Value, kind: ir.Type = VECTOR) -> Vector:
        """The vector (or what `kind` says) from that number on."""
        return Vector(self.builder, self.builder.load(self._at(index, kind), align=1))

    def write(self, index: ir.Value, value: Vector) -> None:
        """Put a vector there."""
        self.put(index, value.value)

    def put(self, index: ir.Value, value: ir.Value) -> None:
        """Put a value of any type there."""
        self.builder.store(value, self._at(index, value.type), align=1)


def spread(builder: ir.IRBuilder, number: ir.Value) -> Vector:
    """One number in all lanes."""
    one = builder.insert_element(ir.Constant(ir.VectorType(number.type, LANES), ir.Undefined), number, I32(0))
    zeros = ir.Constant(ir.VectorType(I32, LANES), [0] * LANES)
    return Vector(builder, builder.shuffle_vector(one, one, zeros))


def largest_lane(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The largest of the lanes."""
    return _fold_lanes(builder, value, lambda a, b: Vector(builder, a).at_least(Vector(builder, b)).value)


def sum_of_lanes(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The sum of the lanes, halves onto halves."""
    return _fold_lanes(builder, value, builder.fadd)


def _fold_lanes(builder: ir.IRBuilder, value: ir.Value, join: Callable[..., ir.Value]) -> ir.Value:
    half = LANES // 2
    while half:
        order = ir.Constant(ir.VectorType(I32, LANES), [(k + half) % LANES for k in range(LANES)])
        value = join(value, builder.shuffle_vector(value, value, order))
        half //= 2
    return builder.extract_element(value, I32(0))
