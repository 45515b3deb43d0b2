"""What a run tells, and what it leaves behind."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from charloom.errors import DataError
from charloom.model.config import ModelConfig
from charloom.training import batches
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
from charloom.training.layout import layout as layout_of
from trained import MODEL, TRAIN, Prepare, after, require_same, same, stopping, trainer, weights


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


def test_it_learns(prepare: Prepare, tmp_path: Path) -> None:
    corpus = prepare(20_000)
    config = replace(TRAIN, steps=200, lanes=16, window=32, evaluate_steps=200, rate=0.02, muon_rate=0.1)
    made = trainer(corpus, tmp_path / "run", config, ModelConfig(hidden=48, embedding=16))
    nats = [e.nats for e in made.train() if isinstance(e, Evaluated)]
    assert nats[0] == pytest.approx(math.log(len(corpus.vocabulary)), rel=0.02)
    assert nats[-1] < 2.5


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
        assert isinstance(layout_of(corpus, TRAIN), batches.Lanes)
        assert isinstance(layout_of(corpus, replace(TRAIN, layout="shuffled")), batches.Shuffled)
    assert isinstance(layout_of(lines, replace(TRAIN, layout="windows")), batches.Windows)
    with pytest.raises(DataError, match="--documents line"):
        layout_of(whole, replace(TRAIN, layout="windows"))
    # a whole text's lanes begin with <bos> where they are fresh; documents bring their own
    bos = whole.vocabulary.bos
    assert (layout_of(whole, TRAIN).batch(0).inputs[:, 0] == bos).all()
    first = layout_of(lines, TRAIN).batch(0).inputs
    assert first[0, 0] == lines.vocabulary.bos
    assert (first[1:, 0] != lines.vocabulary.bos).any()  # heads stand where they happen to
