"""What a run tells while it trains. The core yields these; who calls decides what to show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from charloom.model.folder import Weights


@dataclass(frozen=True)
class Started:
    """Before the first step. `steps` is 0 where the budget is in minutes and not yet timed."""

    step: int
    steps: int
    parameters: int
    device: str
    precision: str
    threads: int
    reason: str


@dataclass(frozen=True)
class Stepped:
    """Some steps were taken; `loss` is the training loss in nats a character over them."""

    step: int
    steps: int
    loss: float
    seconds: float
    characters: int
    remaining: float


@dataclass(frozen=True)
class Planned:
    """A budget in minutes is now taken to mean so many steps."""

    step: int
    steps: int
    evaluate_steps: int


@dataclass(frozen=True)
class Evaluated:
    """Held-out nats a character (NaN where nothing is held out), and whether they are the best so far."""

    step: int
    seconds: float
    characters: int
    loss: float
    nats: float
    rate: float
    best: bool


@dataclass(frozen=True)
class SampleDue:
    """Time to show what this step's weights write."""

    step: int
    weights: Weights


@dataclass(frozen=True)
class Saved:
    """A checkpoint lies at `path`."""

    step: int
    path: Path


@dataclass(frozen=True)
class RolledBack:
    """The loss exploded, or was no number; training goes on from `step` at `share` of the rate."""

    step: int
    share: float


@dataclass(frozen=True)
class Warned:
    """Something that the run survives and the user should know."""

    message: str


@dataclass(frozen=True)
class Finished:
    """The end: `reason` is budget, patience, or the name of the signal."""

    reason: str
    step: int
    seconds: float
    characters: int
    best_nats: float
    best_step: int


Event = Started | Stepped | Planned | Evaluated | SampleDue | Saved | RolledBack | Warned | Finished
