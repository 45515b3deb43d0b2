"""`charloom classify`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from charloom.cli.options import NAME, columns_of_another_text, encoding_of_another_text

if TYPE_CHECKING:
    from charloom.character_model import CharacterModel
    from charloom.insight.classify import Classified
    from charloom.verdict import Read

LEAST_TOLD = 0.001  # probabilities below it are not worth a reader's time


@click.command(short_help="Tell which label each text most likely has.")
@click.argument("model", type=NAME)
@click.argument("files", nargs=-1, type=NAME, metavar="[FILE]...")
@columns_of_another_text
@encoding_of_another_text
@click.option("--condition", default="", metavar="NAME", help="Which condition, where there are several.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a text, with every probability.")
def command(
    model: str, files: tuple[str, ...], columns: str, encoding: str, condition: str, as_json: bool
) -> None:
    """Classify each line of FILEs, or each row of tables, by the labels that MODEL was trained with.

    Without FILE: the test part of its own text, which it has not seen. Where the label is known, it is
    told how many were right. The labels' probabilities are Bayes' rule's, from how well each label
    predicts the text.
    """
    from itertools import tee

    from charloom.cli.model import model_and_files, open_model
    from charloom.insight.classify import condition_of

    model_and_files("classify", model, files, optional=False)
    loaded = open_model(model)
    name = condition_of(loaded.generator, condition).name
    right = counted = 0
    for batch in _batches(loaded, files, columns, encoding):
        texts, sources, rows = tee(batch, 3)
        classified = loaded.classify(
            (each.text for each in texts), condition=name, source=(each.source for each in sources)
        )
        for found, row in zip(classified, rows, strict=False):
            label = row.condition.get(name)
            _show(found, label, as_json)
            if label:
                counted += 1
                right += found.label == label
        sys.stdout.flush()
    if counted:
        click.echo(f"charloom: {right:,} of {counted:,} right, {_interval(right, counted)}", err=True)


def _batches(
    model: CharacterModel, files: tuple[str, ...], columns: str, encoding: str
) -> Iterator[Iterable[Read]]:
    """The texts with their sources, and their labels where they are known."""
    from charloom import verdict
    from charloom.cli.arriving import arriving
    from charloom.cli.bar import Bar

    assert model.path is not None
    if not files:
        with Bar() as bar:
            yield verdict.rows(
                verdict.own_text(model.path, model.model, "test", progress=bar.read), model.model
            )
        return
    verdict.require_sources(model.model, files)
    for _, arrives, read in verdict.texts(
        model.path,
        model.model,
        files,
        columns=columns,
        encoding=encoding,
        stdin=sys.stdin.buffer,
        warn=lambda message: click.echo(f"charloom: {message}", err=True),
    ):
        yield from arriving(read) if arrives else [read]


def _show(found: Classified, label: str | None, as_json: bool) -> None:
    import json

    from charloom.cli.model import visible
    from charloom.cli.terminal import is_terminal

    if as_json:
        record: dict[str, Any] = {"text": found.text, "label": found.label}
        record |= {"probabilities": dict(found.probabilities)} | ({"known": label} if label else {})
        click.echo(json.dumps(record))
        return
    text = visible(found.text) if is_terminal(sys.stdout) else found.text
    told = ", ".join(
        f"{name} {chance:.1%}" for name, chance in found.probabilities.items() if chance >= LEAST_TOLD
    )
    click.echo(f"{told}\t{text}")


def _interval(right: int, counted: int) -> str:
    """The share and where 95 % of such samples would put it (Wilson, 1927)."""
    share, z = right / counted, 1.96
    middle = (share + z * z / (2 * counted)) / (1 + z * z / counted)
    spread = z * (share * (1 - share) / counted + (z / (2 * counted)) ** 2) ** 0.5 / (1 + z * z / counted)
    return f"{share:.1%} (95 %: {middle - spread:.1%} to {middle + spread:.1%})"
