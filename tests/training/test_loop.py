"""Runs that stop, go on, are repeated, diverge and end: always with the same model."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from charloom.errors import DataError, DivergedError
from charloom.model import folder
from charloom.model.config import CELLS, Cell, ModelConfig
from charloom.text.corpus import Corpus
from charloom.training import batches, checkpoint, loop
from charloom.training.config import TrainConfig
from charloom.training.events import (
    Evaluated,
    Finished,
    Planned,
    RolledBack,
    SampleDue,
    Saved,
    Started,
    Stepped,
)
from charloom.training.loop import Trainer

Prepare = Callable[..., Corpus]
MODEL = ModelConfig(hidden=12, embedding=6, layers=2, dropout=0.2)
TRAIN = TrainConfig(
    steps=24,
    lanes=4,
    window=8,
    threads=1,
    precision="float32",
    evaluate_steps=6,
    sample_steps=12,
    restarts=0.2,
)


def trainer(
    corpus: Corpus, run: Path, config: TrainConfig = TRAIN, model: ModelConfig = MODEL, **options: Any
) -> Trainer:
    run.mkdir(exist_ok=True)
    return Trainer(corpus, model, config, run, **options)


def after(count: int) -> Callable[[Trainer], str]:
    """Stop when so many steps are done."""
    return lambda made: "interrupted" if made.step >= count else ""


def stopping(corpus: Corpus, run: Path, when: Callable[[Trainer], str], *more: Any) -> Trainer:
    made: list[Trainer] = []
    made.append(trainer(corpus, run, *more, stop=lambda: when(made[0])))
    return made[0]


def metrics(events: list[Any]) -> list[tuple[Any, ...]]:
    """Evaluations without seconds, and without a loss that is a mean since the last report."""
    return [(e.step, e.characters, e.nats, e.rate, e.best) for e in events if isinstance(e, Evaluated)]


def weights(run: Path) -> dict[str, Any]:
    with folder.safetensors.safe_open(run / folder.WEIGHTS, framework="numpy") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iterator)
        return {**found, "metrics": json.loads(file.metadata()["metrics"])}


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


def require_same(left: Trainer, right: Trainer, *runs: Path) -> None:
    """Bit for bit: network, optimiser, carried state, schedule, best; and what lies on the disk."""
    a, b = left.snapshot(), right.snapshot()
    assert a.step == b.step
    for group in checkpoint.GROUPS:
        assert a.tensors[group].keys() == b.tensors[group].keys()
        for name, tensor in a.tensors[group].items():
            assert torch.equal(tensor, b.tensors[group][name]), (group, name)
    for fact in ("characters", "best", "plan", "rate_share", "retries", "evaluated", "finished"):
        assert a.facts[fact] == b.facts[fact], fact
    assert same(weights(runs[0]), weights(runs[1]))


LAYOUTS = ["lanes", "shuffled"]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_stopped_and_resumed_is_never_stopped(
    cell: Cell, layout: Any, prepare: Prepare, tmp_path: Path
) -> None:
    corpus = prepare()
    config, model = replace(TRAIN, layout=layout), replace(MODEL, cell=cell)
    whole = trainer(corpus, tmp_path / "whole", config, model)
    events = list(whole.train())
    for stops in (
        [10],
        [0, 6, 7, 23],
    ):  # before the first step, at an evaluation, right behind it, near the end
        run = tmp_path / "-".join(map(str, stops))
        seen: list[Any] = []
        for count in stops:
            parted = stopping(corpus, run, after(count), config, model)
            if (found := checkpoint.latest(run)[0]) is not None:
                assert parted.restore(found) == []
            seen += parted.train()
            assert seen[-1].reason == "interrupted"
            assert isinstance(seen[-2], Saved)
            assert parted.step == count
        parted = trainer(corpus, run, config, model)
        found, passed = checkpoint.latest(run)
        assert found is not None
        assert not passed
        assert parted.restore(found) == []
        seen += parted.train()
        assert metrics(seen) == metrics(events)
        require_same(whole, parted, tmp_path / "whole", run)


def test_the_same_seed_is_the_same_model(prepare: Prepare, tmp_path: Path) -> None:
    corpus = prepare()
    made = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(len(made))  # nothing of the global generator gets in
        np.random.seed(len(made))
        made.append(trainer(corpus, tmp_path / name, replace(TRAIN, seed=seed)))
        list(made[-1].train())
    require_same(made[0], made[1], tmp_path / "a", tmp_path / "b")
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_evaluations_and_checkpoints_leave_no_trace(prepare: Prepare, tmp_path: Path) -> None:
    corpus = prepare()
    often = trainer(
        corpus, tmp_path / "a", replace(TRAIN, evaluate_steps=1, checkpoint_steps=1, sample_steps=2)
    )
    seldom = trainer(corpus, tmp_path / "b", replace(TRAIN, evaluate_steps=100, checkpoint_seconds=0))
    list(often.train())
    list(seldom.train())
    a, b = often.snapshot().tensors, seldom.snapshot().tensors
    assert all(torch.equal(a[g][n], b[g][n]) for g in a for n in a[g])


def test_events_of_a_run(prepare: Prepare, tmp_path: Path) -> None:
    corpus = prepare()
    made = trainer(corpus, tmp_path / "run", replace(TRAIN, checkpoint_steps=9))
    events = list(made.train())
    assert isinstance(events[0], Started)
    assert (events[0].step, events[0].steps) == (0, 24)
    assert events[0].parameters == MODEL.parameters(len(corpus.vocabulary))
    assert isinstance(events[-1], Finished)
    assert (events[-1].reason, events[-1].step) == ("budget", 24)
    assert [e.step for e in events if isinstance(e, Evaluated)] == [0, 6, 12, 18, 24]
    assert [e.step for e in events if isinstance(e, SampleDue)] == [12, 24]
    assert [e.step for e in events if isinstance(e, Saved)] == [9, 18, 24]
    assert all(e.path.is_dir() for e in events if isinstance(e, Saved) and e.step >= 18)
    assert not any(isinstance(e, Planned | RolledBack) for e in events)
    assert not {type(e) for e in events} - {Started, Stepped, Evaluated, SampleDue, Saved, Finished}
    steps = [e.step for e in events]
    assert steps == sorted(steps)
    evaluated = [e for e in events if isinstance(e, Evaluated)]
    assert evaluated[0].nats == pytest.approx(math.log(len(corpus.vocabulary)), rel=0.02)
    assert math.isnan(evaluated[0].loss)
    assert all(math.isfinite(e.loss) for e in evaluated[1:])
    best = min(evaluated, key=lambda e: e.nats)
    assert (events[-1].best_nats, events[-1].best_step) == (best.nats, best.step)
    assert weights(tmp_path / "run")["metrics"] == {
        "step": best.step, "nats": best.nats, "characters": best.characters
    }  # fmt: skip
    assert events[-1].characters == 24 * 4 * 8
    seconds = [e.seconds for e in events if isinstance(e, Stepped | Evaluated | Finished)]
    assert seconds == sorted(seconds)


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


def test_it_learns(prepare: Prepare, tmp_path: Path) -> None:
    corpus = prepare(20_000)
    config = replace(TRAIN, steps=200, lanes=16, window=32, evaluate_steps=200, rate=0.02, muon_rate=0.1)
    made = trainer(corpus, tmp_path / "run", config, ModelConfig(hidden=48, embedding=16))
    nats = [e.nats for e in made.train() if isinstance(e, Evaluated)]
    assert nats[0] == pytest.approx(math.log(len(corpus.vocabulary)), rel=0.02)
    assert nats[-1] < 2.5


def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second passes whenever somebody looks: a run by minutes is a matter of counting."""
    ticks = itertools.count()
    monkeypatch.setattr(loop.time, "perf_counter", lambda: next(ticks) * 0.1)


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


class Poisoned:
    """A layout under which the loss is finite to the end, but one step's update is not a number."""

    def __init__(self, made: Trainer, steps: set[int], *, times: int) -> None:
        self.times = dict.fromkeys(steps, times)
        step = made.optimiser.step

        def poisoned(fraction: float) -> float:
            norm = step(fraction)
            if self.times.get(made.step, 0):
                self.times[made.step] -= 1
                with torch.no_grad():
                    made.network.output.weight[0, 0] = math.nan
            return norm

        made.optimiser.step = poisoned  # type: ignore[method-assign]


@pytest.mark.parametrize("held_out", [(90, 5, 5), (90, 0, 10)])
@pytest.mark.parametrize("poisoned", [0, 5, 11, 23])  # 5 → step 6 evaluates, 23 → the last
def test_nan_is_never_kept(
    poisoned: int, held_out: tuple[float, float, float], prepare: Prepare, tmp_path: Path
) -> None:
    corpus = prepare(fractions=held_out)
    made = trainer(corpus, tmp_path / "run", replace(TRAIN, checkpoint_steps=1))
    Poisoned(made, {poisoned}, times=1)
    events = []
    for event in made.train():
        events.append(event)
        if (tmp_path / "run" / folder.WEIGHTS).exists():
            kept = weights(tmp_path / "run")
            assert all(np.isfinite(kept[name]).all() for name in kept if name != "metrics")
        if isinstance(event, Saved):
            found = checkpoint.latest(tmp_path / "run")[0]
            assert found is not None
            assert found.step == event.step
            assert all(tensor.isfinite().all() for tensor in found.tensors["weights"].values())
        if isinstance(event, RolledBack):  # the abandoned branch is gone
            found = checkpoint.latest(tmp_path / "run")[0]
            assert found is None or found.step <= event.step
    rolled = [e for e in events if isinstance(e, RolledBack)]
    assert [(e.step, e.share) for e in rolled] == [(poisoned // 6 * 6, 0.5)]
    assert events[-1].reason == "budget"
    assert events[-1].characters == 24 * 4 * 8
    assert made.rate_share == 0.5


def test_divergence_is_retried_then_reported(prepare: Prepare, tmp_path: Path) -> None:
    made = trainer(prepare(), tmp_path / "run")
    Poisoned(made, {9}, times=4)
    events = []
    with pytest.raises(
        DivergedError, match=r"4 times, last at step 1\d; try a lower --set train\.rate"
    ) as caught:
        events.extend(made.train())
    assert caught.value.exit_code == 3
    assert "\n" not in str(caught.value)
    events = []
    made = trainer(prepare(), tmp_path / "run")
    Poisoned(made, {9}, times=3)
    events = list(made.train())
    assert [e.share for e in events if isinstance(e, RolledBack)] == [0.5, 0.25, 0.125]
    assert events[-1].reason == "budget"
    best = next(e for e in reversed(events) if isinstance(e, Evaluated))
    assert best.rate == TRAIN.rate * 0.125 * made.schedule.rate(24)


def test_an_absurd_rate_diverges(prepare: Prepare, tmp_path: Path) -> None:
    """Nothing is tampered with: the weights leave float32 by themselves."""
    config = replace(TRAIN, optimiser="adam", rate=100.0, clip=0.0, warmup=0.0)
    made = trainer(prepare(), tmp_path / "run", config)
    with torch.no_grad():
        made.network.output.weight.fill_(3e38)
    with pytest.raises(DivergedError):
        list(made.train())


def test_with_nothing_held_out_the_last_weights_are_kept(prepare: Prepare, tmp_path: Path) -> None:
    run = tmp_path / "run"
    made = trainer(prepare(fractions=(90, 0, 10)), run)
    steps = []
    for event in made.train():
        if isinstance(event, Evaluated):
            assert math.isnan(event.nats)
            assert event.best
            steps.append(weights(run)["metrics"]["step"])
    assert steps == [0, 6, 12, 18, 24]
    last = made.network.to_weights()
    assert all(np.array_equal(weights(run)[name], last[name]) for name in last)
    assert weights(run)["metrics"]["nats"] is None


@pytest.mark.parametrize("held_out", [(90, 5, 5), (90, 0, 10)])
def test_a_run_stopped_early_leaves_what_it_learned(
    held_out: tuple[float, float, float], prepare: Prepare, tmp_path: Path
) -> None:
    """Before the first evaluation there is nothing better than the weights of the moment."""
    corpus, run = prepare(fractions=held_out), tmp_path / "run"
    made = stopping(corpus, run, after(4))
    events = list(made.train())
    assert [e.step for e in events if isinstance(e, Evaluated)] == [0]
    assert weights(run)["metrics"]["step"] == 4
    assert (events[-1].reason, events[-1].step) == ("interrupted", 4)


def test_a_signal_cuts_an_evaluation_short(prepare: Prepare, tmp_path: Path) -> None:
    """Ten seconds are enough wherever it comes; the evaluation is taken again on resuming."""
    corpus, run = prepare(), tmp_path / "run"
    whole = trainer(corpus, tmp_path / "whole")
    events = list(whole.train())
    for at in (12, 24):
        asked = itertools.count()
        made = stopping(
            corpus,
            run,
            lambda one, at=at, asked=asked: "terminated" if one.step == at and next(asked) else "",
        )
        if (found := checkpoint.latest(run)[0]) is not None:
            made.restore(found)
        seen = list(made.train())
        assert at not in [e.step for e in seen if isinstance(e, Evaluated)]
        assert (seen[-1].reason, seen[-1].step) == ("terminated", at)
        assert not any(isinstance(e, SampleDue) and e.step == at for e in seen)
    made = trainer(corpus, run)
    found = checkpoint.latest(run)[0]
    assert found is not None
    made.restore(found)
    seen = list(made.train())
    assert metrics(seen) == metrics(events)[-1:]
    require_same(whole, made, tmp_path / "whole", run)


def test_another_machine_is_said(prepare: Prepare, tmp_path: Path) -> None:
    corpus = prepare()
    made = trainer(corpus, tmp_path / "run")
    list(made.train())
    found = checkpoint.latest(tmp_path / "run")[0]
    assert found is not None
    found.facts["place"].update(threads=64, torch="1.0")
    lines = trainer(corpus, tmp_path / "run").restore(found)
    assert len(lines) == 2
    assert lines[0] == "threads was 64 and is 1: the last bits may differ"


@pytest.mark.parametrize("layout", ["lanes", "shuffled", "windows"])
def test_a_text_too_short_for_its_layout(layout: Any, prepare: Prepare, tmp_path: Path) -> None:
    corpus = prepare(900, lines=True)
    with pytest.raises(DataError) as caught:
        trainer(corpus, tmp_path / "run", replace(TRAIN, layout=layout, window=5000))
    assert "\n" not in str(caught.value)
    assert "--set train.window" in str(caught.value)


def test_the_layout_of_the_settings(prepare: Prepare) -> None:
    lines, whole = prepare(lines=True), prepare()
    for corpus in (lines, whole):
        assert isinstance(batches.layout(corpus, TRAIN), batches.Lanes)
        assert isinstance(batches.layout(corpus, replace(TRAIN, layout="shuffled")), batches.Shuffled)
    assert isinstance(batches.layout(lines, replace(TRAIN, layout="windows")), batches.Windows)
    with pytest.raises(DataError, match="--documents line"):
        batches.layout(whole, replace(TRAIN, layout="windows"))
    # a whole text's lanes begin with <bos> where they are fresh; documents bring their own
    bos = whole.vocabulary.bos
    assert (batches.layout(whole, TRAIN).batch(0).inputs[:, 0] == bos).all()
    first = batches.layout(lines, TRAIN).batch(0).inputs
    assert (first[0] == lines.train.ids[: TRAIN.window]).all()
