"""The server under load: a process of its own, its memory, its metrics, and what a new client waits."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from load import FOR_EVER, Crowd, asking, percentile

FLAGS = ("--streams", "1024", "--queue", "256", "--set", f"serve.tokens={FOR_EVER}")
PROBES_A_SECOND = 10
PROBE_LENGTH = 20
MEGABYTE = 2**20


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

    def metrics(self) -> dict[str, float]:
        """Every value of /metrics by its name and labels."""
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            text = b"".join(iter(lambda: connection.recv(2**16), b"")).decode()
        return {name: float(value) for name, value in re.findall(r"^(charloom_\S+) (\S+)$", text, re.M)}

    @contextlib.contextmanager
    def held(self, count: int) -> Iterator[Crowd]:
        """So many streams, all writing, until the end."""
        crowd, content = Crowd(self.port), asking()
        for _ in range(count):
            crowd.open(content)
        crowd.run(until=lambda: all(client.events for client in crowd.clients))
        try:
            yield crowd
        finally:
            crowd.leave()
            self.nobody()

    def nobody(self) -> float:
        """Seconds until it writes nothing."""
        begun = time.perf_counter()
        while True:
            found = self.metrics()
            stages = ("waiting", "reading", "running")
            if not any(found[f'charloom_texts{{stage="{stage}"}}'] for stage in stages):
                return time.perf_counter() - begun
            time.sleep(0.05)

    def probed(self, seconds: float, beside: Crowd | None = None) -> tuple[float, float]:
        """p50 and p99 to the first characters of short streams, from a process of its own.

        So the time is not that which the crowd beside it takes for itself.
        """
        command = [sys.executable, __file__, str(self.port), str(seconds)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            if beside is not None:
                beside.run(until=lambda: process.poll() is not None)
            times: list[float] = json.loads(process.stdout.read())
        return percentile(times, 0.5), percentile(times, 0.99)


def probe(port: int, seconds: float) -> list[float]:
    """Seconds to the first characters of requests that come one every tenth of a second."""
    crowd = Crowd(port)
    contents = (
        asking(f"probe {k} {time.time()}", length=PROBE_LENGTH) for k in range(int(PROBES_A_SECOND * seconds))
    )
    crowd.come(contents, PROBES_A_SECOND)
    crowd.run(until=lambda: all(client.closed for client in crowd.clients))
    return [client.first for client in crowd.clients if client.status == "200"]


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


if __name__ == "__main__":
    print(json.dumps(probe(int(sys.argv[1]), float(sys.argv[2]))))
