"""Small models with random weights, for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from charloom.model.config import Cell, ModelConfig
from charloom.model.folder import Model
from charloom.text.condition import Condition
from charloom.text.vocabulary import Vocabulary

LETTERS = "etaoin shrdlu\n.,'ABCmwfgypbvkxjqz-"
MakeModel = Callable[..., Model]


def build(
    cell: Cell = "lstm",
    *,
    layers: int = 1,
    hidden: int = 24,
    embedding: int = 8,
    vocabulary: Vocabulary | None = None,
    specials: tuple[str, ...] = ("<bos>", "<eos>", "<byte>"),
    seed: int = 0,
    conditions: tuple[Condition, ...] = (),
) -> Model:
    vocabulary = vocabulary or Vocabulary.of_characters(LETTERS, specials)
    config = ModelConfig(cell=cell, layers=layers, hidden=hidden, embedding=embedding, conditions=conditions)
    random = np.random.default_rng(seed)
    weights = {
        name: random.normal(0, 1.5 / np.sqrt(shape[-1]) if len(shape) > 1 else 0.3, shape).astype(np.float32)
        for name, shape in config.weight_shapes(len(vocabulary)).items()
    }
    weights["output.weight"] *= 3  # far from uniform, so that a wrong logit shows in the text
    if not embedding:
        weights["embedding.weight"] = np.eye(len(vocabulary), dtype=np.float32)
    return Model(config=config, vocabulary=vocabulary, weights=weights)


@pytest.fixture
def make_model() -> MakeModel:
    """`make_model(cell, layers=, hidden=, embedding=, vocabulary=, specials=, seed=, conditions=)`."""
    return build
