"""Help under headings: every option once, and none that is not there."""

from __future__ import annotations

import click
import pytest

from charloom.cli import main, sample


def test_every_option_stands_in_the_help_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sample", "--help"])
    lines = capsys.readouterr().out.splitlines()
    for option in sample.command.params:
        if isinstance(option, click.Option):
            assert (
                sum(line.startswith((f"  {option.opts[0]} ", f"  {option.opts[0]}\n")) for line in lines) == 1
            )
    at = [lines.index(f"{title}:") for title in sample.SECTIONS]
    assert at == sorted(at)


def test_headings_name_options_that_exist() -> None:
    named = [name for names in sample.command.sections.values() for name in names]
    assert len(named) == len(set(named))
    assert set(named) <= {option.opts[0] for option in sample.command.params}
