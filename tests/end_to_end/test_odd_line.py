"""The example that looks for an odd line in a log."""

import runpy
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "odd_line.py"


@pytest.mark.slow
def test_the_odd_line_is_found_among_a_hundred_thousand(capsys):
    rank = runpy.run_path(str(EXAMPLE))["main"](100_000)
    assert rank == 1
    assert "eth1: link up" in capsys.readouterr().out.splitlines()[0]
