"""Networks whose behaviour is known, because their weights were set by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from charloom.model.config import ModelConfig
from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.text.vocabulary import Vocabulary

SURE = 30.0  # nats: a logit so far above the others is certainty

Make = Callable[..., Generator]


def generator(vocabulary: Vocabulary, cell: str, hidden: int, weights: Mapping[str, np.ndarray]) -> Generator:
    """One layer over one-hot vectors; weights that are not given are zero."""
    config = ModelConfig(cell=cell, hidden=hidden, embedding=0)
    filled = {
        name: np.array(weights.get(name, np.zeros(shape)), np.float32)
        for name, shape in config.weight_shapes(len(vocabulary)).items()
    }
    filled["embedding.weight"] = np.eye(len(vocabulary), dtype=np.float32)
    return Generator(Model(config=config, vocabulary=vocabulary, weights=filled))


@pytest.fixture
def build() -> Make:
    """`build(vocabulary, cell, hidden, weights)`."""
    return generator


@pytest.fixture
def successor() -> Make:
    """`successor(letters)`: after each letter it expects the next, after the last one the first."""

    def make(letters: str, specials: tuple[str, ...] = ("<bos>", "<byte>")) -> Generator:
        vocabulary = Vocabulary.of_characters(letters, specials)
        size, n = len(vocabulary), len(letters)
        output = np.zeros((size, n))
        output[(np.arange(n) + 1) % n, np.arange(n)] = SURE
        inputs = np.zeros((n, size))
        inputs[np.arange(n), np.arange(n)] = 10
        return generator(vocabulary, "rnn", n, {"layers.0.weight_input": inputs, "output.weight": output})

    return make


@pytest.fixture
def constant() -> Make:
    """`constant({"a": 0.5, "b": 0.25, …})`: it expects each character with this probability, always."""

    def make(chances: Mapping[str, float], specials: tuple[str, ...] = ("<bos>",)) -> Generator:
        vocabulary = Vocabulary.of_characters(chances, specials)
        bias = np.full(len(vocabulary), -SURE)
        bias[: len(chances)] = np.log(list(chances.values()))
        return generator(vocabulary, "rnn", 2, {"output.bias": bias})

    return make
