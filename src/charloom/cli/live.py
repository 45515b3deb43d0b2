"""The live view of training in a terminal."""

from __future__ import annotations

import math
import sys
import textwrap
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from charloom import api
from charloom.cli.events import clock, described, ended, number, placed, told, writing, written
from charloom.cli.model import visible
from charloom.cli.sparkline import sparkline
from charloom.cli.terminal import console
from charloom.training import events as happened

EXCERPT = 6  # lines of a sample: enough to see what it has learned
CURVE = 12  # columns of the loss so far
BAR = 40  # columns of the bar at most; it gives way to the figures
FIGURES = 76  # columns that they and the share done take
WIDEST = 100  # columns of a sample; longer lines are hard to read


class Live:
    """A bar with the loss and its curve, held-out loss, speed and time left; samples scroll by above it."""

    def __init__(self, stderr: bool = False) -> None:
        self._console = console(sys.stderr if stderr else sys.stdout)

    def __enter__(self) -> Live:
        columns = (
            TextColumn("{task.percentage:>3.0f}%"),
            BarColumn(max(2, min(BAR, self._console.width - FIGURES))),
            TextColumn("{task.description}", markup=False),
        )
        self._progress = Progress(*columns, console=self._console)
        self._task = self._progress.add_task("reading the first characters", total=1.0)
        self._heldout = math.nan
        self._losses: list[float] = []
        self._run = self._writing = ""
        return self

    def __exit__(self, *raised: object) -> None:
        self._progress.stop()

    def take(self, event: Any) -> None:
        """Move the bar, or print above it."""
        match event:
            case api.Prepared():
                self._run, self._writing = str(event.run), writing(event)
                self._print(described(event))
            case happened.Started():
                self._print([placed(event)])
                self._progress.start()
            case happened.Stepped():
                self._move(event)
            case happened.Evaluated():
                self._heldout = event.nats
            case api.Sampled():
                self._excerpt(event)
            case happened.Finished():
                self._progress.update(self._task, visible=False)
                self._progress.stop()
                for line in ended(event, self._run, self._writing):
                    self._console.print(line)
            case _:
                if line := told(event):
                    self._console.print(line)

    def _print(self, lines: list[tuple[str, str]]) -> None:
        table = Table.grid(padding=(0, 1))
        table.add_column(min_width=7, style="dim")
        table.add_column()
        for label, text in lines:
            table.add_row(label, text)
        self._console.print(table)

    def _move(self, event: happened.Stepped) -> None:
        speed = event.characters / max(event.seconds, 1e-9)
        self._losses.append(event.loss)
        done = event.seconds / (event.seconds + event.remaining) if event.seconds else 0.0
        self._progress.update(
            self._task,
            completed=done,
            description=(
                f"{sparkline(self._losses, CURVE)} loss {number(event.loss)}  "
                f"held out {number(self._heldout)}  "
                f"{speed:,.0f} char/s  {clock(event.remaining)} left"
            ),
        )

    def _excerpt(self, event: api.Sampled) -> None:
        width = min(self._console.width, WIDEST) - 4
        lines: list[str] = []
        for line in map(visible, written(event.sample)):
            lines += textwrap.wrap(line, width, drop_whitespace=False, tabsize=4) or [""]
        self._console.print(f"step {event.step:,} writes", style="dim")
        for line in lines[:EXCERPT]:
            self._console.print(f"  │ {line}", soft_wrap=True)
