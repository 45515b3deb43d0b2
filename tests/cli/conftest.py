"""The real command, as a process of its own, and the same in this process where a test starts it often."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bad_input
import pytest

from charloom.cli import main

VERSE = """\
The fog comes on little cat feet and sits
looking over harbour and city on silent
haunches and then moves on over the water.
"""


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


def command(*arguments: str | Path, input: bytes | None = None, **environment: str) -> Result:
    """`python -m charloom` in a process of its own."""
    found = subprocess.run(
        [sys.executable, "-m", "charloom", *map(str, arguments)],
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        env={**os.environ, **environment},
        timeout=120,
    )
    return Result(found.returncode, found.stdout.decode("utf-8"), found.stderr.decode("utf-8"))


def here(*arguments: str | Path, input: bytes = b"") -> Result:
    """The same in this process: quicker, since everything is loaded."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    stdin = io.TextIOWrapper(io.BytesIO(input), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        for name, stream in (("stdin", stdin), ("stdout", out), ("stderr", err)):
            patch.setattr(sys, name, stream)
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
    for stream in (out, err):
        stream.flush()
    texts = [stream.buffer.getvalue().decode("utf-8") for stream in (out, err)]
    code = ended.value.code
    return Result(code if isinstance(code, int) else 1, *texts)


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
        with contextlib.chdir(folder):
            found = command("train", "verse.txt", *options.split())
        assert found.code == 0, found.err
    return folder / "run"


@pytest.fixture
def folder(tmp_path: Path, trained: Path) -> Path:
    """The files of `bad_input`, and the run `trained` among them."""
    bad_input.lay(tmp_path, trained)
    return tmp_path
