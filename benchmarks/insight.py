"""Copies, odd lines, reports: how fast, how much memory, how right.

    CHARLOOM_DATA=… python benchmarks/insight.py

The suffix array is made of 100 MB of generated prose-like text in a process of its own, whose peak of
anonymous memory is told. The odd lines are planted in generated logs (seeded), and ranked by several rules.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from charloom import api, reporting
from charloom import run as runs
from charloom.character_model import CharacterModel
from charloom.insight.score import TOLERANCE, score, strangest
from charloom.runtime.passages import Passages
from rows import FOLDER, Rows, data_folder, table

MEGABYTES = 100
LOG_LINES = 100_000
ORDINARY = 20_000
HOUR = 3600  # seconds
HOUR_HIDDEN = 768  # what the automatic choice takes for an hour on it
STEPS = 800  # two minutes of two cores; by steps, so that a busy machine ranks no worse

NAMES = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy"]
PATHS = ["/", "/index.html", "/login", "/api/v1/items", "/api/v1/users", "/static/app.js", "/health"]
ODD = [
    "PANIC", "03:12:44 host OOM", "kill -9 1", "03:12:44 host reboot!", "SEGV", "03:10:10 host su: root",
    "03:12:44 host the quick brown fox jumps over the lazy dog and runs away from every hunter in the wood",
    "03:12:44 host sshd[4211]: QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo5876abcdefGHIJklmnopq",
    "03:12:44 host python[231]: Traceback (most recent call last): KeyError: 'session_token' in handler",
    "03:12:44 host kernel: Out of memory: Killed process 2211 (postgres) total-vm:8123456kB",
    '03:12:44 host nginx: 10.3.77.12 "GET /../../etc/passwd HTTP/1.1" 200 2211',
    '03:12:44 host nginx: 10.3.77.12 "POST /login HTTP/1.1" 200 2211',
    '03:12:44 host nginx: 10.3.77.12 "GET /login HTTP/1.1" 500 2211',
    "03:12:44 host sshd[4211]: Accepted password for alice from 10.3.77.12 port 4444 ssh2",
    "03:12:44 host sshd[4211]: Accepted publickey for root from 10.3.77.12 port 4444 ssh2",
    "03:12:44 host CRON[4211]: (root) CMD (/tmp/.x/miner.sh)",
    "03:12:44 host kernel: eth1: link up",
    "03:12:44 host systemd[1]: Failed Network Manager.",
    "03:12:44 host sshd[4211]: Accepted publ",
    '03:12:44 host nginx: 10.3.77.12 "GET /login HT',
    "03:12:44 host",
    "03:12:44 host -- MARK",
]  # fmt: skip


def log(count: int, seed: int) -> Iterator[str]:
    """Lines of a log of a day, in which nothing odd happens."""
    draw = random.Random(seed)
    for k in range(count):
        second = 86_400 * k // count
        stamp = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        address = ".".join(str(draw.randrange(1, 255)) for _ in range(4))
        number, port = draw.randrange(1000, 32_000), draw.randrange(1024, 65_535)
        choice = draw.random()
        if choice < 0.45:
            status = draw.choice([200, 200, 200, 304, 404])
            text = (
                f'nginx: {address} "GET {draw.choice(PATHS)} HTTP/1.1" {status} {draw.randrange(100, 60_000)}'
            )
        elif choice < 0.6:
            who = draw.choice(NAMES)
            text = f"sshd[{number}]: Accepted publickey for {who} from {address} port {port} ssh2"
        elif choice < 0.7:
            text = f"sshd[{number}]: Connection closed by {address} port {port} [preauth]"
        elif choice < 0.8:
            who, what = draw.choice(["root", "www-data"]), draw.choice(["backup", "rotate", "sync"])
            text = f"CRON[{number}]: ({who}) CMD (/usr/local/bin/{what}.sh)"
        elif choice < 0.9:
            what = draw.choice(["Daily apt activities", "Session of user", "Network Manager"])
            text = f"systemd[1]: {draw.choice(['Started', 'Stopped', 'Starting'])} {what}."
        elif choice < 0.96:
            text = "-- MARK --"
        else:
            text = f"kernel: eth0: link {draw.choice(['up', 'down'])}"
        yield f"{stamp} host {text}"


def suffix_array() -> dict[str, Any]:
    """In this process: made of words drawn from tiny Shakespeare, by frequency."""
    before = _peak()
    words = (data_folder() / "tinyshakespeare.txt").read_text("utf-8").split(" ")
    draw, pieces = np.random.default_rng(0), bytearray()
    while len(pieces) < MEGABYTES * 10**6:  # piece by piece: the peak shall be that of what is measured
        pieces += " ".join(words[i] for i in draw.integers(0, len(words), 10_000).tolist()).encode() + b" "
    del pieces[MEGABYTES * 10**6 :], words
    text = bytes(pieces)
    del pieces
    start = time.perf_counter()
    passages = Passages([text])
    seconds = time.perf_counter() - start
    sample = text[12_345_678:12_445_678].decode() + "Ω"
    start = time.perf_counter()
    passages.lengths(sample)
    return {
        "megabytes": len(text) / 1e6,
        "seconds": seconds,
        "bytes_a_character": (_peak() - before) / len(text),  # the text itself included
        "search_seconds_a_100_000": time.perf_counter() - start,
    }


def _peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def apart(name: str) -> dict[str, Any]:
    """A function of this script in a process of its own."""
    import json

    code = f"import json, insight; print(json.dumps(insight.{name}()))"
    folder = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, *sys.path])}
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    return dict(json.loads(found.stdout))


RULES: dict[str, Callable[[Any, Any], float]] = {
    "bits a character": lambda surprise, entropy: surprise.mean(),
    "bits in all": lambda surprise, entropy: surprise.sum(),
    "surprise − entropy, mean": lambda surprise, entropy: (surprise - entropy).mean(),
    "(surprise − entropy) / √length": lambda surprise, entropy: (
        (surprise - entropy).sum() / np.sqrt(len(surprise))
    ),
    "the greatest surprise": lambda surprise, entropy: surprise.max(),
    "strangest stretch, without tolerance": lambda surprise, entropy: strangest(surprise - entropy),
    "strangest stretch": lambda surprise, entropy: strangest(surprise - entropy - TOLERANCE),
}


def log_model(folder: Path) -> CharacterModel:
    if not (folder / "run").exists():
        (folder / "day.log").write_text("\n".join(log(ORDINARY, 1)) + "\n", encoding="utf-8")
        api.train(folder / "day.log", out=folder / "run", steps=STEPS, documents="line", hidden=128)
    return api.load(folder / "run")


def rules(folder: Path) -> dict[str, Any]:
    """For each rule, ordinary lines ahead of the worst odd one, and odd ones not among the first 20."""
    model = log_model(folder)
    vocabulary = model.model.vocabulary

    def read(lines: Any) -> Iterator[tuple[Any, Any]]:
        ends = np.array([vocabulary.eos], np.int32)
        for found in model.generator.score(np.append(vocabulary.encode(line), ends) for line in lines):
            yield -found.log_probabilities / np.log(2), found.entropies / np.log(2)

    ordinary, odd = list(read(log(ORDINARY, 2))), list(read(ODD))
    result: dict[str, Any] = {}
    for name, rule in RULES.items():
        scores = np.sort([rule(*each) for each in ordinary])
        ahead = [len(scores) - int(np.searchsorted(scores, rule(*each))) for each in odd]
        result[name] = [max(ahead), sum(each >= 20 for each in ahead)]
    return result


def hundred_thousand(folder: Path) -> dict[str, Any]:
    """The rank of one odd line among as many ordinary ones, and the time that scoring them takes."""
    model = log_model(folder)
    lines = list(log(LOG_LINES, 3))
    lines[61_234] = "17:38:12 host kernel: eth1: link up"
    start = time.perf_counter()
    found = [each.strangeness for each in score(model.generator, lines)]
    seconds = time.perf_counter() - start
    rank = 1 + sum(each > found[61_234] for each in found)
    return {"lines": len(lines), "rank": rank, "seconds": seconds, "characters": sum(map(len, lines))}


def report(folder: Path) -> dict[str, Any]:
    """A report on a model as large, and with as many records, as an hour on tiny Shakespeare may leave.

    What its weights are does not change what it costs, so an hour need not be spent on them.
    """
    run = folder / "play"
    if not run.exists():
        api.train(data_folder() / "tinyshakespeare.txt", out=run, steps=4, hidden=HOUR_HIDDEN)
        _an_hour(run)
    generator = api.load(run).generator
    generator.sample("A")  # what is compiled once on a machine does not count
    start = time.perf_counter()
    reporting.finished(run)
    end_of_training = time.perf_counter() - start
    start = time.perf_counter()
    found = reporting.gathered(run, generator)
    page = reporting.written([found], [], folder / "page.html")
    return {
        "seconds": time.perf_counter() - start,
        "bytes": page.stat().st_size,
        "seconds_at_the_end_of_training": end_of_training,
        "missing": found.missing,
    }


def _an_hour(run: Path) -> None:
    """Records as if it had been evaluated every second, and had written every fourth."""
    metrics, samples = runs.records(run / runs.METRICS)[-1], runs.records(run / runs.SAMPLES)[-1]
    (run / runs.METRICS).unlink()
    (run / runs.SAMPLES).unlink()
    for second in range(HOUR):
        nats = 1.4 + 2.5 / (1 + second / 20)
        told = {"step": 10 * second, "seconds": second, "characters": 40_960 * second}
        runs.append(run / runs.METRICS, {**metrics, **told, "nats": nats, "loss": nats + 0.02 * (second % 7)})
        if second % 4 == 0:
            runs.append(run / runs.SAMPLES, {**samples, "step": 10 * second})


def main() -> None:
    rows = Rows("insight")
    array = rows.measure("suffix array", apart, "suffix_array")
    folder = FOLDER / "insight"  # its models are kept, so that a broken-off run goes on
    folder.mkdir(exist_ok=True)
    ranked = rows.measure("rules", rules, folder)
    one = rows.measure("one in 100,000", hundred_thousand, folder)
    page = rows.measure("report of an hour's run", report, folder)
    print(
        table(
            ["what", "figure"],
            [
                [f"suffix array of {array['megabytes']:.0f} MB", f"{array['seconds']:.0f} s"],
                [
                    "its memory at most, the text included",
                    f"{array['bytes_a_character']:.1f} bytes a character",
                ],
                ["copies in 100,000 characters", f"{array['search_seconds_a_100_000']:.2f} s"],
                [f"scoring {one['lines']:,} lines of a log", f"{one['seconds']:.0f} s"],
                ["rank of the odd line among them", one["rank"]],
                ["a report of an hour's run", f"{page['seconds']:.1f} s, {page['bytes'] / 1000:.0f} kB"],
                ["its part at the end of training", f"{page['seconds_at_the_end_of_training']:.1f} s"],
            ],
        )
    )
    print()
    listed: list[list[object]] = [[name, *ranked[name]] for name in RULES]
    head = ["rule", "ordinary lines ahead of the worst of 22 odd ones", "odd ones not among the first 20"]
    print(table(head, listed))


if __name__ == "__main__":
    main()
