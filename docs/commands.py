"""Writes docs/commands.md: every flag and every message, each with the test that holds it.

    python docs/commands.py

What a flag does comes from the commands themselves, the tests and messages from the tables in tests/cli/.
"""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

import charloom
from charloom.cli import BROKEN_PIPE
from charloom.cli.signals import EXIT_CODES

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests" / "cli"
NOUNS = ("texts", "conditions", "settings", "models", "places")  # that input can be bad about
DEFAULT = re.compile(r"\s*\[default: (.*)\]$")


def page() -> str:
    """The whole page, as Markdown."""
    sys.path.insert(0, str(TESTS.parent / "support"))
    flags = runpy.run_path(str(TESTS / "test_options.py"))
    messages = [runpy.run_path(str(TESTS / f"test_bad_{noun}.py")) for noun in NOUNS]
    lines = [
        "# Commands",
        "",
        "`charloom COMMAND --help` tells the same, without the tests. This page is written by",
        "`python docs/commands.py`; a test fails while it is not what that writes.",
    ]
    for name, command in flags["commands"]():
        lines += ["", f"## {' '.join(('charloom', *name.split()))}", ""]
        lines += _table(
            ("flag", "what it does", "default", "tested by"),
            [_flag(name, option, flags["ELSEWHERE"]) for option in flags["options"](command)],
        )
    lines += ["", "## Exit codes", ""]
    lines += _table(("code", "when"), list(_exit_codes()))
    lines += [
        "",
        "## Messages",
        "",
        "Each comes on one line of standard error after `charloom: `, with exit code 1, or 2 where the",
        "command line itself is at fault; nothing is left half-written. `…` stands for what differs.",
        "`tests/cli/test_bad_….py` hold every one of them.",
        "",
    ]
    cases = [case for found in messages for case in found["CASES"]]
    told = [(case.when, str(case.code), *case.says.partition("; ")[::2]) for case in cases]
    told += [(when, "1", *says.partition("; ")[::2]) for when, (_, says) in messages[-1]["DOWNLOADS"].items()]
    lines += _table(("when (the name of the test)", "exit code", "message", "mend"), told)
    return "\n".join(lines) + "\n"


def _exit_codes() -> Iterator[tuple[str, ...]]:
    yield "0", "done"
    told: dict[int, list[str]] = {}
    for name in charloom.__all__:
        found = getattr(charloom, name)
        if isinstance(found, type) and issubclass(found, charloom.CharloomError):
            told.setdefault(found.exit_code, []).append(f"`{name}`")
    for code, names in sorted(told.items()):
        yield str(code), ", ".join(names)
    for name, code in EXIT_CODES.items():
        if code != BROKEN_PIPE:
            yield str(code), f"{name}, after a checkpoint"
    yield str(BROKEN_PIPE), "whoever read its output went away, as `head` does; `train` writes a checkpoint"


def _flag(command: str, option: click.Option, elsewhere: Mapping[str, Path]) -> tuple[str, ...]:
    told = " ".join((option.help or "").split())
    found = DEFAULT.search(told)
    metavar = "" if option.is_flag else f" {option.metavar or _values(option.type)}"
    if command in elsewhere:
        test = f"{elsewhere[command].name} [{option.opts[0]}]"
    else:
        test = f"test_options.py [{command.replace(' ', '-') or 'charloom'}-{option.opts[0]}]"
    default = found[1] if found else "off" if option.is_flag else "–"
    return f"`{option.opts[0]}{metavar}`", DEFAULT.sub("", told), default, test


def _values(kind: Any) -> str:
    return "|".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else kind.name.upper()


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return ["It has no flags."]
    shown = [[cell.replace("|", "\\|").replace("<", "&lt;") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *shown)]


if __name__ == "__main__":
    (HERE / "commands.md").write_text(page(), encoding="utf-8", newline="\n")
