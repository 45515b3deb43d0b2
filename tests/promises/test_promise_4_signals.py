"""Promise 4: a signal or a closed output, wherever it comes: a checkpoint, if there is what to save."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charloom
from charloom import api
from charloom.cli import main
from charloom.model import folder
from charloom.model.folder import Model
from charloom.text import parts, reading
from charloom.training import checkpoint
from charloom.training.events import Evaluated
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
    """Nothing was learned, so nothing is saved."""
    Path("text.txt").write_text(f"{moment[1]}\n{TEXT}", encoding="utf-8")  # not in the cache yet
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


OPTIONS: dict[str, Any] = {
    "out": "run", "steps": 30, "hidden": 8, "documents": "whole", "lanes": 4, "window": 8,
    "precision": "float32", "threads": 1, "evaluate_steps": 5, "checkpoint_steps": 10, "sample_steps": 10,
}  # fmt: skip


def require_resumable(whole: Model) -> int:
    """Resume the run that was ended early, and compare it with the one that was not; the step it left."""
    left, passed = checkpoint.latest(Path("run"))
    assert left is not None
    assert not passed
    folder.read(Path("run"))
    assert run("train", "--resume", "run") == 0
    found = folder.read(Path("run"))
    assert all(np.array_equal(found.weights[name], whole.weights[name]) for name in whole.weights)
    return left.step


def test_from_python(whole: Model, capsys: pytest.CaptureFixture[str]) -> None:
    """SIGINT, or a KeyboardInterrupt in the callback, ends the training alone, and gives the best model."""

    def pressed(event: Any) -> None:
        if isinstance(event, Evaluated) and event.step == 10:
            os.kill(os.getpid(), signal.SIGINT)

    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    model = charloom.train("text.txt", on_event=pressed, **OPTIONS)
    assert model.path == Path("run")
    assert "interrupted at step 10; saved to run; to resume: charloom train --resume run" in (
        capsys.readouterr().err
    )
    assert require_resumable(whole) == 10

    def raised(event: Any) -> None:
        if isinstance(event, Evaluated) and event.step == 5:
            raise KeyboardInterrupt

    charloom.train("text.txt", on_event=raised, overwrite=True, **OPTIONS)
    assert require_resumable(whole) == 5

    def terminated(event: Any) -> None:
        if isinstance(event, Evaluated) and event.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as ended:  # for the caller to clean up
        charloom.train("text.txt", on_event=terminated, overwrite=True, **OPTIONS)
    assert ended.value.code == 143
    assert checkpoint.path_of(Path("run"), 5).is_dir()
    assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_from_python_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        signalling(patched, Network, "warm", 1, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt, match="nothing was written"):
            charloom.train("text.txt", **OPTIONS)
    assert not Path("run").exists()


def test_an_error_in_a_callback(whole: Model) -> None:
    """It reaches the caller; the checkpoint is written and nobody holds the run."""

    def failing(event: Any) -> None:
        if isinstance(event, Evaluated) and event.step == 15:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        charloom.train("text.txt", on_event=failing, **OPTIONS)
    assert require_resumable(whole) == 15


SCRIPT = f"""
import charloom
options = {OPTIONS | {"steps": 10**6}}
model = charloom.train("text.txt", on_event=lambda event: print("event", flush=True), **options)
print("returned", model.path)
"""
LONG = [sys.executable, "-m", "charloom", *(word if word != "30" else "1000000" for word in TRAIN)]


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGHUP and no pty there")
def test_real_processes(tmp_path: Path) -> None:
    """A script gets SIGINT; a terminal is closed; `head` has read enough. Nobody sees a traceback."""
    text = (tmp_path / "text.txt").read_bytes()
    for name in ("script", "terminal", "pipe"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "text.txt").write_bytes(text)
    piped: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    script = subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=tmp_path / "script", **piped)
    master, slave = os.openpty()
    terminal = subprocess.Popen(
        LONG,
        cwd=tmp_path / "terminal",
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    command = subprocess.list2cmdline(LONG) + " | head -n 12; echo ${PIPESTATUS[0]}"
    pipe = subprocess.Popen(["bash", "-c", command], cwd=tmp_path / "pipe", **piped)

    assert script.stdout is not None
    for _ in range(6):
        assert script.stdout.readline() == b"event\n"
    script.send_signal(signal.SIGINT)
    seen = b""
    while b"char/s" not in seen:  # the bar of the live view
        seen += os.read(master, 10_000)
    os.close(master)
    out, err = script.communicate(timeout=300)
    assert (script.returncode, out.splitlines()[-1]) == (0, b"returned run")
    assert err.startswith(b"charloom: interrupted at step ")
    assert len(err.splitlines()) == 1
    assert terminal.wait(timeout=300) == 129
    out, err = pipe.communicate(timeout=300)
    assert out.splitlines()[-1] == b"141"
    assert len(out.splitlines()) == 13
    assert b"output closed at step " in err
    assert b"saved to run; to resume: charloom train --resume run" in err
    assert b"Traceback" not in err
    for name in ("script", "terminal", "pipe"):
        found, passed = checkpoint.latest(tmp_path / name / "run")
        assert found is not None
        assert not passed
        folder.read(tmp_path / name / "run")
