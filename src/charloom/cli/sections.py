"""Help with the options of a long command under headings, and suggestions for mistyped commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from charloom.errors import UsageError, closest, in_shell


class Sectioned(click.Command):
    """A command whose help lists its options under `sections`, headings with the options' names.

    An option that no heading names stands under the last.
    """

    def __init__(self, *arguments: Any, sections: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sections = {title: names.split() for title, names in sections.items()}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What `--help` shows below the examples."""
        options = {each.opts[0]: each for each in self.get_params(ctx) if isinstance(each, click.Option)}
        named = {name for names in self.sections.values() for name in names}
        *_, last = self.sections
        for title, names in self.sections.items():
            shown = names + ([name for name in options if name not in named] if title == last else [])
            records = [record for name in shown if (record := options[name].get_help_record(ctx))]
            with formatter.section(title):
                formatter.write_dl(records)


class Suggesting(click.Group):
    """A group that suggests a command for a mistyped one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does. Raises UsageError, with the nearest command, for an unknown one."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = closest(name, self.list_commands(ctx))
            if not near and Path(name).exists():
                near = f"train {in_shell(name)}"
            hint = f"did you mean {near}?" if near else f"see {ctx.command_path} --help"
            raise UsageError(f"No such command {name!r}; {hint}")
        return super().resolve_command(ctx, args)
