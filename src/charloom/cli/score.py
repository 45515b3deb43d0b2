"""`charloom score`."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from charloom.cli.given import asked, given_options, unescaped
from charloom.cli.options import NAME, columns_of_another_text, encoding_of_another_text

if TYPE_CHECKING:
    from charloom.character_model import CharacterModel
    from charloom.insight.score import Scored

COLOURS = (None, 229, 222, 215, 209, 196)  # of the terminal's 256, by level of surprise; from pale to red


class Found(NamedTuple):
    """A scored line or document, and where it stands: `number` from 1."""

    file: str
    number: int
    scored: Scored


@click.command(short_help="Tell how surprising each line is, and colour it.")
@click.argument("model", required=False, type=NAME)
@click.argument("files", nargs=-1, type=NAME, metavar="[FILE]...")
@click.option(
    "--documents",
    type=click.Choice(["line", "blank", "whole"]),
    help="Score each line, each paragraph, or each file.  [default: line; the rows of a table]",
)
@click.option("--sort", is_flag=True, help="The strangest first.")
@click.option(
    "--above",
    metavar="T",
    help="Only what is stranger than T bits, or, as p99.9, than 99.9 % of the held-out lines.",
)
@columns_of_another_text
@encoding_of_another_text
@given_options
@click.option("--source", default="", metavar="TEXT", help="The source that every text is read after.")
@click.option("--html", "page", type=NAME, metavar="F", help="Write a page instead.")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line, with each character's surprise."
)
def command(
    model: str | None,
    files: tuple[str, ...],
    documents: str | None,
    sort: bool,
    above: str | None,
    columns: str,
    encoding: str,
    condition: str | None,
    arrays: tuple[str, ...],
    source: str,
    page: str | None,
    as_json: bool,
) -> None:
    """Score FILEs, or standard input line by line, with MODEL, a model or run folder.

    FILEs are read as the text of the model was: also compressed ones, folders, and the rows of tables, with
    the labels and sources that they have.

    Told are the line's number, its strangeness (how far the surprise of its strangest stretch exceeds
    what the model expected), its bits a character, and the line. Each starts from a fresh state.
    Without MODEL it is the newest run's; - is standard input.
    """
    from pathlib import Path

    from charloom.cli.model import model_and_files, open_model, replaceable
    from charloom.errors import UsageError

    if page is not None and as_json:
        raise UsageError("--html and --json exclude each other; leave one of them out")
    if page is not None:
        replaceable(Path(page), ".html")
        if any(Path(name).exists() and Path(page).exists() and Path(page).samefile(name) for name in files):
            raise UsageError(f"{page}: is the file to be scored; choose another --html")
    model, files = model_and_files("score", model, files)
    share, bits = _threshold(above)
    loaded = open_model(model)
    source = unescaped(loaded.model, "--source", source)
    given = {"condition": asked(loaded.model.config.conditions, condition, arrays), "source": source}
    least = _of_held_out(loaded, share, given) if share is not None else bits
    reading = {"documents": documents or "", "columns": columns, "encoding": encoding}
    found: Iterable[Found] = _found(loaded, files or ("-",), reading, given)
    found = (each for each in found if each.scored.strangeness > least)
    if sort:
        found = sorted(found, key=lambda each: -each.scored.strangeness)
    several = len(files) > 1 or any(Path(name).is_dir() for name in files)
    if page is not None:
        _write(page, found, several)
        return
    for each in found:
        _show(each, several, as_json)


def _found(
    model: CharacterModel, files: Iterable[str], reading: dict[str, str], given: dict[str, Any]
) -> Iterator[Found]:
    from itertools import tee

    from charloom import verdict
    from charloom.cli.arriving import arriving
    from charloom.insight.score import score

    assert model.path is not None
    whole = reading["documents"] == "whole"
    depends = bool(model.model.config.conditions) or model.model.vocabulary.sep is not None
    for name, arrives, read in verdict.texts(
        model.path, model.model, files, **reading, stdin=sys.stdin.buffer, warn=_warn
    ):
        number = 1
        for batch in arriving(read) if arrives else [read]:
            texts, conditions, sources = tee(batch, 3)
            own = (
                given
                if not depends
                else {
                    "condition": ({**each.condition, **given["condition"]} for each in conditions),
                    "source": (each.source or given["source"] for each in sources),
                }
            )
            for scored in score(model.generator, (each.text for each in texts), lines=not whole, **own):
                yield Found(name, number, scored)
                number += 1
            sys.stdout.flush()


def _warn(message: str) -> None:
    click.echo(f"charloom: {message}", err=True)


def _threshold(above: str | None) -> tuple[float | None, float]:
    """The share of held-out lines, if that was asked for, and else the bits."""
    from charloom.errors import UsageError

    if above is None:
        return None, float("-inf")
    try:
        value = float(above.removeprefix("p"))
        if math.isnan(value):
            raise ValueError
        return (value / 100, 0.0) if above.startswith("p") else (None, value)
    except ValueError:
        raise UsageError(
            f"--above {above}: it takes a number of bits, such as 20, or a percentile, such as p99.9"
        ) from None


def _of_held_out(model: CharacterModel, share: float, given: dict[str, Any]) -> float:
    from charloom.insight.score import score, threshold
    from charloom.reporting import held_out
    from charloom.text.documents import lines

    assert model.path is not None
    text = held_out(model.path, model.model)
    each_line = lines(text.part.blocks()) if text.part.documents is None else text.part.texts()
    value, count = threshold((each.strangeness for each in score(model.generator, each_line, **given)), share)
    told = f"p{100 * share:g} is {value:.2f} bits, from {count:,} lines of {text.name}"
    click.echo(f"charloom: {told}", err=True)
    return value


def _show(found: Found, several: bool, as_json: bool) -> None:
    import json

    from charloom.cli.model import visible
    from charloom.cli.terminal import is_terminal, styled
    from charloom.insight.heat import runs

    scored, terminal = found.scored, is_terminal(sys.stdout)
    place = f"{found.file}:{found.number}" if several else str(found.number)
    if as_json:
        click.echo(json.dumps({"file": found.file, "line": found.number, **scored.to_json()}))
    elif terminal:
        text = "".join(
            styled(visible(run), fg="black", bg=COLOURS[level]) if level else visible(run)
            for level, run in runs(scored.text, scored.surprise.tolist())
        )
        head = f"{place:>6} {scored.strangeness:7.2f} {scored.bits_per_character:6.2f}"
        click.echo(f"{styled(head, dim=True)}  {text}")
    else:
        click.echo(f"{place}\t{scored.strangeness:.3f}\t{scored.bits_per_character:.4f}\t{scored.text}")


def _write(path: str, found: Iterable[Found], several: bool) -> None:
    from pathlib import Path

    from charloom.errors import RunError, unwritable
    from charloom.insight.heat import page
    from charloom.system.files import link_target, unique_name

    rows = ((f"{each.file}:{each.number}" if several else str(each.number), each.scored) for each in found)
    out = link_target(Path(path))
    temporary = unique_name(out)
    try:
        with temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.writelines(page(rows))
        temporary.replace(out)
    except OSError as error:
        raise RunError(unwritable(out, error)) from error
    finally:
        temporary.unlink(missing_ok=True)
