"""The real command, as a process of its own, and the same in this process where a test starts it often."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import bad_input
from typed import Result, command, here

VERSE = """\
The fog comes on little cat feet and sits
looking over harbour and city on silent
haunches and then moves on over the water.
"""


Run = Callable[..., Result]


@pytest.fixture
def charloom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`charloom("train", …)`: the command in a process of its own, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return command


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`quick("train", …)`: the command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return here


@pytest.fixture(params=["here", pytest.param("process", marks=pytest.mark.slow)])
def either(request: pytest.FixtureRequest, quick: Run) -> Run:
    """`quick`; in the slow tests `charloom` as well."""
    return here if request.param == "here" else command


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [tmp_path_factory.mktemp("trained")]


@pytest.fixture
def trained(_trained: list[Path]) -> Path:
    """A run of a small model on the lines of `verse.txt` beside it; tests copy it before they change it."""
    (folder,) = _trained
    if not (folder / "run" / "model.safetensors").exists():
        text = "".join(f"{VERSE}{n} cats\n" for n in range(400))
        (folder / "verse.txt").write_text(text, encoding="utf-8", newline="\n")
        options = "--steps 30 --hidden 16 --documents line --fractions 90/0/10 --out run"
        found = here("train", "verse.txt", *options.split(), folder=folder)
        assert found.code == 0, found.err
    return folder / "run"


@pytest.fixture
def folder(tmp_path: Path, trained: Path) -> Path:
    """The files of `bad_input`, and the run `trained` among them."""
    bad_input.lay(tmp_path, trained)
    return tmp_path
