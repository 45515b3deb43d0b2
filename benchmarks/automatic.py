"""The automatic choice against one LSTM layer of 256 units in equal seconds, on texts of several kinds.

    CHARLOOM_DATA=… python benchmarks/automatic.py [--seconds 60] [TEXT…]

All else is alike: `charloom train TEXT --minutes M [--hidden 256 …]`, then `charloom eval --part test`, in
nats a character of one stream from a zero state. Names, logs and Russian numbers are generated; rows that
stand in results/automatic.jsonl are not measured again.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rows import Rows, data_folder, table

CHARLOOM = [sys.executable, "-m", "charloom"]
FIXED = ["--cell", "lstm", "--layers", "1", "--hidden", "256", "--set", "model.dropout=0.1"]
FIXED += ["--set", "train.lanes=64", "--set", "train.window=64"]


def names(draw: random.Random) -> Iterator[str]:
    """A few thousand names of two to four syllables, each a document."""
    first = ("b", "br", "d", "f", "g", "gr", "k", "l", "m", "n", "r", "s", "st", "t", "th", "v")
    for _ in range(6_000):
        part = [draw.choice(first) + draw.choice("aeiou") for _ in range(draw.randint(2, 4))]
        yield ("".join(part) + draw.choice(("", "n", "r", "s", "l"))).capitalize()


def logs(draw: random.Random) -> Iterator[str]:
    """Lines of a web server, in order of time."""
    pages = [f"/{draw.choice(('shop', 'help', 'user'))}/{n}" for n in range(200)]
    second = 0
    for _ in range(20_000):
        second += draw.randint(0, 9)
        address = ".".join(str(draw.randint(1, 254)) for _ in range(4))
        at = f"{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}"
        status = draw.choices(("200", "304", "404", "500"), (80, 12, 7, 1))[0]
        yield f"{address} [{at}] GET {draw.choice(pages)} {status} {draw.randint(200, 60_000)}"


def russian(draw: random.Random) -> Iterator[str]:
    """Numbers below a million in words, in Cyrillic."""
    from num2words import num2words

    for _ in range(20_000):
        yield num2words(draw.randrange(10**6), lang="ru")


GENERATED = {"names": names, "logs": logs, "russian": russian}
TEXTS = ("tinyshakespeare", "ag_news:test", "python-docs", "python-source", *GENERATED)


def measured(text: str, seconds: int, fixed: bool) -> dict[str, Any]:
    """Test loss of one of the two trainings."""
    with tempfile.TemporaryDirectory() as folder:
        source = text
        if text in GENERATED:
            source = str(Path(folder, f"{text}.txt"))
            Path(source).write_text("\n".join(GENERATED[text](random.Random(0))) + "\n", encoding="utf-8")
        run = str(Path(folder, "run"))
        train = [*CHARLOOM, "train", source, "--out", run, "--minutes", str(seconds / 60)]
        train += ["--fractions", "80/10/10", *(FIXED if fixed else []), "--json"]
        told = subprocess.run(train, check=True, capture_output=True, text=True).stdout
        test = [*CHARLOOM, "eval", run, "--part", "test", "--json"]
        found = json.loads(subprocess.run(test, check=True, capture_output=True, text=True).stdout)
        shape = json.loads(Path(run, "config.json").read_text("utf-8"))["model"]
    done = json.loads(told.splitlines()[-1])
    return {
        "nats": found["carried"]["nats"],
        "interval": found["carried"].get("interval"),
        "model": f"{shape['cell']} {shape['layers']}×{shape['hidden']}, dropout {shape['dropout']}",
        **{key: done[key] for key in ("characters", "seconds", "step")},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("texts", nargs="*", default=list(TEXTS))
    parser.add_argument("--seconds", type=int, default=60)
    arguments = parser.parse_args()
    data_folder()
    rows, lines = Rows("automatic"), []
    for text in arguments.texts:
        seconds = arguments.seconds
        chosen, fixed = (
            rows.measure(f"{text} {seconds} s {name}", measured, text, seconds, name == "1×256")
            for name in ("auto", "1×256")
        )
        lines.append([text, seconds, chosen["model"], f"{chosen['nats']:.3f}", f"{fixed['nats']:.3f}"])
    print(table(["text", "seconds", "chosen", "nats", "nats of 1×256"], lines))


if __name__ == "__main__":
    main()
