"""What generation and scoring give: records of texts and of their likelihood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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


@dataclass(frozen=True)
class Scores:
    """Of one text: log_probabilities (n,) of each id and the entropies (n,) of what was expected, in nats.

    Where nothing comes before the first id (no `<bos>`, no state), its entries are NaN.
    """

    log_probabilities: Floats
    entropies: Floats
