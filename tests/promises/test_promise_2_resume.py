"""A run that was stopped and goes on ends as if it had never been stopped."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from charloom import api, settings
from charloom import run as runs
from charloom.errors import RunError
from charloom.model.config import CELLS, Cell
from charloom.training import checkpoint
from charloom.training.events import Evaluated, SampleDue, Saved
from pages import PAGES
from trained import MODEL, TRAIN, Prepare, after, metrics, require_same, same, stopping, trainer, weights

LAYOUTS = ["lanes", "shuffled", "documents"]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_stopped_and_resumed_is_never_stopped(
    cell: Cell, layout: Any, prepare: Prepare, tmp_path: Path
) -> None:
    corpus = prepare(lines=layout == "documents")
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


BUDGETS = [
    {"steps": 0, "epochs": 0.15},
    {"steps": 0, "minutes": 0.1, "plan": ((0, 30), (8, 20), (16, 26))},  # what a run by minutes became
]


@pytest.mark.parametrize("budget", BUDGETS, ids=["epochs", "plan"])
def test_budgets_are_kept(budget: Any, prepare: Prepare, tmp_path: Path) -> None:
    corpus, config = prepare(), replace(TRAIN, **budget)
    whole = trainer(corpus, tmp_path / "whole", config)
    events = list(whole.train())
    assert events[-1].step > 12
    run = tmp_path / "run"
    seen: list[Any] = []
    for stop in (9, 0):
        made = stopping(corpus, run, after(stop or 10**6), config)
        if (found := checkpoint.latest(run)[0]) is not None:
            assert made.restore(found) == []
        seen += made.train()
    assert metrics(seen) == metrics(events)
    require_same(whole, made, tmp_path / "whole", run)


def test_metrics_and_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the whole of it: the records of a run that was stopped are those of one that was not.

    It is resumed, and stopped again; then torchrun starts the same command anew.
    """
    text = tmp_path / "text.txt"
    text.write_text(PAGES[:6000], encoding="utf-8")
    options = {
        "train": {
            "steps": 20, "lanes": 4, "window": 8, "precision": "float32", "threads": 1, "evaluate_steps": 4,
            "sample_steps": 4,
        },
        "model": {"hidden": 8, "dropout": 0.2},
        "data": {"documents": "whole"},
    }  # fmt: skip
    chosen = settings.resolve(corpus=[str(text)], flags=options)
    list(api.training(chosen, out=tmp_path / "whole"))

    def trained(settings: settings.Settings, **where: Any) -> int:
        asked = itertools.count()
        list(api.training(settings, **where, stop=lambda: "terminated" if next(asked) > 12 else ""))
        stopped = checkpoint.latest(tmp_path / "run")[0]
        assert stopped is not None
        return stopped.step

    first = trained(chosen, out=tmp_path / "run")
    again = settings.resolve(file=tmp_path / "run" / runs.CONFIG)
    second = trained(again, resume=tmp_path / "run")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert (
        0 < first < second < trained(chosen, out=tmp_path / "run", more=True) <= 20
    )  # as the command has it
    list(api.training(chosen, out=tmp_path / "run", more=True))
    list(api.training(chosen, out=tmp_path / "run"))  # it had ended: no step more, no record twice
    for name in (runs.METRICS, runs.SAMPLES):
        left, right = (
            [{**record, "seconds": 0} for record in runs.records(tmp_path / run / name)]
            for run in ("whole", "run")
        )
        assert left == right
        assert len(left) >= 5
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "run"))


def test_a_job_adds_its_budget_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`torchrun … train --resume RUN --steps N`, started again by torchrun, goes on towards the same end.

    What the first writing of config.toml gave as its reasons stays there.
    """
    text, run = tmp_path / "text.txt", tmp_path / "run"
    text.write_text(PAGES[:3000], encoding="utf-8")
    options = {
        "train": {"steps": 4, "window": 8, "precision": "float32", "threads": 1},
        "model": {"hidden": 8},
        "data": {"documents": "whole"},
    }
    list(api.training(settings.resolve(corpus=[str(text)], flags=options), out=run))
    reasons = settings.reasons(run / runs.CONFIG)
    assert reasons["model.layers"] == "in minutes, width pays more than depth"

    def gone_on(job: str, restarts: int, checks: int = 10**6) -> int:
        """Resume with six steps more, stopped when it was asked so often; the step of the last checkpoint."""
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", job)
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", str(restarts))
        again = settings.resolve(file=run / runs.CONFIG, flags={"train": {"steps": 6}})
        asked = itertools.count()
        stop = lambda: "terminated" if next(asked) >= checks else ""  # noqa: E731
        list(api.training(again, resume=run, more=True, stop=stop))
        found = checkpoint.latest(run)[0]
        assert found is not None
        return found.step

    assert 4 < gone_on("first", 0, checks=6) < 10
    assert gone_on("first", 1) == 10
    assert gone_on("first", 2) == 10  # it had ended
    assert gone_on("second", 1) == 16  # its first start had come to no checkpoint
    assert gone_on("second", 0) == 22  # the same name, started anew
    assert settings.reasons(run / runs.CONFIG) == reasons


def test_a_checkpoint_of_other_sizes(prepare: Prepare, tmp_path: Path) -> None:
    """Somebody has edited config.toml; the message says so, on one line."""
    corpus = prepare()
    list(stopping(corpus, tmp_path / "run", after(2)).train())
    found = checkpoint.latest(tmp_path / "run")[0]
    assert found is not None
    other = trainer(corpus, tmp_path / "run", TRAIN, replace(MODEL, hidden=16))
    with pytest.raises(RunError, match="does not fit the settings") as caught:
        other.restore(found)
    assert "\n" not in str(caught.value)
