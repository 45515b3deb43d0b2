"""What fells servers, one storm after the other on one server: what becomes of it, and how it is then."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from load import Crowd, asking, percentile
from target import MEGABYTE, Target, serving

HELD = 1000  # streams, once before everything: what they took is kept to be used again
LENGTH = 500  # characters of a request of the flood
TIMES = 10  # what the server can write
LIMITS = ("--set", "serve.arrival_seconds=3", "--set", "serve.stall_seconds=3")


def capacity(target: Target) -> float:
    """Requests of LENGTH characters that the server writes in a second."""
    with target.held(HELD) as crowd:
        crowd.run(1.0)
        before, begun = target.metrics(), time.perf_counter()
        crowd.run(3.0)
        after, passed = target.metrics(), time.perf_counter() - begun
    return (after["charloom_characters_total"] - before["charloom_characters_total"]) / passed / LENGTH


def overload(target: Target, seconds: float, rate: float) -> dict[str, Any]:
    """Ten times what the server can write, as requests of 500 characters."""
    flood, count = Crowd(target.port), int(rate * seconds)
    begun = time.perf_counter()
    flood.come((asking(f"storm {k}", length=LENGTH) for k in range(count)), rate)
    passed = time.perf_counter() - begun
    peak = target.memory / MEGABYTE
    refused = [client.first for client in flood.clients if client.status == "429"]
    statuses = Counter(client.status for client in flood.clients if client.status != "none")
    flood.leave()
    return {
        "rate": count / passed,
        "statuses": statuses,
        "refused": [percentile(refused, 0.5), percentile(refused, 0.99)],
        "peak": peak,
    }


def impatient(target: Target, seconds: float, rate: float) -> dict[str, Any]:
    """200 requests of 10,000 characters whose clients give up after half a second."""
    crowd = Crowd(target.port)
    for k in range(200):
        crowd.open(asking("long prompt " * 833 + str(k), length=10_000))
    crowd.run(0.5)
    crowd.leave()
    return {}


def slow_readers(target: Target, seconds: float, rate: float) -> dict[str, Any]:
    """100 streams of which nothing is read."""
    crowd = Crowd(target.port)
    for _ in range(100):
        crowd.open(asking(), reading=False)
    time.sleep(min(seconds, 5.0))
    peak = target.memory / MEGABYTE
    crowd.leave()
    return {"peak": peak}


def half_open(target: Target, seconds: float, rate: float) -> dict[str, Any]:
    """200 requests whose second half never comes."""
    crowd, content = Crowd(target.port), asking()
    for _ in range(200):
        crowd.open(content[: len(content) // 2])
    crowd.run(until=lambda: all(client.closed for client in crowd.clients))
    return {"statuses": Counter(client.status for client in crowd.clients)}


def huge_bodies(target: Target, seconds: float, rate: float) -> dict[str, Any]:
    """Bodies of 100 MB, announced and sent, and as many that are sent in chunks without a length."""
    size, piece = 100_000_000, b"a" * 2**18
    head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    statuses: Counter[str] = Counter()
    peak = 0
    for lines in (b"content-length: %d\r\n\r\n" % size, b"transfer-encoding: chunked\r\n\r\n"):
        chunk = b"%x\r\n%s\r\n" % (len(piece), piece) if b"chunked" in lines else piece
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", target.port)) as connection:
                connection.sendall(head + lines)
                try:
                    for _ in range(size // len(piece)):
                        connection.sendall(chunk)
                        peak = max(peak, target.memory)
                except ConnectionError:
                    pass  # it need not wait for the end
                try:
                    statuses[connection.recv(12)[9:].decode() or "none"] += 1
                except ConnectionError:
                    statuses["none"] += 1
    return {"statuses": statuses, "peak": peak / MEGABYTE}


def silent(target: Target, seconds: float, rate: float) -> dict[str, Any]:
    """1,000 connections that send nothing."""
    crowd = Crowd(target.port)
    for _ in range(1000):
        crowd.open(b"")
    begun = time.perf_counter()
    meanwhile = target.probed(1.0, crowd)
    crowd.run(until=lambda: all(client.closed for client in crowd.clients))
    return {"closed": time.perf_counter() - begun, "meanwhile": meanwhile}


Storm = Callable[[Target, float, float], dict[str, Any]]
STORMS: tuple[tuple[str, Storm, float], ...] = (
    ("overload", overload, 1.0),
    ("overload again", overload, 1 / 4),
    ("overload, a third time", overload, 1 / 4),
    ("impatient", impatient, 1.0),
    ("impatient again", impatient, 1.0),
    ("slow readers", slow_readers, 1.0),
    ("half open", half_open, 1.0),
    ("huge bodies", huge_bodies, 1.0),
    ("silent", silent, 1.0),
)
"""Name, what it does, and its part of the time that a storm may last."""


def storms(path: Path, seconds: float, calm: float) -> dict[str, Any]:
    """Each storm on one server; before them and after each, what a client waits, what memory it has."""
    row: dict[str, Any] = {}
    with serving(path, *LIMITS) as target:
        target.probed(1.0)
        row["memory_begin"] = target.memory / MEGABYTE
        row["capacity"] = capacity(target)
        row["quiet"] = target.probed(calm)
        row["memory_before"] = target.memory / MEGABYTE
        for name, storm, part in STORMS:
            told = storm(target, part * seconds, TIMES * row["capacity"])
            freed = target.nobody()
            time.sleep(1.0)
            row[name] = {**told, "freed": freed, "after": target.probed(calm)}
            row[name]["memory"] = target.memory / MEGABYTE
        row["connections_after"] = len(target.found.net_connections()) - 1  # but the one that listens
        target.process.terminate()
        row["exit"] = target.process.wait(60)
    return row


def happened(row: dict[str, Any]) -> str:
    """What a storm's row tells, in words."""
    words = [f"{count:,} × {status}" for status, count in sorted(row.get("statuses", {}).items())]
    if "rate" in row:
        words.insert(0, f"{row['rate']:,.0f} requests a second")
    if "refused" in row:
        words.append(f"429 after {told(row['refused'])} ms (p50 / p99)")
    if "closed" in row:
        words.append(f"all closed after {row['closed']:.1f} s")
        words.append(f"a new client meanwhile waits {told(row['meanwhile'])} ms")
    if "peak" in row:
        words.append(f"{row['peak']:.0f} MiB at the most")
    return ", ".join([*words, f"places free after {1000 * row['freed']:.0f} ms"])


def told(seconds: Any) -> str:
    """Median, 99th percentile and so on in milliseconds."""
    return " / ".join(f"{1000 * value:.0f}" for value in seconds)
