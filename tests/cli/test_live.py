"""Training in a terminal: the real command in a pseudo-terminal of a common width."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

COLUMNS = 80
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
FIGURES = re.compile(r"100% \S+ [▁-█ ]+ loss \d\.\d{3}  held out \d\.\d{3}  [\d,]+ char/s  \d+:\d\d left")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_the_figures_fit_into_a_terminal_of_eighty_columns(tmp_path: Path) -> None:
    import fcntl
    import pty
    import struct
    import termios

    (tmp_path / "text.txt").write_text("the cat sat on the mat and so did the hat\n" * 200, encoding="utf-8")
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    options = "--steps 6 --hidden 8 --documents whole --out run --set train.evaluate_steps=2"
    with subprocess.Popen(
        [sys.executable, "-m", "charloom", "train", "text.txt", *options.split()],
        cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL,
        env={**environment, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"},
    ) as process:  # fmt: skip
        os.close(theirs)
        told = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            told += piece
        os.close(ours)
        assert process.wait(120) == 0
    lines = re.split(r"[\r\n]+", CONTROL.sub("", told.decode("utf-8")))
    assert any(FIGURES.match(line) for line in lines), lines[-20:]
    assert max(map(len, lines)) <= COLUMNS
    assert any(line.startswith("step ") and line.endswith(" writes") for line in lines)
    assert any(line.startswith("curves and samples in run/report.html") for line in lines)
