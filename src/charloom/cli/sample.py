"""`charloom sample`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from charloom.cli.given import beginnings, given_options, tell, unescaped
from charloom.cli.options import COUNT, NAME
from charloom.cli.sections import Sectioned
from charloom.cli.terminal import is_terminal, styled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from charloom.bulk import Choice, Progress
    from charloom.character_model import CharacterModel
    from charloom.runtime.generator import Generator
    from charloom.runtime.options import SamplerConfig
    from charloom.runtime.sample import Given, Sample
    from charloom.text.corpus import Part


EXAMPLES = """\b
Examples:
  charloom sample --prompt "Once upon a time" --temperature 0.7
  charloom sample --temperature 0.3,0.8,1.3         the same at three temperatures
  charloom sample -n 50000 --unique --out names.csv as many as you like, none twice
  charloom sample --condition Sports                of the kind that you ask for
  charloom sample --match "[A-Z][a-z]+, [0-9]{2}"   in a form that you prescribe
"""

DECIMAL_COMMA = re.compile(r"\d,\d+")  # as in 0,8

SECTIONS = {
    "Where it begins and ends": "--prompt --prompt-file --length --stop --ignore-eos -n",
    "What it is given": "--condition --strength --each --condition-array --source",
    "How freely it writes": "--temperature --greedy --top-k --top-p --min-p --no-repeat --best-of --seed",
    "What may be written": "--ban --only --match --unique --novel",
    "Where it goes, and with which weights": "--out --json --precision",
}


@click.command(short_help="Write text with a model.", cls=Sectioned, sections=SECTIONS, epilog=EXAMPLES)
@click.argument("model", required=False, type=NAME)
@click.option("--prompt", metavar="TEXT", help="The text to go on from; it is shown, too. \\n is a line end.")
@click.option("--prompt-file", type=NAME, metavar="F", help="The same, from a file; - is standard input.")
@click.option(
    "-n",
    "count",
    type=COUNT,
    default=1,
    metavar="N",
    help="How many texts, each another one.  [default: 1]",
)
@click.option("--length", type=int, metavar="L", help="Characters a text, at most.  [default: 300]")
@click.option(
    "--temperature",
    metavar="T,…",
    help="Below 1 safer, above 1 wilder; several are shown one below the other.  [default: 1]",
)
@click.option("--greedy", is_flag=True, help="Always the likeliest character: --temperature 0.")
@click.option("--top-k", type=int, metavar="K", help="Choose among the K likeliest characters only.")
@click.option(
    "--top-p",
    type=float,
    metavar="P",
    help="Choose among the likeliest that together have this probability, such as 0.9.",
)
@click.option(
    "--min-p",
    type=float,
    metavar="P",
    help="Leave out what is less than P times as likely as the likeliest, such as 0.05.",
)
@click.option("--no-repeat", type=int, metavar="N", help="Never write the same N characters twice.")
@click.option(
    "--stop",
    multiple=True,
    metavar="S",
    help="End before this text, such as \\n; may be repeated.",
)
@click.option("--ban", metavar="CHARS", help="Characters that must not appear, such as 0123456789.")
@click.option("--only", metavar="CHARS", help="No characters but these.")
@click.option(
    "--match",
    metavar="REGEX",
    help="What is written, all of it, matches this regular expression; the prompt stands before it.",
)
@click.option("--best-of", type=int, metavar="K", help="Write K texts and keep the likeliest.")
@click.option("--ignore-eos", is_flag=True, help="Go on where the model would end.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "int8"]),
    default="float32",
    help="int8 writes several times as fast, and as well.  [default: float32]",
)
@click.option("--seed", type=int, metavar="S", help="The same seed gives the same text.  [default: 0]")
@given_options
@click.option(
    "--strength", type=float, metavar="S", help="Keep to the condition more, such as 3.  [default: 1]"
)
@click.option("--each", metavar="NAME", help="So many texts for every value of this condition.")
@click.option("--source", metavar="TEXT", help="The text to translate, or to answer.")
@click.option("--unique", is_flag=True, help="No text twice, and none that was trained on.")
@click.option(
    "--novel",
    type=COUNT,
    metavar="N",
    help="Never copy N characters in a row from the training text; not with --match.",
)
@click.option(
    "--out",
    type=NAME,
    metavar="FILE",
    help="Into a .txt, .csv (the prompt in a column of its own) or .jsonl, each also .gz; if broken off, the "
    "same command goes on.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a text.")
def command(
    model: str | None,
    prompt: str | None,
    prompt_file: str | None,
    count: int,
    temperature: str | None,
    greedy: bool,
    stop: tuple[str, ...],
    ignore_eos: bool,
    precision: str,
    condition: str | None,
    arrays: tuple[str, ...],
    each: str | None,
    source: str | None,
    unique: bool,
    novel: int | None,
    out: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Write with MODEL, a model or run folder; without it, with the newest run in runs/."""
    from charloom.cli.model import open_model
    from charloom.errors import UsageError

    if prompt is not None and prompt_file is not None:
        raise UsageError("--prompt and --prompt-file exclude each other; leave one out")
    if greedy and temperature is not None:
        raise UsageError("--greedy is --temperature 0; leave one of them out")
    loaded = open_model(model, precision)
    if prompt_file is not None:
        prompt = _read(loaded, prompt_file)
    elif prompt is not None:
        prompt = unescaped(loaded.model, "--prompt", prompt)
    source = unescaped(loaded.model, "--source", source or "")
    given = {name: value for name, value in options.items() if value is not None}
    for name in given.keys() & {"ban", "only"}:
        given[name] = unescaped(loaded.model, f"--{name}", given[name])
    stop = tuple(unescaped(loaded.model, "--stop", each) for each in stop)
    given |= {"stop": stop, "ignore_eos": ignore_eos}
    temperatures = [0.0] if greedy else _numbers(temperature)
    tables = [{**given, "temperature": value} for value in temperatures] or [given]
    for table in tables:
        loaded.settings(**table)  # a wrong value is told before anything is written
    starts = beginnings(loaded.model, prompt or "", condition, arrays, each, source)
    for start in starts:
        loaded.generator.check(start)
    tell(loaded.model, starts[0])
    if loaded.model.provenance.get("blank_ends"):
        _tell_blanks(loaded.generator, loaded.settings(**tables[0]))
    limits = {"unique": unique, "novel": novel or 0, "training": _training(loaded, unique, novel)}
    if out is not None:
        if len(tables) > 1 or as_json:
            raise UsageError(
                "--out takes one temperature, and its format from the file's ending; leave --json out"
            )
        _write(loaded, out, count, starts, tables[0], limits)
        return
    several = len(tables) > 1 or count > 1 or len(starts) > 1
    for table in tables:
        if several or as_json or unique or novel:
            _print(loaded, count, starts, table, limits, as_json, several)
        else:
            _stream(loaded, starts[0], table)


def _tell_blanks(generator: Generator, settings: SamplerConfig) -> None:
    """Say so where the shape leaves no room for the blank that the model's lines end in: they go on then."""
    shape = generator.automaton(settings)
    if shape is None or generator.model.unknown(" "):
        return
    after = shape.follow[:, generator.model.encode(" ")[0]]
    if (shape.distance[after[after >= 0]] > 0).all():
        told = "its text's lines end in a blank, for which --match has no room, so they may not end"
        click.echo(f"charloom: {told}; write ' ?' after it", err=True)


def _training(model: CharacterModel, unique: bool, novel: int | None) -> Part | None:
    """What the model was trained on, where it is asked for; --unique does without where it is not known."""
    from charloom import run as runs
    from charloom import verdict
    from charloom.cli.bar import Bar

    assert model.path is not None
    if not novel and not (unique and (model.path / runs.CONFIG).is_file()):
        return None
    with Bar() as bar:
        return verdict.own_text(model.path, model.model, "train", progress=bar.read).part


def _write(
    model: CharacterModel,
    out: str,
    count: int,
    given: list[Given],
    options: dict[str, Any],
    limits: dict[str, Any],
) -> None:
    """Many texts into a file, with a bar."""
    from pathlib import Path

    from charloom import bulk, job
    from charloom.cli.bar import Bar

    here = job.here()
    total = count * len(given) // here.size
    shard = (here.rank, here.size)
    with Bar() as bar:
        for progress in bulk.write(
            model, Path(out), count=count, given=given, options=options, shard=shard, **limits
        ):
            bar.show(f"{progress.written:,} of {total:,} texts", progress.written / max(1, total))
    click.echo(f"{progress.written:,} texts in {out}{_told(progress)}", err=True)


def _print(
    model: CharacterModel,
    count: int,
    given: list[Given],
    options: dict[str, Any],
    limits: dict[str, Any],
    as_json: bool,
    several: bool,
) -> None:
    """Whole texts, one after the other."""
    from charloom import bulk

    chosen = bulk.Choice(model, count, given=given, options=options, **limits)
    columns = model.model.provenance.get("columns", ())
    for sample in chosen:
        _show(sample, as_json, several, chosen.of_place if count > 1 else 0, columns)
    if chosen.exhausted:
        click.echo(f"charloom: stopped early{_told(chosen)}", err=True)


def _told(progress: Progress | Choice) -> str:
    refused = f"; {progress.refused:,} refused that were not new" if progress.refused else ""
    return refused + ("; the model has no new ones left" if progress.exhausted else "")


def _stream(model: CharacterModel, given: Given, options: dict[str, Any]) -> None:
    """One text in pieces as they come, the prompt before them."""
    pieces = model.stream(given.prompt, condition=given.condition, source=given.source, **options)
    click.echo(_shown(given.prompt + next(pieces, "")), nl=False)
    for piece in pieces:
        click.echo(_shown(piece), nl=False)
    click.echo()


def _show(sample: Sample, as_json: bool, several: bool, place: int, columns: Sequence[str]) -> None:
    import json

    from charloom.character_model import record

    if as_json:
        click.echo(json.dumps(record(sample, columns)))
    else:
        if several:
            number = f", text {place}" if place else ""
            labels = "".join(f", {n} {v}" for n, v in sample.condition.items() if isinstance(v, str))
            click.echo(styled(f"── temperature {sample.temperature:g}{labels}{number} ──", dim=True))
        click.echo(_shown(sample.prompt + sample.text) + "\n")


def _shown(text: str) -> str:
    import sys

    from charloom.cli.model import visible

    return visible(text) if is_terminal(sys.stdout) else text


def _numbers(text: str | None) -> list[float]:
    """Temperatures; two whole numbers may be one with a decimal comma, so that is asked and not guessed."""
    from charloom.errors import UsageError

    if text is not None and DECIMAL_COMMA.fullmatch(text):
        one, two = text.replace(",", "."), text.replace(",", ".0,") + ".0"
        raise UsageError(f"--temperature {text}: is one number or two; write {one}, or {two}")
    try:
        return [float(part) for part in text.split(",")] if text is not None else []
    except ValueError:
        raise UsageError(
            f"--temperature {text}: it takes numbers with commas between, such as 0.5,1.0"
        ) from None


def _read(model: CharacterModel, path: str) -> str:
    import sys
    from pathlib import Path

    from charloom.verdict import whole_text

    assert model.path is not None
    return whole_text(model.path, model.model, Path(path), sys.stdin.buffer)
