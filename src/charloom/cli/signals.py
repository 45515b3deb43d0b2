"""Ctrl-C and SIGTERM while a run trains."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

EXIT_CODES = {"interrupted": 130, "terminated": 143}
NAMES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
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

    Where it is `patient` a second one changes nothing: torchrun sends its processes another after each.
    Python drops what is raised in a destructor, or in what compiled code calls, and while functions are
    compiled much of the time is spent there: the signal is then taken as if it came again.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.training = False
        self._patient = patient
        self._reason = ""
        self._before: dict[int, Any] = {}
        self._dropped: Interrupted | None = None
        self._again = threading.Timer(0.0, _thread.interrupt_main)

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():  # nobody else may set handlers
            self._before = {number: signal.signal(number, self._take) for number in NAMES}
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

    def reason(self) -> str:
        """Why to stop: interrupted, terminated, or nothing."""
        return self._reason

    def exit_code(self) -> int:
        """That of the signal that came, or 0."""
        return EXIT_CODES.get(self._reason, 0)

    def _take(self, number: int, frame: FrameType | None) -> None:
        name = NAMES[signal.Signals(number)]
        if not self.training:
            self._reason = name
            raise Interrupted(f"{name} before the training began; nothing was written", EXIT_CODES[name])
        if self._reason and not self._patient:
            raise Interrupted(f"{name} again; the last checkpoint is kept", EXIT_CODES[name])
        self._reason = self._reason or name

    def _drop(self, dropped: Any) -> None:
        """Python has dropped an exception; where it is ours it comes again."""
        if not isinstance(dropped.exc_value, Interrupted):
            self._hook(dropped)
            return
        self._dropped = dropped.exc_value
        number = self._dropped.exit_code - 128  # as a shell has it
        self._again = threading.Timer(AGAIN, _thread.interrupt_main, (number,))
        self._again.start()
