"""Promise 4: SIGTERM or Ctrl-C, wherever it comes: a checkpoint, if there is what to save; and the end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charloom import api
from charloom.cli import main
from charloom.model import folder
from charloom.model.folder import Model
from charloom.text import parts, reading
from charloom.training import checkpoint
from charloom.training.heldout import HeldOut
from charloom.training.learner import Learner
from charloom.training.network import Network
from pages import PAGES

# that no other test has prepared, so that reading and encoding happen here
TEXT = "Signals\n" + PAGES[:6000]
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
TRAIN = [
    "train", "text.txt", "--out", "run", "--steps", "30", "--hidden", "8", "--documents", "whole",
    "--set", "train.lanes=4", "--set", "train.window=8", "--set", "train.precision=float32",
    "--set", "train.threads=1", "--set", "train.evaluate_steps=5", "--set", "train.checkpoint_steps=10",
    "--set", "train.sample_steps=10",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def signalling(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int, *signals: signal.Signals
) -> None:
    """At that call of a function, this process gets these signals."""
    real: Callable[..., Any] = getattr(owner, name)
    left = [call]

    def called(*given: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            for number in signals:
                os.kill(os.getpid(), number)
        return real(*given, **options)

    monkeypatch.setattr(owner, name, called)


BEFORE = [  # the first step
    (reading, "text_blocks", 1),
    (parts.Vocabulary, "encode_points", 1),
    (folder, "create", 1),
    (api, "_warm", 1),
    (Network, "warm", 1),
]
LATER = [
    (Learner, "step", 7, 7),
    (HeldOut, "_score", 3, 10),
    (checkpoint, "write", 3, 10),
    (api, "_draw", 2, 10),
]


def name_of(value: Any) -> str:
    return str(value[1] if isinstance(value, tuple) else value.name)


@pytest.mark.parametrize(("moment", "number"), list(zip(BEFORE, cycle(CODES))), ids=name_of)
def test_before_the_first_step(
    moment: tuple[Any, str, int],
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing was learned, so nothing is kept."""
    with monkeypatch.context() as patched:
        signalling(patched, *moment, number)
        assert run(*TRAIN) == CODES[number]
    assert "before the training began; nothing was written" in capsys.readouterr().err
    assert not Path("run").exists()
    assert not list(Path().glob(".run*"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """What a run becomes that nobody stops."""
    folder_ = tmp_path_factory.mktemp("whole")
    (folder_ / "text.txt").write_text(TEXT, encoding="utf-8")
    with contextlib.chdir(folder_):
        assert run(*TRAIN) == 0
    return folder.read(folder_ / "run")


@pytest.mark.parametrize(("moment", "number"), list(zip(LATER, cycle(CODES))), ids=name_of)
def test_while_it_trains(
    moment: tuple[Any, str, int, int], number: signal.Signals, whole: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No further step, evaluation or sample is waited for, and it goes on as if nothing had happened."""
    *where, step = moment
    with monkeypatch.context() as patched:
        signalling(patched, *where, number)
        assert run(*TRAIN) == CODES[number]
    left, passed = checkpoint.latest(Path("run"))
    assert left is not None
    assert not passed
    assert left.step in (step, step + 1)
    folder.read(Path("run"))
    assert run("train", "--resume", "run") == 0
    found = folder.read(Path("run"))
    assert all(np.array_equal(found.weights[name], whole.weights[name]) for name in whole.weights)
    assert found.metrics == whole.metrics


@pytest.mark.parametrize("moment", [*LATER, (checkpoint, "flush", 2, 10)], ids=name_of)
def test_twice_ends_at_once(moment: tuple[Any, str, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it was at; the last checkpoint, if there was one, is whole."""
    owner, name, call, _ = moment
    with monkeypatch.context() as patched:
        signalling(patched, owner, name, call, signal.SIGINT, signal.SIGINT)
        assert run(*TRAIN) == 130
    folder.read(Path("run"))
    found, passed = checkpoint.latest(Path("run"))
    assert not passed
    if found is not None:
        assert run("train", "--resume", "run") == 0
