"""`charloom report`."""

from __future__ import annotations

from pathlib import Path

import click

from charloom.cli.options import NAME


@click.command(short_help="Tell on one page what a run is worth.")
@click.argument("runs", nargs=-1, type=NAME, metavar="[RUN]...")
@click.option(
    "--out",
    type=NAME,
    metavar="F",
    help="The page.  [default: report.html in the run, comparison.html for several]",
)
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object; no page is written.")
def command(runs: tuple[str, ...], out: str | None, as_json: bool) -> None:
    """Write a page on RUN: how good it is, compared with what, and what to do next.

    With the curves, samples, temperatures, hardest passages, calibration, what it copied, and what its
    hidden units stand for. Several RUNs are held against each other. Without RUN it is the newest one's.
    """
    import json

    from charloom import reporting, run
    from charloom.cli.bar import Bar
    from charloom.cli.model import open_model, replaceable
    from charloom.insight.report import sentences

    if out:
        replaceable(Path(out), ".html")
    models = [open_model(name) for name in runs or (None,)]
    reports = []
    with Bar() as bar:
        for model in models:
            assert model.path is not None
            reports.append(reporting.gathered(model.path, model.generator, bar.show))
        bar.show("comparing", None)
        verdicts = reporting.verdicts([(str(model.path), model.generator) for model in models])
    if as_json:
        found = [report.to_json() for report in reports]
        told = (
            found[0] if len(found) == 1 else {"runs": found, "pairs": [each.to_json() for each in verdicts]}
        )
        click.echo(json.dumps(told))
        return
    path = models[0].path
    assert path is not None
    page = Path(out) if out else (path / run.PAGE if len(reports) == 1 else Path("comparison.html"))
    reporting.written(reports, verdicts, page)
    for sentence in sentences(reports[0]) if len(reports) == 1 else [each.verdict for each in verdicts]:
        click.echo(sentence)
    for report in reports:
        for missing in report.missing:
            click.echo(f"charloom: {missing}", err=True)
    click.echo(f"page    {page}")
