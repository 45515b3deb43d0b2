"""Model folders with random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import untrained
from charloom.model.folder import Model
from charloom.text.vocabulary import Vocabulary

MakeModel = Callable[..., tuple[Path, Model]]


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """`make_model(cell, layers=, hidden=, embedding=, specials=)`: a folder, and the model in it."""

    def make(
        *arguments: Any, specials: tuple[str, ...] = ("<bos>", "<byte>"), **sizes: Any
    ) -> tuple[Path, Model]:
        model = untrained.model(
            *arguments,
            **sizes,
            vocabulary=Vocabulary.of_characters("abc defg\n<é😀", specials),
            metrics={"nats": 1.5},
            sampling={"temperature": 0.7, "length": 40},
            provenance={"corpora": [{"name": "here"}]},
        )
        return untrained.write(tmp_path / "run of mine", model, "# Card\n"), model

    return make
