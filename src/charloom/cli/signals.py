"""Ctrl-C, SIGTERM, a closed terminal and a closed pipe while a run trains."""

from __future__ import annotations

import _thread
import contextlib
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

HANGUP, CLOSED = "hangup", "output closed"
EXIT_CODES = {"interrupted": 130, "terminated": 143, HANGUP: 129, CLOSED: 141}
NAMES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
if sys.platform != "win32":
    NAMES[signal.SIGHUP] = HANGUP
AGAIN = 0.01  # seconds until a signal that went nowhere comes again


class Interrupted(BaseException):
    """The user, or the system, ended it; `exit_code` is what a shell expects then.

    No KeyboardInterrupt, which click would take for its own.
    """

    def __init__(self, message: str = "interrupted", exit_code: int = EXIT_CODES["interrupted"]) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Signals:
    """While a run trains a signal asks for a checkpoint and the end; before, or twice, it ends at once.

    Where it is `patient` a second one changes nothing: torchrun sends its processes another after each. Nor
    does a second SIGHUP, which shell and terminal both send; under nohup SIGHUP stays ignored.
    Python drops what is raised in a destructor, or in what compiled code calls, and while functions are
    compiled much of the time is spent there: the signal is then taken as if it came again.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.training = False
        self._patient = patient
        self._reason = ""
        self._received: set[str] = set()
        self._before: dict[int, Any] = {}
        self._dropped: Interrupted | None = None
        self._again = threading.Timer(0.0, _thread.interrupt_main)
        self._dropping = False

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():  # nobody else may set handlers
            taken = [
                number
                for number, name in NAMES.items()
                if name != HANGUP or signal.getsignal(number) != signal.SIG_IGN
            ]
            self._before = {number: signal.signal(number, self._take) for number in taken}
        self._hook, sys.unraisablehook = sys.unraisablehook, self._drop
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        sys.unraisablehook = self._hook
        self._again.cancel()
        if self._dropped and isinstance(error, Exception):  # such as of a function that was half compiled
            raise self._dropped from error

    def ask(self, reason: str) -> None:
        """Ask for a checkpoint and the end, unless somebody has already."""
        self._reason = self._reason or reason

    @contextlib.contextmanager
    def output(self) -> Iterator[None]:
        """Ask for the end where nobody can read what is written here: `train | head`, a closed terminal.

        Standard output then goes nowhere, and standard error too where it was the terminal: what is still
        buffered would otherwise fail when Python exits.
        """
        try:
            yield
        except OSError as error:
            self.ask(CLOSED)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in (sys.stdout, sys.stderr) if error.errno == errno.EIO else (sys.stdout,):
                with contextlib.suppress(OSError, ValueError):  # a stream without a file
                    os.dup2(nowhere, stream.fileno())
            os.close(nowhere)

    def reason(self) -> str:
        """Return why to stop, a key of EXIT_CODES, or an empty string."""
        return self._reason

    @staticmethod
    def end(exit_code: int) -> None:
        """Do what SIGTERM or SIGHUP asked for, now that the handlers are restored; Ctrl-C asked for no more.

        A handler of the caller's is called. Without one SystemExit is raised, not the signal, so that what
        the caller has to clean up or to print is not lost.
        """
        if exit_code not in (EXIT_CODES["terminated"], EXIT_CODES[HANGUP]):
            return
        number = exit_code - 128  # as a shell has it
        if callable(signal.getsignal(number)):
            signal.raise_signal(number)
        elif signal.getsignal(number) == signal.SIG_DFL:
            raise SystemExit(exit_code)

    def exit_code(self) -> int:
        """That of the signal that came, or 0."""
        return EXIT_CODES.get(self._reason, 0)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._dropping:  # on a busy machine the repetition is there before its own start has returned
            self._repeat(number)
            return
        name = NAMES[signal.Signals(number)]
        if not self.training:
            self._reason = name
            raise Interrupted(f"{name} before the training began; nothing was written", EXIT_CODES[name])
        if name in self._received and name != HANGUP and not self._patient:
            raise Interrupted(f"{name} again; the last checkpoint is kept", EXIT_CODES[name])
        self._received.add(name)
        self.ask(name)

    def _drop(self, dropped: Any) -> None:
        """Python has dropped an exception; where it is ours it comes again."""
        if not isinstance(dropped.exc_value, Interrupted):
            self._hook(dropped)
            return
        self._dropped = dropped.exc_value
        self._dropping = True
        self._repeat(self._dropped.exit_code - 128)  # as a shell has it
        self._dropping = False

    def _repeat(self, number: int) -> None:
        self._again = threading.Timer(AGAIN, _thread.interrupt_main, (number,))
        self._again.start()
