"""How far a run is, and at what share of the full rate it learns.

A budget in minutes does not know its number of steps. It guesses, and guesses again at recorded steps;
the share done goes on from where it stood, so the rate never jumps, and a run that is given the whole
record repeats every rate.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Schedule:
    """The plan of one run: pairs (at this step, so many steps in all), in order of the steps."""

    warmup: float  # share of the run
    decay: bool = True
    plan: list[tuple[int, int]] = field(default_factory=list)

    @property
    def ends(self) -> set[int]:
        """The steps at which a plan was spent, not only changed: the run ended there, or ends."""
        after = [start for start, _ in self.plan[1:]]
        return {
            steps for (_, steps), start in zip(self.plan, [*after, self.steps], strict=True) if start >= steps
        }

    @property
    def steps(self) -> int:
        """Steps in all, by the latest plan."""
        return self.plan[-1][1]

    def replan(self, step: int, steps: int) -> None:
        """From `step` on, count on `steps` in all. Where the plan had ended, a new one begins."""
        while self.plan and self.plan[-1][0] >= step and self.plan[-1] != (step, step):
            self.plan.pop()
        self.plan.append((step, max(step, steps)))

    def done(self, step: int) -> float:
        """Share of the run that lies behind `step`, 0 … 1; plans made at or after `step` do not matter."""
        share = 0.0
        for k, (start, steps) in enumerate(self.plan):
            if start >= step:
                break
            if k and start >= self.plan[k - 1][1]:
                share = 0.0
            until = min(step, self.plan[k + 1][0]) if k + 1 < len(self.plan) else step
            share += (1 - share) * (until - start) / max(1, steps - start)
        return min(1.0, share)

    def rate(self, step: int) -> float:
        """Share of the full rate at `step`: a linear rise, then (with decay) a straight line down to zero."""
        done = self.done(step)
        if done < self.warmup:
            return min(1.0, self.done(step + 1) / self.warmup)
        if not self.decay:
            return 1.0
        return (1 - done) / (1 - self.warmup or 1.0)
