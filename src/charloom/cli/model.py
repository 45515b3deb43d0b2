"""The model that a command works on."""

from __future__ import annotations

import click

from charloom import api
from charloom import run as runs
from charloom.api import CharacterModel


def open_model(name: str | None, precision: str = "float32") -> CharacterModel:
    """The model in the folder `name`, or the newest run, which is then named on standard error."""
    if name is None:
        newest = runs.newest()
        click.echo(f"charloom: using {newest}, the newest run", err=True)
        return api.load(newest, precision=precision)
    return api.load(name, precision=precision)
