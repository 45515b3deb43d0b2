"""What suits this text, this budget and this machine, each choice with its reason."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from charloom.model.config import GATES
from charloom.text.corpus import Corpus
from charloom.training import device, layout
from charloom.training.config import DEFAULT_MINUTES, TrainConfig

WIDTHS = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
READ_PER_PARAMETER = 1.0  # characters that a weight needs to have been trained on to be worth its time
TEXT_PER_PARAMETER = 0.25  # distinct characters a weight; with fewer the model learns the text by heart
EFFICIENCY = 0.2  # of the bare product's rate that a whole training step reaches
DOCUMENT_WINDOW = 256  # characters of a document a step: most short texts whole, and memory bounded
DOCUMENT_STEPS = 8  # in an epoch of documents, at least
LANE_WINDOWS = 8  # windows in a lane, at least: with fewer the heads repeat themselves at once


@dataclass(frozen=True)
class Choice:
    """Settings by section and key, and the reason for each as `section.key`."""

    values: Mapping[str, Mapping[str, Any]]
    reasons: Mapping[str, str]


def choose(corpus: Corpus, config: TrainConfig, given: Mapping[str, Mapping[str, Any]]) -> Choice:
    """Width, lanes and dropout for the training part of `corpus` under the budget of `config`.

    What is `given` is kept and taken into account.
    """
    text = max(1, corpus.train.characters)
    model, train = given.get("model", {}), given.get("train", {})
    reasons: dict[str, str] = {}
    lanes, window = _rows(corpus, config, train, reasons)
    rate = _product_rate(config)

    def read(hidden: int) -> float:
        """Characters that the budget trains on at this width."""
        if config.epochs:
            return config.epochs * text
        if config.steps:
            return config.steps * lanes * window
        a_character = 6 * _weights(model, hidden, len(corpus.vocabulary))  # two products back for one forth
        return 60 * (config.minutes or DEFAULT_MINUTES) * rate * EFFICIENCY / a_character

    hidden = model.get("hidden") or WIDTHS[0]
    if "hidden" not in model:
        for width in WIDTHS:
            weights = _weights(model, width, len(corpus.vocabulary))
            if read(width) >= READ_PER_PARAMETER * weights and text >= TEXT_PER_PARAMETER * weights:
                hidden = width
        reasons["model.hidden"] = (
            f"about {read(hidden):,.0f} characters can be read in the budget, of {text:,} there are"
        )
    epochs = read(hidden) / text
    dropout = round(min(0.5, max(0.0, 0.1 * math.log2(max(epochs, 1.0)))), 2)
    reasons["model.dropout"] = f"the text is read about {epochs:.1f} times"
    values: dict[str, dict[str, Any]] = {
        "model": {"hidden": hidden, "dropout": dropout},
        "train": {"lanes": lanes, "window": window},
    }
    return Choice(values, reasons)


def _rows(
    corpus: Corpus, config: TrainConfig, train: Mapping[str, Any], reasons: dict[str, str]
) -> tuple[int, int]:
    """Rows a step, and characters of each."""
    part = corpus.train
    if part.documents is not None and layout.name(corpus, config) == "documents":
        count = len(part.documents) - 1
        rows = train.get("lanes") or max(1, min(config.lanes, count // DOCUMENT_STEPS))
        reasons["train.lanes"] = f"{count:,} documents of {len(part.ids) / count:,.0f} characters on average"
        return rows, train.get("window", DOCUMENT_WINDOW)
    text, window = max(1, part.characters), train.get("window", config.window)
    lanes = train.get("lanes") or max(1, min(config.lanes, text // (LANE_WINDOWS * window)))
    reasons["train.lanes"] = f"{text:,} characters of text give lanes of {text // lanes:,}"
    return lanes, window


def _weights(model: Mapping[str, Any], hidden: int, vocabulary: int) -> int:
    """Parameters that take part in every character's products."""
    recurrent: int = GATES[model.get("cell", "lstm")] * hidden * (2 * model.get("layers", 1) - 1)
    return hidden * (recurrent + vocabulary)


def _product_rate(config: TrainConfig) -> float:
    """Floating-point operations a second of a recurrent step's product here."""
    place = device.choose(config)
    kind = torch.bfloat16 if place.precision == "bfloat16" else torch.float32
    left, right = (torch.ones(shape, dtype=kind, device=place.device) for shape in ((64, 512), (512, 2048)))
    best = math.inf
    with place.engaged():
        for _ in range(20):
            start = time.perf_counter()
            (left @ right)[0, 0].item()
            best = min(best, time.perf_counter() - start)
    return 2 * 64 * 512 * 2048 / best
