"""The ONNX step graph in onnxruntime against the runtime."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from charloom.errors import MissingExtraError, ModelError
from charloom.export import onnx
from charloom.model.folder import Model
from charloom.runtime import twins
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.runtime.weights import fold
from charloom.text.vocabulary import Vocabulary
from drawn import require_drawn

MakeModel = Callable[..., tuple[Path, Model]]
EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx_generate.py"


@pytest.mark.parametrize(
    ("cell", "layers", "embedding"),
    [("lstm", 1, 8), ("lstm", 3, 0), ("gru", 1, 0), ("gru", 2, 8), ("rnn", 1, 8), ("rnn", 3, 8)],
)
def test_logits_and_state_are_the_runtime_s(
    make_model: MakeModel, tmp_path: Path, cell: str, layers: int, embedding: int
) -> None:
    _, model = make_model(cell, layers=layers, embedding=embedding)
    out = tmp_path / "model.onnx"
    assert onnx.write(model, out) == out.stat().st_size
    session = onnxruntime.InferenceSession(out)
    network = fold(model.config, model.weights, "float32")
    random = np.random.default_rng(3)
    for batch, time in ((1, 1), (4, 9)):
        ids = random.integers(len(model.vocabulary), size=(batch, time))
        state = np.tanh(random.normal(size=model.config.state_shape(batch))).astype(np.float32)
        logits, after = session.run(None, {"ids": ids, "state": state})
        expected = state
        for t in range(time):
            step, expected = twins.step(network, ids[:, t].astype(np.int32), expected)
            np.testing.assert_allclose(logits[:, t], step, atol=1e-4)
        np.testing.assert_allclose(after, expected, atol=1e-4)


def test_greedy_text_is_the_runtime_s(make_model: MakeModel) -> None:
    _, model = make_model("gru", layers=2, hidden=24)
    session = onnxruntime.InferenceSession(onnx.graph(model))
    generator = Generator(model)
    ids = [model.vocabulary.bos, *model.vocabulary.encode("abc ").tolist()]
    state = np.zeros(model.config.state_shape(1), np.float32)
    written = []
    for _ in range(2000):
        logits, state = session.run(None, {"ids": np.array([ids], np.int64), "state": state})
        logits[0, -1, list(model.vocabulary.specials.values())] = -np.inf
        ids = [int(logits[0, -1].argmax())]
        written += ids
    text = model.vocabulary.decode(written)
    require_drawn(generator, text, "abc ", SamplerConfig(temperature=0, length=2000))


def test_the_metadata_carries_the_model_s_texts(make_model: MakeModel) -> None:
    _, model = make_model()
    session = onnxruntime.InferenceSession(onnx.graph(model))
    found = {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
    assert Vocabulary.from_json(found["vocabulary"]) == model.vocabulary
    assert found["config"]["model"] == model.config.to_json()
    assert found["sampling"] == model.sampling
    assert found["metrics"] == model.metrics


def test_a_graph_that_differs_is_not_written(make_model: MakeModel) -> None:
    _, model = make_model()
    content = onnx.graph(model)
    moved = {**model.weights, "output.bias": model.weights["output.bias"] + np.float32(0.001)}
    with pytest.raises(ModelError, match=r"differs from charloom's by 0\.001"):
        onnx.check(replace(model, weights=moved), content)


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_a_missing_library_is_told(
    make_model: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    _, model = make_model()
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=r"charloom\[onnx\]"):
        onnx.write(model, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_the_example_writes(make_model: MakeModel, tmp_path: Path) -> None:
    _, model = make_model()
    out = tmp_path / "model.onnx"
    onnx.write(model, out)
    command = [sys.executable, str(EXAMPLE), str(out), "abc "]
    found = subprocess.run(
        command, capture_output=True, timeout=60, env={"PYTHONUTF8": "1"}, check=True
    ).stdout.decode("utf-8")
    assert found.startswith("abc ")
    assert len(found) == len("abc ") + 300 + 1
    assert set(found) <= {str(token) for token in model.vocabulary.characters}
    assert len(EXAMPLE.read_text("utf-8").splitlines()) <= 40
