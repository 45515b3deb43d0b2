"""The real server as a process of its own, on a model folder with random weights."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

import untrained
from charloom.model import folder
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.text.vocabulary import Vocabulary
from untrained import SPECIALS

LETTERS = "etaoin shrdlu\n.,'ABCmwfgypbvkxjqz-0123456789é"
PATIENCE = 300.0  # seconds: how long anything may take on a busy machine
FOR_EVER = 1_000_000_000  # characters: no text of a test comes to this end
LONG = ("--set", f"serve.tokens={FOR_EVER}", "--set", "serve.stall_seconds=86400")  # `writers` read nothing


def build(path: Path, specials: tuple[str, ...] = SPECIALS) -> Path:
    """A model folder at `path`; `<eos>` is unlikely."""
    vocabulary, provenance = Vocabulary.of_characters(LETTERS, specials), {"normalize": "nfc", "corpora": []}
    described = {"metrics": {"nats": 2.0}, "provenance": provenance}
    return untrained.write(path, untrained.model(vocabulary=vocabulary, ends=-9, **described), "# A model\n")


@dataclass
class Running:
    """A server in a process of its own."""

    process: subprocess.Popen[bytes]
    model: Path
    address: str = ""  # as it was printed
    key: str = ""
    log: list[str] = field(default_factory=list)
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=PATIENCE, verify=False))

    @property
    def url(self) -> str:
        return self.address.partition("#")[0].rstrip("/")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def pid(self) -> int:
        return self.process.pid

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(self.url + path, headers=self.headers(options), **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        headers = self.headers(options)
        return self.http.post(self.url + path, json=body, headers=headers, **options)

    def complete(self, prompt: Any = "", **asked: Any) -> httpx.Response:
        return self.post("/v1/completions", {"prompt": prompt, **asked})

    def text(self, prompt: Any = "", **asked: Any) -> str:
        found = self.complete(prompt, **asked)
        assert found.status_code == 200, found.text
        return found.json()["choices"][0]["text"]

    def headers(self, options: dict[str, Any]) -> dict[str, str]:
        given = options.pop("headers", {})
        return {"authorization": f"Bearer {self.key}", **given} if self.key else given

    def openai(self, **options: Any) -> openai.OpenAI:
        options = {"max_retries": 0, "timeout": PATIENCE, **options}
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.key or "none", **options)

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric now; 0 where it was never touched."""
        wanted = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        line = f"{name}{{{wanted}}} " if wanted else f"{name} "
        for found in self.get("/metrics").text.splitlines():
            if found.startswith(line):
                return float(found.removeprefix(line))
        return 0.0

    def writing(self, count: int) -> None:
        """Wait until so many texts are being written."""
        wait_until(lambda: self.metric("charloom_texts", stage="running") == count)

    @contextlib.contextmanager
    def writers(self, count: int, **asked: Any) -> Iterator[list[socket.socket]]:
        """So many streams that never end, each on a socket of its own, hung up at the end."""
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(self.socket()) for _ in range(count)]
            for each in sockets:
                body = {"prompt": "a", "max_tokens": FOR_EVER, "ignore_eos": True, "stream": True, **asked}
                each.sendall(self.request("/v1/completions", body))
            yield sockets

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def request(self, path: str, body: Any) -> bytes:
        """The bytes of a POST."""
        content = json.dumps(body).encode()
        head = [f"POST {path} HTTP/1.1", "host: localhost", "content-type: application/json"]
        head += [f"content-length: {len(content)}"]
        head += [f"authorization: Bearer {self.key}"] if self.key else []
        return "\r\n".join([*head, "", ""]).encode() + content

    def stop(self, sign: int = signal.SIGTERM) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(sign)
        return self.process.wait(PATIENCE)

    def lines(self, part: str) -> list[str]:
        """Lines of the log with this in them, once there is one."""
        wait_until(lambda: any(part in line for line in self.log))
        return [line for line in self.log if part in line]


def wait_until(true: Callable[[], object]) -> None:
    """Look again and again; fail where it does not come true."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


@contextlib.contextmanager
def serving(model: Path, *flags: str, **environment: str) -> Iterator[Running]:
    """The command `charloom serve`, until it listens and until the test is over."""
    command = [sys.executable, "-m", "charloom", "serve", str(model), "--port", "0", *flags]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **environment}
    )
    running = Running(process, model)
    reading = threading.Thread(target=_read_log, args=(process, running.log))
    reading.start()
    try:
        assert process.stdout is not None
        first = process.stdout.readline().decode()
        found = re.search(r"http://\S+", first)
        assert found is not None, "".join(running.log)
        running.address = found[0]
        running.key = running.address.partition("#key=")[2]
        yield running
    finally:
        running.http.close()
        process.kill()
        process.wait()
        reading.join()
        process.stdout.close()
        process.stderr.close()


def _read_log(process: subprocess.Popen[bytes], log: list[str]) -> None:
    assert process.stderr is not None
    log.extend(line.decode() for line in process.stderr)


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> contextlib.ExitStack:
    """What lasts as long as the tests do."""
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("models") / "verses")


@pytest.fixture(scope="session")
def _running(kept: contextlib.ExitStack, model: Path) -> list[Running]:
    return []


@pytest.fixture
def server(kept: contextlib.ExitStack, model: Path, _running: list[Running]) -> Running:
    """The server as it is by default; a test leaves it as it was."""
    if not _running:
        _running.append(kept.enter_context(serving(model)))
    assert _running[0].process.poll() is None, "".join(_running[0].log)
    return _running[0]


@pytest.fixture
def serve(model: Path) -> Iterator[Callable[..., Running]]:
    """`serve(*flags)`: a server of this test's own; `model=` another folder."""
    with contextlib.ExitStack() as stack:
        yield lambda *flags, model=model, **environment: stack.enter_context(
            serving(model, *flags, **environment)
        )


@pytest.fixture(scope="session")
def generator(model: Path) -> Generator:
    return Generator(folder.read(model))


Expected = Callable[..., str]


@pytest.fixture
def expected(generator: Generator) -> Expected:
    """`expected(prompt, stream=, **settings)`: what the runtime writes by itself."""

    def text(prompt: str = "", stream: int = 0, **settings: Any) -> str:
        return generator.sample(prompt, settings=SamplerConfig(**settings), stream=stream).text

    return text
