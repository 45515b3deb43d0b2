"""Weights at another precision: what is kept, and how near."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load

from charloom.errors import UsageError
from charloom.export.precision import SCALE, weights
from charloom.model.folder import Model

MakeModel = Callable[..., tuple[Path, Model]]


def test_vectors_stay_exact_and_matrices_near(make_model: MakeModel) -> None:
    _, model = make_model("gru", layers=2)
    for precision, kind, share in (("float16", np.float16, 2**-11), ("int8", np.int8, 0.5 / 127)):
        found = load(weights(model, precision))  # type: ignore[arg-type]
        for name, array in model.weights.items():
            if array.ndim == 1:
                np.testing.assert_array_equal(found[name], array)
                continue
            assert found[name].dtype == kind
            near = found[name].astype(np.float32) * (
                found[name + SCALE][:, None] if precision == "int8" else 1
            )
            largest = np.abs(array).max(axis=1, keepdims=True)
            assert (np.abs(near - array) <= 1.001 * share * largest).all()


def test_float32_is_the_model_itself(make_model: MakeModel, tmp_path: Path) -> None:
    _, model = make_model()
    content = weights(model, "float32")
    found = load(content)
    assert found.keys() == model.weights.keys()
    for name, array in model.weights.items():
        np.testing.assert_array_equal(found[name], array)
    (tmp_path / "model.safetensors").write_bytes(content)
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as file:
        assert json.loads(file.metadata()["metrics"]) == model.metrics


def test_one_hot_models_leave_their_identity_out(make_model: MakeModel) -> None:
    _, model = make_model(embedding=0)
    for precision in ("float32", "float16", "int8"):
        found = load(weights(model, precision))  # type: ignore[arg-type]
        assert "embedding.weight" not in found
        assert "output.weight" in found


def test_a_row_of_zeros_stays_zero(make_model: MakeModel) -> None:
    _, model = make_model()
    flat = {**model.weights, "output.weight": np.zeros_like(model.weights["output.weight"])}
    found = load(weights(replace(model, weights=flat), "int8"))
    assert not found["output.weight"].any()
    assert np.isfinite(found["output.weight" + SCALE]).all()


def test_float16_refuses_what_it_cannot_hold(make_model: MakeModel) -> None:
    _, model = make_model()
    large = {**model.weights, "output.weight": model.weights["output.weight"] + np.float32(70_000)}
    with pytest.raises(UsageError, match=r"output\.weight holds a weight beyond float16"):
        weights(replace(model, weights=large), "float16")
