"""What one small machine serves: streams held, time to first characters, memory, and storms survived.

    python benchmarks/server.py [--quick]

A server of its own process and this load, both on the same processors. The load is open-loop: requests come
when they are due, whatever became of those before. The model is an untrained LSTM of 512: what it writes
does not matter, how fast it does. --quick shortens every row, to see that the script works.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charloom.model import folder
from charloom.runtime.batch import Batch, Stream
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.server.service import room_for
from load import FOR_EVER, percentile
from rows import Rows, table
from startup import model
from storms import STORMS, happened, storms, told
from target import serving

STREAMS = 1, 100, 1000
MOST_CONNECTIONS = 16_384
PRECISIONS = "float32", "int8"


@dataclass(frozen=True)
class Durations:
    """How long each thing is done, in seconds."""

    settle: float = 2.0
    hold: float = 10.0
    probe: float = 5.0
    storm: float = 60.0
    calm: float = 2.0


QUICK = Durations(settle=1.0, hold=2.0, probe=2.0, storm=3.0, calm=1.0)


def streams(path: Path, precision: str, durations: Durations) -> dict[str, Any]:
    """1, 100, 1,000 streams held: steps, gaps, characters a second, memory; then a new client beside them."""
    row: dict[str, Any] = {}
    with serving(path, "--precision", precision) as target:
        target.probed(1.0)
        for count in STREAMS:
            memory = target.memory
            with target.held(count - 1) as crowd:
                crowd.run(durations.settle)
                if count == STREAMS[-1]:
                    before, begun = target.metrics(), time.perf_counter()
                    crowd.run(durations.settle)  # hear what came while this loop waited for the metrics
                    for client in crowd.clients:
                        del client.events[:-1]
                    crowd.run(durations.hold)
                    gaps = [gap for client in crowd.clients for gap in client.gaps]
                    after, seconds = target.metrics(), time.perf_counter() - begun
                    written = after["charloom_characters_total"] - before["charloom_characters_total"]
                    row |= {
                        "step": median_step(before, after),
                        "gap_p50": percentile(gaps, 0.5),
                        "gap_p99": percentile(gaps, 0.99),
                        "gap_most": max(gaps),
                        "events": len(gaps) / durations.hold,
                        "characters": written / seconds,
                        "memory": (target.memory - memory) / (count - 1),
                    }
                row[f"first_{count}"] = target.probed(durations.probe, crowd)
    return row


def median_step(before: dict[str, float], after: dict[str, float]) -> float:
    """Seconds, from the histogram's buckets, in a straight line within one."""
    name = "charloom_step_seconds_bucket"
    counts = [
        (float(key.partition('le="')[2].rstrip('"}')), after[key] - before.get(key, 0.0))
        for key in after
        if key.startswith(name) and "Inf" not in key
    ]
    half = (after["charloom_step_seconds_count"] - before["charloom_step_seconds_count"]) / 2
    low, below = 0.0, 0.0
    for high, count in sorted(counts):
        if count >= half:
            return low + (high - low) * (half - below) / max(count - below, 1e-9)
        low, below = high, count
    return float("inf")


def bare(path: Path, precision: str, seconds: float) -> dict[str, Any]:
    """Characters a second of the runtime's batch alone, one thread, a thousand rows."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    found = folder.read(path)
    generator = Generator(found, precision)  # type: ignore[arg-type]
    batch = Batch(generator.engine, found, STREAMS[-1])
    start = generator.prime("a")
    for number in range(STREAMS[-1]):
        batch.enter(Stream(found, start, SamplerConfig(length=FOR_EVER), number=number))
    batch.advance(16)
    written, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        written += sum(len(each.piece) for each in batch.advance(256))
    rate = written / (time.perf_counter() - begun)
    batch.close()
    return {"characters": rate}


def alone(path: Path, precision: str, durations: Durations) -> dict[str, Any]:
    """`bare` in a process of its own: it gives its other processors away for good."""
    code = f"import server, json, pathlib; print(json.dumps(server.bare(pathlib.Path({str(path)!r}), "
    code += f"{precision!r}, {durations.calm})))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=Path(__file__).parent
    )
    row: dict[str, Any] = json.loads(found.stdout)
    return row


def show(found: dict[str, dict[str, Any]]) -> None:
    """The tables of docs/server.md."""
    lines: list[list[object]] = []
    for precision in PRECISIONS:
        row, bare_row = found[f"streams, {precision}"], found[f"runtime alone, one thread, {precision}"]
        share = row["characters"] / bare_row["characters"]
        gaps = told((row["gap_p50"], row["gap_p99"], row["gap_most"]))
        lines += [
            [f"{precision}: characters a second, 1,000 streams", f"{row['characters']:,.0f}"],
            [f"{precision}: of the runtime alone on one thread", f"{share:.0%}"],
            [f"{precision}: engine step, median, ms", f"{1000 * row['step']:.1f}"],
            [f"{precision}: events a second", f"{row['events']:,.0f}"],
            [f"{precision}: between two events of a stream, p50 / p99 / most, ms", gaps],
            [f"{precision}: memory a stream, kB", f"{row['memory'] / 1000:.0f}"],
        ]
        for count in STREAMS:
            name = f"{precision}: first character, {count:,} streams, p50 / p99, ms"
            lines.append([name, told(row[f"first_{count}"])])
    print(table(["1×512", "measured"], lines))
    row = found["storms"]
    lines = [["(before)", "", told(row["quiet"]), f"{row['memory_before']:.0f}"]]
    for name, _, _ in STORMS:
        after = row[name]
        lines.append([name, happened(after), told(after["after"]), f"{after['memory']:.0f}"])
    print()
    print(table(["storm", "during it", "first character after it, p50 / p99, ms", "memory then, MiB"], lines))
    print(f"\nConnections left: {row['connections_after']}. Exit code after SIGTERM: {row['exit']}.")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    durations = QUICK if parser.parse_args().quick else Durations()
    room_for(MOST_CONNECTIONS)
    rows = Rows("server" if durations is not QUICK else "server-quick")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "model")
        model(path)
        os.environ["CHARLOOM_CACHE"] = str(Path(temporary, "cache"))
        warm = [sys.executable, "-m", "charloom", "sample", str(path), "--length", "1"]
        subprocess.run(warm, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # so no server compiles: that takes memory which it keeps
        for precision in PRECISIONS:
            rows.measure(f"runtime alone, one thread, {precision}", alone, path, precision, durations)
            rows.measure(f"streams, {precision}", streams, path, precision, durations)
        rows.measure("storms", storms, path, durations.storm, durations.calm)
    show(rows.found)


if __name__ == "__main__":
    main()
