"""SIGTERM: nothing new, what is open is finished or properly ended, exit code 0, nobody left behind."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable

import httpx
import psutil
import pytest

from .conftest import FOR_EVER, LONG, Running, wait_until

Serve = Callable[..., Running]


def everything(client: socket.socket) -> str:
    """All that comes until the other end closes."""
    pieces = []
    while piece := client.recv(2**16):
        pieces.append(piece)
    return b"".join(pieces).decode()


def draining(server: Running) -> bool:
    return server.get("/ready").status_code == 503


def test_what_is_open_is_finished(serve: Serve) -> None:
    server = serve("--streams", "1", "--set", "serve.prompt=2000000", "--set", "serve.body=4000000")
    assert server.get("/ready").json() == {"status": "ready"}
    with server.socket() as streamed, server.socket() as whole:
        asked = {"prompt": "the fog " * 100_000, "max_tokens": 50, "seed": 1}
        streamed.sendall(server.request("/v1/completions", {**asked, "stream": True}))
        wait_until(lambda: server.metric("charloom_texts", stage="reading"))
        whole.sendall(server.request("/v1/completions", {"prompt": "a", "max_tokens": 5}))
        wait_until(lambda: server.metric("charloom_texts", stage="waiting"))
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: draining(server))
        refused = server.complete("a")
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "draining"
        assert refused.headers["retry-after"]
        assert server.get("/health").json() == {"status": "ok"}
        assert server.get("/ready").json() == {"status": "draining"}
        events = everything(streamed)
        assert events.rstrip("0\r\n").endswith("data: [DONE]")
        assert '"ended_by": "length"' in events
        assert '"ended_by": "length"' in everything(whole)
    assert server.process.wait(60) == 0


def test_what_does_not_finish_is_ended_properly(serve: Serve) -> None:
    server = serve("--streams", "2", "--drain-seconds", "0.3", *LONG)
    processes = psutil.Process(server.pid).children(recursive=True)
    body = {"prompt": "a", "max_tokens": FOR_EVER, "ignore_eos": True}
    answer: list[httpx.Response] = []
    with server.writers(1) as (streamed,), server.socket() as waiting:
        whole = threading.Thread(target=lambda: answer.append(server.post("/v1/completions", body)))
        whole.start()
        server.writing(2)
        waiting.sendall(server.request("/v1/completions", {**body, "stream": True}))
        wait_until(lambda: server.metric("charloom_texts", stage="waiting") == 1)
        events: list[str] = []
        reading = threading.Thread(target=lambda: events.append(everything(streamed)))
        reading.start()
        assert server.stop() == 0
        reading.join()
        whole.join()
        assert events[0].rstrip("0\r\n").endswith("data: [DONE]")
        assert '"ended_by": "shutdown"' in events[0]
        assert '"finish_reason": "length"' in events[0]
        assert '"ended_by": "shutdown"' in everything(waiting)
    choice = answer[0].json()["choices"][0]
    assert choice["ended_by"] == "shutdown"
    assert choice["text"]
    assert not [process for process in processes if process.is_running()]
    with pytest.raises(ConnectionRefusedError):
        server.socket()


def test_a_second_signal_does_not_wait(serve: Serve) -> None:
    """Neither for texts that go on nor for somebody who reads nothing."""
    server = serve("--drain-seconds", "1000", *LONG)
    with server.writers(3, n=20):
        server.writing(60)
        server.process.send_signal(signal.SIGINT)
        wait_until(lambda: draining(server))
        assert server.stop(signal.SIGINT) == 0
