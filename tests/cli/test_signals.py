"""Signals, wherever they come."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from charloom.cli.signals import EXIT_CODES, HANGUP, NAMES, Interrupted, Signals


class Signalling:
    """Its destructor gets a signal, and Python drops what a destructor raises."""

    def __init__(self, number: signal.Signals) -> None:
        self._number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self._number)
        time.sleep(0)


def wait() -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.001)


@pytest.mark.parametrize("number", NAMES, ids=lambda number: number.name)
def test_one_that_python_drops_comes_again(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        with Signals() as signals:
            Signalling(number)
            assert signals.reason() == NAMES[number]
            wait()

    hook = sys.unraisablehook
    with pytest.raises(Interrupted, match="before the training began") as ended:
        work()
    assert ended.value.exit_code == EXIT_CODES[NAMES[number]]
    assert sys.unraisablehook is hook
    assert capsys.readouterr().err == ""


def test_what_it_breaks_is_no_error_of_ours() -> None:
    """A function that was being compiled when the signal was dropped is not whole."""

    def work(signalled: bool) -> None:
        with Signals():
            if signalled:
                Signalling(signal.SIGTERM)
            raise RuntimeError("no compiled object yet")

    with pytest.raises(Interrupted) as ended:
        work(True)
    assert isinstance(ended.value.__cause__, RuntimeError)
    with pytest.raises(RuntimeError):
        work(False)


def test_the_second_one_ends_at_once() -> None:
    def work(signals: Signals) -> None:
        with signals:
            signals.training = True
            os.kill(os.getpid(), signal.SIGINT)
            assert signals.reason() == "interrupted"
            Signalling(signal.SIGINT)
            wait()

    signals = Signals()
    with pytest.raises(Interrupted, match="again"):
        work(signals)
    assert signals.exit_code() == EXIT_CODES["interrupted"]


def test_it_comes_again_on_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repetition is there before the hook that asked for it has returned."""
    start = threading.Timer.start

    def slow(self: threading.Timer) -> None:
        start(self)
        if calls.pop():
            time.sleep(0.1)

    calls = [False, True]
    monkeypatch.setattr(threading.Timer, "start", slow)

    def work() -> None:
        with Signals():
            Signalling(signal.SIGINT)
            wait()

    with pytest.raises(Interrupted, match="before the training"):
        work()
    assert not calls


def test_a_hangup_comes_twice_and_stays_ignored_under_nohup() -> None:
    """Shell and terminal both send it."""
    with Signals() as signals:
        signals.training = True
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
        assert signals.reason() == HANGUP
        assert signals.exit_code() == 129
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            signals.training = True
            os.kill(os.getpid(), signal.SIGHUP)
            assert signals.reason() == ""
    finally:
        signal.signal(signal.SIGHUP, before)


def test_torchrun_sends_many() -> None:
    with Signals(patient=True) as signals:
        signals.training = True
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert signals.reason() == "terminated"
