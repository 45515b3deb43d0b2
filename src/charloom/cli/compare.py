"""`charloom compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from charloom.cli.options import ABOVE_ZERO, COUNT, NAME

if TYPE_CHECKING:
    from charloom.comparison import Row

DEFAULT_MINUTES = 2.0  # a network: enough to tell small ones apart, and a dozen take less than half an hour

VARIED = {
    "model.cell": "--cells",
    "model.layers": "--layers",
    "model.hidden": "--hidden",
    "train.seed": "--seeds",
}


@click.command(short_help="Train several networks under one budget, side by side.")
@click.argument("corpus", nargs=-1, type=NAME)
@click.option("--cells", metavar="C,…", default="lstm", help="Of lstm, gru, rnn.  [default: lstm]")
@click.option("--layers", metavar="N,…", default="1", help="Recurrent layers.  [default: 1]")
@click.option("--hidden", metavar="N,…", default="128,256", help="Hidden sizes.  [default: 128,256]")
@click.option("--seeds", type=COUNT, metavar="N", default=1, help="Runs of each network.  [default: 1]")
@click.option("--minutes", type=ABOVE_ZERO, metavar="M", help="Train each for so many minutes.  [default: 2]")
@click.option("--steps", type=COUNT, metavar="N", help="Train each for so many steps instead.")
@click.option("--out", type=NAME, metavar="FOLDER", default="compare", help="Where.  [default: compare]")
@click.option("--set", "sets", multiple=True, metavar="section.key=value", help="Any other setting.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finished run.")
def command(
    corpus: tuple[str, ...],
    cells: str,
    layers: str,
    hidden: str,
    seeds: int,
    minutes: float | None,
    steps: int | None,
    out: str,
    sets: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train every cell × layers × hidden size × seed on CORPUS, and show what each reached.

    Finished runs in the folder are not trained again, and several of these commands on one folder share
    out the runs: start it in as many terminals, or jobs of a cluster, as you like.
    """
    import json
    import os
    import sys
    from dataclasses import asdict
    from itertools import product
    from pathlib import Path

    from charloom import comparison, settings
    from charloom.cli.bar import Bar
    from charloom.cli.events import clock
    from charloom.cli.signals import Signals
    from charloom.cli.terminal import is_terminal
    from charloom.errors import UsageError
    from charloom.system.files import link_target
    from charloom.training.events import Stepped

    shapes = [
        comparison.Shape(cell, depth, width)
        for cell, depth, width in product(
            cells.split(","), _numbers("layers", layers), _numbers("hidden", hidden)
        )
    ]
    for name in (each.partition("=")[0].strip() for each in sets):
        if name in VARIED:
            raise UsageError(f"--set {name}: compare varies it; use {VARIED[name]}")
    budget = {name: value for name, value in (("minutes", minutes), ("steps", steps)) if value is not None}
    budget = budget or {"minutes": DEFAULT_MINUTES}
    chosen = settings.resolve(corpus=corpus, environment=os.environ, sets=sets, flags={"train": budget})
    folder = link_target(Path(out))
    held, current = [], ""
    with Signals() as signals, Bar() as bar:
        for event in comparison.compare(
            chosen, shapes, range(seeds), folder, stop=signals.reason, progress=bar.read
        ):
            signals.training = True
            match event:
                case comparison.Begun():
                    current = event.name
                case Stepped():
                    share = event.seconds / max(event.seconds + event.remaining, 1e-9)
                    bar.show(f"{current}  loss {event.loss:.3f}", share)
                case comparison.Taken():
                    held.append(event.name)
                case comparison.Result() if as_json:
                    click.echo(json.dumps(asdict(event)))
                case comparison.Result() if not is_terminal(sys.stdout):
                    click.echo(
                        f"{event.shape} seed {event.seed}: held out {event.nats:.3f} nats "
                        f"after {clock(event.seconds)}"
                    )
        code = signals.exit_code()
    table = comparison.rows(comparison.results(folder))
    if table:
        comparison.draw(table, folder / "comparison.svg")
    if not as_json:
        _show(table)
        click.echo(f"\nPlot: {folder / 'comparison.svg'}" if table else "no run is finished yet")
    if held:
        click.echo(f"charloom: in other hands, hence not in the table: {', '.join(held)}", err=True)
    click.get_current_context().exit(code)


def _show(table: list[Row]) -> None:
    from charloom.comparison import COPIED

    copied_head = f"copied > {COPIED}"
    click.echo(
        f"{'network':<14}{'held out, nats':>18}{'parameters':>13}{'characters/s':>14}"
        f"{copied_head:>13}{'seeds':>7}"
    )
    for row in table:
        deviation = f" ± {row.deviation:.3f}" if row.seeds > 1 else ""
        copied = "–" if row.copied is None else f"{row.copied:.1%}"
        click.echo(
            f"{row.shape!s:<14}{f'{row.nats:.3f}{deviation}':>18}{row.parameters:>13,}{row.speed:>14,.0f}"
            f"{copied:>13}{row.seeds:>7}"
        )


def _numbers(name: str, text: str) -> list[int]:
    from charloom.errors import UsageError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"--{name} {text}: it takes whole numbers with commas between, such as 128,256"
        ) from None
