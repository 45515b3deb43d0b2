"""Model folders with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charloom.model import folder
from charloom.model.config import ModelConfig
from charloom.model.folder import Model
from charloom.text.vocabulary import Vocabulary

MakeModel = Callable[..., tuple[Path, Model]]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """`make_model(cell, layers=, hidden=, embedding=, specials=)`: a folder, and the model in it."""

    def make(
        cell: str = "lstm",
        *,
        layers: int = 1,
        hidden: int = 16,
        embedding: int = 8,
        specials: tuple[str, ...] = ("<bos>", "<byte>"),
    ) -> tuple[Path, Model]:
        vocabulary = Vocabulary.of_characters("abc defg\n<é😀", specials)
        config = ModelConfig(cell=cell, layers=layers, hidden=hidden, embedding=embedding)  # type: ignore[arg-type]
        random = np.random.default_rng(0)
        weights: dict[str, np.ndarray[Any, Any]] = {
            name: random.normal(0, 0.7, shape).astype(np.float32)
            for name, shape in config.weight_shapes(len(vocabulary)).items()
        }
        if not embedding:
            weights["embedding.weight"] = np.eye(len(vocabulary), dtype=np.float32)
        model = Model(
            config=config,
            vocabulary=vocabulary,
            weights=weights,
            metrics={"nats": 1.5},
            sampling={"temperature": 0.7, "length": 40},
            provenance={"corpora": [{"name": "here"}]},
        )
        path = tmp_path / "run of mine"
        path.mkdir()
        folder.create(
            path,
            config=config,
            vocabulary=vocabulary,
            card="# Card\n",
            sampling=model.sampling,
            provenance=model.provenance,
        )
        folder.write_weights(path, weights, model.metrics)
        return path, model

    return make
