"""Explicit vectors inside compiled code: products in a fixed order of summation, gates, exponentials.

Each intrinsic takes addresses (integers) and builds LLVM instructions on vectors as wide as a register of
the processor that numba compiles for. An output is one chain of multiply-adds in the order of k, whatever
the tile, so that a row's result has the same bits in every batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from llvmlite import ir
from numba import core, extending

cgutils: Any = core.cgutils  # numba's own types do not cover what intrinsics are
intrinsic: Callable[[Callable[..., Any]], Any] = extending.intrinsic

Dots = Literal["vnni", "sdot", "neon", "pairs"]


def capabilities(triple: str, cpu: str, flags: str) -> tuple[int, Dots]:
    """LANES and DOTS for a target as numba names it; `flags` is LLVM's list, such as "+avx2,-avx512f".

    A processor may have more than its flags say, never less: what is not named is not used.
    """
    has = {flag[1:]: flag[0] == "+" for flag in flags.split(",") if flag}.get
    if triple.startswith(("aarch64", "arm64")):
        # LLVM reads few flags on ARM; these families have had the instruction from the first
        known = has("dotprod", cpu.startswith(("apple-m", "neoverse-")))
        return 4, "sdot" if known else "neon"
    lanes = 16 if has("avx512f") and has("avx512bw") else 8 if has("avx2") and has("fma") else 4
    vnni = {16: has("avx512vnni"), 8: has("avxvnni")}.get(lanes)
    return lanes, "vnni" if vnni else "pairs"


LANES, DOTS = capabilities(*core.registry.cpu_target.target_context.codegen().magic_tuple())
"""Numbers in a register (AVX-512: 16, AVX2: 8, NEON and the rest: 4), and how four products of 8-bit codes
are summed: by one instruction (VNNI, sdot), by NEON's products of pairs, or as pairs of 16 bits, for which
every x86 processor has an instruction that LLVM finds by itself.

They follow numba's target, which is this processor unless NUMBA_CPU_NAME and NUMBA_CPU_FEATURES say
otherwise. numba's cache is keyed by the same target, so that compiled code never meets another width.
"""

OFFSET = 0 if DOTS in ("sdot", "neon") else 128
"""Added to the codes of a row: VNNI takes them unsigned and the weights signed, NEON both signed."""

I8, I16, I32, I64, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
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
        """Self * factor + summand, rounded once where the processor can."""
        return self._call("fmuladd", self._lift(factor), self._lift(summand))

    def plus_product(self, a: Vector, b: Vector) -> Vector:
        """Self + a * b, rounded as `times_plus`."""
        return a.times_plus(b, self)

    def rounded(self) -> Vector:
        """The nearest whole numbers, halves to the even one; for magnitudes below 2^22.

        Where numbers are 1 apart, an addition rounds: older processors have no instruction for it.
        """
        return self + 1.5 * 2**23 - 1.5 * 2**23

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


def halves(builder: ir.IRBuilder, words: Vector, *, signed: bool) -> tuple[ir.Value, ...]:
    """Words of four 8-bit codes as `plus_dots` takes them: whole, or codes 0 and 2, and codes 1 and 3."""
    if DOTS != "pairs":
        return (words.value,)
    pairs = builder.bitcast(words.value, ir.VectorType(I16, 2 * LANES))
    eight = ir.Constant(pairs.type, [8] * 2 * LANES)
    shift = builder.ashr if signed else builder.lshr
    return shift(builder.shl(pairs, eight), eight), shift(pairs, eight)


def plus_dots(
    builder: ir.IRBuilder, total: ir.Value, a: tuple[ir.Value, ...], w: tuple[ir.Value, ...]
) -> ir.Value:
    """Add to each lane of `total`, integers, four products of a's codes with w's; both are from `halves`."""
    if DOTS in ("vnni", "sdot"):
        name = f"llvm.x86.avx512.vpdpbusd.{32 * LANES}"
        kind = INTEGERS
        if DOTS == "sdot":
            name, kind = "llvm.aarch64.neon.sdot.v4i32.v16i8", ir.VectorType(I8, 4 * LANES)
        dot = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(INTEGERS, [INTEGERS, kind, kind]), name
        )
        return builder.call(dot, [total, builder.bitcast(a[0], kind), builder.bitcast(w[0], kind)])
    if DOTS == "pairs":
        for x, y in zip(a, w, strict=True):
            total = builder.add(total, _sums_of_pairs(builder, _products(builder, x, y, I32)))
        return total
    kind = ir.VectorType(I8, 4 * LANES)
    # two products of numbers up to 127 fit into 16 bits
    products = _products(builder, builder.bitcast(a[0], kind), builder.bitcast(w[0], kind), I16)
    pairs = _sums_of_pairs(builder, products)
    join = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(INTEGERS, [pairs.type]), "llvm.aarch64.neon.saddlp.v4i32.v8i16"
    )
    return builder.add(total, builder.call(join, [pairs]))


def _products(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, number: ir.Type) -> ir.Value:
    """Products of signed integers, made in the wider type `number`."""
    wide = ir.VectorType(number, a.type.count)
    return builder.mul(builder.sext(a, wide), builder.sext(b, wide))


def _sums_of_pairs(builder: ir.IRBuilder, numbers: ir.Value) -> ir.Value:
    """Each even lane with the odd one after it."""
    count = numbers.type.count // 2
    even, odd = (
        builder.shuffle_vector(
            numbers,
            ir.Constant(numbers.type, ir.Undefined),
            ir.Constant(ir.VectorType(I32, count), [2 * k + first for k in range(count)]),
        )
        for first in range(2)
    )
    return builder.add(even, odd)


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
