"""The compiled engine beside the reference, on one model."""

from __future__ import annotations

from typing import Any

import numpy as np

from charloom.model.folder import Model
from charloom.runtime.arrays import aligned, padded
from charloom.runtime.kernels import Kernels
from charloom.runtime.twins import Twins
from charloom.runtime.weights import Precision, fold


def read(engine: Any, model: Model, ids: Any, lengths: Any) -> tuple[Any, ...]:
    """State, logits, scores and trace after these ids, from a random state."""
    random = np.random.default_rng(5)
    config, vocabulary, rows = model.config, len(model.vocabulary), len(ids)
    state = aligned((config.layers, config.parts, rows, padded(config.hidden)))
    state[..., : config.hidden] = random.normal(size=config.state_shape(rows))
    logits = np.full((rows, padded(vocabulary)), -np.inf, np.float32)
    logits[:, :vocabulary] = random.normal(size=(rows, vocabulary))
    scores = np.zeros((2, rows, ids.shape[1]), np.float32)
    trace = np.zeros((rows, ids.shape[1], padded(vocabulary)), np.float32)
    engine.read(ids, lengths, state, logits, scores, trace)
    return state[..., : config.hidden], logits[:, :vocabulary], scores, trace[..., :vocabulary]


def difference(model: Model, precision: Precision, rows: int, steps: int) -> float:
    """The largest difference of what both engines make of random ids, relative to the largest logit."""
    network = fold(model.config, model.weights, precision)
    ids = np.random.default_rng(1).integers(0, len(model.vocabulary), (rows, steps)).astype(np.int32)
    lengths = np.sort(np.random.default_rng(2).integers(1, steps + 1, rows))[::-1].copy()
    lengths[0] = steps
    found, expected = (read(engine(network), model, ids, lengths) for engine in (Kernels, Twins))
    scale = np.abs(expected[1]).max()
    return max(float(np.abs(ours - plain).max() / scale) for ours, plain in zip(found, expected, strict=True))
