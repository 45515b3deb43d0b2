"""What a text is given on the command line: labels, arrays, a source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charloom.cli.model import visible
from charloom.errors import UsageError

if TYPE_CHECKING:
    from charloom.cli.options import Command
    from charloom.model.folder import Model
    from charloom.runtime.sample import Given
    from charloom.text.condition import Condition

NAMED = 8  # characters that are told at most
FARTHER = 2  # times the longest source that was learned; what is longer is told
GIVEN = (
    click.option("--condition", metavar="VALUE", help="What the text is to be: a label, or NAME=VALUE,…"),
    click.option(
        "--condition-array",
        "arrays",
        multiple=True,
        metavar="FILE",
        help="The same for an array, from a .npy file; or NAME=FILE.",
    ),
)


ESCAPE = re.compile(r"\\([ntr\\])")
ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}


def unescaped(model: Model, option: str, text: str) -> str:
    r"""Return what was typed with \n, \t, \r and \\ as the characters that they stand for, as in llama.cpp.

    Where the model knows backslashes, as one of TeX does, it may be meant otherwise, which is said on
    standard error. Raises UsageError for what is not UTF-8.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"{option}: character {error.start} is not UTF-8; use a terminal that is") from None
    found = ESCAPE.sub(lambda match: ESCAPED[match[1]], text)
    if found != text and "\\" in model.vocabulary.places:
        shown = next(match[0] for match in ESCAPE.finditer(text))
        click.echo(f"charloom: {option}: {shown} is an escape; double a backslash that is meant", err=True)
    return found


def escaped(text: str) -> str:
    """Return the text that `unescaped` turns into this one."""
    for name, character in reversed(ESCAPED.items()):
        text = text.replace(character, f"\\{name}")
    return text


def given_options(command: Command) -> Command:
    """Add them to a command."""
    for option in reversed(GIVEN):
        command = option(command)
    return command


def beginnings(
    model: Model, prompt: str, condition: str | None, arrays: Sequence[str], each: str | None, source: str
) -> list[Given]:
    """What the texts go on from, one for every label of `each`, if that is asked for; raises UsageError."""
    from charloom.runtime.sample import Given

    conditions = model.config.conditions
    common = asked(conditions, condition, arrays)
    if each is None:
        return [Given(prompt, common, source)]
    values = {known.name: known.values for known in conditions if known.kind == "label"}
    if each not in values:
        there = f"there are {', '.join(values)}" if values else "it was trained without any"
        raise UsageError(f"--each {each}: the model has no labels of this name; {there}")
    if each in common:
        raise UsageError(f"--each {each} and --condition {each} exclude each other; leave one out")
    return [Given(prompt, {**common, each: value}, source) for value in values[each]]


def tell(model: Model, given: Given) -> None:
    """Say on standard error what is not given, and what was never learned."""
    missing = [known.name for known in model.config.conditions if known.name not in given.condition]
    if missing:
        click.echo(f"charloom: {' and '.join(missing)} not given, so the text may be of any", err=True)
    for what, text in (("prompt", given.prompt), ("source", given.source)):
        tell_unknown(model, what, text)
    longest = model.provenance.get("longest_source", len(given.source))
    if len(given.source) > FARTHER * longest:
        told = f"the source has {len(given.source):,} characters, and the longest learned {longest:,}"
        click.echo(f"charloom: {told}; what comes of it is a guess", err=True)


def tell_unknown(model: Model, what: str, text: str) -> None:
    """Say on standard error which characters of a text the model has never met."""
    if unknown := model.unknown(text):
        more = f" and {len(unknown) - NAMED} more" if len(unknown) > NAMED else ""
        shown = visible(" ".join(unknown[:NAMED])) + more
        them = "them" if unknown[1:] else "it"
        click.echo(
            f"charloom: the model has never met {shown} of the {what}, and reads bytes for {them}", err=True
        )


def asked(conditions: Sequence[Condition], text: str | None, arrays: Sequence[str]) -> dict[str, Any]:
    """What these options ask for, by the names of the conditions; raises UsageError."""
    found: dict[str, Any] = {}
    for kind, pairs in (("label", _pairs(conditions, text)), ("array", map(_named_file, arrays))):
        for name, value in pairs:
            if not name:
                name = _only(conditions, kind, value)
            if name in found:
                raise UsageError(f"condition {name}: it is given twice; leave one out")
            found[name] = value if kind == "label" else _array(value)
    return found


def _pairs(conditions: Sequence[Condition], text: str | None) -> list[tuple[str, str]]:
    """NAME=VALUE,NAME=VALUE, where values may hold commas; or one bare value, with no name."""
    if text is None:
        return []
    values = {value for condition in conditions for value in condition.values}
    names = "|".join(re.escape(condition.name) for condition in conditions) or "(?!)"
    if text in values or "=" not in text:
        return [("", text)]
    begins = [*re.finditer(rf"(?:^|,)({names})=", text)]
    if not begins or begins[0].start():
        name, _, value = text.partition("=")
        return [(name, value)]
    ends = [*(begin.start() for begin in begins[1:]), len(text)]
    return [(begin[1], text[begin.end() : end]) for begin, end in zip(begins, ends, strict=True)]


def _only(conditions: Sequence[Condition], kind: str, value: str) -> str:
    names = [condition.name for condition in conditions if condition.kind == kind]
    if len(names) == 1:
        return names[0]
    if not conditions:
        raise UsageError("condition: the model was trained without any; leave it out")
    if not names:
        there = ", ".join(condition.name for condition in conditions)
        raise UsageError(f"condition {value}: the model has no {kind}, only {there}; leave it out")
    raise UsageError(f"condition {value}: there are {', '.join(names)}; say which, as {names[0]}={value}")


def _named_file(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    return (name, path) if equals and not Path(text).exists() else ("", text)


def _array(path: str) -> Any:
    import numpy as np

    try:
        return np.load(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, EOFError) as error:
        raise UsageError(f"{path}: is not a .npy file of numbers; save it with numpy.save") from error
