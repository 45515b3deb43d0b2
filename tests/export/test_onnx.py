"""The ONNX step graph in onnxruntime against the runtime."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import untrained
from charloom.errors import MissingExtraError, ModelError
from charloom.export import onnx
from charloom.model.config import CELLS
from charloom.model.folder import Model
from charloom.runtime import twins
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.runtime.weights import fold
from charloom.text.condition import Condition
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


def test_an_empty_batch_or_no_ids_at_all(make_model: MakeModel) -> None:
    """ONNX Runtime's own LSTM and GRU abort the process there."""
    for cell in CELLS:
        for embedding in (0, 8):
            _, model = make_model(cell, layers=2, embedding=embedding)
            session = onnxruntime.InferenceSession(onnx.graph(model))
            for batch, time in ((0, 3), (2, 0), (0, 0)):
                state = np.full(model.config.state_shape(batch), 0.5, np.float32)
                ids = np.zeros((batch, time), np.int64)
                logits, after = session.run(None, {"ids": ids, "state": state})
                assert logits.shape == (batch, time, len(model.vocabulary))
                np.testing.assert_array_equal(after, state)


@pytest.mark.parametrize("embedding", [0, 8])
def test_an_id_beyond_the_vocabulary_is_refused(make_model: MakeModel, embedding: int) -> None:
    _, model = make_model(embedding=embedding)
    session = onnxruntime.InferenceSession(onnx.graph(model))
    state = np.zeros(model.config.state_shape(1), np.float32)
    refused = onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument
    with pytest.raises(refused, match="out of data bounds"):
        session.run(None, {"ids": np.array([[len(model.vocabulary)]]), "state": state})


@pytest.fixture
def example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[str, str]]:
    """`example(model, *arguments)`: what the script prints, and the message that it exits with."""

    def run(model: Model, *arguments: str) -> tuple[str, str]:
        onnx.write(model, tmp_path / "model.onnx")
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(tmp_path / "model.onnx"), *arguments])
        message = ""
        try:
            runpy.run_path(str(EXAMPLE))
        except SystemExit as error:
            message = str(error.code)
        return capsys.readouterr().out, message

    return run


def test_the_example_writes(make_model: MakeModel, tmp_path: Path) -> None:
    _, model = make_model()
    out = tmp_path / "model.onnx"
    onnx.write(model, out)
    command = [sys.executable, str(EXAMPLE), str(out), "abc é漢 "]  # 漢 is spelled as bytes
    found = subprocess.run(
        command, capture_output=True, timeout=300, env={"PYTHONUTF8": "1"}, check=True
    ).stdout.decode("utf-8")
    assert found.startswith("abc é漢 ")
    assert len(found) == len("abc é漢 ") + 300 + 1
    assert set(found) <= {*map(str, model.vocabulary.characters), "漢"}


def test_the_example_takes_conditions_sources_and_bytes(example: Callable[..., tuple[str, str]]) -> None:
    kind = Condition(name="kind", kind="label", values=("odd", "even"), counts=(1, 1))
    image = Condition(name="image", kind="array", size=3, mean=1.0, deviation=2.0)
    made = untrained.model(conditions=(kind, image), specials=("<bos>", "<sep>"))
    given: list[list[str]] = [[], ["kind=odd"], ["kind=even"], ["kind=even", "image=1,2,3"]]
    texts = [example(made, "", "source=t", *arguments) for arguments in given]
    assert {(len(text), message) for text, message in texts} == {(301, "")}
    assert len(set(texts)) == 4
    for arguments, expected in (
        (["the "], "the model translates; give a text as source=TEXT"),
        (["", "source=to", "kind=prime"], "kind=prime: the model knows odd, even"),
        (["", "source=to", "image=1,2"], "image: 2 numbers were given; it takes 3"),
        (["", "source=to", "image=1,x"], "image: '1,x' is not a list of numbers with commas between them"),
        (["", "source=é"], "'é' is not in the model's vocabulary, which has no <byte> to spell it with"),
        (["", "class=1"], "class: the model has no such condition; it has kind, image, source"),
        (["", "odd"], "usage: onnx_generate.py MODEL.onnx [PROMPT [NAME=VALUE ...]]"),
    ):
        assert example(made, *arguments) == ("", expected)
    of_bytes = untrained.model(vocabulary=Vocabulary.of_bytes())
    text, message = example(of_bytes, "é")
    assert (text[0], message) == ("é", "")
    assert "'byte'" not in text  # the bytes' characters, not their entries in vocab.json
    assert example(of_bytes) == ("", "the model needs a prompt to start from")
