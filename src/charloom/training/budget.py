"""How long a run goes on and how often it stops to evaluate: by steps, epochs, minutes or a recorded plan."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from charloom.training.config import TrainConfig
from charloom.training.heldout import MAX_CHARACTERS, MIN_CHARACTERS
from charloom.training.schedule import Schedule

TIMED_STEPS = 8  # the first steps compile and fill caches; after them time is worth counting
GUESSED_STEPS = 1000  # of a budget in minutes, until the first timing
EVALUATIONS = 20  # of a run: enough for a curve
EVALUATION_SHARE = 0.02  # of the training time that evaluations may take, the first and the last apart
EVALUATION_COST = 0.5  # of a character that is evaluated, in characters that are trained on; measured
FREE_CHARACTERS = 2**13  # that may be evaluated in any run: for the curve of one that takes a moment
SAMPLE_EVERY = 4  # evaluations


class Budget:
    """The clock, the schedule and what they come to, for a run whose epoch takes `steps_per_epoch`.

    How often and on how many characters a run is evaluated depends on the clock only where the budget does;
    otherwise on the characters it trains on, about `characters_per_step`.

    `repeats` tells that the plan is a finished run's, taken again; `by_clock` that minutes are counted.
    """

    def __init__(
        self,
        config: TrainConfig,
        steps_per_epoch: float,
        clock: Callable[[], float],
        characters_per_step: int = 1,
    ) -> None:
        self._config = config
        self._characters_per_step = characters_per_step
        self.clock = clock
        self._steps_per_epoch = steps_per_epoch
        self.schedule = Schedule(config.warmup, config.decay, list(config.plan))
        self.repeats = bool(config.plan)
        self.by_clock = config.minutes > 0 and not self.repeats
        self.evaluate_steps = config.evaluate_steps
        self.sample_steps = config.sample_steps
        self._given_evaluations = config.evaluate_steps > 0
        self._given_samples = config.sample_steps > 0
        self._deadline = 60 * config.minutes
        self._first = 0  # step of this budget
        self._replan_steps = 0
        self._taken = 0  # steps since `begin`, those that were rolled back included
        self._before = 0.0  # seconds of training before a resume
        self._started = self.clock()
        self._timed_from = (0, 0.0)
        self.evaluation_seconds = 0.0  # that the last one took

    def begin(self) -> None:
        """Start the clock, and plan as far as can be without a timing."""
        self._started = self.clock()
        if not self.schedule.plan:
            self.schedule.plan = [(self._first, self._first + self._steps())]

    def plan_evaluations(self, characters: int) -> None:
        """Settle how often to evaluate, until minutes are timed, where an evaluation reads `characters`."""
        count = EVALUATIONS
        if not self.by_clock and characters:
            count = max(FREE_CHARACTERS, int(self._evaluable())) // characters
        self._plan_evaluations(count)

    def evaluation_characters(self, seconds: float) -> int:
        """Return how many characters an evaluation may read.

        Where minutes are counted, each takes so many `seconds`.
        """
        if self.by_clock:
            total = EVALUATION_SHARE * (self._deadline - self._before) / max(seconds, 1e-9)
        else:
            total = self._evaluable()
        return max(MIN_CHARACTERS, min(MAX_CHARACTERS, int(total / EVALUATIONS)))

    def _evaluable(self) -> float:
        """Characters that all evaluations together may read, for their share of the training."""
        steps = self.schedule.steps - self._first
        return EVALUATION_SHARE / EVALUATION_COST * steps * self._characters_per_step

    def elapsed(self) -> float:
        """Seconds of training, those before a resume included."""
        return self._before + self.clock() - self._started

    def step_taken(self) -> bool:
        """Count a step; True when there have been enough to time them, and minutes are counted."""
        self._taken += 1
        if self._taken == TIMED_STEPS // 2:
            self._timed_from = (self._taken, self.elapsed())
        return self.by_clock and self._taken == TIMED_STEPS

    def spent(self, step: int) -> bool:
        """Whether the run ends at `step`: no step, or no time for one and an evaluation, is left."""
        if step >= self.schedule.steps:
            return True
        if not (self.by_clock and self._taken):
            return False
        now = self.elapsed()
        a_step = (now - self._before) / self._taken
        return now + a_step + self.evaluation_seconds > self._deadline

    def remaining(self, step: int, now: float) -> float:
        """Seconds that are left, at `step` and `now` seconds of training."""
        done = max(self.schedule.done(step), 1e-9)
        left = self._deadline - now if self.by_clock else (now - self._before) * (1 - done) / done
        return max(0.0, left)

    def evaluation_due(self, step: int) -> bool:
        """Whether `step` is one after which to evaluate."""
        return step % self.evaluate_steps == 0 or step in self.schedule.ends

    def plan_timed(self, step: int) -> None:
        """The first steps were timed: what the minutes come to, and how often to evaluate."""
        most = EVALUATIONS
        if self.evaluation_seconds:
            most = int(EVALUATION_SHARE * (self._deadline - self._before) / self.evaluation_seconds)
        evaluations = min(EVALUATIONS, most)
        self._count(step, evaluations * self.evaluation_seconds)
        self._replan_steps = max(1, (self.schedule.steps - self._first) // EVALUATIONS)
        self._plan_evaluations(evaluations)

    def replan_due(self, step: int) -> bool:
        """Return whether minutes are counted, and the steps that fit into them are to be counted anew."""
        return self.by_clock and self._replan_steps > 0 and step % self._replan_steps == 0

    def replan(self, step: int) -> bool:
        """Count anew at `step`; False where no minutes are counted, or nothing was timed yet."""
        if not self.by_clock or self._taken <= TIMED_STEPS:
            return False
        self._count(step)
        return True

    def end(self, step: int) -> bool:
        """The run ends at `step`; True where that was not the plan."""
        if step == self.schedule.steps:
            return False
        self.schedule.replan(step, step)
        return True

    def settled(self, config: TrainConfig, *, finished: bool) -> TrainConfig:
        """`config` with what was planned; the plan of minutes is known when they are spent."""
        plan = config.plan
        if finished and len(self.schedule.plan) > 1:
            plan = tuple(self.schedule.plan)
        return replace(config, evaluate_steps=self.evaluate_steps, sample_steps=self.sample_steps, plan=plan)

    def facts(self) -> dict[str, Any]:
        """What a resumed run takes over."""
        return {
            "seconds": self.elapsed(),
            "plan": list(self.schedule.plan),
            "by_clock": self.by_clock,
            "repeats": self.repeats,
            "deadline": self._deadline,
            "evaluate_steps": self.evaluate_steps,
            "sample_steps": self.sample_steps,
        }

    def restore(self, facts: Mapping[str, Any], step: int, *, more: bool) -> None:
        """Go on at `step` of a run with these facts; with `more`, this budget comes on top of theirs."""
        self._before = facts["seconds"]
        self._first = step
        self.schedule.plan = [(at, steps) for at, steps in facts["plan"]]
        if not self._given_evaluations:
            self.evaluate_steps, self.sample_steps = facts["evaluate_steps"], facts["sample_steps"]
            self._given_evaluations = self._given_samples = True
        if more:
            self.repeats, self.by_clock = False, self._config.minutes > 0
            self._deadline += self._before
            self.schedule.replan(step, step + self._steps())
        else:
            self.repeats, self.by_clock = facts["repeats"], facts["by_clock"]
            self._deadline = facts["deadline"]

    def _steps(self) -> int:
        if self._config.steps:
            return self._config.steps
        if self._config.epochs:
            return max(1, math.ceil(self._config.epochs * self._steps_per_epoch))
        return GUESSED_STEPS

    def _count(self, step: int, reserved: float = 0.0) -> None:
        """Count on as many steps as the time left allows, `reserved` seconds of it for other things."""
        since, seconds = self._timed_from
        a_step = (self.elapsed() - seconds) / (self._taken - since)
        left = self._deadline - self.elapsed() - self.evaluation_seconds - reserved
        self.schedule.replan(step, step + max(1, int(left / a_step)))

    def _plan_evaluations(self, evaluations: int) -> None:
        """Settle the steps between evaluations, and between samples, where they are not given."""
        if not self._given_evaluations:
            count = max(1, min(EVALUATIONS, evaluations))
            self.evaluate_steps = max(1, -(-(self.schedule.steps - self._first) // count))
        if not self._given_samples:
            self.sample_steps = SAMPLE_EVERY * self.evaluate_steps
