"""`charloom train`."""

from __future__ import annotations

from typing import Any

import click

SECTION = {  # of each flag that is a setting
    "documents": "data",
    "unit": "data",
    "fractions": "data",
    "validation": "data",
    "text": "data",
    "encoding": "data",
    "normalize": "data",
    "cell": "model",
    "layers": "model",
    "hidden": "model",
    "minutes": "train",
    "epochs": "train",
    "steps": "train",
    "device": "train",
    "seed": "train",
}


@click.command(short_help="Train a model on a text.")
@click.argument("corpus", nargs=-1)
@click.option("--out", type=click.Path(), help="Run folder; must not exist.  [default: runs/NAME]")
@click.option("--minutes", type=float, help="Train so many minutes.  [default: 5]")
@click.option("--epochs", type=float, help="Train so many times through the text.")
@click.option("--steps", type=int, help="Train so many steps.")
@click.option("--preset", default="", help="auto, lesson, tiny, small, base or large.  [default: auto]")
@click.option("--cell", type=click.Choice(["lstm", "gru", "rnn"]), help="Kind of recurrent cell.")
@click.option("--layers", type=int, help="Recurrent layers.")
@click.option("--hidden", type=int, help="Hidden units a layer.  [default: what the budget can train]")
@click.option(
    "--documents",
    type=click.Choice(["auto", "whole", "line", "blank"]),
    help="One whole text, a document a line, or documents between blank lines.  [default: a guess, told]",
)
@click.option("--unit", type=click.Choice(["char", "byte"]), help="What an id stands for.")
@click.option("--text", metavar="COLUMN,…", help="Columns of a table that hold the text.")
@click.option(
    "--fractions", metavar="A/B/C", help="Percent to train on, validate on, test on.  [default: 90/5/5]"
)
@click.option("--validation", metavar="FILE", help="Validate on this text instead of a part.")
@click.option("--encoding", metavar="E", help="Encoding of the files.  [default: utf-8]")
@click.option("--normalize", type=click.Choice(["nfc", "none"]), help="Unicode form and line ends.")
@click.option("--resume", is_flag=False, flag_value="newest", metavar="[RUN]", help="Go on with a run.")
@click.option("--overwrite", is_flag=True, help="Replace the run in --out.")
@click.option("--config", type=click.Path(), metavar="FILE", help="Settings from a TOML file.")
@click.option("--set", "sets", multiple=True, metavar="section.key=value", help="Any other setting.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="Where to train.")
@click.option("--seed", type=int, help="Weights, order and dropout come from it.  [default: 0]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with `event`.")
def command(
    corpus: tuple[str, ...],
    out: str | None,
    preset: str,
    resume: str | None,
    overwrite: bool,
    config: str | None,
    sets: tuple[str, ...],
    as_json: bool,
    **flags: Any,
) -> None:
    """Train on CORPUS: files, folders, patterns, - for standard input, or names of the catalog.

    Without CORPUS the text is python-docs, the language reference that Python itself carries. Ctrl-C
    keeps the best model so far.
    """
    import os
    import sys
    from pathlib import Path

    from charloom import api, settings
    from charloom import run as runs
    from charloom.cli.progress import Signals, show
    from charloom.errors import UsageError

    given: dict[str, dict[str, Any]] = {}
    for name, value in flags.items():
        if value is not None:
            given.setdefault(SECTION[name], {})[name] = value
    run = None
    if resume is not None:
        if corpus or out or preset or config:
            raise UsageError(
                "--resume goes on with a run as it was started; leave CORPUS, --out, --preset and --config out"
            )
        run = runs.newest() if resume == "newest" else Path(resume)
        config = str(run / runs.CONFIG)
    chosen = settings.resolve(
        preset=preset,
        corpus=corpus,
        file=Path(config) if config else None,
        environment=os.environ,
        sets=sets,
        flags=given,
    )
    more = any(given.get("train", {}).get(name) for name in settings.BUDGETS)
    with Signals() as signals:
        events = api.training(
            chosen,
            out=Path(out) if out else None,
            overwrite=overwrite,
            resume=run,
            more=more,
            stdin=sys.stdin.buffer,
            stop=signals.reason,
            progress=signals.watch,
        )
        code = show(events, as_json, signals)
    click.get_current_context().exit(code)
