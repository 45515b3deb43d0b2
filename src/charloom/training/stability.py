"""Whether a loss is only jumping, or has left for good."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WORSE = (
    1.0  # nats a character: more than any text differs from the next, and far more than overfitting in a run
)
HOPELESS = 3.0  # nats above guessing evenly, at least: no step that still learns comes near


@dataclass
class Stability:
    """The training losses since the last evaluation, and the lowest mean between two.

    `even` is ln V, what guessing evenly costs.
    """

    even: float
    lowest: float = math.inf
    total: float = 0.0
    steps: int = 0

    @property
    def mean(self) -> float:
        """Nats a character since the last evaluation; NaN before the first step."""
        return self.total / self.steps if self.steps else math.nan

    def holds(self, losses: Sequence[float]) -> bool:
        """Note the losses of the latest steps; False where one is no number, or they are twice `even`."""
        for loss in losses:  # one by one, so that the sum does not depend on when it is asked for
            self.total += loss
        self.steps += len(losses)
        return self.bearable(sum(losses) / len(losses))

    def evaluated(self, nats: float, best: float, *, held_out: bool = True) -> bool:
        """At an evaluation: False where training and held-out text are both much worse than they were.

        A single jump proves nothing, since texts differ; held-out loss alone rises where a text is learned
        by heart. With nothing held out, training must have become worse than guessing evenly, and `nats`
        is what the text costs that is learned next.
        """
        worse = self.mean > self.lowest + WORSE
        if worse and (nats > best + WORSE if held_out else self.mean > self.even):
            return False
        if not self.bearable(nats):
            return False
        if self.steps:
            self.lowest = min(self.lowest, self.mean)
        self.forget()
        return True

    def bearable(self, nats: float) -> bool:
        """Return whether a loss, in nats per character, is one that training comes back from."""
        return math.isfinite(nats) and nats < self.even + max(self.even, HOPELESS)

    def forget(self) -> None:
        """Begin anew, after an evaluation or a step back."""
        self.total, self.steps = 0.0, 0
