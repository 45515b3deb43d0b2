"""A bar for what takes long: on standard error, in a terminal, and only if it does take long."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from charloom.cli.terminal import can_redraw, console

if TYPE_CHECKING:
    import rich.progress

    from charloom.text.config import Progress

PATIENCE = 0.4  # seconds that nobody needs a bar for
TITLE = 44  # columns for what is being done


class Bar:
    """Shows what is being done and how much of it; gone without a trace when left."""

    def __init__(self, shown: bool = True) -> None:
        self._began = time.monotonic()
        self._shown = shown and can_redraw(sys.stderr)
        self._progress: rich.progress.Progress | None = None

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def read(self, progress: Progress) -> None:
        """So much of a text has been read."""
        megabytes = f"{progress.doing}, {progress.done / 1e6:,.0f}"
        if progress.total:
            self.show(f"{megabytes} of {progress.total / 1e6:,.0f} MB", progress.done / progress.total)
        else:
            self.show(f"{megabytes} MB", None)

    def show(self, doing: str, share: float | None) -> None:
        """`share` of it is done, None if nobody knows."""
        if not self._shown or time.monotonic() - self._began < PATIENCE:
            return
        if self._progress is None:
            self._progress = _start()
        total = None if share is None else 1.0
        self._progress.update(
            self._progress.task_ids[0], description=doing[:TITLE], total=total, completed=share or 0.0
        )

    def stop(self) -> None:
        """Take it away, for good."""
        self._shown = False
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _start() -> rich.progress.Progress:
    from rich.progress import BarColumn, Progress, TextColumn

    columns = BarColumn(24), TextColumn("{task.description}", markup=False)
    progress = Progress(*columns, console=console(sys.stderr), transient=True)
    progress.add_task("", total=None)
    progress.start()
    return progress
