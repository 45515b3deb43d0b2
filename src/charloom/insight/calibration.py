"""Whether a model is right as often as it thinks.

For each character of a text, its confidence is the probability of the likeliest next one, and it is right
where that one comes. Sorted by confidence and cut into bins of equally many, the mean of the one is drawn
against the mean of the other: the reliability diagram (M. H. DeGroot, S. E. Fienberg, "The comparison and
evaluation of forecasters", 1983). The expected calibration error is the mean distance of the two (C. Guo
and others, "On calibration of modern neural networks", ICML 2017). It says nothing of how good the model
is: one that knows nothing, and knows that, is calibrated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import numpy as np

from charloom.runtime.arrays import Doubles
from charloom.runtime.generator import Generator
from charloom.runtime.twins import log_softmax

BINS = 12


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """By bin (b,): mean `confidence`, share that was `right`; over all, the `error` and the `accuracy`."""

    confidence: Doubles
    right: Doubles
    error: float
    accuracy: float
    characters: int

    @property
    def tendency(self) -> str:
        """One of "well calibrated" (within 2 % in the mean), "overconfident", "underconfident"."""
        gap = float(self.confidence.mean() - self.right.mean())
        return "well calibrated" if abs(gap) <= 0.02 else "overconfident" if gap > 0 else "underconfident"

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "confidence": self.confidence.tolist(),
            "right": self.right.tolist(),
            "error": self.error,
            "accuracy": self.accuracy,
            "characters": self.characters,
        }


def calibration(
    generator: Generator, texts: Iterable[str], sources: Iterable[str] = repeat("")
) -> Calibration:
    """Read each text from a fresh state, after its source. A first character that nothing comes before is
    left out.
    """
    vocabulary = generator.model.vocabulary
    confidences, hits = [np.zeros(0)], [np.zeros(0, bool)]
    for text, source in zip(texts, sources, strict=False):
        before = generator.beginning.ids(source)
        rows = np.concatenate((before, vocabulary.rows(vocabulary.encode(text))))
        first = max(len(before), 1)  # that is predicted
        if len(rows) > first:
            logits = generator.logits(rows[:-1])[0][first - 1 :]
            likeliest = logits.argmax(axis=1)
            confidences.append(np.exp(log_softmax(logits)[np.arange(len(likeliest)), likeliest]))
            hits.append(likeliest == rows[first:])
    return reliability(np.concatenate(confidences).astype(np.float64), np.concatenate(hits))


def reliability(confidence: Doubles, right: np.ndarray[Any, np.dtype[np.bool_]]) -> Calibration:
    """The diagram of predictions made with `confidence` (n,), of which some were `right` (n,)."""
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    means = np.array([[confidence[part].mean(), right[part].mean()] for part in parts]).reshape(-1, 2)
    sizes = np.array([len(part) for part in parts])
    total = max(len(order), 1)
    return Calibration(
        confidence=means[:, 0],
        right=means[:, 1],
        error=float(np.abs(means[:, 0] - means[:, 1]) @ sizes / total),
        accuracy=float(right.sum() / total),
        characters=len(order),
    )
