"""The training loop: it yields what happens, and writes weights and checkpoints, nothing else."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from charloom.errors import DivergedError
from charloom.model import folder
from charloom.model.config import ModelConfig
from charloom.text.corpus import Corpus
from charloom.training import checkpoint, device
from charloom.training.batches import layout
from charloom.training.checkpoint import Checkpoint
from charloom.training.config import DEFAULT_MINUTES, TrainConfig
from charloom.training.events import (
    Evaluated,
    Event,
    Finished,
    Planned,
    RolledBack,
    SampleDue,
    Saved,
    Started,
    Stepped,
)
from charloom.training.heldout import HeldOut
from charloom.training.network import Network
from charloom.training.optimiser import Optimiser
from charloom.training.schedule import Schedule

TIMED_STEPS = 8  # the first steps compile and fill caches; after them time is worth counting
GUESSED_STEPS = 1000  # of a budget in minutes, until the first timing
EVALUATIONS = 20  # of a run: enough for a curve
EVALUATION_SHARE = 0.05  # of a budget in minutes that evaluations may take
SAMPLE_EVERY = 4  # evaluations
REPORT_SECONDS = 0.1  # between two Stepped events
RETRIES = 3  # of a diverged run, each at half the rate
ENDS = ("budget", "patience")  # reasons that finish a run; any other may go on


@dataclass
class Best:
    """The best loss so far, when it was, and how many evaluations have passed since."""

    nats: float = math.inf
    step: int = 0
    stale: int = 0


class Trainer:
    """One run. `train()` yields its events; `stop` may name a reason to end early after any step.

    The network, optimiser and carried state after step s depend on the corpus, the settings and s alone:
    dropout and data order are drawn from (seed, step). Raises DataError for a text too short for the
    layout, DivergedError, and RunError where the run folder cannot be written.
    """

    def __init__(
        self,
        corpus: Corpus,
        model: ModelConfig,
        config: TrainConfig,
        run: Path,
        *,
        stop: Callable[[], str] = lambda: "",
    ) -> None:
        if not (config.minutes or config.epochs or config.steps or config.plan):
            config = replace(config, minutes=DEFAULT_MINUTES)
        self.place = device.choose(config)
        self.config = replace(config, precision=self.place.precision, threads=self.place.threads)
        self.layout = layout(corpus, config)
        generator = torch.Generator().manual_seed(config.seed)
        self.network = Network(model, len(corpus.vocabulary), generator).to(self.place.device)
        self.optimiser = Optimiser(self.network, config)
        self.state = self.network.zero_state(0)
        self.schedule = Schedule(config.warmup, config.decay, list(config.plan))
        self.step = 0
        self.characters = 0
        self.best = Best()
        self.rate_share = 1.0
        self.retries = 0
        self.finished = False
        self._validation = HeldOut(corpus.validation, corpus.vocabulary, self.place)
        self._run = run
        self._stop = stop
        self._repeats = bool(config.plan)
        self._by_clock = config.minutes > 0 and not self._repeats
        self._first = 0  # step of this budget
        self._taken = 0  # steps since `train` began, those that were rolled back included
        self._deadline = 60 * config.minutes
        self._before = 0.0  # seconds of training before a resume
        self._started = time.perf_counter()
        self._losses: list[Tensor] = []
        self._loss = math.nan
        self._given_evaluations = config.evaluate_steps > 0
        self._given_samples = config.sample_steps > 0
        self._timed_from = (0, 0.0)
        self._evaluated = -1
        self._evaluation_seconds = 0.0

    def train(self) -> Iterator[Event]:
        """Train until the budget is spent, patience runs out, or `stop` says so."""
        with self.place.engaged():
            yield from self._train()

    def _train(self) -> Iterator[Event]:
        self._started = time.perf_counter()
        self._plan_first()
        yield self._start()
        saved, reported = self.elapsed(), 0.0
        if self._evaluation_due():
            yield from self._evaluate()
        good = self.snapshot()
        reason = self._stop() or self._over()
        while not reason:
            self._take_step()
            if self._taken == TIMED_STEPS // 2:
                self._timed_from = (self._taken, self.elapsed())
            if self._by_clock and self._taken == TIMED_STEPS:
                yield self._plan_timed()
            reason = self._stop() or self._over()
            evaluates = not reason and self._evaluation_due()
            saves = not reason and self._checkpoint_due(saved)
            if reason or evaluates or saves or self.elapsed() - reported > REPORT_SECONDS:
                reported = self.elapsed()
                if not self._measure():
                    yield self._roll_back(good)
                    reason = self._stop()
                    continue
                yield self._progress()
            if evaluates:
                good = self.snapshot()
                yield from self._evaluate()
                reason = self._stop() or self._over()
                if self._by_clock and self._taken > TIMED_STEPS and not reason:
                    yield self._replan()
                if self.step % self.config.sample_steps == 0 and not reason:
                    yield SampleDue(self.step, self.network.to_weights())
            if saves and not reason:
                yield self.save()
                saved = self.elapsed()
        if reason in ENDS and self._evaluated != self.step:
            yield from self._evaluate()
            reason = self._stop() or reason
        if reason in ENDS:
            self.finished = True
            if self.step != self.schedule.steps:
                self.schedule.replan(self.step, self.step)
                yield Planned(self.step, self.step, self.config.evaluate_steps)
            yield SampleDue(self.step, self.network.to_weights())
        elif self.step and (self.best.step == 0 or self._validation.empty):
            self._keep(math.nan)  # stopped early, there may be nothing better than the first weights
        yield self.save()
        yield Finished(reason, self.step, self.elapsed(), self.characters, self.best.nats, self.best.step)

    def elapsed(self) -> float:
        """Seconds of training, those before a resume included."""
        return self._before + time.perf_counter() - self._started

    def resolved(self) -> TrainConfig:
        """The settings that repeat this run exactly; the plan of minutes is known when they are spent."""
        replanned = len(self.schedule.plan) > 1
        return replace(
            self.config, plan=tuple(self.schedule.plan) if self.finished and replanned else self.config.plan
        )

    def snapshot(self) -> Checkpoint:
        """All that the next step depends on, copied."""
        tensors = {
            "weights": {name: value.detach().clone() for name, value in self.network.state_dict().items()},
            "optimiser": {name: value.detach().clone() for name, value in self.optimiser.state().items()},
            "state": {"state": self.state.clone()},
        }
        facts = {
            "characters": self.characters,
            "seconds": self.elapsed(),
            "best": asdict(self.best),
            "rate_share": self.rate_share,
            "retries": self.retries,
            "plan": list(self.schedule.plan),
            "by_clock": self._by_clock,
            "repeats": self._repeats,
            "deadline": self._deadline,
            "evaluated": self._evaluated,
            "finished": self.finished,
            "evaluate_steps": self.config.evaluate_steps,
            "sample_steps": self.config.sample_steps,
            "place": self.place.facts(),
        }
        return Checkpoint(self.step, tensors, facts)

    def restore(self, found: Checkpoint, *, more: bool = False) -> list[str]:
        """Go on from a checkpoint of the same corpus, sizes and settings.

        With `more`, or where the checkpoint's budget is spent, the settings' budget comes on top.
        Returns a line for everything that keeps the rest from being, to the bit, what it would have been.
        """
        facts = found.facts
        self._take_over(found)
        self.characters = facts["characters"]
        self.best = Best(**facts["best"])
        self.rate_share = facts["rate_share"]
        self.retries = facts["retries"]
        self._before = facts["seconds"]
        self._first = self.step
        self._evaluated = facts["evaluated"]
        self.schedule.plan = [(step, steps) for step, steps in facts["plan"]]
        if not self._given_evaluations:
            every, samples = facts["evaluate_steps"], facts["sample_steps"]
            self.config = replace(self.config, evaluate_steps=every, sample_steps=samples)
            self._given_evaluations = self._given_samples = True
        if more or facts["finished"]:
            self._repeats, self._by_clock = False, self.config.minutes > 0
            self._deadline += self._before
            self.best.stale = 0
            self.schedule.replan(self.step, self.step + self._budget_steps())
        else:
            self._repeats, self._by_clock = facts["repeats"], facts["by_clock"]
            self._deadline = facts["deadline"]
        return [
            f"{name} was {facts['place'].get(name)} and is {now}: the last bits may differ"
            for name, now in self.place.facts().items()
            if facts["place"].get(name) != now
        ]

    def save(self) -> Saved:
        """Write a checkpoint into the run folder."""
        return Saved(self.step, checkpoint.save(self._run, self.snapshot()))

    def _take_over(self, found: Checkpoint) -> None:
        self.network.load_state_dict(dict(found.tensors["weights"]))
        self.optimiser.load_state(found.tensors["optimiser"])
        self.state = found.tensors["state"]["state"].to(self.place.device)
        self.step = found.step

    def _start(self) -> Started:
        parameters = self.network.config.parameters(self.network.embedding.num_embeddings)
        steps = 0 if self._by_clock else self.schedule.steps
        place = self.place
        device_name = str(place.device)
        return Started(
            self.step, steps, parameters, device_name, place.precision, place.threads, place.reason
        )

    def _take_step(self) -> None:
        """Read a batch, follow the gradient."""
        batch = self.layout.batch(self.step)
        device = self.place.device
        inputs, targets = (
            torch.from_numpy(batch.inputs).to(device),
            torch.from_numpy(batch.targets).to(device),
        )
        if self.state.shape[2] != len(inputs):
            self.state = self.network.zero_state(len(inputs))
        self.state[:, :, torch.from_numpy(batch.fresh).to(device)] = 0
        noise = torch.Generator(device).manual_seed(
            int(np.random.Philox(key=(self.config.seed, self.step)).random_raw())
        )
        with self.place.autocast():
            logits, self.state = self.network(inputs, self.state, noise)
        loss = functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        self.optimiser.zero_gradients()
        torch.autograd.backward(loss)
        self.optimiser.step(self.schedule.rate(self.step) * self.rate_share)
        self._losses.append(loss.detach())
        self.characters += targets.numel()
        self.step += 1
        self._taken += 1

    def _measure(self) -> bool:
        """The mean loss since the last measurement; False where it or a weight is not finite any more."""
        self._loss = float(torch.stack(self._losses).mean())
        self._losses.clear()
        return math.isfinite(self._loss) and self.network.is_finite()

    def _progress(self) -> Stepped:
        spent = self.elapsed()
        done = max(self.schedule.done(self.step), 1e-9)
        remaining = self._deadline - spent if self._by_clock else (spent - self._before) * (1 - done) / done
        return Stepped(
            self.step, self.schedule.steps, self._loss, spent, self.characters, max(0.0, remaining)
        )

    def _evaluation_due(self) -> bool:
        regular = self.step % self.config.evaluate_steps == 0 or self.step in self.schedule.ends
        return regular and self._evaluated != self.step

    def _evaluate(self) -> Iterator[Evaluated]:
        """Score the validation part, and keep the weights if they are the best so far, unless stopped."""
        start = time.perf_counter()
        nats = self._validation.nats(self.network, self._stop)
        if nats is None:
            return
        self._evaluated = self.step
        better = nats < self.best.nats or self._validation.empty  # then the last weights are the best
        if better:
            self.best = Best(nats, self.step)
            self._keep(nats)
        else:
            self.best.stale += 1
        self._evaluation_seconds = time.perf_counter() - start
        rate = self.config.rate * self.rate_share * self.schedule.rate(self.step)
        yield Evaluated(self.step, self.elapsed(), self.characters, self._loss, nats, rate, better)

    def _keep(self, nats: float) -> None:
        """Make these weights the run's model; NaN where they were not scored."""
        metrics = {
            "step": self.step,
            "nats": nats if math.isfinite(nats) else None,
            "characters": self.characters,
        }
        folder.write_weights(self._run, self.network.to_weights(), metrics)

    def _roll_back(self, good: Checkpoint) -> RolledBack:
        """Back to the last evaluation, at half the rate; at most three times."""
        if self.retries == RETRIES:
            raise DivergedError(
                f"the loss left the finite numbers {RETRIES + 1} times, last at step {self.step}; "
                f"try a lower --set train.rate (it is {self.config.rate}) and train.muon_rate "
                f"({self.config.muon_rate}), or --set train.precision=float32"
            )
        self._take_over(good)
        checkpoint.drop_after(self._run, good.step)
        self.characters = good.facts["characters"]
        self.retries += 1
        self.rate_share /= 2
        return RolledBack(self.step, self.rate_share)

    def _checkpoint_due(self, saved: float) -> bool:
        by_steps = self.config.checkpoint_steps and self.step % self.config.checkpoint_steps == 0
        by_time = 0 < self.config.checkpoint_seconds < self.elapsed() - saved
        return bool(by_steps or by_time)

    def _over(self) -> str:
        """Why the run ends here, or nothing."""
        if self.step >= self.schedule.steps:
            return "budget"
        if self._by_clock and self._taken:
            spent = self.elapsed()
            a_step = (spent - self._before) / self._taken
            if spent + a_step + self._evaluation_seconds > self._deadline:
                return "budget"
        if 0 < self.config.patience <= self.best.stale and not self._repeats:
            return "patience"
        return ""

    def _plan_first(self) -> None:
        if not self.schedule.plan:
            self.schedule.plan = [(self._first, self._first + self._budget_steps())]
        self._plan_evaluations()

    def _budget_steps(self) -> int:
        if self.config.steps:
            return self.config.steps
        if self.config.epochs:
            return max(1, math.ceil(self.config.epochs * self.layout.steps_per_epoch))
        return GUESSED_STEPS

    def _plan_timed(self) -> Planned:
        """The first steps were timed: what the budget in minutes comes to, and how often to evaluate."""
        most = EVALUATIONS
        if self._evaluation_seconds:
            most = int(EVALUATION_SHARE * (self._deadline - self._before) / self._evaluation_seconds)
        evaluations = min(EVALUATIONS, max(SAMPLE_EVERY, most))
        self._replan(evaluations * self._evaluation_seconds)
        if not self._given_evaluations:
            self._plan_evaluations(evaluations)
        return Planned(self.step, self.schedule.steps, self.config.evaluate_steps)

    def _replan(self, reserved: float = 0.0) -> Planned:
        """Count on as many steps as the time left allows, `reserved` seconds of it for other things."""
        since, seconds = self._timed_from
        a_step = (self.elapsed() - seconds) / (self._taken - since)
        left = self._deadline - self.elapsed() - self._evaluation_seconds - reserved
        self.schedule.replan(self.step, self.step + max(1, int(left / a_step)))
        return Planned(self.step, self.schedule.steps, self.config.evaluate_steps)

    def _plan_evaluations(self, evaluations: int = EVALUATIONS) -> None:
        """Settle the steps between evaluations, and between samples, where they are not given."""
        every = self.config.evaluate_steps
        if not self._given_evaluations:
            every = max(1, (self.schedule.steps - self._first) // evaluations)
        samples = self.config.sample_steps
        if not self._given_samples:
            samples = SAMPLE_EVERY * every
        self.config = replace(self.config, evaluate_steps=every, sample_steps=samples)
