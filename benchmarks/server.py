"""What one small machine serves: streams held, time to first characters, memory, and storms survived.

    python benchmarks/server.py [--quick]

A server of its own process and this load, both on the same processors. The load is open-loop: requests come
when they are due, whatever became of those before. The model is an untrained LSTM of 512: what it writes
does not matter, how fast it does. --quick shortens every row, to see that the script works.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from charloom.model import folder
from charloom.runtime.batch import Batch, Stream
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.server.service import room_for
from rows import Rows, table
from startup import model

STREAMS = 1, 100, 1000
FOR_EVER = 1_000_000_000  # characters: no stream held comes to this end
PROBES_A_SECOND = 10
FLAGS = ("--streams", "1024", "--queue", "256", "--set", f"serve.tokens={FOR_EVER}")
MEGABYTE = 2**20
MOST_CONNECTIONS = 8192
PRECISIONS = "float32", "int8"


@dataclass
class Durations:
    """How long each thing is done, in seconds."""

    settle: float = 2.0
    hold: float = 8.0
    probe: float = 5.0
    storm: float = 60.0
    calm: float = 2.0


QUICK = Durations(settle=1.0, hold=2.0, probe=2.0, storm=3.0, calm=1.0)


class Load(asyncio.Protocol):
    """One connection: sends a request, notes when its answer came; `once` hangs up after it."""

    def __init__(self, content: bytes, reading: bool = True, once: bool = False) -> None:
        self._content, self._reading, self._once = content, reading, once
        self.sent = 0.0
        self.events: list[float] = []  # when
        self.head = b""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if not self._reading:
            transport.pause_reading()
        self.sent = time.perf_counter()
        transport.write(self._content)

    def data_received(self, data: bytes) -> None:
        if len(self.head) < 12:
            self.head += data[:12]
        if b"data: {" in data or b'"choices"' in data or not self.ok:
            self.events.append(time.perf_counter())
        if self._once and (not self.ok or b"[DONE]" in data):
            self.hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    @property
    def ok(self) -> bool:
        return self.head[9:12] == b"200"

    @property
    def status(self) -> str:
        return self.head[9:12].decode() or "none"

    @property
    def first(self) -> float:
        """Seconds from the request to the first of the answer."""
        return self.events[0] - self.sent

    @property
    def gaps(self) -> list[float]:
        return [b - a for a, b in zip(self.events, self.events[1:], strict=False)]

    def hang_up(self) -> None:
        if self.transport is not None:
            self.transport.abort()


@dataclass
class Target:
    """The server under load."""

    port: int
    process: subprocess.Popen[bytes]
    found: psutil.Process = field(init=False)

    def __post_init__(self) -> None:
        self.found = psutil.Process(self.process.pid)

    @property
    def memory(self) -> int:
        """Bytes resident."""
        return int(self.found.memory_info().rss)

    async def open(self, content: bytes, reading: bool = True, once: bool = False) -> Load:
        loop = asyncio.get_running_loop()
        _, load = await loop.create_connection(lambda: Load(content, reading, once), "127.0.0.1", self.port)
        return load

    async def metrics(self) -> dict[str, float]:
        """Every value of /metrics by its name and labels."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        return {name: float(value) for name, value in re.findall(r"^(charloom_\S+) (\S+)$", text, re.M)}


def asking(prompt: str = "a", *, stream: bool = True, length: int = FOR_EVER, **asked: Any) -> bytes:
    """The bytes of a request."""
    fields = {"prompt": prompt, "max_tokens": length, "stream": stream, "ignore_eos": True, **asked}
    body = json.dumps(fields).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"content-type: application/json\r\n\r\n" + body


@contextlib.contextmanager
def serving(path: Path, *flags: str) -> Iterator[Target]:
    """A server on that model, with its log thrown away."""
    command = [sys.executable, "-m", "charloom", "serve", str(path), "--port", "0", *FLAGS, *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield Target(int(process.stdout.readline().decode().strip("/\n").rpartition(":")[2]), process)
        finally:
            process.kill()


@contextlib.asynccontextmanager
async def held(target: Target, count: int) -> AsyncIterator[list[Load]]:
    """So many streams, all writing, until the end."""
    content = asking()
    loads = [await target.open(content) for _ in range(count)]
    await until(lambda: all(load.events for load in loads))
    try:
        yield loads
    finally:
        for load in loads:
            load.hang_up()
        await nobody(target)


async def nobody(target: Target) -> float:
    """Seconds until the server writes nothing."""
    begun = time.perf_counter()
    while True:
        found = await target.metrics()
        stages = ("waiting", "reading", "running")
        if not any(found[f'charloom_texts{{stage="{stage}"}}'] for stage in stages):
            return time.perf_counter() - begun
        await asyncio.sleep(0.05)


async def until(true: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.perf_counter() + seconds
    while not true():
        if time.perf_counter() > end:
            raise SystemExit("the server did not do what was waited for")
        await asyncio.sleep(0.02)


async def due(rate: float, seconds: float) -> AsyncIterator[int]:
    """0, 1, … each when it is due, at `rate` a second; one that is late does not delay the next."""
    begun = time.perf_counter()
    for k in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begun + k / rate - time.perf_counter()))
        yield k


async def probed(target: Target, seconds: float) -> list[tuple[str, float]]:
    """Statuses and times to the first characters of short streams, beside whatever else is going on.

    They come from a process of their own, so that the time is not that which this load takes for itself.
    """
    command = [sys.executable, __file__, "--probe", str(target.port), str(seconds)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    found: list[tuple[str, float]] = json.loads(out)
    return found


def probe(port: int, seconds: float) -> list[tuple[str, float]]:
    """What `probed` runs: one request every tenth of a second, each on a thread of its own."""
    found: list[tuple[str, float]] = []

    def ask(k: int) -> None:
        content = asking(f"probe {k} {time.time()}", length=20)
        begun = time.perf_counter()
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(content)
            head = connection.recv(2**16)
            while b'"text": ' not in head and head[9:12] == b"200":
                head += connection.recv(2**16)
            found.append((head[9:12].decode(), time.perf_counter() - begun))

    begun, threads = time.perf_counter(), []
    for k in range(int(PROBES_A_SECOND * seconds)):
        time.sleep(max(0.0, begun + k / PROBES_A_SECOND - time.perf_counter()))
        threads.append(threading.Thread(target=ask, args=(k,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return found


def firsts(probes: Sequence[tuple[str, float]], status: str = "200") -> tuple[float, float]:
    """Median and 99th percentile of those with that status."""
    times = [seconds for found, seconds in probes if found == status]
    return percentile(times, 0.5), percentile(times, 0.99)


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)] if values else float("nan")


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


async def streams(path: Path, precision: str, durations: Durations) -> dict[str, Any]:
    """1,000 streams held: steps, gaps, characters a second, memory; then the same with probes beside."""
    row: dict[str, Any] = {}
    with serving(path, "--precision", precision) as target:
        await probed(target, 1.0)
        for count in STREAMS:
            memory = target.memory
            async with held(target, count - 1) as loads:
                await asyncio.sleep(durations.settle)
                for load in loads:
                    del load.events[:-1]
                before, begun = await target.metrics(), time.perf_counter()
                await asyncio.sleep(durations.hold if count == STREAMS[-1] else durations.calm)
                after, seconds = await target.metrics(), time.perf_counter() - begun
                if count == STREAMS[-1]:
                    gaps = [gap for load in loads for gap in load.gaps]
                    written = after["charloom_characters_total"] - before["charloom_characters_total"]
                    row |= {
                        "step": median_step(before, after),
                        "gap_p50": percentile(gaps, 0.5),
                        "gap_p99": percentile(gaps, 0.99),
                        "gap_most": max(gaps),
                        "characters": written / seconds,
                        "memory": (target.memory - memory) / len(loads),
                    }
                row[f"first_{count}"] = firsts(await probed(target, durations.probe))
    return row


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


async def storms(path: Path, durations: Durations) -> dict[str, Any]:
    """Each storm on one server, one after the other; before, between and after, what a probe waits."""
    row: dict[str, Any] = {}
    limits = ("--set", "serve.arrival_seconds=3", "--set", "serve.stall_seconds=3")
    with serving(path, *limits) as target:
        await probed(target, durations.calm)
        row["memory_begin"] = target.memory / MEGABYTE
        async with held(target, STREAMS[-1]):
            await asyncio.sleep(1.0)
        row["quiet"] = firsts(await probed(target, durations.calm))
        row["memory_before"] = target.memory / MEGABYTE
        for storm in STORMS:
            begun = time.perf_counter()
            told = await storm(target, durations)
            freed = await nobody(target)
            await asyncio.sleep(1.0)
            after = firsts(await probed(target, durations.calm))
            row[storm.__name__] = {
                **told,
                "seconds": time.perf_counter() - begun,
                "freed": freed,
                "after": after,
                "memory": target.memory / MEGABYTE,
            }
        row["connections_after"] = len(target.found.net_connections())  # the one that listens among them
        target.process.terminate()
        row["exit"] = target.process.wait(60)
    return row


async def overload(target: Target, durations: Durations) -> dict[str, Any]:
    """Ten times what the server can write, as requests of 500 characters, for a minute."""
    length = 500
    async with held(target, 1024):
        before, begun = await target.metrics(), time.perf_counter()
        await asyncio.sleep(durations.calm)
        after, seconds = await target.metrics(), time.perf_counter() - begun
    written = after["charloom_characters_total"] - before["charloom_characters_total"]
    capacity = written / seconds / length  # requests a second
    loads = []
    probing = asyncio.create_task(probed(target, durations.storm))
    async for k in due(10 * capacity, durations.storm):
        loads.append(await target.open(asking(f"storm {k}", length=length), once=True))
    probes = await probing
    statuses = Counter(load.status for load in loads)
    for load in loads:
        load.hang_up()
    return {"capacity": capacity, "statuses": statuses, "refused": firsts(probes, "429")}


async def overload_again(target: Target, durations: Durations) -> dict[str, Any]:
    """The same once more: memory that stays is memory that is used again, not lost."""
    return await overload(target, replace(durations, storm=durations.storm / 3))


async def impatient(target: Target, durations: Durations) -> dict[str, Any]:
    """200 requests of 10,000 characters whose clients give up after half a second."""
    loads = [await target.open(asking("long prompt " * 833 + str(k), length=10_000)) for k in range(200)]
    await asyncio.sleep(0.5)
    for load in loads:
        load.hang_up()
    return {}


async def slow_readers(target: Target, durations: Durations) -> dict[str, Any]:
    """100 streams of which nothing is read."""
    loads = [await target.open(asking(), reading=False) for _ in range(100)]
    await asyncio.sleep(durations.calm)
    peak = target.memory / MEGABYTE
    for load in loads:
        load.hang_up()
    return {"peak": peak}


async def half_open(target: Target, durations: Durations) -> dict[str, Any]:
    """200 requests whose second half never comes."""
    content = asking()
    loads = [await target.open(content[: len(content) // 2]) for _ in range(200)]
    await until(lambda: all(load.closed.done() for load in loads))
    return {"statuses": sorted({load.status for load in loads})}


async def huge_bodies(target: Target, durations: Durations) -> dict[str, Any]:
    """Bodies of 100 MB, announced and sent, and as many that are sent in chunks without a length."""
    size = 100_000_000
    head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    loads = []
    for lines in (f"content-length: {size}\r\n\r\n".encode(), b"transfer-encoding: chunked\r\n\r\n"):
        for _ in range(5):
            load = await target.open(head + lines)
            chunked = lines.startswith(b"transfer")
            piece = b"a" * 2**18
            for _ in range(size // 2**18):
                if load.closed.done() or load.transport is None or load.transport.is_closing():
                    break
                load.transport.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                while not load.closed.done() and load.transport.get_write_buffer_size() > 2**20:
                    await asyncio.sleep(0)
            loads.append(load)
    await asyncio.sleep(0.5)
    peak = target.memory / MEGABYTE
    for load in loads:
        load.hang_up()
    return {"statuses": sorted({load.status for load in loads}), "peak": peak}


async def silent(target: Target, durations: Durations) -> dict[str, Any]:
    """1,000 connections that send nothing."""
    loads = [await target.open(b"") for _ in range(1000)]
    begun = time.perf_counter()
    meanwhile = firsts(await probed(target, 1.0))
    await until(lambda: all(load.closed.done() for load in loads))
    return {"closed": time.perf_counter() - begun, "meanwhile": meanwhile}


def told(seconds: Sequence[float]) -> str:
    """Median and 99th percentile in milliseconds."""
    return " / ".join(f"{1000 * value:.0f}" for value in seconds)


def show(found: dict[str, dict[str, Any]]) -> None:
    """The tables of docs/server.md."""
    lines: list[list[object]] = []
    for precision in PRECISIONS:
        row, bare_row = found[f"streams, {precision}"], found[f"runtime alone, one thread, {precision}"]
        share = row["characters"] / bare_row["characters"]
        lines += [
            [f"{precision}: characters a second, 1,000 streams", f"{row['characters']:,.0f}"],
            [f"{precision}: of the runtime alone on one thread", f"{share:.0%}"],
            [f"{precision}: engine step, median, ms", f"{1000 * row['step']:.1f}"],
            [f"{precision}: between two events of a stream, p50 / p99 / most, ms",
             f"{told((row['gap_p50'], row['gap_p99'], row['gap_most']))}"],
            [f"{precision}: memory a stream, kB", f"{row['memory'] / 1000:.0f}"],
        ]  # fmt: skip
        for count in STREAMS:
            name = f"{precision}: first character, {count:,} streams, p50 / p99, ms"
            lines.append([name, told(row[f"first_{count}"])])
    print(table(["1×512", "measured"], lines))
    row = found["storms"]
    lines = [["(before)", "", told(row["quiet"]), f"{row['memory_before']:.0f}"]]
    for storm in STORMS:
        after = row[storm.__name__]
        name = storm.__name__.replace("_", " ")
        lines.append([name, happened(after), told(after["after"]), f"{after['memory']:.0f}"])
    print()
    print(table(["storm", "during it", "first character after it, p50 / p99, ms", "memory then, MiB"], lines))
    print(f"\nConnections left: {row['connections_after'] - 1}. Exit code after SIGTERM: {row['exit']}.")


def happened(row: dict[str, Any]) -> str:
    """What a storm's row tells, in words."""
    statuses = row.get("statuses", [])
    words = (
        [f"{count:,} × {status}" for status, count in statuses.items()] if isinstance(statuses, dict) else []
    )
    words += [f"all {status}" for status in statuses if not words]
    if "refused" in row:
        words.append(f"429 after {told(row['refused'])} ms (p50 / p99)")
    if "closed" in row:
        words.append(
            f"all closed after {row['closed']:.1f} s, a probe meanwhile waits {told(row['meanwhile'])} ms"
        )
    return ", ".join([*words, f"places free after {1000 * row['freed']:.0f} ms"])


STORMS = overload, overload_again, impatient, slow_readers, half_open, huge_bodies, silent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--probe", nargs=2, metavar=("PORT", "SECONDS"), help="what this script runs itself")
    arguments = parser.parse_args()
    if arguments.probe:
        print(json.dumps(probe(int(arguments.probe[0]), float(arguments.probe[1]))))
        return
    room_for(MOST_CONNECTIONS)
    durations = QUICK if arguments.quick else Durations()
    rows = Rows("server-quick" if arguments.quick else "server")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary, "model")
        model(path)
        for precision in PRECISIONS:
            rows.measure(f"runtime alone, one thread, {precision}", alone, path, precision, durations)
            rows.measure(f"streams, {precision}", run, streams, path, precision, durations)
        rows.measure("storms", run, storms, path, durations)
    show(rows.found)


def run(work: Callable[..., Coroutine[Any, Any, dict[str, Any]]], *arguments: object) -> dict[str, Any]:
    return asyncio.run(work(*arguments))


if __name__ == "__main__":
    main()
