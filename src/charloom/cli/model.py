"""The model that a command works on, and its text on a terminal."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from charloom.character_model import CharacterModel

PICTURES = 0x2400  # where Unicode's pictures of the control characters begin


def open_model(name: str | None, precision: str = "float32") -> CharacterModel:
    """The model in the folder `name`, or the newest run, which is then named on standard error."""
    from charloom import api
    from charloom import run as runs

    tell_compilation()
    if name is None:
        newest = runs.newest()
        click.echo(f"charloom: using {newest}, the newest run", err=True)
        return api.load(newest, precision=precision)
    return api.load(name, precision=precision)


def model_and_files(
    command: str, model: str | None, files: tuple[str, ...], *, optional: bool = True
) -> tuple[str | None, tuple[str, ...]]:
    """Return what `MODEL [FILE]...` stands for: where the first is a file, MODEL is the newest run.

    Raises UsageError where there is none, or MODEL is not `optional`.
    """
    from charloom import run as runs
    from charloom.errors import ModelError, UsageError, in_shell

    if model is None or Path(model).is_dir() or not (model == "-" or Path(model).exists()):
        return model, files
    try:
        if not optional:
            raise ModelError
        runs.newest()
    except ModelError:
        words = " ".join(map(in_shell, (model, *files)))
        raise UsageError(
            f"{model}: is a file, not a model folder; name the model first: charloom {command} MODEL {words}"
        ) from None
    return None, (model, *files)


def tell_compilation() -> None:
    """Say so where the first text has to wait for a compiler."""
    from charloom import compiled

    compiled.on_compile[:] = [lambda: click.echo("charloom: compiling, this once", err=True)]


def visible(text: str) -> str:
    """Control characters as pictures, so that a text cannot steer the terminal it is shown in."""
    return "".join(_pictured(character) for character in text)


def _pictured(character: str) -> str:
    if character in "\n\t" or unicodedata.category(character) != "Cc":
        return character
    return chr(PICTURES + ord(character)) if ord(character) < 32 else "\N{REPLACEMENT CHARACTER}"


def replaceable(out: Path, ending: str) -> None:
    """Raises UsageError for a file that is there with another ending: it may be somebody's text; RunError
    where nothing can be written.
    """
    from charloom.errors import UsageError
    from charloom.system.files import require_place

    if out.is_file() and out.suffix.lower() != ending:
        raise UsageError(f"{out}: exists and does not end in {ending}; choose another --out")
    require_place(out)
