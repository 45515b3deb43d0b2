"""What the cells do between two products, forth and back, for one step of a whole batch; compiled by numba.

All arrays are flat: N = H·B numbers, feature by feature. Products come and go as float32 or as bfloat16,
which NumPy does not know: its bits lie in uint16. Sums, and the memory that is carried on, are float32.

    forward(kept, before, gates, after, hidden)
    backward(gates, before, after, gradient, later, carried, blocks)

`kept` (G·N) are the products, biases included. `before` and `after` are the memory: LSTM's c, the others' h;
`hidden` receives h. `gates` (G·N) is what the way back needs. `gradient` is that of the outputs, `later`
that which the next step's product sends back, `carried` that of the memory after the step, which becomes
that of the memory before it; `blocks` (G·N) receives the gradient of `kept`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from charloom.compiled import compiled, jitable
from charloom.compiled import numba as compiler

F = np.float32
FAST = {"contract", "nsz"}  # fused multiply-adds, and no care for the sign of zero; NaN stays NaN
STRETCH = 512  # numbers that a kernel takes at a time: they stay in the first cache
PITCH = STRETCH + 16  # of a panel's rows; at a power of two they would all want the same places in the cache


def widened(x: Any) -> Any:
    """A number of either kind as float32."""
    return x


def narrowed(x: Any, like: Any) -> Any:
    """A float32 number as the kind of the array `like`, to nearest, halves to even."""
    return x


@compiler.extending.overload(widened, strict=False)  # type: ignore[untyped-decorator]
def _widened(x: Any) -> Callable[..., Any]:
    if isinstance(x, compiler.types.Integer):
        return lambda x: np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)
    return lambda x: x


@compiler.extending.overload(narrowed, strict=False)  # type: ignore[untyped-decorator]
def _narrowed(x: Any, like: Any) -> Callable[..., Any]:
    if not isinstance(like.dtype, compiler.types.Integer):
        return lambda x, like: x

    def narrow(x: Any, like: Any) -> Any:
        bits = np.float32(x).view(np.uint32)
        odd = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
        return np.uint16(np.uint32(bits + np.uint32(np.uint32(0x7FFF) + odd)) >> np.uint32(16))

    return narrow


@jitable
def decay(x: Any) -> Any:
    """exp(-x) for x from -40 to 87, relative error below 2e-7. Source of the polynomial: Cephes, expf."""
    x = min(max(-x, F(-87)), F(40))
    n = np.rint(x * F(1.44269504088896341))
    r = x - n * F(0.693359375)
    r = r + n * F(2.12194440e-4)
    p = F(1.9875691500e-4) * r + F(1.3981999507e-3)
    p = p * r + F(8.3334519073e-3)
    p = p * r + F(4.1665795894e-2)
    p = p * r + F(1.6666665459e-1)
    p = p * r + F(5.0000001201e-1)
    p = p * (r * r) + (r + F(1))
    return np.int32(F(p).view(np.int32) + np.int32(np.int32(n) << np.int32(23))).view(np.float32)


@jitable
def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)), absolute error below 2e-7."""
    return F(1) / (F(1) + decay(x))


@jitable
def tanh(x: Any) -> Any:
    """2 / (1 + exp(-2x)) - 1, absolute error below 3e-7."""
    return F(2) / (F(1) + decay(x + x)) - F(1)


# A kernel works on a stretch at a time, in rows of one panel: over separate arrays the compiler would not
# prove that they do not overlap, and would do without whole vectors.


@jitable
def load(numbers: Any, row: Any) -> None:
    """Row = numbers, as float32."""
    for j in range(len(numbers)):
        row[j] = widened(numbers[j])


@jitable
def store(row: Any, numbers: Any) -> None:
    """Numbers = row, as their kind."""
    for j in range(len(numbers)):
        numbers[j] = narrowed(row[j], numbers)


@jitable
def add(numbers: Any, others: Any, row: Any) -> None:
    """Row = numbers + others."""
    for j in range(len(numbers)):
        row[j] = widened(numbers[j]) + widened(others[j])


def lstm_forward(kept, before, gates, after, hidden):  # type: ignore[no-untyped-def]
    """C = f c + i g, h = o tanh(c); blocks [i | f | g | o]."""
    p, count = np.empty(6 * PITCH, F), len(before)
    for start in range(0, count, STRETCH):
        end = min(start + STRETCH, count)
        for k in range(4):
            load(kept[k * count + start : k * count + end], p[k * PITCH :])
        load(before[start:end], p[4 * PITCH :])
        for j in range(STRETCH):
            i, f = sigmoid(p[j]), sigmoid(p[PITCH + j])
            g, o = tanh(p[2 * PITCH + j]), sigmoid(p[3 * PITCH + j])
            c = f * p[4 * PITCH + j] + i * g
            p[j], p[PITCH + j], p[2 * PITCH + j], p[3 * PITCH + j] = i, f, g, o
            p[4 * PITCH + j], p[5 * PITCH + j] = c, o * tanh(c)
        for k in range(4):
            store(p[k * PITCH :], gates[k * count + start : k * count + end])
        store(p[4 * PITCH :], after[start:end])
        store(p[5 * PITCH :], hidden[start:end])


def lstm_backward(gates, before, after, gradient, later, carried, blocks):  # type: ignore[no-untyped-def]
    """The gradients of the four blocks and of c."""
    p, count = np.empty(8 * PITCH, F), len(before)
    for start in range(0, count, STRETCH):
        end = min(start + STRETCH, count)
        for k in range(4):
            load(gates[k * count + start : k * count + end], p[k * PITCH :])
        load(before[start:end], p[4 * PITCH :])
        load(after[start:end], p[5 * PITCH :])
        add(gradient[start:end], later[start:end], p[6 * PITCH :])
        load(carried[start:end], p[7 * PITCH :])
        for j in range(STRETCH):
            i, f, g, o = p[j], p[PITCH + j], p[2 * PITCH + j], p[3 * PITCH + j]
            c, squashed, dh = p[4 * PITCH + j], tanh(p[5 * PITCH + j]), p[6 * PITCH + j]
            dc = p[7 * PITCH + j] + dh * o * (F(1) - squashed * squashed)
            p[j] = dc * g * i * (F(1) - i)
            p[PITCH + j] = dc * c * f * (F(1) - f)
            p[2 * PITCH + j] = dc * i * (F(1) - g * g)
            p[3 * PITCH + j] = dh * squashed * o * (F(1) - o)
            p[7 * PITCH + j] = dc * f
        for k in range(4):
            store(p[k * PITCH :], blocks[k * count + start : k * count + end])
        store(p[7 * PITCH :], carried[start:end])


def gru_forward(kept, before, gates, after, hidden):  # type: ignore[no-untyped-def]
    """H = n + z (h - n), n = tanh(x + r m); blocks [r | z | x | m], gates [r | z | n | m]."""
    p, count = np.empty(5 * PITCH, F), len(before)
    for start in range(0, count, STRETCH):
        end = min(start + STRETCH, count)
        for k in range(4):
            load(kept[k * count + start : k * count + end], p[k * PITCH :])
        load(before[start:end], p[4 * PITCH :])
        for j in range(STRETCH):
            r, z = sigmoid(p[j]), sigmoid(p[PITCH + j])
            n = tanh(p[2 * PITCH + j] + r * p[3 * PITCH + j])
            p[j], p[PITCH + j], p[2 * PITCH + j] = r, z, n
            p[4 * PITCH + j] = n + z * (p[4 * PITCH + j] - n)
        for k in range(4):
            store(p[k * PITCH :], gates[k * count + start : k * count + end])
        store(p[4 * PITCH :], after[start:end])
        store(p[4 * PITCH :], hidden[start:end])


def gru_backward(gates, before, after, gradient, later, carried, blocks):  # type: ignore[no-untyped-def]
    """The gradients of the four blocks, and that which reaches h before past the product."""
    p, count = np.empty(7 * PITCH, F), len(before)
    for start in range(0, count, STRETCH):
        end = min(start + STRETCH, count)
        for k in range(4):
            load(gates[k * count + start : k * count + end], p[k * PITCH :])
        load(before[start:end], p[4 * PITCH :])
        add(gradient[start:end], later[start:end], p[5 * PITCH :])
        load(carried[start:end], p[6 * PITCH :])
        for j in range(STRETCH):
            r, z, n, m = p[j], p[PITCH + j], p[2 * PITCH + j], p[3 * PITCH + j]
            h, dh = p[4 * PITCH + j], p[5 * PITCH + j] + p[6 * PITCH + j]
            dn = dh * (F(1) - z) * (F(1) - n * n)
            p[j] = dn * m * r * (F(1) - r)
            p[PITCH + j] = dh * (h - n) * z * (F(1) - z)
            p[2 * PITCH + j] = dn
            p[3 * PITCH + j] = dn * r
            p[6 * PITCH + j] = dh * z
        for k in range(4):
            store(p[k * PITCH :], blocks[k * count + start : k * count + end])
        store(p[6 * PITCH :], carried[start:end])


def rnn_forward(kept, before, gates, after, hidden):  # type: ignore[no-untyped-def]
    """H = tanh(kept), which is its own memory."""
    for j in range(len(kept)):
        after[j] = tanh(widened(kept[j]))
    store(after, hidden)


def rnn_backward(gates, before, after, gradient, later, carried, blocks):  # type: ignore[no-untyped-def]
    """The gradient before tanh; nothing reaches h before but through the product."""
    add(gradient, later, carried)
    for j in range(len(after)):
        carried[j] *= F(1) - after[j] * after[j]
    store(carried, blocks)
    carried[:] = F(0)


def _compiled(**functions: Callable[..., None]) -> Mapping[str, Callable[..., None]]:
    return {cell: compiled(function, fastmath=FAST) for cell, function in functions.items()}


FORWARD = _compiled(lstm=lstm_forward, gru=gru_forward, rnn=rnn_forward)
BACKWARD = _compiled(lstm=lstm_backward, gru=gru_backward, rnn=rnn_backward)
