"""Standard streams that are closed, and what a terminal can show."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from rich.console import Console

STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_closed_streams() -> None:
    """Put the null device in the place of standard streams that are closed (`<&-`, `>&-`, a daemon).

    Call it before any other file is opened: a file that got descriptor 1 or 2 would receive what
    libraries print.
    """
    for name, mode in STREAMS:
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - open until the end
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def is_terminal(stream: Any) -> bool:
    """Return whether `stream`, which may be None or closed, is a terminal."""
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False


def can_redraw(stream: Any) -> bool:
    """Return whether `stream` is a terminal on which lines can be drawn anew."""
    return is_terminal(stream) and os.environ.get("TERM") not in ("dumb", "unknown")


def styled(text: str, **style: Any) -> str:
    """Return `text` with a style where standard output shows one (see https://no-color.org)."""
    return click.style(text, **style) if _colored(sys.stdout) else text


def console(stream: Any) -> Console:
    """Return a console of rich for `stream`, with the same rule for styles."""
    from rich.console import Console

    color: Literal["auto"] | None = "auto" if _colored(stream) else None
    return Console(file=stream, highlight=False, markup=False, color_system=color)


def _colored(stream: Any) -> bool:
    return can_redraw(stream) and not os.environ.get("NO_COLOR")
