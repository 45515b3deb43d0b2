"""Ctrl-C and SIGTERM while a run trains."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

EXIT_CODES = {"interrupted": 130, "terminated": 143}
NAMES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


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
    """

    def __init__(self, *, patient: bool = False) -> None:
        self.training = False
        self._patient = patient
        self._reason = ""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():  # nobody else may set handlers
            self._before = {number: signal.signal(number, self._take) for number in NAMES}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def reason(self) -> str:
        """Why to stop: interrupted, terminated, or nothing."""
        return self._reason

    def exit_code(self) -> int:
        """That of the signal that came, or 0."""
        return EXIT_CODES.get(self._reason, 0)

    def _take(self, number: int, frame: FrameType | None) -> None:
        name = NAMES[signal.Signals(number)]
        if not self.training:
            raise Interrupted(f"{name} before the training began; nothing was written", EXIT_CODES[name])
        if self._reason and not self._patient:
            raise Interrupted(f"{name} again; the last checkpoint is kept", EXIT_CODES[name])
        self._reason = self._reason or name
