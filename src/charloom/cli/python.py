"""`charloom.train`: what `api.train` does, shown to whoever looks on."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from charloom import api, job
from charloom.character_model import CharacterModel
from charloom.cli.bar import Bar
from charloom.cli.model import tell_compilation
from charloom.cli.terminal import can_redraw


def train(
    *corpora: str | Path,
    out: str | Path | None = None,
    preset: str = "auto",
    overwrite: bool = False,
    progress: bool = True,
    on_event: Callable[[Any], None] = lambda event: None,
    **options: Any,
) -> CharacterModel:
    """Train on files, folders or catalog names (none: the embedded `python-docs`), and load the best.

    Options are the keys of the configuration's sections (`minutes`, `hidden`, `documents`, …). The run
    folder is `out`, or a new one in `runs/`. In a notebook, and on standard error where that is a terminal,
    it shows how far it is; `progress=False` keeps it silent. `on_event` is called with all that happens.
    Raises DataError, RunError, UsageError, DivergedError.
    """
    with contextlib.ExitStack() as stack:
        takers = [on_event]
        bar = stack.enter_context(Bar(shown=progress))
        if progress and job.here().leads and (view := _view()):
            takers.append(stack.enter_context(view).take)
            tell_compilation()

        def take(event: Any) -> None:
            if isinstance(event, api.Prepared):
                bar.stop()
            for taker in takers:
                taker(event)

        return api.train(
            *corpora,
            out=out,
            preset=preset,
            overwrite=overwrite,
            on_event=take,
            on_read=bar.read,
            **options,
        )


def _view() -> Any:
    """What shows events where this runs, or None."""
    if "IPython" in sys.modules:
        from IPython import get_ipython

        if getattr(get_ipython(), "kernel", None) is not None:
            from charloom.cli.notebook import Block

            return Block()
    if can_redraw(sys.stderr):
        from charloom.cli.live import Live

        return Live(stderr=True)
    return None
