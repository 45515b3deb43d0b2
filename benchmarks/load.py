"""Clients as cheap as they can be: raw sockets in one loop that notes when what came, and no more.

They share the machine's processors with the server that is measured.
"""

from __future__ import annotations

import json
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

FOR_EVER = 1_000_000_000  # characters: no stream held comes to this end
PATIENCE = 120.0  # seconds that anything may take
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: hang up at once


def asking(prompt: str = "a", *, stream: bool = True, length: int = FOR_EVER, **asked: Any) -> bytes:
    """The bytes of a request."""
    fields = {"prompt": prompt, "max_tokens": length, "stream": stream, "ignore_eos": True, **asked}
    body = json.dumps(fields).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"content-type: application/json\r\n\r\n" + body


class Client:
    """One connection: a request sent, and when parts of its answer came; `once` hangs up after it."""

    __slots__ = ("closed", "events", "head", "once", "sent", "socket")

    def __init__(self, port: int, content: bytes, once: bool) -> None:
        self.once, self.closed = once, False
        self.events: list[float] = []  # when
        self.head = b""
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = time.perf_counter()
        self.socket.sendall(content)
        self.socket.setblocking(False)

    @property
    def status(self) -> str:
        """Of the answer."""
        return self.head[9:12].decode() or "none"

    @property
    def first(self) -> float:
        """Seconds from the request to the first event, or to a refusal."""
        return self.events[0] - self.sent

    @property
    def gaps(self) -> list[float]:
        """Seconds from one event to the next."""
        return [b - a for a, b in pairwise(self.events)]

    def take(self, data: bytes) -> bool:
        """Note what came; whether there is no more to come."""
        if len(self.head) < 12:
            self.head += data[:12]
        ok = self.head[9:12] == b"200"
        if b"data: {" in data or not ok:
            self.events.append(time.perf_counter())
        return not data or (self.once and (not ok or b"[DONE]" in data))


class Crowd:
    """Clients of one server, all in one loop."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._selector = selectors.DefaultSelector()
        self.clients: list[Client] = []

    def open(self, content: bytes, *, reading: bool = True, once: bool = False) -> Client:
        """One more; without `reading`, nothing of what is sent to it is taken."""
        client = Client(self._port, content, once)
        self.clients.append(client)
        if reading:
            self._selector.register(client.socket, selectors.EVENT_READ, client)
        return client

    def run(self, seconds: float = PATIENCE, until: Callable[[], bool] | None = None) -> None:
        """Hear what comes, for so long, or until that is true."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self._hear(min(left, 0.02))
            if until is not None and until():
                return
        if until is not None:
            raise SystemExit("the server did not do what was waited for")

    def come(self, contents: Iterable[bytes], rate: float) -> None:
        """Open a connection for each when it is due, `rate` a second; one that is late delays no other."""
        begun = time.perf_counter()
        for k, content in enumerate(contents):
            while (wait := begun + k / rate - time.perf_counter()) > 0:
                self._hear(wait)
            self.open(content, once=True)

    def leave(self) -> None:
        """All hang up."""
        for client in self.clients:
            if not client.closed:
                self._close(client)
        self.clients = []

    def _hear(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            client = key.data
            try:
                ended = client.take(client.socket.recv(2**16))
            except ConnectionError:
                ended = True
            if ended:
                self._close(client)

    def _close(self, client: Client) -> None:
        if client.socket in self._selector.get_map():
            self._selector.unregister(client.socket)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        client.socket.close()
        client.closed = True


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)] if values else float("nan")
