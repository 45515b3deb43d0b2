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
from charloom.cli.events import stopped
from charloom.cli.model import tell_compilation
from charloom.cli.signals import CLOSED, Interrupted, Signals
from charloom.cli.terminal import can_redraw
from charloom.training.events import Finished, Started


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
    Ctrl-C (the stop button of a notebook, a KeyboardInterrupt in `on_event`) ends the training with a
    checkpoint, and the best model so far is returned; before the first step, or pressed twice, it raises
    KeyboardInterrupt. SIGTERM and SIGHUP end the process once the checkpoint is written.
    Raises DataError, RunError, UsageError, DivergedError.
    """
    signals = Signals(patient=bool(job.here().name))
    finished: Finished | None = None
    view: Any = None

    def take(event: Any) -> None:
        nonlocal finished
        if isinstance(event, api.Prepared):
            bar.stop()
        elif isinstance(event, Started):
            signals.training = True
        elif isinstance(event, Finished):
            finished = event
        try:
            if view:
                view.take(event)
        except OSError:  # the terminal is gone
            signals.ask(CLOSED)
        try:
            on_event(event)
        except KeyboardInterrupt:  # as if it had been pressed
            signals.ask("interrupted")

    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(signals)
            bar = stack.enter_context(Bar(shown=progress))
            if progress and job.here().leads and (view := _view()):
                stack.callback(_leave, view.__enter__())
                tell_compilation()
            model = api.train(
                *corpora,
                out=out,
                preset=preset,
                overwrite=overwrite,
                on_event=take,
                on_read=bar.read,
                stop=signals.reason,
                **options,
            )
    except Interrupted as interrupted:
        signals.end(interrupted.exit_code)
        raise KeyboardInterrupt(str(interrupted)) from None
    if signals.reason() and finished and not (view and finished.reason == "interrupted"):
        with contextlib.suppress(OSError):
            print(f"charloom: {stopped(finished, str(model.path))}", file=sys.stderr)
    signals.end(signals.exit_code())
    return model


def _leave(view: Any) -> None:
    """Leave a view, whose terminal may be gone."""
    with contextlib.suppress(OSError):
        view.__exit__(None, None, None)


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
