"""`charloom eval`."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

import click

from charloom.cli.options import COUNT, NAME, columns_of_another_text, encoding_of_another_text
from charloom.cli.terminal import console, is_terminal

if TYPE_CHECKING:
    from charloom.verdict import Text, Verdict


@click.command(short_help="Measure how well a model predicts text.")
@click.argument("model", required=False, type=NAME)
@click.argument("files", nargs=-1, type=NAME, metavar="[FILE]...")
@click.option(
    "--part",
    type=click.Choice(["test", "validation", "train"]),
    help="Which part of the text it was trained on.  [default: test]",
)
@columns_of_another_text
@encoding_of_another_text
@click.option("--dynamic", is_flag=True, help="Score also a copy of the model that learns what it has read.")
@click.option("--exact", is_flag=True, help="Read a long text as one stream: slow.  [default: in pieces]")
@click.option("--limit", type=COUNT, metavar="N", help="Score the first N characters only.")
@click.option("--against", type=NAME, metavar="MODEL", help="Compare with another model on the same text.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def command(
    model: str | None,
    files: tuple[str, ...],
    part: Any,
    columns: str,
    encoding: str,
    dynamic: bool,
    exact: bool,
    limit: int | None,
    against: str | None,
    as_json: bool,
) -> None:
    """Score MODEL, a run folder, on the part of its text that was held out, or on FILEs as a whole.

    The score is the mean loss a character, beside what simpler models pay for the same text; lower is
    better. Without MODEL it is that of the newest run. A long text is read in pieces side by side, each
    after the 256 characters before it.
    """
    import json

    from charloom import api, reporting, verdict
    from charloom.cli.bar import Bar
    from charloom.cli.model import model_and_files, open_model
    from charloom.errors import UsageError

    model, files = model_and_files("eval", model, files)
    if part and files:
        raise UsageError("a FILE is scored whole, so it has no --part; leave one of them out")
    loaded = open_model(model)
    other = api.load(against) if against is not None else None
    assert loaded.path is not None
    with Bar() as bar:
        if files:
            stdin = sys.stdin.buffer
            text = verdict.other_text(
                loaded.path,
                loaded.model,
                files,
                columns=columns,
                encoding=encoding,
                stdin=stdin,
                progress=bar.read,
            )
        else:
            text = verdict.own_text(loaded.path, loaded.model, part or "test", progress=bar.read)
        found = verdict.judge(
            loaded.generator, text, limit=limit, exact=exact, dynamic=dynamic, progress=bar.show
        )
        compared = None
        if other is not None:
            compared = reporting.compared(
                loaded.generator,
                other.generator,
                text,
                (str(loaded.path), str(other.path)),
                limit,
                exact=exact,
                progress=lambda share: bar.show("reading with both models", share),
            )
    if as_json:
        record = _record(str(loaded.path), text, found)
        click.echo(json.dumps(record | ({"against": compared.to_json()} if compared else {})))
        return
    held = "which it was TRAINED on" if text.seen else "which it was not trained on"
    click.echo(f"{loaded.path} on {text.name}, {found.evaluation.characters:,} characters, {held}")
    _show(found)
    for sentence in found.advice + ([compared.verdict] if compared else []):
        click.echo(sentence)


def _record(path: str, text: Text, found: Verdict) -> dict[str, Any]:
    return {
        "model": path,
        "text": text.name,
        "trained_on": text.seen,
        **found.evaluation.to_json(),
        "baselines": [baseline.to_json() for baseline in found.baselines],
        "advice": found.advice,
    }


def _show(found: Verdict) -> None:
    """A table in a terminal, lines in a pipe."""
    rows = [
        (name, measure.nats, measure.bits_per_character, _interval(measure.interval))
        for name, measure in (
            ("this model, exact" if found.evaluation.exact else "this model", found.evaluation.carried),
            ("this model, cold 256", found.evaluation.cold_256),
            ("this model, learning", found.evaluation.dynamic),
        )
        if measure is not None
    ]
    rows += [(each.name, each.nats, each.bits_per_character, "") for each in found.baselines]
    if not is_terminal(sys.stdout):
        for name, nats, bits, interval in rows:
            within = interval and f" (95 %: {interval})"
            click.echo(f"{name:<22}{nats:.4f} nats  {bits:.4f} bits a character{within}")
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for head in ("nats a character", "bits a character", "95 % of the bits"):
        table.add_column(head, justify="right")
    for name, nats, bits, interval in rows:
        style = "bold" if name == rows[0][0] else None
        table.add_row(name, f"{nats:.4f}", f"{bits:.4f}", interval, style=style)
    console(sys.stdout).print(table)


def _interval(nats: tuple[float, float]) -> str:
    low, high = (value / math.log(2) for value in nats)
    return f"{low:.4f} to {high:.4f}"
