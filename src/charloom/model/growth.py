"""A trained model whose alphabet grows: old ids keep their rows, new ones begin as what stood for them."""

from __future__ import annotations

import numpy as np

from charloom.errors import UsageError
from charloom.model.config import ModelConfig
from charloom.model.folder import Model, Weights
from charloom.text.vocabulary import Vocabulary


def grown(model: Model, config: ModelConfig, vocabulary: Vocabulary) -> Weights:
    """The weights of `model` for a vocabulary that begins with its ids; `config` has its sizes.

    A new id begins with the row of `<byte>`, which stood for all unknown characters, or, where there is
    none, with the mean of all rows. Weights of conditions that the model did not have are left out.
    Raises UsageError where the model depends on conditions that `config` does not have.
    """
    old, new = len(model.vocabulary), len(vocabulary)
    known = {condition.name: condition for condition in config.conditions}
    for condition in model.config.conditions:
        if known.get(condition.name) != condition:
            raise UsageError(
                f"condition {condition.name}: the model was trained with it, and this text has not the same; "
                "name the column with --condition, or start anew"
            )

    def more_rows(
        rows: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        stand_in = rows[model.vocabulary.byte] if model.vocabulary.byte is not None else rows.mean(0)
        return np.concatenate((rows, np.repeat(stand_in[None], new - old, 0)))

    weights = dict(model.weights)
    weights["output.weight"] = more_rows(weights["output.weight"])
    weights["output.bias"] = more_rows(weights["output.bias"])
    if config.embedding:
        weights["embedding.weight"] = more_rows(weights["embedding.weight"])
    else:
        weights["embedding.weight"] = np.eye(new, dtype=np.float32)
        weights["layers.0.weight_input"] = more_rows(weights["layers.0.weight_input"].T).T
    return weights
