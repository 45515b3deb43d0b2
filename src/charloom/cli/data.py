"""`charloom data`: the texts that go by name, and what a text is like."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from charloom.cli.options import NAME, by_section, data_options
from charloom.cli.sections import Suggesting
from charloom.cli.terminal import console, is_terminal

if TYPE_CHECKING:
    from charloom.text.catalog import Entry
    from charloom.text.inspection import Inspection

SHOWN = 5  # lines of the text's beginning
SKIPPED = 20  # files left out that are named; --json names all


@click.group(name="data", cls=Suggesting, short_help="Texts that go by name, and what a text is like.")
def command() -> None:
    """List, fetch and inspect texts."""


@command.command(name="list", short_help="The texts that go by name.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON list.")
def list_command(as_json: bool) -> None:
    """List the texts that `train` knows by name, with their licences."""
    from charloom.text import catalog

    found = [_entry(entry) for entry in catalog.entries()]
    if as_json:
        click.echo(json.dumps(found))
        return
    rows = [
        (
            row["name"],
            _size(row["bytes"]),
            "here" if row["at_hand"] else "to fetch",
            row["title"],
            row["licence"],
        )
        for row in found
    ]
    if not is_terminal(sys.stdout):
        for row in rows:
            click.echo("\t".join(row))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for head in ("name", "size", "", "what", "licence"):
        table.add_column(head, justify="right" if head == "size" else "left", no_wrap=head == "name")
    for row in rows:
        table.add_row(*row)
    console(sys.stdout).print(table)


@command.command(short_help="Fetch a text, checked, into the cache.")
@click.argument("name", type=NAME)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def fetch(name: str, as_json: bool) -> None:
    """Fetch the text NAME from its public source, and check it; `train NAME` does so by itself."""
    from charloom.cli.bar import Bar
    from charloom.text import catalog

    with Bar() as bar:
        files = catalog.fetch(name, bar.read)
    entry = catalog.find(name)
    if as_json:
        size = sum(file.stat().st_size for file in files)
        found = {"name": name, "licence": entry.licence, "source": entry.source, "bytes": size}
        click.echo(json.dumps({**found, "files": [str(file) for file in files]}))
        return
    for file in files:
        click.echo(file)
    click.echo(f"charloom: {name} is under the licence {entry.licence}", err=True)


@command.command(short_help="What a text is like.")
@click.argument("corpus", nargs=-1, required=True, type=NAME)
@data_options
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def inspect(corpus: tuple[str, ...], as_json: bool, **flags: Any) -> None:
    """Read CORPUS as `train` would, and tell what it is like."""
    import os

    from charloom import settings
    from charloom.cli.bar import Bar
    from charloom.text import inspection

    chosen = settings.resolve(corpus=corpus, environment=os.environ, flags=by_section(flags))
    with Bar() as bar:
        data = chosen.build("data")
        found = inspection.inspect(corpus, data, stdin=sys.stdin.buffer, progress=bar.read)
    if as_json:
        click.echo(json.dumps(_record(found)))
        return
    for label, text in _described(found):
        click.echo(f"{label:<12}{text}")


@command.command(name="cache", short_help="What encoded texts take on the disk.")
@click.option("--clear", is_flag=True, help="Remove all but those in use.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def cache_command(clear: bool, as_json: bool) -> None:
    """Show where encoded texts are cached, and how much they take.

    A text that has been removed is encoded anew when it is used again. The longest unused go by themselves
    when all together take more than the limit. CHARLOOM_CACHE names another folder.
    """
    from charloom.text import cache

    root = cache.folder("corpora")
    found = cache.entries(root)
    removed = [entry for entry in found if clear and entry.remove()]
    size = sum(entry.bytes for entry in found) - sum(entry.bytes for entry in removed)
    told = {"path": str(root), "texts": len(found) - len(removed), "bytes": size, "limit": cache.limit(root)}
    told |= {"removed": len(removed)} if clear else {}
    if as_json:
        click.echo(json.dumps(told))
        return
    texts = "1 text" if told["texts"] == 1 else f"{told['texts']:,} texts"
    if clear:
        click.echo(f"{len(removed):,} removed" + (f", {texts} in use kept" if told["texts"] else ""))
    else:
        click.echo(f"{root}: {texts}, {size / 1e6:,.1f} MB of at most {cache.limit(root) / 1e9:,.0f} GB")


def _entry(entry: Entry) -> dict[str, Any]:
    from charloom.text import catalog

    return {
        "name": entry.name,
        "title": entry.title,
        "licence": entry.licence,
        "source": entry.source,
        "bytes": sum(file.size for file in entry.files) if all(file.size for file in entry.files) else None,
        "at_hand": catalog.at_hand(entry),
    }


def _size(size: int | None) -> str:
    return f"{size / 1e6:.1f} MB" if size else "–"


def _record(found: Inspection) -> dict[str, Any]:
    return {
        "name": found.corpus.name,
        "documents": found.mode,
        "guess": found.reason,
        "encoding": found.encoding,
        "delimiter": found.corpus.provenance.get("delimiter", ""),
        "characters": found.characters,
        "bytes": found.bytes,
        "distinct": found.distinct,
        "unseen": found.unseen,
        "count": found.documents,
        "lengths": {str(percent): length for percent, length in found.lengths.items()},
        "duplicates": found.duplicates,
        "blank_ends": found.corpus.provenance.get("blank_ends", 0),
        "parts": dict(found.parts),
        "first": found.first,
        "skipped": [{"file": file, "reason": reason} for file, reason in found.corpus.skipped],
        "conditions": {each.name: each.to_json() for each in found.corpus.conditions},
        "longest_source": found.corpus.provenance.get("longest_source", 0),
    }


def _described(found: Inspection) -> list[tuple[str, str]]:
    from charloom.cli.events import CUTS, blanks, of_table, told_of
    from charloom.cli.model import visible

    per = found.bytes / found.characters
    lines = [
        ("text", f"{found.corpus.name}, {found.characters:,} characters, read as {found.encoding}"),
        ("characters", f"{found.distinct:,} different ones, {per:.2f} bytes each in UTF-8"),
    ]
    if found.unseen:
        lines.append(("", f"{found.unseen:,} of them are not in the training part, and are spelled in bytes"))
    skipped = found.corpus.skipped
    named = [f"{file}: {reason}" for file, reason in skipped[:SKIPPED]]
    named += [f"and {len(skipped) - SKIPPED:,} more"] if len(skipped) > SKIPPED else []
    lines += [("left out" if not number else "", text) for number, text in enumerate(named)]
    lines.append(("documents", CUTS[found.mode] + (f" ({found.reason})" if found.reason else "")))
    if found.mode != "whole":
        shares = ", ".join(f"{length:,} at {percent} %" for percent, length in found.lengths.items())
        lines.append(("", f"{found.documents:,} of them, {found.duplicates:.1%} repeat another"))
        lines.append(("lengths", shares))
    lines += [("table", text) for text in of_table(found.corpus)]
    lines += [("blanks", text) for text in blanks(found.corpus)]
    lines += [("given", told_of(each)) for each in found.corpus.conditions]
    if longest := found.corpus.provenance.get("longest_source"):
        lines.append(("given", f"a source for each, of {longest:,} characters at most"))
    parts = ", ".join(f"{name} {size:,}" for name, size in found.parts.items())
    lines.append(("parts", f"{parts} characters"))
    first = visible(found.first).splitlines()[:SHOWN]
    return [*lines, *(("begins" if not number else "", f"| {line}") for number, line in enumerate(first))]
