"""Models with conditions and sources, of random weights: a label, an array, a text to translate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import untrained
from charloom.model.config import Cell
from charloom.model.folder import Model
from charloom.text.condition import Condition
from charloom.text.vocabulary import Vocabulary
from untrained import LETTERS, SPECIALS

KIND = Condition(name="kind", kind="label", values=("odd", "even", "Sci/Tech, new"), counts=(5, 3, 2))
YEAR = Condition(name="year", kind="label", values=("2003", "2004"), counts=(4, 6))
IMAGE = Condition(name="image", kind="array", size=4, mean=2.0, deviation=4.0)
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
    **described: Any,
) -> Model:
    vocabulary = Vocabulary.of_characters(LETTERS + "\t", specials)
    sizes = {"layers": layers, "hidden": 16}
    return untrained.model(
        cell, conditions=conditions, vocabulary=vocabulary, spread=0.7, **sizes, **described
    )


def lay(folder: Path) -> None:
    """Folders of such models in `folder`, by what they were told: label, kinds, image, pairs."""
    untrained.write(folder / "label", model((KIND,)))
    untrained.write(folder / "kinds", model((KIND, YEAR)))
    untrained.write(folder / "image", model((IMAGE,)))
    untrained.write(folder / "pairs", model((), TRANSLATES))
