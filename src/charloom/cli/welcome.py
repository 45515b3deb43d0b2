"""`charloom` alone, in a terminal: for somebody who has a text and never used a command."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

GREETING = """\
charloom learns how a text is written, and then writes with you.

It wants a text of yours, as a plain text file (.txt), the longer the better. Nothing leaves this computer.
"""
MINUTES = 5.0  # long enough for a readable model of a book, short enough to wait for


def welcome() -> int:
    """Ask for a text and for minutes, train, and write together; the exit code."""
    from charloom import api, settings
    from charloom.cli.play import play
    from charloom.cli.train import follow

    click.echo(GREETING)
    text = _ask_text()
    minutes = _ask_minutes()
    click.echo("\nYou can stop earlier with Ctrl-C: the best so far is kept.\n")
    code, run = follow(settings.resolve(corpus=text, flags={"train": {"minutes": minutes}}))
    if code or run is None:
        return code
    click.echo("\nNow write together with it. The next time, start with: charloom play\n")
    play(api.load(run), temperature=0.8, seed=0)
    return 0


def _ask_text() -> list[str]:
    """The path that was typed or dragged into the window; nothing means the text that Python brings."""
    while True:
        answer = click.prompt(
            "Drag the file into this window, or type its name (nothing: a text that comes with Python)",
            default="",
            show_default=False,
        )
        path = dragged(answer)
        if not path:
            return []
        if Path(path).exists():
            return [path]
        click.echo(f"There is no file {path}; try again.")


def _ask_minutes() -> float:
    while True:
        minutes: float = click.prompt("How many minutes may it learn?", type=float, default=MINUTES)
        if minutes > 0:
            return minutes
        click.echo("A number above 0, please.")


def dragged(answer: str) -> str:
    """A path as terminals paste it: quoted, or with escaped spaces, or as it is."""
    answer = answer.strip()
    if Path(answer).exists():
        return answer
    try:
        return " ".join(shlex.split(answer))
    except ValueError:  # a quotation mark without its partner
        return answer
