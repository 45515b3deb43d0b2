"""The model folder: a round trip, an old one that still loads, a replacement that fails."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charloom.errors import ModelError, RunError
from charloom.model import card, folder
from charloom.model.config import CELLS, ModelConfig
from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.text.condition import Condition
from charloom.text.vocabulary import BOS, BYTE, EOS, Vocabulary
from drawn import require_drawn
from untrained import of, write

GOLDEN = Path(__file__).parent / "golden"
VOCABULARY = Vocabulary.from_text("abc é\ud800😀\n", (BOS, EOS, BYTE))
CONFIG = ModelConfig(cell="lstm", layers=2, hidden=5, embedding=3)
CONDITIONS = (
    Condition(name="a.b, é", kind="label", values=("x", "y"), counts=(2, 3)),
    Condition(name="pixels", kind="array", size=5, mean=1.0, deviation=2.0),
)


def made(config: ModelConfig = CONFIG, vocabulary: Vocabulary = VOCABULARY, **more: Any) -> Model:
    return of(config, vocabulary, **more)


def require_same(found: Model, expected: Model) -> None:
    assert found.config == expected.config
    assert found.vocabulary == expected.vocabulary
    assert found.metrics == expected.metrics
    assert found.sampling == expected.sampling
    assert found.provenance == expected.provenance
    assert found.weights.keys() == expected.weights.keys()
    for name, array in expected.weights.items():
        assert found.weights[name].dtype == np.float32
        assert np.array_equal(found.weights[name], array)


@pytest.mark.parametrize("cell", CELLS)
def test_conditions_round_trip(cell: Any, tmp_path: Path) -> None:
    config = ModelConfig(cell=cell, layers=2, hidden=6, embedding=4, conditions=CONDITIONS)
    model = made(config)
    write(tmp_path / "model", model)
    require_same(folder.read(tmp_path / "model"), model)
    described = json.loads((tmp_path / "model" / "config.json").read_text("utf-8"))
    assert described["conditions"]["a.b, é"] == {"kind": "label", "values": ["x", "y"], "counts": [2, 3]}
    assert described["conditions"]["pixels"] == {"kind": "array", "size": 5, "mean": 1.0, "deviation": 2.0}
    assert model.weights["condition.a.b, é.layers.1.weight"].shape == (6 * config.parts, 2)
    assert model.weights["condition.pixels.layers.0.bias"].shape == (6 * config.parts,)
    described["conditions"]["pixels"]["size"] = 2**24
    (tmp_path / "model" / "config.json").write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(ModelError, match="the file is truncated"):
        folder.read(tmp_path / "model")
    described["conditions"]["pixels"]["size"] = "5"
    (tmp_path / "model" / "config.json").write_text(json.dumps(described), encoding="utf-8")
    with pytest.raises(ModelError, match="the size of the condition 'pixels' is '5'; the file is damaged"):
        folder.read(tmp_path / "model")


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("embedding", [0, 4])
@pytest.mark.parametrize("vocabulary", [VOCABULARY, Vocabulary.of_bytes((BOS,)), Vocabulary.from_text("ab")])
def test_round_trip(cell: Any, layers: int, embedding: int, vocabulary: Vocabulary, tmp_path: Path) -> None:
    config = ModelConfig(cell=cell, layers=layers, hidden=6, embedding=embedding, dropout=0.1)
    model = made(
        config,
        vocabulary,
        metrics={"step": 7, "nats": 1.5},
        sampling={"temperature": 0.8},
        provenance={"corpora": [{"name": "böok", "sha256": "0"}], "characters": 10},
    )
    require_same(folder.read(write(tmp_path / "model", model)), model)
    assert model.parameters == sum(array.size for array in model.weights.values())
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {"config.json", "vocab.json", "generation.json", "README.md", "model.safetensors"}


@given(
    name=st.text(
        st.characters(exclude_characters="/\\\0", exclude_categories=("Cs", "Cc")), min_size=1, max_size=40
    ).filter(lambda name: name.strip(". ") and len(name.encode()) < 200),
    characters=st.sets(st.characters(), min_size=1, max_size=8),
    told=st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text())),
)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_names(name: str, characters: set[str], told: dict[str, Any], tmp_path: Path) -> None:
    """Of folders, of characters (lone surrogates among them), and in what is told of the text."""
    model = made(vocabulary=Vocabulary.of_characters(sorted(characters), (BOS,)), provenance=told)
    require_same(folder.read(write(tmp_path / name, model)), model)


def test_better_weights_take_the_place_of_the_old(tmp_path: Path) -> None:
    path = write(tmp_path / "model", made())
    before = {file.name: file.read_bytes() for file in path.iterdir()}
    better = made(seed=1, metrics={"nats": 1.0})
    folder.write_weights(path, better.weights, better.metrics)
    require_same(folder.read(path), better)
    changed = {file.name for file in path.iterdir() if before.get(file.name) != file.read_bytes()}
    assert changed == {folder.WEIGHTS}


def test_a_failed_replacement_keeps_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "model", made())

    def fails(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(RunError) as caught:
        folder.write_weights(path, made(seed=1).weights, {})
    assert str(caught.value) == (
        f"{path / folder.WEIGHTS}: cannot be written (No space left on device); make room; "
        "what was there before is kept"
    )
    require_same(folder.read(path), made())
    assert not [file for file in path.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("number", [1])
def test_every_released_format_still_loads(number: int) -> None:
    """Made once by `golden/make.py`; its text and score are what they were then."""
    path = GOLDEN / f"format-{number}"
    assert sum(file.stat().st_size for file in path.iterdir()) < 100_000
    assert json.loads((path / "config.json").read_bytes())["format"] == number
    model = folder.read(path)
    expected = json.loads((path / "expected.json").read_text("utf-8"))
    assert model.metrics["step"] > 0
    generator = Generator(model)
    greedy = SamplerConfig(temperature=0, length=200)
    require_drawn(generator, expected["greedy"], expected["prompt"], greedy)
    [scores] = generator.score([model.vocabulary.encode(expected["sentence"])])
    assert -scores.log_probabilities.sum() == pytest.approx(expected["nats"], rel=1e-5)


def test_the_card_tells_what_people_and_the_hub_want() -> None:
    told = {"corpora": [{"name": "book", "licence": "CC0"}], "characters": 12345, "documents": "whole"}
    text = card.write(CONFIG, VOCABULARY, told)
    front = text.split("---\n")
    assert front[0] == ""
    assert "library_name: charloom\n" in front[1]
    assert "pipeline_tag: text-generation\n" in front[1]
    assert "LSTM of 2 layers and 5 hidden units" in text
    assert f"{CONFIG.parameters(11):,} parameters" in text
    assert "12,345" in text
    assert "CC0" in text
    assert "1 layer and" in card.write(ModelConfig(layers=1), VOCABULARY, {})
