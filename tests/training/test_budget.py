"""Budgets in steps, epochs and minutes: kept, extended, and repeated by the plan that they became."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from charloom.training import checkpoint, loop
from charloom.training.budget import FREE_CHARACTERS
from charloom.training.config import TrainConfig
from charloom.training.events import Evaluated, Finished, Planned
from charloom.training.heldout import MAX_CHARACTERS, MIN_CHARACTERS
from charloom.training.loop import Trainer
from trained import TRAIN, Prepare, after, require_same, stopping, trainer, weights


def test_budgets(prepare: Prepare, tmp_path: Path) -> None:
    corpus = prepare()
    text = len(corpus.train.ids)
    for number, (budget, steps) in enumerate(
        [
            ({"steps": 5}, 5),
            ({"epochs": 1.0}, math.ceil(text / 32)),
            ({"epochs": 0.25}, math.ceil(text / 128)),
        ]
    ):
        made = trainer(corpus, tmp_path / str(number), replace(TRAIN, **{"steps": 0, **budget}))
        assert next(e for e in made.train() if isinstance(e, Finished)).step == steps


def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second passes whenever somebody looks: a run by minutes is a matter of counting."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks) * 0.1)


@pytest.mark.parametrize("evaluate_steps", [0, 1, 4, 7])
@pytest.mark.parametrize("minutes", [0.05, 0.4])
def test_a_run_by_minutes_is_repeated_by_its_plan(
    evaluate_steps: int, minutes: float, prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = prepare()
    config = replace(TRAIN, steps=0, minutes=minutes, evaluate_steps=evaluate_steps, patience=0)
    with monkeypatch.context() as patched:
        clock(patched)
        live = trainer(corpus, tmp_path / "live", config)
        events = list(live.train())
    assert events[-1].reason == "budget"
    assert events[-1].seconds <= 60 * minutes + 1
    assert events[0].steps == 0
    resolved = live.resolved()
    assert resolved.plan
    assert resolved.plan[-1][1] == events[-1].step
    repeat = trainer(corpus, tmp_path / "repeat", resolved)
    again = list(repeat.train())
    assert again[-1].step == events[-1].step
    require_same(live, repeat, tmp_path / "live", tmp_path / "repeat")
    rates = [{e.step: e.rate for e in seen if isinstance(e, Evaluated)} for seen in (events, again)]
    shared = sorted(rates[0].keys() & rates[1].keys())[:-1]  # at the end there is no next step to rate
    assert [rates[0][step] for step in shared] == [rates[1][step] for step in shared]


def test_real_minutes(prepare: Prepare, tmp_path: Path) -> None:
    """By the real clock, with a replan at every evaluation; then once more without looking at it."""
    corpus = prepare()
    live = trainer(corpus, tmp_path / "live", replace(TRAIN, steps=0, minutes=0.03, evaluate_steps=0))
    events = list(live.train())
    assert any(isinstance(e, Planned) for e in events)
    repeat = trainer(corpus, tmp_path / "repeat", live.resolved())
    list(repeat.train())
    require_same(live, repeat, tmp_path / "live", tmp_path / "repeat")


def test_minutes_are_extended_and_repeated(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finished run goes on for another budget, interrupted on the way; its plan repeats the whole."""
    corpus, run = prepare(), tmp_path / "run"
    config = replace(TRAIN, steps=0, minutes=0.2)
    with monkeypatch.context() as patched:
        clock(patched)
        first = trainer(corpus, run, config)
        spent = list(first.train())[-1].seconds
        done = first.step

        def goes_on(*, more: bool, **options: Any) -> Trainer:
            made = stopping(corpus, run, options.get("when", lambda made: ""), options["config"])
            found = checkpoint.latest(run)[0]
            assert found is not None
            made.restore(found, more=more)
            return made

        second = goes_on(more=True, config=config, when=after(done + 12))
        assert list(second.train())[-1].reason == "interrupted"
        assert second.step == done + 12
        third = goes_on(more=False, config=first.resolved())  # what config.toml holds meanwhile
        events = list(third.train())
    assert events[-1].reason == "budget"
    assert third.step > done + 12
    assert 9 < events[-1].seconds - spent < 13
    repeat = trainer(corpus, tmp_path / "repeat", third.resolved())
    list(repeat.train())
    require_same(third, repeat, run, tmp_path / "repeat")


def test_more_steps_on_a_finished_run(prepare: Prepare, tmp_path: Path) -> None:
    corpus, run = prepare(), tmp_path / "run"
    list(trainer(corpus, run).train())
    made = trainer(corpus, run, replace(TRAIN, steps=10))
    found = checkpoint.latest(run)[0]
    assert found is not None
    made.restore(found, more=True)
    assert list(made.train())[-1].step == 34
    assert made.resolved().plan == ((0, 24), (24, 34))


def test_patience(prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends when nothing gets better, keeps the best, is repeated, and can be extended nevertheless."""
    corpus = prepare()
    losses = {0: 4.0, 2: 3.0, 4: 3.5, 6: 3.4, 8: 3.3, 10: 3.2}
    nats = loop.HeldOut.nats

    def made(name: str, config: TrainConfig) -> Trainer:
        one = trainer(corpus, tmp_path / name, config)
        monkeypatch.setattr(loop.HeldOut, "nats", lambda *given: losses.get(one.step, 3.1))
        return one

    config = replace(TRAIN, steps=100, evaluate_steps=2, patience=3)
    patient = made("run", config)
    events = list(patient.train())
    assert (events[-1].reason, events[-1].step, events[-1].best_step) == ("patience", 8, 2)
    assert weights(tmp_path / "run")["metrics"]["step"] == 2
    assert patient.resolved().plan == ((0, 100), (8, 8))
    repeat = made("repeat", patient.resolved())
    assert list(repeat.train())[-1].step == 8
    a, b = patient.snapshot().tensors, repeat.snapshot().tensors
    assert all(torch.equal(a[g][n], b[g][n]) for g in a for n in a[g])
    more = made("run", replace(config, steps=4))
    found = checkpoint.latest(tmp_path / "run")[0]
    assert found is not None
    more.restore(found, more=True)
    assert list(more.train())[-1].step == 12
    monkeypatch.setattr(loop.HeldOut, "nats", nats)


def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float]]:
    """Targets that each evaluation reads, and seconds that it takes, as they come."""
    found: list[tuple[int, float]] = []
    nats = loop.HeldOut.nats

    def measured(self: loop.HeldOut, *given: Any) -> float | None:
        start = time.perf_counter()
        result = nats(self, *given)
        found.append((self.characters, time.perf_counter() - start))
        return result

    monkeypatch.setattr(loop.HeldOut, "nats", measured)
    return found


@pytest.mark.parametrize(
    ("budget", "characters", "between"),
    [
        ({"steps": 20}, 400_000, 0),
        ({"epochs": 0.05}, 400_000, 0),
        ({"steps": 20, "evaluate_steps": 5}, 400_000, 3),  # asked for
        ({"steps": 40}, 700, 19),
    ],
)
def test_evaluations_are_few_beside_what_is_trained_on(
    budget: dict[str, Any],
    characters: int,
    between: int,
    prepare: Prepare,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a large validation part some is read, and not often, whatever the clock says."""
    corpus = prepare(characters, fractions=(50, 50, 0))
    options = {"steps": 0, "evaluate_steps": 0, "checkpoint_seconds": 0, "patience": 0, **budget}
    config = replace(TRAIN, **options)
    found = evaluated(monkeypatch)
    metrics = []
    for name, passes in (("a", 0.0), ("b", 1000.0)):
        with monkeypatch.context() as patched:
            ticks = itertools.count()
            patched.setattr(time, "perf_counter", lambda ticks=ticks, passes=passes: next(ticks) * passes)
            events = list(trainer(corpus, tmp_path / name, config).train())
        metrics.append([(e.step, e.nats) for e in events if isinstance(e, Evaluated)])
    assert metrics[0] == metrics[1]
    assert len(metrics[0]) == between + 2
    assert metrics[0][0][0] == 0
    assert metrics[0][-1][0] == events[-1].step
    sizes = {size for size, _ in found}
    assert len(sizes) == 1
    assert max(sizes) < 2 * MIN_CHARACTERS
    trained = events[-1].characters
    assert "evaluate_steps" in budget or between * max(sizes) <= max(0.04 * trained, FREE_CHARACTERS)


def test_evaluations_of_minutes_are_few(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are timed, and a resumed run reads as many characters."""
    corpus = prepare(100_000, fractions=(50, 50, 0))
    found = evaluated(monkeypatch)
    config = replace(TRAIN, steps=0, minutes=0.05, evaluate_steps=0, patience=0)
    live = trainer(corpus, tmp_path / "live", config)
    events = list(live.train())
    assert isinstance(events[-1], Finished)
    assert sum(seconds for _, seconds in found[2:-1]) < 0.05 * events[-1].seconds
    characters = live.resolved().evaluate_characters
    assert MIN_CHARACTERS <= characters < MAX_CHARACTERS
    again = trainer(corpus, tmp_path / "live", config)
    left = checkpoint.latest(tmp_path / "live")[0]
    assert left is not None
    again.restore(left)
    assert again.resolved().evaluate_characters == characters
