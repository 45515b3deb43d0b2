"""`charloom play`: writing together, line by line, in a terminal or over a pipe."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charloom.cli.given import tell_unknown
from charloom.cli.model import visible
from charloom.cli.options import NAME
from charloom.cli.terminal import styled

if TYPE_CHECKING:
    from charloom.character_model import CharacterModel

HELP = """\
  1 … 5          take that continuation
  any text       add it as it stands (begin with a space to begin a new word)
  Enter          let the model write on, to the end of a sentence
  /run 300       let it write so many characters
  /new           end this line
  /undo          take the last step back
  /temperature T how freely it writes; 0 is greedy
  /text          show the whole text
  /help, /quit"""

OFFERED = 5
SHOWN = 600  # characters of the text before the choices
STRETCH = 200  # characters that Enter lets it write, at most
ENDS = (". ", "? ", "! ", ".\n", "?\n", "!\n", "\n\n")


@click.command(short_help="Write together with a model.")
@click.argument("model", required=False, type=NAME)
@click.option("--temperature", type=float, default=0.8, help="How freely it writes.  [default: 0.8]")
@click.option("--seed", type=int, default=0, help="Other seeds write other texts.  [default: 0]")
@click.option("--file", "path", type=NAME, help="Where the text is kept.  [default: play.txt in MODEL]")
def command(model: str | None, temperature: float, seed: int, path: str | None) -> None:
    """Write with MODEL: see how it would go on, pick, type, let it run, undo.

    The text is saved after every step, and the next time you go on where you stopped.
    """
    from charloom.cli.model import open_model

    play(open_model(model), temperature=temperature, seed=seed, path=Path(path) if path else None)


def play(model: CharacterModel, *, temperature: float, seed: int, path: Path | None = None) -> None:
    """The conversation, until /quit or the end of the input. Raises RunError where it cannot be saved."""
    assert model.path is not None
    story = Story(model, path or model.path / "play.txt", temperature, seed)
    click.echo(f"Your text is kept in {story.path}\n{HELP}")
    while True:
        story.show()
        try:
            line = input("> ").encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        except (EOFError, KeyboardInterrupt):
            line = "/quit"
        if line.strip() == "/quit":
            click.echo(f"\nKept in {story.path}")
            return
        story.take(line)


class Story:
    """The text, its history, and what the model offers next."""

    def __init__(self, model: CharacterModel, path: Path, temperature: float, seed: int) -> None:
        from charloom.system.files import require_place
        from charloom.verdict import whole_text

        require_place(path)
        self.path = path
        self._model = model
        self._temperature = model.settings(temperature=temperature, seed=seed).temperature
        self._seed = seed
        assert model.path is not None
        self._steps = [whole_text(model.path, model.model, path) if path.is_file() else ""]
        self._offers: list[str] = []

    @property
    def text(self) -> str:
        """All that was written."""
        return self._steps[-1]

    def show(self) -> None:
        """The end of the text, and the likeliest continuations."""
        from charloom.runtime.continuations import continuations

        click.echo("\n" + styled("─" * 60, dim=True))
        click.echo(("…" if len(self.text) > SHOWN else "") + visible(self.text[-SHOWN:]))
        self._offers = []
        if self._can_begin():
            found = continuations(self._model.generator, self._model.generator.prime(self.text), OFFERED)
            self._offers = [offer.text for offer in found]
            for number, offer in enumerate(found, 1):
                click.echo(f"  {number}  {offer.probability:4.0%}  {on_one_line(offer.text)}")

    def take(self, line: str) -> None:
        """Do what the line says, and save."""
        name, _, argument = line.strip().partition(" ")
        if line.strip() in map(str, range(1, len(self._offers) + 1)):
            self._add(self._offers[int(name) - 1])
        elif line == "":
            self._write(STRETCH, sentence=True)
        elif not name.startswith("/"):
            tell_unknown(self._model.model, "text", line)
            self._add(line)
        elif name == "/run":
            self._run(argument)
        elif name == "/new":
            self._add("\n")
        elif name == "/undo":
            self._undo()
        elif name == "/temperature":
            self._set_temperature(argument)
        elif name == "/text":
            click.echo(visible(self.text))
        else:
            click.echo(HELP)

    def _can_begin(self) -> bool:
        return bool(self.text) or self._model.model.vocabulary.bos is not None

    def _add(self, more: str) -> None:
        self._steps.append(self.text + more)
        self._save()

    def _undo(self) -> None:
        if len(self._steps) == 1:
            click.echo("there is nothing to undo in this session")
            return
        self._steps.pop()
        self._save()

    def _write(self, length: int, *, sentence: bool = False) -> None:
        """Let the model write on; every step has its own stream, so that undo and again give other words."""
        from charloom.runtime.draw import MOST_SEED

        if not self._can_begin():
            click.echo("this model needs some text to begin with: type a few words")
            return
        self._seed = (self._seed + 1) % (MOST_SEED + 1)
        written = ""
        with contextlib.suppress(KeyboardInterrupt):  # what is written by then stays
            for piece in self._model.stream(
                self.text, length=length, temperature=self._temperature, seed=self._seed, ignore_eos=True
            ):
                written += piece
                if sentence and (cut := _sentence(written)):
                    written = written[:cut]
                    break
        self._add(written)

    def _run(self, argument: str) -> None:
        from charloom.errors import UsageError

        try:
            self._write(self._model.settings(length=int(argument or STRETCH)).length)
        except UsageError as error:
            click.echo(str(error))
        except ValueError:
            click.echo(f"{argument!r} is not a number of characters; try /run 300")

    def _set_temperature(self, argument: str) -> None:
        from charloom.errors import UsageError

        try:
            self._temperature = self._model.settings(temperature=float(argument)).temperature
        except UsageError as error:
            click.echo(str(error))
        except ValueError:
            click.echo(f"temperature {argument!r} is not a number; try /temperature 0.8")

    def _save(self) -> None:
        from charloom.system.files import replace_file

        replace_file(self.path, self.text.encode("utf-8", "backslashreplace"))


def on_one_line(text: str) -> str:
    """A piece with its line ends and tabs shown."""
    return visible(text).replace("\n", "⏎").replace("\t", "⇥")


def _sentence(text: str) -> int:
    """Where the first sentence in `text` ends; 0 if it does not."""
    ends = [text.find(end) + len(end) - 1 for end in ENDS if end in text]
    return min(ends, default=0)
