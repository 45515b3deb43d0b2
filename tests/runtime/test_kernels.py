"""The compiled engine against its plain twin: logits, scores and state."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

from charloom.runtime.arrays import aligned, padded
from charloom.runtime.kernels import Kernels
from charloom.runtime.twins import Twins
from charloom.runtime.vectors import capabilities
from charloom.runtime.weights import fold
from engines import difference, read

SHAPES = [(1, 24, 8), (2, 33, 0), (3, 48, 5), (1, 1, 3), (1, 130, 7)]  # layers, hidden, embedding


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize(("layers", "hidden", "embedding"), SHAPES)
@pytest.mark.parametrize(
    ("precision", "steps", "tolerance"),
    # a difference in the last bit may round one activation to the next of its 255 codes: a hundredth later
    [("float32", 11, 1e-5), ("int8", 1, 1e-5), ("int8", 11, 1e-2)],
)
def test_kernels_equal_their_twins(
    make_model, cell, layers, hidden, embedding, precision, steps, tolerance
) -> None:
    model = make_model(cell, layers=layers, hidden=hidden, embedding=embedding)
    assert difference(model, precision, 9, steps) <= tolerance


@pytest.mark.parametrize(
    ("cpu", "flags", "expected"),
    [
        ("sapphirerapids", "+avx2,+fma,+avx512f,+avx512bw,+avx512vnni,+avxvnni", (16, "vnni")),
        ("skylake-avx512", "+avx2,+fma,+avx512f,+avx512bw,-avx512vnni", (16, "pairs")),
        ("alderlake", "+avx2,+fma,-avx512f,+avxvnni", (8, "vnni")),
        ("haswell", "+avx2,+fma", (8, "pairs")),
        ("haswell", "", (4, "pairs")),
        ("generic", "+avx2,+fma,+avx512f,-avx2,-avx512f", (4, "pairs")),
        ("knl", "+avx2,+fma,+avx512f", (8, "pairs")),
    ],
)
def test_vectors_follow_what_the_target_is_said_to_have(cpu, flags, expected) -> None:
    assert capabilities("x86_64-unknown-linux-gnu", cpu, flags) == expected


@pytest.mark.parametrize(
    ("cpu", "flags", "expected"),
    [
        ("generic", "", "neon"),
        ("cortex-a72", "+neon", "neon"),
        ("cortex-a76", "+neon,+dotprod", "sdot"),
        ("apple-m1", "", "sdot"),
        ("neoverse-n1", "-dotprod", "neon"),
    ],
)
def test_on_arm_too(cpu, flags, expected) -> None:
    assert capabilities("aarch64-unknown-linux-gnu", cpu, flags) == (4, expected)
    assert capabilities("arm64-apple-darwin", cpu, flags) == (4, expected)


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("rows", [2, 7, 64])
def test_a_row_has_the_same_bits_at_any_place(make_model, cell, rows, precision) -> None:
    model = make_model(cell, layers=2, hidden=70)
    engine = Kernels(fold(model.config, model.weights, precision))
    line = np.random.default_rng(2).integers(0, len(model.vocabulary), 9).astype(np.int32)
    shape = (model.config.layers, model.config.parts)

    def run(batch: int):
        ids = np.tile(line, (batch, 1))
        state, logits = aligned((*shape, batch, padded(70))), aligned((batch, padded(len(model.vocabulary))))
        engine.read(
            ids, np.full(batch, 9), state, logits, np.zeros((2, batch, 0), np.float32), logits[:, None][:, :0]
        )
        return state, logits

    alone, many = run(1), run(rows)
    assert np.array_equal(np.repeat(alone[0], rows, axis=2), many[0])
    assert np.array_equal(np.repeat(alone[1], rows, axis=0), many[1])


@pytest.mark.parametrize("extreme", [1e4, 1e30])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_saturated_gates_stay_finite(make_model, cell, extreme) -> None:
    model = make_model(cell)
    model.weights["layers.0.bias_input"][:] *= np.float32(extreme)
    network = fold(model.config, model.weights, "float32")
    ids, lengths = np.zeros((3, 4), np.int32), np.full(3, 4)
    found, expected = (read(engine(network), model, ids, lengths) for engine in (Kernels, Twins))
    assert np.isfinite(found[1]).all()
    assert np.abs(found[1] - expected[1]).max() < 1e-4


def test_quantised_weights_are_near(make_model) -> None:
    model = make_model("lstm", hidden=64)
    ids, lengths = np.random.default_rng(0).integers(0, 30, (1, 50)).astype(np.int32), np.array([50])
    exact, near = (
        read(Twins(fold(model.config, model.weights, precision)), model, ids, lengths)
        for precision in ("float32", "int8")
    )
    assert 0 < np.abs(exact[1] - near[1]).max() < 0.05 * np.abs(exact[1]).max()
