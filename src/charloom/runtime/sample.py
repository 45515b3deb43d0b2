"""What generation and scoring give: records of texts and of their likelihood."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from charloom.errors import UsageError
from charloom.runtime.arrays import Floats
from charloom.runtime.writer import FinishReason
from charloom.text.condition import Asked


@dataclass(frozen=True)
class Alternative:
    """A character that might have come, and its log-probability in nats."""

    character: str
    log_probability: float


@dataclass(frozen=True)
class Given:
    """What a text is to go on from: a prompt, a condition (see `charloom.text.condition`), a source."""

    prompt: str = ""
    condition: Asked = None
    source: str = ""

    def __post_init__(self) -> None:
        """Raise UsageError for a prompt or a source that is no string."""
        for name in ("prompt", "source"):
            if not isinstance(getattr(self, name), str):
                raise UsageError(f"{name}: it takes a string; found {getattr(self, name)!r:.40}")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A generated text and how it came about.

    log_probabilities are the model's own, in nats, one an id drawn (`<eos>` included), before
    temperature and every other option; top are the likeliest alternatives of each. Both are empty
    unless asked for. condition holds what was asked for, by name; it does not take part in comparisons.
    """

    text: str
    prompt: str
    condition: Mapping[str, Any] = field(default_factory=dict, compare=False)  # arrays have no one equality
    source: str = ""
    temperature: float
    seed: int
    stream: int
    finish_reason: FinishReason
    log_probabilities: tuple[float, ...] = ()
    top: tuple[tuple[Alternative, ...], ...] = ()

    @property
    def characters(self) -> int:
        """The length of `text`."""
        return len(self.text)

    @property
    def log_probability(self) -> float:
        """The sum of `log_probabilities`, in nats."""
        return sum(self.log_probabilities)

    @property
    def likelihood(self) -> float:
        """Nats per drawn id: by the sum, the shortest of several texts would always win."""
        return self.log_probability / max(len(self.log_probabilities), 1)


@dataclass(frozen=True)
class Scores:
    """Of one text: log_probabilities (n,) of each id and the entropies (n,) of what was expected, in nats.

    Where nothing comes before the first id (no `<bos>`, no state), its entries are NaN.
    """

    log_probabilities: Floats
    entropies: Floats


def require_several(what: str, texts: object) -> None:
    """Raise UsageError where `texts` is one text, or nothing that could hold texts."""
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise UsageError(f"{what} takes a list of texts; put brackets around the one")


def require_top(top: object) -> None:
    """Raise UsageError where `top` is no number of alternatives."""
    if top is not None and (not isinstance(top, int | np.integer) or top < 0):
        raise UsageError(f"top is {top!r:.40}; it takes a whole number of at least 0")
