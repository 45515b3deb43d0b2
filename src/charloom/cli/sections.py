"""Help that can be read: the options of a long command under headings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

AT_LEAST_ONE = "  [x>=1]"  # click adds it to every count; that there are no -3 texts goes without saying


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
                formatter.write_dl([(flag, text.replace(AT_LEAST_ONE, "")) for flag, text in records])
