"""What `train` shows: a live bar in a terminal, plain lines in a pipe, JSON for programs."""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

import click

from charloom import api
from charloom.text.config import Progress
from charloom.training import events as happened

EXIT_CODES = {"interrupted": 130, "terminated": 143}
NAMES = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Signals:
    """Ctrl-C and SIGTERM, once, ask for a checkpoint and the end; a second Ctrl-C ends at once."""

    def __init__(self) -> None:
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

    def watch(self, progress: Progress) -> None:
        """While the text is read there is nothing to save yet: stop at once."""
        if self._reason:
            raise SystemExit(EXIT_CODES[self._reason])

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self._reason:
            raise KeyboardInterrupt
        self._reason = NAMES[signal.Signals(number)]


def show(events: Iterator[Any], as_json: bool, signals: Signals) -> int:
    """Show the events as they come; the exit code."""
    if as_json:
        view: Any = Lines()
    elif sys.stderr.isatty():
        from charloom.cli.live import Live

        view = Live()
    else:
        view = Plain()
    with view:
        for event in events:
            view.take(event)
            if isinstance(event, happened.Finished):
                return EXIT_CODES.get(event.reason, 0)
    return EXIT_CODES.get(signals.reason(), 0)


class Lines:
    """JSON: one object a line, with `event` among start, plan, eval, sample, checkpoint, rollback, done."""

    def __enter__(self) -> Lines:
        self._run = ""
        self._parameters = 0
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def take(self, event: Any) -> None:
        """Print what programs want to know."""
        found: dict[str, Any] | None = None
        match event:
            case api.Prepared():
                self._run = str(event.run)
                self._parameters = event.model.parameters(len(event.corpus.vocabulary))
            case happened.Started():
                found = {"event": "start", "run": self._run, **vars(event)}
            case happened.Planned():
                found = {"event": "plan", **vars(event)}
            case happened.Evaluated():
                found = {"event": "eval", **vars(event)}
            case api.Sampled():
                found = {"event": "sample", "step": event.step, **api.record(event.sample)}
            case happened.Saved():
                found = {"event": "checkpoint", "step": event.step, "path": str(event.path)}
            case happened.RolledBack():
                found = {"event": "rollback", **vars(event)}
            case happened.Finished():
                found = {"event": "done", "run": self._run, "parameters": self._parameters, **vars(event)}
        if found:
            finite = {
                k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in found.items()
            }
            click.echo(json.dumps(finite))


class Plain:
    """Lines for a log."""

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def take(self, event: Any) -> None:
        """Print a line, or none."""
        for line in told(event):
            click.echo(line, err=True)


def told(event: Any) -> list[str]:
    """An event in words."""
    match event:
        case api.Prepared():
            return _prepared(event)
        case happened.Started():
            budget = f"{event.steps:,} steps" if event.steps else "by the clock"
            return [
                f"Training {event.parameters:,} parameters on {event.device}, {event.threads} threads, {budget}, "
                f"in {event.precision}: {event.reason}"
            ]
        case happened.Evaluated():
            star = "  (best so far)" if event.best else ""
            return [
                f"step {event.step:>6,}  {clock(event.seconds)}  loss {event.loss:.3f}  "
                f"held out {event.nats:.3f} nats = {event.nats / math.log(2):.3f} bits a character{star}"
            ]
        case api.Sampled():
            return ["", *(f"  | {line}" for line in event.sample.text.splitlines()), ""]
        case happened.RolledBack():
            return [
                f"the loss left the finite numbers: back to step {event.step}, at {event.share:g} of the rate"
            ]
        case happened.Finished():
            why = {
                "budget": "Done",
                "patience": "Stopped early, since nothing got better any more",
                "interrupted": "Interrupted",
                "terminated": "Terminated",
            }[event.reason]
            return [
                f"{why} after {event.step:,} steps, {event.characters:,} characters, {clock(event.seconds)}. "
                f"Best: {event.best_nats:.3f} nats = {event.best_nats / math.log(2):.3f} bits a character, "
                f"at step {event.best_step:,}."
            ]
    return []


def _prepared(event: api.Prepared) -> list[str]:
    corpus = event.corpus
    lines = [
        f"Text: {corpus.name}, {corpus.train.characters:,} characters to train on, "
        f"{corpus.validation.characters:,} to validate, {corpus.test.characters:,} to test; "
        f"{len(corpus.vocabulary.characters)} different ones"
    ]
    if corpus.guess:
        lines.append(f"Read as documents={corpus.documents}: {corpus.guess}")
    model = event.model
    lines.append(f"Model: {model.cell}, {model.layers} × {model.hidden}, dropout {model.dropout:g}")
    lines += [f"  {key} because {reason}" for key, reason in event.reasons.items()]
    return [*lines, f"Run: {event.run}"]


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
