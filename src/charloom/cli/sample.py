"""`charloom sample`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from charloom.api import CharacterModel
    from charloom.runtime.generator import Sample

OPTIONS = ("length", "top_k", "top_p", "min_p", "no_repeat", "ban", "only", "match", "best_of", "seed")


@click.command(short_help="Write text with a model.")
@click.argument("model", required=False)
@click.option("--prompt", metavar="TEXT", help="The text to go on from.")
@click.option(
    "--prompt-file", type=click.Path(), metavar="F", help="The same, from a UTF-8 file; - is standard input."
)
@click.option(
    "-n", "count", type=click.IntRange(1), default=1, metavar="N", help="How many texts.  [default: 1]"
)
@click.option("--length", type=int, metavar="L", help="Characters a text, at most.  [default: 300]")
@click.option(
    "--temperature",
    metavar="T,…",
    help="Below 1 safer, above 1 wilder, 0 is greedy; several make a table.  [default: 1]",
)
@click.option("--greedy", is_flag=True, help="Always the likeliest character: --temperature 0.")
@click.option("--top-k", type=int, metavar="K", help="Draw from the K likeliest characters only.")
@click.option(
    "--top-p",
    type=float,
    metavar="P",
    help="Draw from the likeliest characters that together have this probability.",
)
@click.option(
    "--min-p",
    type=float,
    metavar="P",
    help="Drop characters below this share of the likeliest one's probability.",
)
@click.option("--no-repeat", type=int, metavar="N", help="Never write the same N characters twice.")
@click.option("--stop", multiple=True, metavar="S", help="End before this text; may be given several times.")
@click.option("--ban", metavar="CHARS", help="Characters that must not appear.")
@click.option("--only", metavar="CHARS", help="No other characters than these.")
@click.option("--match", metavar="REGEX", help="The whole text matches this regular expression.")
@click.option("--best-of", type=int, metavar="K", help="Write K texts and keep the likeliest.")
@click.option("--ignore-eos", is_flag=True, help="Go on where the model would end the document.")
@click.option(
    "--precision",
    type=click.Choice(["float32", "int8"]),
    default="float32",
    help="Of the weights.  [default: float32]",
)
@click.option("--seed", type=int, metavar="S", help="The same seed gives the same text.  [default: 0]")
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
    if prompt_file is not None:
        prompt = _read(prompt_file)
    loaded = open_model(model, precision)
    given = {name: value for name, value in options.items() if value is not None}
    given |= {"stop": stop, "ignore_eos": ignore_eos}
    temperatures = [0.0] if greedy else _numbers(temperature)
    several = len(temperatures) > 1 or count > 1
    tables = [{**given, "temperature": value} for value in temperatures] or [given]
    for table in tables:
        loaded.settings(**table)  # a wrong value is told before anything is written
    for table in tables:
        for sample in _texts(loaded, prompt or "", count, table, several or as_json):
            _show(sample, as_json, several)


def _texts(
    model: CharacterModel, prompt: str, count: int, options: dict[str, Any], whole: bool
) -> Iterator[Sample | str]:
    """Whole samples; or one text in pieces as they come, the prompt before them."""
    if whole:
        yield from model.generator.sample_many([prompt], settings=model.settings(**options), n=count)
        return
    pieces = model.stream(prompt, **options)
    first = next(pieces, "")
    yield prompt + first
    yield from pieces
    yield "\n"


def _show(sample: Sample | str, as_json: bool, several: bool) -> None:
    import json

    from charloom import api

    if isinstance(sample, str):
        click.echo(_shown(sample), nl=False)
    elif as_json:
        click.echo(json.dumps(api.record(sample)))
    else:
        if several:
            number = f", text {sample.stream + 1}" if sample.stream else ""
            click.echo(click.style(f"── temperature {sample.temperature:g}{number} ──", dim=True))
        click.echo(_shown(sample.prompt + sample.text) + "\n")


def _shown(text: str) -> str:
    import sys

    from charloom.cli.model import visible

    return visible(text) if sys.stdout.isatty() else text


def _numbers(text: str | None) -> list[float]:
    from charloom.errors import UsageError

    try:
        return [float(part) for part in text.split(",")] if text is not None else []
    except ValueError:
        raise UsageError(
            f"--temperature {text}: it takes numbers with commas between, such as 0.5,1.0"
        ) from None


def _read(path: str) -> str:
    import sys
    from pathlib import Path

    from charloom.errors import UsageError

    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (
            error.strerror
            if isinstance(error, OSError)
            else f"byte {error.start} is not UTF-8; save it as UTF-8"
        )
        raise UsageError(f"{path}: cannot be read ({reason})") from error
