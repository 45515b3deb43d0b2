"""How a text is read: the options that `train` and `data inspect` share, and those that judge a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

Command = Callable[..., Any]


class Name(click.ParamType):  # type: ignore[type-arg]
    """The name of a file, folder, model or text; an unset shell variable gives an empty one."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what is empty, which `Path` takes for the current folder."""
        if not str(value).strip():
            self.fail("it is empty; give a name", param, ctx)
        return str(value)


class Count(click.ParamType):  # type: ignore[type-arg]
    """How many: a whole number of at least 1 that 32 bits hold."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Refuse what is not a number or out of range."""
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number", param, ctx)
        if not 1 <= number < 2**31:
            self.fail(f"{value} is out of range; it takes a whole number from 1 to {2**31 - 1:,}", param, ctx)
        return number


NAME = Name()
COUNT = Count()
ABOVE_ZERO = click.FloatRange(min=0, min_open=True)

columns_of_another_text = click.option(
    "--text", "columns", default="", metavar="COLUMN,…", help="Columns of a table that hold the text."
)
encoding_of_another_text = click.option(
    "--encoding",
    default="",
    metavar="E",
    help="How the files are encoded.  [default: UTF-8, else as the model's own text]",
)

DATA = (
    click.option(
        "--documents",
        type=click.Choice(["auto", "whole", "line", "blank"]),
        help="One whole text, a document a line, or documents between empty lines.  [default: a guess, told]",
    ),
    click.option(
        "--unit",
        type=click.Choice(["char", "byte"]),
        help="What an id stands for; byte takes any file as it is.  [default: char]",
    ),
    click.option(
        "--text",
        metavar="COLUMN,…",
        help='Columns of a table that hold the text, by name or by number from 0.  [default: "text"]',
    ),
    click.option(
        "--condition",
        metavar="COLUMN,…",
        help="Labels or arrays that the text depends on: columns, or names in an .npz beside the file; "
        "none: ag_news without its classes.",
    ),
    click.option(
        "--source", metavar="COLUMN", help="The text that the text is a translation of, or an answer to."
    ),
    click.option(
        "--delimiter",
        metavar="D",
        help="Separator of the columns of a .csv or .tsv.  [default: recognized from the header]",
    ),
    click.option(
        "--fractions",
        metavar="A/B/C",
        help="Percent of the text to train on, to validate with, to test with.  [default: 90/5/5]",
    ),
    click.option("--validation", type=NAME, metavar="FILE", help="Validate with this text, not a part."),
    click.option("--encoding", metavar="E", help="How the files are encoded.  [default: utf-8]"),
    click.option(
        "--normalize",
        type=click.Choice(["nfc", "none"]),
        help="One way to write é, one kind of line end; or every byte kept.  [default: nfc]",
    ),
)


def data_options(command: Command) -> Command:
    """Add them to a command."""
    for option in reversed(DATA):
        command = option(command)
    return command


def by_section(flags: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The flags that were given, by the section of the settings that they belong to."""
    from charloom import settings

    given: dict[str, dict[str, Any]] = {}
    for name, value in flags.items():
        if value is not None:
            given.setdefault(settings.section_of(name), {})[name] = value
    return given
