"""`charloom train`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charloom.cli.options import ABOVE_ZERO, COUNT, NAME, by_section, data_options

if TYPE_CHECKING:
    from charloom.settings import Settings

NEWEST = "newest"


@click.command(short_help="Train a model on a text.")
@click.argument("corpus", nargs=-1, type=NAME)
@click.option("--out", type=NAME, metavar="RUN", help="New run folder.  [default: runs/NAME]")
@click.option("--minutes", type=ABOVE_ZERO, metavar="M", help="Train for so many minutes.  [default: 5]")
@click.option("--epochs", type=ABOVE_ZERO, metavar="N", help="Train so many times through the text.")
@click.option("--steps", type=COUNT, metavar="N", help="Train for so many steps.")
@click.option(
    "--preset", default="", metavar="NAME", help="auto, lesson, tiny, small, base or large.  [default: auto]"
)
@click.option("--cell", type=click.Choice(["lstm", "gru", "rnn"]), help="Recurrent cell.  [default: lstm]")
@click.option("--layers", type=int, metavar="N", help="Recurrent layers.  [default: 1]")
@click.option("--hidden", type=int, metavar="N", help="Hidden size.  [default: what the budget can train]")
@data_options
@click.option(
    "--from",
    "start",
    type=NAME,
    metavar="MODEL",
    help="Go on from this model's weights; its alphabet grows.",
)
@click.option(
    "--resume",
    type=NAME,
    is_flag=False,
    flag_value=NEWEST,
    metavar="[RUN]",
    help="Go on with a run, by default the newest; a budget comes on top.",
)
@click.option("--overwrite", is_flag=True, help="Replace the run that lies at --out.")
@click.option("--config", type=NAME, metavar="FILE", help="Settings from a TOML file, or a run's.")
@click.option("--set", "sets", multiple=True, metavar="section.key=value", help="Any other setting.")
@click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="Trains there.  [default: auto]"
)
@click.option("--seed", type=int, metavar="S", help="Weights, order and dropout come from it.  [default: 0]")
@click.option("--tensorboard", is_flag=True, help="Write curves and samples for TensorBoard, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with `event`.")
def command(
    corpus: tuple[str, ...],
    out: str | None,
    preset: str,
    resume: str | None,
    overwrite: bool,
    config: str | None,
    sets: tuple[str, ...],
    tensorboard: bool,
    as_json: bool,
    **flags: Any,
) -> None:
    """Train on CORPUS: files, folders, patterns, - for standard input, or names that `data list` lists.

    Without CORPUS the text is python-docs, the language reference that Python itself carries. Ctrl-C
    ends it and keeps the best model so far.
    """
    import os

    from charloom import job as jobs
    from charloom import run as runs
    from charloom import settings
    from charloom.errors import UsageError

    if overwrite and out is None:
        raise UsageError("--overwrite replaces the run at --out; say which")
    given = by_section(flags)
    run = None
    if not jobs.here().leads:  # rank 0 says what is trained, and how
        click.get_current_context().exit(follow(settings.resolve(), as_json)[0])
    if resume is not None:
        _check_resume(corpus, out, preset, config, sets, flags)
        run = runs.newest() if resume == NEWEST else Path(resume)
        config = str(runs.config_of(run))
    chosen = settings.resolve(
        preset=preset,
        corpus=corpus,
        file=Path(config) if config else None,
        environment={} if run else os.environ,
        sets=sets,
        flags=given,
    )
    code, _ = follow(
        chosen,
        as_json,
        tensorboard,
        out=Path(out) if out else None,
        overwrite=overwrite,
        resume=run,
        more=any(flags.get(name) for name in settings.BUDGETS),
    )
    click.get_current_context().exit(code)


def follow(
    chosen: Settings, as_json: bool = False, tensorboard: bool = False, **options: Any
) -> tuple[int, Path | None]:
    """Train, and show it as it goes: exit code and run folder. Options are those of `api.training`."""
    from charloom import api, job
    from charloom.cli.bar import Bar
    from charloom.cli.events import stopped
    from charloom.cli.model import tell_compilation
    from charloom.cli.signals import CLOSED, Signals
    from charloom.errors import in_shell
    from charloom.training.events import Finished, Started

    if tensorboard:
        from charloom.cli.tensorboard import Board, require

        require()
    run = None
    with contextlib.ExitStack() as stack:
        here = job.here()
        signals = stack.enter_context(Signals(patient=bool(here.name)))
        bar = stack.enter_context(Bar(shown=here.leads))
        options |= {"stdin": sys.stdin.buffer, "stop": signals.reason, "progress": bar.read}
        views: list[Any] = []
        for event in stack.enter_context(contextlib.closing(api.training(chosen, **options))):
            if isinstance(event, api.Prepared) and here.leads:
                run = event.run
                bar.stop()
                tell_compilation()
                views.append(stack.enter_context(_view(as_json)))
                if tensorboard:
                    logs = in_shell(event.run)
                    click.echo(f"charloom: tensorboard --logdir {logs} shows its curves", err=True)
                    views.append(stack.enter_context(Board(event.run)))
            elif isinstance(event, Started):
                signals.training = True  # from here on a signal means a checkpoint
            for view in views:
                with signals.output():
                    view.take(event)
            if isinstance(event, Finished) and event.reason == CLOSED:
                click.echo(f"charloom: {stopped(event, str(run))}", err=True)
        return signals.exit_code(), run


def _check_resume(
    corpus: tuple[str, ...],
    out: str | None,
    preset: str,
    config: str | None,
    sets: tuple[str, ...],
    flags: dict[str, Any],
) -> None:
    """A run goes on as it was started; raises UsageError for what would change it."""
    from charloom.errors import UsageError

    allowed = ("minutes", "epochs", "steps", "device")
    named = {"CORPUS": corpus, "--out": out, "--preset": preset, "--config": config, "--set": sets}
    named |= {f"--{name}": value for name, value in flags.items() if name not in allowed}
    named["--from"] = named.pop("--start")
    if wrong := [name for name, value in named.items() if value not in (None, "", ())]:
        raise UsageError(f"--resume goes on with a run as it was started; leave {' and '.join(wrong)} out")


def _view(as_json: bool) -> Any:
    from charloom.cli import events
    from charloom.cli.terminal import can_redraw

    if as_json:
        return events.Lines()
    if can_redraw(sys.stdout):
        from charloom.cli.live import Live

        return Live()
    return events.Plain()
