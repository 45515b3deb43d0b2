"""The training loop: it yields what happens, and writes weights and checkpoints, nothing else."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from charloom.errors import DivergedError, RunError
from charloom.model import folder
from charloom.model.config import ModelConfig
from charloom.model.folder import Weights
from charloom.text.corpus import Corpus
from charloom.training import checkpoint, device
from charloom.training.budget import Budget
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
from charloom.training.heldout import MAX_CHARACTERS, MIN_CHARACTERS, HeldOut
from charloom.training.layout import layout
from charloom.training.learner import Learner
from charloom.training.network import Network
from charloom.training.optimiser import Optimiser
from charloom.training.ranks import Ranks
from charloom.training.stability import Stability

REPORT_SECONDS = 0.1  # between two Stepped events
RETRIES = 3  # of a diverged run, each at half the rate
ENDS = ("budget", "patience")  # reasons that finish a run; any other may go on


@dataclass
class Best:
    """The best loss so far, when it was, and how many evaluations passed without a better one than `lately`.

    That is the best since the budget began: where one comes on top, the rate first rises, and the loss.
    """

    nats: float = math.inf
    step: int = 0
    stale: int = 0
    lately: float = math.inf


class Trainer:
    """One run. `train()` yields its events; `stop` may name a reason to end early after any step.
    It begins with `weights`, where they are given.

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
        weights: Weights | None = None,
        stop: Callable[[], str] = lambda: "",
        ranks: Ranks | None = None,
    ) -> None:
        if not (config.minutes or config.epochs or config.steps or config.plan):
            config = replace(config, minutes=DEFAULT_MINUTES)
        self.ranks = ranks or Ranks()
        self.place = device.choose(config, self.ranks.job.local_size)
        self.place = replace(self.place, precision=self.ranks.share(self.place.precision))
        self.config = replace(
            config,
            precision=self.place.precision,
            threads=self.place.threads,
        )
        self.layout = layout(corpus, config, model.conditions)
        a_step = self.layout.batch(0).targets.size
        self.budget = Budget(config, self.layout.steps_per_epoch, self.ranks.clock, a_step)
        generator = torch.Generator().manual_seed(config.seed)
        source = corpus.vocabulary.sep is not None
        network = Network(model, len(corpus.vocabulary), generator, source=source)
        self.network = network.to(self.place.device)
        if weights is not None:
            self.network.load_weights(weights)
        self.learner = Learner(
            self.network, Optimiser(self.network, config), self.place, config.seed, self.ranks
        )
        self.step = 0
        self.characters = 0
        self.best = Best()
        self.stability = Stability(math.log(len(corpus.vocabulary)))
        self.rate_share = 1.0
        self.retries = 0
        self.finished = False
        parts = corpus.validation, corpus.vocabulary, self.place, model.conditions
        self._validation = HeldOut(*parts, MIN_CHARACTERS, self.ranks)
        self.run = run
        self._asked = stop
        self._loss = math.nan
        self._evaluated = self._sampled = -1  # step
        self._heldout = math.nan  # nats a character, then

    def train(self) -> Generator[Event, None, None]:
        """Train until the budget is spent, patience runs out, or `stop` says so.

        Torch's global settings are those of the caller whenever an event is yielded. A caller that leaves
        before the end, because of an error in a callback for instance, leaves a checkpoint behind.
        """
        with self.place.engaged(), self.place.autocast():
            self.network.warm()
        events = self._train()
        event: Event | None = None
        try:
            while True:
                with self.place.engaged():
                    event = next(events, None)
                if event is None:
                    return
                yield event
        except GeneratorExit:
            if self.ranks.size == 1 and not isinstance(event, Saved | Finished):
                with contextlib.suppress(RunError):  # the caller's own error is the one to report
                    self._leave()
            raise
        finally:
            device.give_memory_back()

    def _train(self) -> Iterator[Event]:
        self._stop()  # sets the clock
        self.budget.begin()
        self._size_evaluations()
        yield self._start()
        saved, reported = self.budget.elapsed(), 0.0
        saves = evaluates = False
        good = self.snapshot()
        if self._evaluation_due():
            yield from self._evaluate(good)
        if self.step and self._sample_due():  # a signal had come between
            yield self._sample()
        reason = self._stop() or self._over()
        while not reason or (reason in ENDS and self._evaluated != self.step):
            if not reason:
                self.take_step()
                if self.budget.step_taken():
                    self.budget.plan_timed(self.step)
                    yield self._planned()
                reason = self._stop() or self._over()
                saves = not reason and self._checkpoint_due(saved)
                evaluates = not reason and self._evaluation_due()
                if reason or evaluates or saves or self.budget.elapsed() - reported > REPORT_SECONDS:
                    reported = self.budget.elapsed()
                    if not self._measure():
                        yield self._roll_back(good)
                        reason = self._stop()
                        continue
                    yield self._progress()
            if reason in ENDS or evaluates:
                if not (yield from self._evaluate(good)):
                    reason = self._stop()
                    continue
                good = self.snapshot()
                reason = self._stop() or reason or self._over()
                if not reason and self._sample_due():
                    yield self._sample()
            replans = evaluates or self.budget.replan_due(self.step)
            if not reason and replans and self.budget.replan(self.step):
                yield self._planned()
            if saves and not reason:
                yield self.save()
                saved = self.budget.elapsed()
        if reason in ENDS:
            self.finished = True
            if self.budget.end(self.step):
                yield self._planned()
            if self._sampled != self.step:  # else it had ended, and is only made complete
                yield self._sample()
            yield self.save()
        else:
            yield self._leave()
        seconds = self.budget.elapsed()
        yield Finished(reason, self.step, seconds, self.characters, self.best.nats, self.best.step)

    def take_step(self) -> None:
        """Read the next batch, follow its gradient."""
        fraction = self.budget.schedule.rate(self.step) * self.rate_share
        self.characters += self.learner.step(self.step, self.layout.batch(self.step), fraction)
        self.step += 1

    def resolved(self) -> TrainConfig:
        """The settings that repeat this run exactly, as far as they are known by now."""
        return self.budget.settled(self.config, finished=self.finished)

    def snapshot(self) -> Checkpoint:
        """All that the next step depends on, copied."""
        facts = {
            **self.budget.facts(),
            "characters": self.characters,
            "best": asdict(self.best),
            "stability": asdict(self.stability),
            "rate_share": self.rate_share,
            "retries": self.retries,
            "evaluated": self._evaluated,
            "evaluate_characters": self.config.evaluate_characters,
            "sampled": self._sampled,
            "heldout": self._heldout,
            "finished": self.finished,
            "job": self.ranks.job.name,
            "place": self._place_facts(),
        }
        return Checkpoint(self.step, self.learner.tensors(), facts)

    def restore(self, found: Checkpoint, *, more: bool = False) -> list[str]:
        """Go on from a checkpoint of the same corpus, sizes and settings.

        With `more` the settings' budget comes on top; without, a run whose budget is spent takes no step.
        Returns a line for everything that keeps the rest from being, to the bit, what it would have been.
        Raises RunError where the checkpoint is of other sizes.
        """
        try:
            return self._restore(found, more)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RunError(
                f"{self.run}: the checkpoint of step {found.step} does not fit the settings "
                f"({str(error).splitlines()[0]:.80}); put config.toml back as it was, or train anew"
            ) from error

    def _restore(self, found: Checkpoint, more: bool) -> list[str]:
        facts = found.facts
        self.learner.load(found.tensors)
        self.step = found.step
        self.characters = facts["characters"]
        self.best = Best(**facts["best"])
        self.stability = Stability(**facts["stability"])
        self.rate_share = facts["rate_share"]
        self.retries = facts["retries"]
        self._evaluated, self._heldout = facts["evaluated"], facts["heldout"]
        self._sampled = facts["sampled"]
        characters = self.config.evaluate_characters or facts.get("evaluate_characters", MAX_CHARACTERS)
        self.config = replace(self.config, evaluate_characters=characters)
        if more:
            self.best.stale, self.best.lately = 0, math.inf
        self.budget.restore(facts, self.step, more=more)
        return [
            f"{name} was {facts['place'].get(name)} and is {now}: the last bits may differ"
            for name, now in self._place_facts().items()
            if facts["place"].get(name) != now
        ]

    def _leave(self) -> Saved:
        """Save what there is of a run that ends before its budget is spent."""
        if self.step and (self.best.step == 0 or self._validation.empty):
            self._keep(math.nan)  # there may be nothing better than the first weights
        return self.save()

    def save(self) -> Saved:
        """Write a checkpoint into the run folder."""
        found = self.snapshot()
        if self.ranks.leads:
            checkpoint.save(self.run, found)
        return Saved(self.step, checkpoint.path_of(self.run, self.step))

    def _place_facts(self) -> dict[str, str | int]:
        return {**self.place.facts(), "ranks": self.ranks.size}

    def _stop(self) -> str:
        return self.ranks.agree(self._asked())

    def _start(self) -> Started:
        parameters = self.network.config.parameters(self.network.embedding.num_embeddings)
        steps = 0 if self.budget.by_clock else self.budget.schedule.steps
        place = self.place
        where = str(place.device), place.precision, place.threads, place.reason
        return Started(self.step, steps, parameters, *where)

    def _planned(self) -> Planned:
        return Planned(self.step, self.budget.schedule.steps, self.budget.evaluate_steps)

    def _progress(self) -> Stepped:
        now, steps = self.budget.elapsed(), self.budget.schedule.steps
        remaining = self.budget.remaining(self.step, now)
        return Stepped(self.step, steps, self._loss, now, self.characters, remaining)

    def _size_evaluations(self) -> None:
        """Settle how many characters an evaluation reads: where minutes count, by the time that few take."""
        if not (characters := self.config.evaluate_characters):
            start = self.budget.clock()
            if self.budget.by_clock:
                self._validation.nats(self.network, self._asked)
                self._stop()  # sets the clock
            seconds = (self.budget.clock() - start) / max(1, self._validation.characters)
            characters = self.budget.evaluation_characters(seconds)
            self.config = replace(self.config, evaluate_characters=characters)
        self._validation.limit(characters)
        self.budget.plan_evaluations(self._validation.characters)

    def _evaluation_due(self) -> bool:
        return self.budget.evaluation_due(self.step) and self._evaluated != self.step

    def _sample_due(self) -> bool:
        """Whether this step was evaluated, is one to show a sample of, and has not been yet."""
        return self._evaluated == self.step != self._sampled and self.step % self.budget.sample_steps == 0

    def _sample(self) -> SampleDue:
        self._sampled = self.step
        return SampleDue(self.step, self.network.to_weights())

    def _measure(self) -> bool:
        """The mean loss since the last measurement; False where it, or a weight, is out of bounds."""
        losses = self.learner.losses()
        self._loss = sum(losses) / len(losses)
        return self.stability.holds(losses) and self.network.is_finite()

    def _evaluate(self, good: Checkpoint) -> Generator[Event, None, bool]:
        """Score the validation part, and keep the weights if they are the best so far.

        Gives False where it was stopped, or the loss had exploded and all is back at `good`.
        """
        start = self.budget.elapsed()
        nats = self._validation.nats(self.network, self._asked)
        if nats is None:
            return False
        self._stop()  # sets the clock
        self.budget.evaluation_seconds = self.budget.elapsed() - start
        loss = self.stability.mean
        held_out = not self._validation.empty
        # a model that has memorized a short text is sure, and wrong, about any other
        sane = held_out and self.stability.bearable(nats)
        seen = nats if sane else self.learner.look(self.layout.batch(self.step))
        if not self.stability.evaluated(seen, self.best.nats, held_out=held_out):
            self._loss = loss
            yield self._roll_back(good)
            return False
        self._evaluated, self._heldout = self.step, nats
        better = nats < self.best.nats or self._validation.empty  # then the last weights are the best
        if better:
            self.best = Best(nats, self.step, lately=nats)
            self._keep(nats)
        elif nats < self.best.lately:
            self.best.lately, self.best.stale = nats, 0
        else:
            self.best.stale += 1
        rate = self.config.rate * self.rate_share * self.budget.schedule.rate(self.step)
        yield Evaluated(self.step, self.budget.elapsed(), self.characters, loss, nats, rate, better)
        return True

    def _keep(self, nats: float) -> None:
        """Make these weights the run's model; NaN where they were not scored."""
        metrics = {
            "step": self.step,
            "nats": nats if math.isfinite(nats) else None,
            "characters": self.characters,
        }
        if self.ranks.leads:
            folder.write_weights(self.run, self.network.to_weights(), metrics)

    def _roll_back(self, good: Checkpoint) -> RolledBack:
        """Back to the last evaluation, at half the rate; at most `RETRIES` times."""
        if self.retries == RETRIES:
            rate, muon = (self.rate_share / 2 * r for r in (self.config.rate, self.config.muon_rate))
            raise DivergedError(
                f"training diverged {RETRIES + 1} times, last at step {self.step} with a loss of "
                f"{self._loss:.3g}, each time at half the rate; {self.run} keeps the best model and the last "
                f"checkpoint; try --set train.rate={rate:.2g} --set train.muon_rate={muon:.2g}, a smaller "
                "--set train.clip, or --set train.precision=float32"
            )
        self.learner.load(good.tensors)
        self.stability.forget()
        self.step = good.step
        if self.ranks.leads:
            checkpoint.drop_after(self.run, good.step)
        self.characters = good.facts["characters"]
        self.retries += 1
        self.rate_share /= 2
        return RolledBack(self.step, self.rate_share)

    def _checkpoint_due(self, saved: float) -> bool:
        by_steps = self.config.checkpoint_steps and self.step % self.config.checkpoint_steps == 0
        by_time = 0 < self.config.checkpoint_seconds < self.budget.elapsed() - saved
        return bool(by_steps or by_time)

    def _over(self) -> str:
        """Why the run ends here, or nothing."""
        if self.budget.spent(self.step):
            return "budget"
        if 0 < self.config.patience <= self.best.stale and not self.budget.repeats:
            return "patience"
        return ""
