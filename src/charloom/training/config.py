"""How to train: every setting, its default and the reason for it. No torch here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from charloom.errors import UsageError

Layout = Literal["auto", "lanes", "windows", "shuffled", "documents"]
Optimiser = Literal["muon", "adam"]
Precision = Literal["auto", "bfloat16", "float32"]
Device = Literal["auto", "cpu", "cuda", "mps"]

DEFAULT_MINUTES = 5.0  # long enough for a readable model of a book, short enough to wait for


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The settings of one training run. Raises UsageError for a value out of its range.

    At most one of `minutes`, `epochs` and `steps` is above zero: the budget. `plan` is what a budget
    in minutes became, as pairs (at this step, so many steps in all); a run with a plan is exactly
    repeatable and does not look at the clock.
    """

    minutes: float = 0.0  # wall-clock time on this machine, evaluation and samples included
    epochs: float = 0.0  # times through the training text
    steps: int = 0  # optimiser steps
    plan: tuple[tuple[int, int], ...] = ()  # filled in by a run by minutes
    layout: Layout = "auto"  # lanes; documents if they have conditions or sources; others are the lesson's
    lanes: int = 64  # rows a step: fewer leave registers empty, more step less often
    window: int = 64  # characters a row and step: longer learns no more
    start: str = ""  # a model folder whose weights it goes on from; empty: new weights
    seed: int = 0  # data order, dropout and first weights come from it alone
    precision: Precision = "auto"  # bfloat16 where the processor multiplies it, after a self-check
    device: Device = "auto"  # a GPU where torch sees one
    threads: int = 0  # 0 means one for every core this process may use
    optimiser: Optimiser = "muon"  # on recurrent matrices; AdamW on the rest. Plain adam is the lesson's
    rate: float = 0.01  # of AdamW (or Adam): half of it was 0.02 to 0.06 nats worse in short runs
    muon_rate: float = 0.08  # of Muon: an update's root mean square is this over the root of H
    muon_decay: float = 0.05  # Muon's: a step takes this share of its rate off the weights (docs/log.md)
    weight_decay: float = 0.01  # AdamW's own default; matrices only
    clip: float = 1.0  # the gradient's norm: recurrent gradients are heavy-tailed
    warmup: float = 0.02  # share of the budget until the full rate: Adam's second moments settle first
    decay: bool = True  # straight down to zero at the budget's end: half a cosine was 0.01 nats worse
    restarts: float = 0.1  # share of lanes that begin anew at a step: cold starts are learned (docs/log.md)
    unconditional: float = 0.1  # share of conditions left unknown, so that the model also writes without one
    evaluate_steps: int = (
        0  # steps between held-out evaluations; 0: twenty, or as many as take 2 % of the time
    )
    evaluate_characters: int = 0  # of the validation part, evenly spread; 0: what takes 2 % of the time
    patience: int = 8  # evaluations without a better one before stopping; 0 never stops early
    sample_steps: int = 0  # steps between samples; 0 means at every fourth evaluation
    checkpoint_steps: int = 0  # steps between checkpoints; 0 leaves it to the seconds
    checkpoint_seconds: float = 120.0  # writing a checkpoint takes a second at most: under 1 % of that

    def __post_init__(self) -> None:
        for name, known in (
            ("layout", get_args(Layout)),
            ("optimiser", get_args(Optimiser)),
            ("precision", get_args(Precision)),
            ("device", get_args(Device)),
        ):
            if getattr(self, name) not in known:
                raise UsageError(
                    f"{name} {getattr(self, name)!r} is not known; choose one of {', '.join(known)}"
                )
        for name, least, most in (
            ("minutes", 0, 1e7),
            ("epochs", 0, 1e9),
            ("steps", 0, 10**12),
            ("lanes", 1, 2**20),
            ("window", 1, 2**20),
            ("seed", 0, 2**32 - 1),  # what the sampler takes
            ("threads", 0, 4096),
            ("rate", 0, 100),
            ("muon_rate", 0, 100),
            ("muon_decay", 0, 100),
            ("weight_decay", 0, 100),
            ("clip", 0, 1e9),
            ("warmup", 0, 1),
            ("restarts", 0, 1),
            ("unconditional", 0, 1),
            ("evaluate_steps", 0, 10**12),
            ("evaluate_characters", 0, 10**12),
            ("patience", 0, 10**9),
            ("sample_steps", 0, 10**12),
            ("checkpoint_steps", 0, 10**12),
            ("checkpoint_seconds", 0, 1e9),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise UsageError(f"{name} is {value!r}; it takes a number")
            if not least <= value <= most:
                raise UsageError(f"{name} is {value}; it takes a number from {least} to {most:g}")
        if not isinstance(self.plan, tuple) or not all(map(_is_pair, self.plan)):
            raise UsageError(f"plan is {self.plan!r:.60}; it takes pairs of steps, as a run writes them down")
        given = [name for name in ("minutes", "epochs", "steps") if getattr(self, name)]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} are given; a run has one budget, so choose one of them")


def _is_pair(found: object) -> bool:
    return isinstance(found, tuple) and [*map(type, found)] == [int, int]
