"""The live view of training in a terminal."""

from __future__ import annotations

import math
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from charloom import api
from charloom.cli.progress import clock, told
from charloom.training import events as happened

NARROWEST = 100  # columns; below it the bar gives way to the numbers


class Live:
    """A bar with loss, held-out loss, characters a second and time left; samples scroll by above it."""

    def __enter__(self) -> Live:
        self._console = Console(stderr=True, highlight=False)
        columns = [TextColumn("{task.percentage:>3.0f}%"), TextColumn("{task.description}")]
        if self._console.width >= NARROWEST:
            columns.insert(1, BarColumn(bar_width=24))  # type: ignore[arg-type]
        self._progress = Progress(*columns, console=self._console)
        self._progress.start()
        self._task = self._progress.add_task("reading the first characters", total=1.0)
        self._heldout = math.nan
        return self

    def __exit__(self, *raised: object) -> None:
        self._progress.stop()

    def take(self, event: Any) -> None:
        """Move the bar, or print above it."""
        match event:
            case happened.Stepped():
                speed = event.characters / max(event.seconds, 1e-9)
                done = event.seconds / (event.seconds + event.remaining) if event.seconds else 0.0
                self._progress.update(
                    self._task,
                    completed=done,
                    description=(
                        f"loss {event.loss:.3f}  held out {self._heldout:.3f}  "
                        f"{speed:,.0f} characters/s  {clock(event.remaining)} left"
                    ),
                )
            case happened.Evaluated():
                self._heldout = event.nats
            case api.Sampled():
                self._console.rule(f"step {event.step:,} writes", style="dim")
                self._console.print(event.sample.text, markup=False)
                self._console.rule(style="dim")
            case happened.Finished():
                self._progress.update(self._task, completed=1.0)
                self._progress.stop()
                self._say(event)
            case _:
                self._say(event)

    def _say(self, event: Any) -> None:
        for line in told(event):
            self._console.print(line, markup=False)
