"""Promise 5: what is no number, or has exploded, never becomes the best model."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from charloom.errors import DivergedError
from charloom.model import folder
from charloom.training import checkpoint
from charloom.training.events import Evaluated, RolledBack, Saved
from charloom.training.loop import Trainer
from charloom.training.stability import Stability
from trained import TRAIN, Prepare, trainer, weights


class Poisoned:
    """A layout under which the loss is finite to the end, but one step's update is not a number."""

    def __init__(self, made: Trainer, steps: set[int], *, times: int) -> None:
        self.times = dict.fromkeys(steps, times)
        step = made.learner.optimiser.step

        def poisoned(fraction: float) -> float:
            norm = step(fraction)
            if self.times.get(made.step, 0):
                self.times[made.step] -= 1
                with torch.no_grad():
                    made.network.output.weight[0, 0] = math.nan
            return norm

        made.learner.optimiser.step = poisoned  # type: ignore[method-assign]


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
    lower = re.escape(f"try --set train.rate={TRAIN.rate / 16:.2g} ")  # half of the last of four halvings
    with pytest.raises(DivergedError, match=rf"diverged 4 times, last at step 1\d .* {lower}") as caught:
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
    assert best.rate == TRAIN.rate * 0.125 * made.budget.schedule.rate(24)


def test_being_sure_and_wrong_is_no_divergence(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A memorized text makes any other very unlikely: the run goes on, and the best weights are the first."""
    made = trainer(prepare(), tmp_path / "run")
    monkeypatch.setattr(made._validation, "nats", lambda *_: 4.0 if made.step == 0 else 40.0 + made.step)
    events = list(made.train())
    assert not any(isinstance(e, RolledBack) for e in events)
    assert [e.nats for e in events if isinstance(e, Evaluated)] == [4.0, 46.0, 52.0, 58.0, 64.0]
    assert (events[-1].reason, events[-1].best_step) == ("budget", 0)


def test_an_absurd_rate_diverges(prepare: Prepare, tmp_path: Path) -> None:
    """Nothing is tampered with: the weights leave float32 by themselves."""
    config = replace(TRAIN, optimiser="adam", rate=100.0, clip=0.0, warmup=0.0)
    made = trainer(prepare(), tmp_path / "run", config)
    with torch.no_grad():
        made.network.output.weight.fill_(3e38)
    with pytest.raises(DivergedError):
        list(made.train())


class Exploding:
    """A run whose weights are blown up by `factor` at each of these steps; every number stays finite."""

    def __init__(self, made: Trainer, steps: set[int], factor: float, *, times: int = 1) -> None:
        self.times = dict.fromkeys(steps, times)
        step = made.learner.optimiser.step

        def exploding(fraction: float) -> float:
            norm = step(fraction)
            if self.times.get(made.step, 0):
                self.times[made.step] -= 1
                with torch.no_grad():
                    made.network.output.weight.copy_(factor * torch.randn_like(made.network.output.weight))
            return norm

        made.learner.optimiser.step = exploding  # type: ignore[method-assign]


@pytest.mark.parametrize("held_out", [(90, 5, 5), (90, 0, 10)])
@pytest.mark.parametrize(("exploded", "factor"), [(7, 1e4), (13, 1e4), (23, 1e4), (13, 8.0)])
def test_an_explosion_is_never_kept(
    exploded: int, factor: float, held_out: tuple[float, float, float], prepare: Prepare, tmp_path: Path
) -> None:
    """Whether the loss is absurd at once or, in the last case, only much worse at the next evaluation."""
    torch.manual_seed(0)
    made = trainer(prepare(fractions=held_out), tmp_path / "run", replace(TRAIN, checkpoint_steps=1))
    Exploding(made, {exploded}, factor)
    kept = []
    events = []
    for event in made.train():
        events.append(event)
        if (tmp_path / "run" / folder.WEIGHTS).exists():
            kept.append(np.abs(weights(tmp_path / "run")["output.weight"]).max())
    assert max(kept) < 3
    assert [(e.step, e.share) for e in events if isinstance(e, RolledBack)] == [(exploded // 6 * 6, 0.5)]
    assert (events[-1].reason, events[-1].step) == ("budget", 24)


def test_what_is_no_explosion() -> None:
    """A hard text among easy ones, a slow rise where a text is learned by heart, and a jump that goes by."""
    even = math.log(60)
    found = Stability(even)
    assert found.holds([even])
    assert found.evaluated(4.0, math.inf)
    for losses, nats in (([1.0, 5.0, 1.0], 3.0), ([0.5], 3.9), ([0.2], 5.5), ([3.9] * 3, 3.1)):
        assert found.holds(losses)
        assert found.evaluated(nats, 3.0)
    for held_out in (True, False):
        assert found.holds([6.0])
        assert not found.evaluated(5.0, 3.0, held_out=held_out)
        found.forget()
        assert not found.evaluated(9.0, 3.0, held_out=held_out)
    assert not found.holds([9.0])
    assert not found.holds([math.nan])
