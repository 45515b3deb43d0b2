"""Models of random weights, which take no training, and their folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from charloom.model import card as cards
from charloom.model import folder
from charloom.model.config import Cell, ModelConfig
from charloom.model.folder import Model
from charloom.text.condition import Condition
from charloom.text.vocabulary import Vocabulary

LETTERS = "etaoin shrdluc\n.,'\"()ABCmwfgypbvkxjqz-"
SPECIALS = ("<bos>", "<eos>", "<byte>")


def of(
    config: ModelConfig, vocabulary: Vocabulary, seed: int = 0, spread: float = 0, **described: Any
) -> Model:
    """The model of these sizes; `described` are Model's metrics, sampling and provenance.

    `spread` is the weights' standard deviation; 0 makes it such that states neither fade nor saturate.
    """
    random = np.random.default_rng(seed)
    weights = {
        name: random.normal(0, spread or _spread(shape), shape).astype(np.float32)
        for name, shape in config.weight_shapes(len(vocabulary)).items()
    }
    if not spread:
        weights["output.weight"] *= 3  # far from uniform, so that a wrong logit shows in the text
    if not config.embedding:
        weights["embedding.weight"] = np.eye(len(vocabulary), dtype=np.float32)
    return Model(config=config, vocabulary=vocabulary, weights=weights, **described)


def model(
    cell: Cell = "lstm",
    *,
    layers: int = 1,
    hidden: int = 24,
    embedding: int = 8,
    vocabulary: Vocabulary | None = None,
    specials: tuple[str, ...] = SPECIALS,
    conditions: tuple[Condition, ...] = (),
    seed: int = 0,
    ends: float = 0,
    **described: Any,
) -> Model:
    """A small model of LETTERS; `ends` are nats that are added to `<eos>`."""
    vocabulary = vocabulary or Vocabulary.of_characters(LETTERS, specials)
    config = ModelConfig(cell=cell, layers=layers, hidden=hidden, embedding=embedding, conditions=conditions)
    made = of(config, vocabulary, seed, **described)
    if vocabulary.eos is not None:
        made.weights["output.bias"][vocabulary.eos] += np.float32(ends)
    return made


def _spread(shape: tuple[int, ...]) -> float:
    return 1.5 / float(np.sqrt(shape[-1])) if len(shape) > 1 else 0.3


def write(path: Path, made: Model, card: str = "") -> Path:
    """Its folder at `path`."""
    path.mkdir(parents=True, exist_ok=True)
    folder.create(
        path,
        config=made.config,
        vocabulary=made.vocabulary,
        card=card or cards.write(made.config, made.vocabulary, made.provenance),
        sampling=made.sampling,
        provenance=made.provenance,
    )
    folder.write_weights(path, made.weights, made.metrics)
    return path
