"""Standard streams that are closed, and terminals without colors."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from charloom.cli import main

SHOWING = {
    "score": "score run verse.txt --above 0",
    "eval": "eval run --limit 200",
    "sample": "sample run -n 2 --length 9",
    "data list": "data list",
    "play": "play run",
}


STYLE = re.compile(rb"\x1b\[[0-9;]*m")


class Terminal(io.TextIOWrapper):
    """A stream that says it is a terminal."""

    def __init__(self, content: bytes = b"") -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8")

    def isatty(self) -> bool:
        return True


def run(monkeypatch: pytest.MonkeyPatch, typed: str, **streams: object) -> int:
    with monkeypatch.context() as patch:
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        with pytest.raises(SystemExit) as ended:
            main(typed.split())
        for name in (name for name, stream in streams.items() if stream is None):
            getattr(sys, name).close()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("typed", SHOWING.values(), ids=SHOWING)
@pytest.mark.parametrize(
    ("environment", "colored"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": ""}, True)],
    ids=["plain", "NO_COLOR", "TERM=dumb", "NO_COLOR empty"],
)
def test_colors_appear_only_where_a_terminal_wants_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch, typed: str, environment: dict[str, str], colored: bool
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    out, err = Terminal(), Terminal()
    stdin = io.TextIOWrapper(io.BytesIO(b"/quit\n"), encoding="utf-8")
    assert run(monkeypatch, typed, stdin=stdin, stdout=out, stderr=err) == 0
    out.flush()
    shown = out.buffer.getvalue().decode("utf-8")
    assert ("\x1b[" in shown) == colored
    if not colored:
        err.flush()
        assert not STYLE.search(err.buffer.getvalue())


def test_control_sequences_of_a_text_are_not_removed_from_a_pipe(quick, trained: Path) -> None:
    red = "\x1b[31mred\x1b[0m"
    assert quick("sample", trained, "--prompt", red, "--length", "1").out.startswith(red)
    assert quick("score", trained, "-", input=red.encode()).out.endswith(f"\t{red}\n")


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        ("score run", 0, ""),
        ("sample run --prompt-file - --length 3", 0, ""),
        ("play run", 0, ""),
        ("eval run -", 1, "charloom: standard input: is empty; give a file with text in it\n"),
        ("train - --steps 2", 1, "charloom: standard input: is empty; give a file with text in it\n"),
        ("train text.txt --steps 2 --hidden 4 --out new", 0, ""),
        ("", 2, "charloom: a command is missing; charloom --help lists them; see charloom --help\n"),
    ],
)
def test_a_closed_standard_input_is_empty(
    folder: Path, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, says: str
) -> None:
    monkeypatch.chdir(folder)
    err = io.StringIO()
    assert run(monkeypatch, typed, stdin=None, stderr=err) == code, err.getvalue()
    assert err.getvalue() == says


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no shell that closes streams")
def test_a_process_works_without_standard_streams(trained: Path, tmp_path: Path) -> None:
    """Nothing that is printed lands in the file that is being written."""
    shutil.copytree(trained, tmp_path / "run")
    typed = "sample run -n 3 --length 9"
    for name, closed in ("open.txt", "</dev/null"), ("closed.txt", "<&- >&- 2>&-"):
        found = subprocess.run(
            ["sh", "-c", f'exec "$0" -m charloom {typed} --out {name} {closed}', sys.executable],
            cwd=tmp_path, env=os.environ, timeout=300, capture_output=True,
        )  # fmt: skip
        assert found.returncode == 0, found.stderr
    assert (tmp_path / "closed.txt").read_bytes() == (tmp_path / "open.txt").read_bytes() != b""
