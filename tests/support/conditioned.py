"""Models with conditions and sources, of random weights: a label, an array, a text to translate."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from charloom.model import card, folder
from charloom.model.config import Cell, ModelConfig
from charloom.model.folder import Model
from charloom.text.condition import Condition
from charloom.text.vocabulary import Vocabulary

KIND = Condition(name="kind", kind="label", values=("odd", "even", "Sci/Tech, new"), counts=(5, 3, 2))
YEAR = Condition(name="year", kind="label", values=("2003", "2004"), counts=(4, 6))
IMAGE = Condition(name="image", kind="array", size=4, mean=2.0, deviation=4.0)
LETTERS = "etaoin shrdlu\n.,'ABCmwfgypbvkxjqz-\t"
SPECIALS = ("<bos>", "<eos>", "<byte>")
TRANSLATES = ("<bos>", "<eos>", "<sep>", "<byte>")

# name: conditions, specials, what is given of a text
KINDS = {
    "nothing": ((), SPECIALS, {}),
    "a label": ((KIND,), SPECIALS, {"condition": "even"}),
    "two labels": ((KIND, YEAR), SPECIALS, {"condition": {"kind": "odd", "year": 2004}}),
    "a label unknown": ((KIND, YEAR), SPECIALS, {"condition": {"year": "2003"}}),
    "an array": ((IMAGE,), SPECIALS, {"condition": [1, 2, 3, 9]}),
    "an array and a label": (
        (IMAGE, KIND), SPECIALS, {"condition": {"image": [[1, 2], [3, 9]], "kind": "Sci/Tech, new"}},
    ),
    "a source": ((), TRANSLATES, {"source": "a tale"}),
    "a source and a label": ((KIND,), TRANSLATES, {"source": "a tale", "condition": "odd"}),
}  # fmt: skip


def model(
    conditions: tuple[Condition, ...] = (),
    specials: tuple[str, ...] = SPECIALS,
    cell: Cell = "lstm",
    layers: int = 1,
    **more: object,
) -> Model:
    vocabulary = Vocabulary.of_characters(LETTERS, specials)
    config = ModelConfig(cell=cell, layers=layers, hidden=16, embedding=8, conditions=conditions)
    random = np.random.default_rng(0)
    weights = {
        name: random.normal(0, 0.7, shape).astype(np.float32)
        for name, shape in config.weight_shapes(len(vocabulary)).items()
    }
    return Model(config=config, vocabulary=vocabulary, weights=weights, **more)  # type: ignore[arg-type]


def write(path: Path, made: Model) -> Path:
    path.mkdir(parents=True)
    folder.create(
        path,
        config=made.config,
        vocabulary=made.vocabulary,
        card=card.write(made.config, made.vocabulary, made.provenance),
        sampling=made.sampling,
        provenance=made.provenance,
    )
    folder.write_weights(path, made.weights, made.metrics)
    return path
