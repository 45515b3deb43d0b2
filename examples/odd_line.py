"""Find the odd line among 100,000 lines of a log, with a model that was trained on yesterday's.

    python examples/odd_line.py

A log is made up (a day's lines of a web server, logins and jobs), a small model learns a day of it in
a minute or two, and the next day has one line that never occurred. No rule says what is odd: the model knows
only what lines look like.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import charloom
from charloom.insight.score import score

PATHS = ["/", "/index.html", "/login", "/api/v1/items", "/static/app.js", "/health"]
ODD = "host kernel: eth1: link up"  # there is an eth0, but there never was an eth1


def day(lines: int, seed: int) -> Iterator[str]:
    """A day on which nothing odd happens."""
    draw = random.Random(seed)
    for k in range(lines):
        second = 86_400 * k // lines
        stamp = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        address = ".".join(str(draw.randrange(1, 255)) for _ in range(4))
        what = draw.choice(["web", "web", "web", "login", "job", "link"])
        if what == "web":
            text = f'nginx: {address} "GET {draw.choice(PATHS)} HTTP/1.1" {draw.choice([200, 200, 304, 404])}'
        elif what == "login":
            text = f"sshd: Accepted publickey for {draw.choice(['alice', 'bob', 'carol'])} from {address}"
        elif what == "job":
            text = f"cron: (root) /usr/local/bin/{draw.choice(['backup', 'rotate', 'sync'])}.sh"
        else:
            text = f"kernel: eth0: link {draw.choice(['up', 'down'])}"
        yield f"{stamp} host {text}"


def main(lines: int, steps: int = 800) -> int:
    """Print the three strangest lines; the rank of the odd one."""
    with tempfile.TemporaryDirectory() as folder:
        yesterday = Path(folder, "yesterday.log")
        yesterday.write_text("\n".join(day(20_000, seed=1)) + "\n", encoding="utf-8")
        model = charloom.train(yesterday, out=Path(folder, "run"), steps=steps, documents="line", hidden=96)
        today = list(day(lines, seed=2))
        at = lines * 2 // 3
        today[at] = f"{today[at][:8]} {ODD}"
        found = list(enumerate(score(model.generator, today), start=1))
    found.sort(key=lambda numbered: -numbered[1].strangeness)
    for number, line in found[:3]:
        print(f"line {number:>6}  strangeness {line.strangeness:5.1f}  {line.text}")
    return 1 + [line.text[9:] for _, line in found].index(ODD)


if __name__ == "__main__":
    rank = main(int(sys.argv[1]) if sys.argv[1:] else 100_000)
    print(f"the line that was planted is number {rank} by strangeness")
