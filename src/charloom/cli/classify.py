"""`charloom classify`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from charloom.cli.options import columns_of_another_text
from charloom.errors import DataError

if TYPE_CHECKING:
    from charloom.character_model import CharacterModel
    from charloom.insight.classify import Classified

LEAST_TOLD = 0.001  # probabilities below it are not worth a reader's time


@click.command(short_help="Tell which label each text most likely has.")
@click.argument("model")
@click.argument("files", nargs=-1, metavar="[FILE]...")
@columns_of_another_text
@click.option("--condition", default="", metavar="NAME", help="Which condition, where there are several.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a text, with every probability.")
def command(model: str, files: tuple[str, ...], columns: str, condition: str, as_json: bool) -> None:
    """Classify each line of FILEs, or each row of tables, by the labels that MODEL was trained with.

    Without FILE: the test part of its own text, which it has not seen. Where the label is known, it is
    told how many were right. The labels' probabilities are Bayes' rule's, from how well each label
    predicts the text.
    """
    from charloom.cli.model import open_model
    from charloom.insight.classify import condition_of

    loaded = open_model(model)
    name = condition_of(loaded.generator, condition).name
    texts, sources, known = _texts(loaded, files, columns, name)
    right = counted = 0
    for found, label in zip(loaded.classify(texts, condition=name, source=sources), known, strict=False):
        _show(found, label, as_json)
        if label:
            counted += 1
            right += found.label == label
    if counted:
        click.echo(f"charloom: {right:,} of {counted:,} right, {_interval(right, counted)}", err=True)


def _texts(
    model: CharacterModel, files: tuple[str, ...], columns: str, name: str
) -> tuple[Iterable[str], Iterable[str], Iterable[str | None]]:
    """The texts, the source of each (empty where there are none), and its label where it is known."""
    from itertools import repeat

    from charloom import verdict
    from charloom.cli.bar import Bar

    assert model.path is not None
    translates = model.model.vocabulary.sep is not None  # a line has no source, which `other_text` says
    if files and not translates and not any(map(verdict.is_table, files)):
        return _lines(files), repeat(""), repeat(None)
    with Bar() as bar:
        if files:
            try:
                text = verdict.other_text(model.path, model.model, files, columns=columns, progress=bar.read)
            except DataError:  # without labels, or with too few of them, there are still texts
                text = verdict.other_text(
                    model.path, model.model, files, columns=columns, labelled=False, progress=bar.read
                )
        else:
            text = verdict.own_text(model.path, model.model, "test", progress=bar.read)
    conditions = model.model.config.conditions
    if not text.part.labels.shape[1]:
        return text.part.texts(), text.part.sources(), repeat(None)
    labels = (text.part.condition(conditions, i).get(name) for i in range(len(text.part.labels)))
    return text.part.texts(), text.part.sources(), labels


def _lines(files: Iterable[str]) -> Iterator[str]:
    for name in files:
        with click.open_file(name, "rb") as file:
            for line in file:
                yield line.decode("utf-8", "replace").rstrip("\r\n")


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
