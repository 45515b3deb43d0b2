"""The command line as it is typed: as a process of its own, and, quicker, in this process."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from charloom.cli import main


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


def command(
    *arguments: object, input: bytes | None = None, folder: Path | None = None, **environment: str
) -> Result:
    """`python -m charloom` in a process of its own."""
    found = subprocess.run(
        [sys.executable, "-m", "charloom", *map(str, arguments)],
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        cwd=folder,
        env={**os.environ, **environment},
        timeout=300,
    )
    return Result(found.returncode, found.stdout.decode("utf-8"), found.stderr.decode("utf-8"))


def here(*arguments: object, input: bytes = b"", folder: Path | None = None, **environment: str) -> Result:
    """The same in this process, in which everything is loaded already."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    stdin = io.TextIOWrapper(io.BytesIO(input), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        if folder is not None:
            patch.chdir(folder)
        for name, value in environment.items():
            patch.setenv(name, value)
        for name, stream in (("stdin", stdin), ("stdout", out), ("stderr", err)):
            patch.setattr(sys, name, stream)
        with pytest.raises(SystemExit) as ended:
            main(list(map(str, arguments)))
    for stream in (out, err):
        stream.flush()
    texts = [stream.buffer.getvalue().decode("utf-8") for stream in (out, err)]
    code = ended.value.code
    return Result(code if isinstance(code, int) else 1, *texts)
