"""What has felled bigger servers: in small, and at full size in the slow tests; then all is as before."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from charloom.server import service
from charloom.server.limits import ServeConfig
from charloom.server.service import room_for

from .conftest import FOR_EVER, LONG, PATIENCE, Running, serving, wait_until

MEGABYTE = 2**20
MOST_GROWN = 50 * MEGABYTE  # what lies in pieces between what is in use cannot be given back
STAGES = ("waiting", "reading", "running")


@pytest.fixture(scope="module")
def coast(model: Path) -> Iterator[Running]:
    """A small server in the way of storms."""
    room_for(8192)
    short = ("--set", "serve.arrival_seconds=2", "--set", "serve.stall_seconds=2")
    with serving(model, "--streams", "8", "--queue", "8", *LONG, *short) as running:
        yield running


@pytest.fixture(scope="module")
def wide(model: Path) -> Iterator[Running]:
    """A server with room for everyone."""
    room_for(8192)
    with serving(model, *LONG) as running:
        yield running


@pytest.fixture
def calm(coast: Running) -> Iterator[Running]:
    """It serves before and after, with nobody left and its memory back."""
    process = psutil.Process(coast.pid)
    text = coast.text("the ", max_tokens=50, seed=1)
    before = process.memory_info().rss
    yield coast
    for stage in STAGES:
        wait_until(lambda stage=stage: not coast.metric("charloom_texts", stage=stage))
    assert coast.text("the ", max_tokens=50, seed=1) == text
    assert coast.get("/health").json() == {"status": "ok"}
    wait_until(lambda: len(process.net_connections("tcp")) <= 3)
    wait_until(lambda: process.memory_info().rss < before + MOST_GROWN)


def sized(small: int, full: int) -> pytest.MarkDecorator:
    """The test at both sizes."""
    return pytest.mark.parametrize("count", [small, pytest.param(full, marks=pytest.mark.slow)])


@sized(60, 5000)
def test_more_than_there_is_room_for(calm: Running, count: int) -> None:
    """Everyone is answered: with a text, or at once with 429 and when to try again."""
    request = calm.request("/v1/completions", {"prompt": "a", "max_tokens": 3000, "ignore_eos": True})

    def ask(_: int) -> str:
        with calm.socket() as client:
            client.sendall(request)
            answer = client.recv(2**20).decode("latin-1")
            assert " 200 " in answer or "retry-after: " in answer
            return answer[9:12]

    with ThreadPoolExecutor(60) as threads:
        statuses = Counter(threads.map(ask, range(count)))
    assert set(statuses) == {"200", "429"}


@sized(20, 1000)
def test_connections_that_send_nothing(calm: Running, count: int) -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(calm.socket()) for _ in range(count)]
        assert calm.text("a", max_tokens=5)
        for each in silent:
            assert each.recv(1) == b""


@sized(20, 500)
def test_half_a_request(calm: Running, count: int) -> None:
    request = calm.request("/v1/completions", {"prompt": "a" * 200, "max_tokens": 3})
    with contextlib.ExitStack() as stack:
        halves = [stack.enter_context(calm.socket()) for _ in range(count)]
        for each in halves:
            each.sendall(request[: len(request) - 100])
        for each in halves:
            assert b" 408 " in each.recv(1000)


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_of_100_megabytes(calm: Running, chunked: bool) -> None:
    """Refused before they are kept: those that announce their size and those that do not."""
    kind = b"transfer-encoding: chunked" if chunked else b"content-length: 100000000"
    head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    piece = b"a" * 2**20
    peak = psutil.Process(calm.pid).memory_info().rss
    for _ in range(3):
        with calm.socket() as client:
            client.sendall(head + kind + b"\r\n\r\n")
            with contextlib.suppress(ConnectionError):  # it need not wait for the end
                for _ in range(95):
                    client.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                    peak = max(peak, psutil.Process(calm.pid).memory_info().rss)
            assert b" 413 " in client.recv(1000)
    assert peak < psutil.Process(calm.pid).memory_info().rss + 20 * MEGABYTE


@sized(8, 200)
def test_readers_that_do_not_read(wide: Running, count: int) -> None:
    """Their texts are written to the end and their places freed; then they are let go."""
    written = wide.metric("charloom_characters_total")
    with wide.writers(count, max_tokens=10_000, n=4):
        wait_until(lambda: wide.metric("charloom_characters_total") >= written + count * 4 * 9_000)
        assert wide.text("a", max_tokens=5)
        wait_until(lambda: not wide.metric("charloom_texts", stage="running"))
    assert wide.metric("charloom_texts", stage="waiting") == 0


@sized(30, 200)
def test_long_prompts_of_clients_that_give_up(calm: Running, count: int) -> None:
    with contextlib.ExitStack() as stack:
        for k in range(count):
            client = stack.enter_context(calm.socket())
            prompt = f"{k} " + "the fog comes on little cat feet " * 300
            asked = {"prompt": prompt, "max_tokens": 10_000, "stream": bool(k % 2)}
            client.sendall(calm.request("/v1/completions", asked))
        time.sleep(0.5)


@sized(100, 1000)
def test_many_writers(wide: Running, count: int) -> None:
    """Held at the same time, all of them going on."""
    with wide.writers(count, max_tokens=FOR_EVER) as sockets:
        wide.writing(count)
        lengths = [0] * count
        end = time.monotonic() + PATIENCE

        def read(k: int) -> None:
            sockets[k].setblocking(False)
            with contextlib.suppress(BlockingIOError):
                lengths[k] += len(sockets[k].recv(2**20))

        for _ in range(3):  # three times something new for everyone
            before = list(lengths)
            while not all(a < b for a, b in zip(before, lengths, strict=True)):
                assert time.monotonic() < end
                for k in range(count):
                    read(k)
        assert wide.text("the ", max_tokens=50, seed=1)
    wide.writing(0)
    assert threading.active_count() < 100


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_the_allocator_is_one_that_gives_back(model: Path) -> None:
    for given, expected in (({}, b"malloc"), ({"PYTHONMALLOC": "pymalloc"}, b"pymalloc")):
        with serving(model, **given) as running:
            found = Path(f"/proc/{running.pid}/environ").read_bytes().split(b"\0")
            assert b"PYTHONMALLOC=" + expected in found


def test_when_a_flood_has_passed_its_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, and not before a while in which nothing came and nobody is served."""
    told: list[str] = []
    monkeypatch.setattr(service, "tidy", lambda: told.append("tidied"))

    class Engine:
        def forget(self) -> Future[None]:
            told.append("forgotten")
            done: Future[None] = Future()
            done.set_result(None)
            return done

    served = SimpleNamespace(app=None, engine=Engine())
    server = service.Server(served, ServeConfig())

    async def looks(count: int) -> list[str]:
        told.clear()
        for _ in range(count):
            await server.on_tick(1)
        return list(told)

    async def flood() -> None:
        server.server_state.total_requests = service.FLOOD
        assert await looks(service.CALM) == []
        assert await looks(2) == ["forgotten", "tidied"]
        assert await looks(20) == []
        server.server_state.total_requests += service.FLOOD - 1
        assert await looks(20) == []
        server.server_state.total_requests += 1
        task = asyncio.get_running_loop().create_future()
        server.server_state.tasks.add(task)
        assert await looks(20) == []
        server.server_state.tasks.clear()
        assert await looks(1) == ["forgotten", "tidied"]

    asyncio.run(flood())
