"""Progress of training in a notebook: one block that is drawn anew, in plain HTML."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from charloom import api
from charloom.cli.events import clock, number
from charloom.cli.sparkline import sparkline
from charloom.training import events as happened

CURVE = 40  # characters of the loss so far


class Block:
    """What is known of a training so far, as HTML, from its beginning to its end in one place of the page."""

    def __init__(self) -> None:
        self._losses: list[float] = []
        self._heldout = math.nan
        self._line = "reading the text"
        self._share = 0.0
        self._sample = ""

    def __enter__(self) -> Block:
        from IPython.display import HTML, display

        self._handle = display(HTML(self.html()), display_id=True)
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def take(self, event: Any) -> None:
        """Show what is new."""
        from IPython.display import HTML

        if self.learn(event):
            self._handle.update(HTML(self.html()))

    def learn(self, event: Any) -> bool:
        """Whether there is something new to show."""
        match event:
            case happened.Stepped():
                self._losses.append(event.loss)
                self._share = event.seconds / ((event.seconds + event.remaining) or 1.0)
                speed = event.characters / max(event.seconds, 1e-9)
                self._line = f"{speed:,.0f} characters/s, {clock(event.remaining)} left"
            case happened.Evaluated():
                self._heldout = event.nats
            case api.Sampled():
                self._sample = event.sample.prompt + event.sample.text
            case happened.Finished():
                self._share = 1.0
                self._line = f"done after {clock(event.seconds)}, {event.characters:,} characters"
            case _:
                return False
        return True

    def html(self) -> str:
        """The block."""
        loss = number(self._losses[-1]) if self._losses else "–"
        return (
            f'<progress value="{self._share:.3f}" style="width: 100%"></progress>'
            f"<pre>{sparkline(self._losses, CURVE)}  loss {loss}  held out {number(self._heldout)}  "
            f"{escape(self._line)}\n\n{escape(self._sample)}</pre>"
        )
