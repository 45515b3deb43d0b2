"""A trained model whose alphabet and labels grow: the old keep their weights, the new begin like others."""

from __future__ import annotations

from typing import Any

import numpy as np

from charloom.errors import UsageError
from charloom.model.config import ModelConfig, condition_weights
from charloom.model.folder import Model, Weights
from charloom.text.condition import Condition
from charloom.text.vocabulary import Vocabulary


def grown(model: Model, config: ModelConfig, vocabulary: Vocabulary) -> Weights:
    """The weights of `model` for a vocabulary that begins with its ids; `config` has its sizes.

    A new id begins with the row of `<byte>`, which stood for all unknown characters, or, where there is
    none, with the mean of all rows. A label keeps its weights wherever it stands now, a new one begins with
    the mean of all; an array goes on to mean what it meant, whatever it is scaled by now. Weights of
    conditions that the model did not have are left out. Raises UsageError where the model depends on one
    that `config` does not have.
    """
    old, new = len(model.vocabulary), len(vocabulary)

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
    known = {condition.name: condition for condition in config.conditions}
    for condition in model.config.conditions:
        weights |= _condition(weights, config.layers, condition, known.get(condition.name))
    return weights


def _condition(weights: Weights, layers: int, before: Condition, now: Condition | None) -> Weights:
    """The weights of one condition, for the values, or the mean and deviation, that it has now."""
    if now is None or (now.kind, now.size) != (before.kind, before.size):
        raise UsageError(
            f"condition {before.name}: the model was trained with it, and this text has not the same; "
            "name the column with --condition, or start anew"
        )
    found: dict[str, np.ndarray[Any, np.dtype[np.float32]]] = {}
    for layer in range(layers):
        weight, bias = condition_weights(before.name, layer)
        columns = weights[weight]  # (parts · H, the condition's width)
        found[bias] = weights[bias]
        if before.kind == "label":
            kept = dict(zip(before.values, columns.T, strict=True))
            found[weight] = np.stack([kept.get(value, columns.mean(1)) for value in now.values], 1)
        else:
            further = np.float32((now.mean - before.mean) / before.deviation)
            found[weight] = columns * np.float32(now.deviation / before.deviation)
            found[bias] = weights[bias] + further * columns.sum(1)
    return found
