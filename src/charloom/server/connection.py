"""An HTTP/1.1 connection with the deadlines and bounds that uvicorn's own does not have.

A request has to arrive whole in time, its headers within a size; a socket that says nothing is closed, and
so is one whose other end has vanished or takes nothing of what it asked for. Offers to upgrade the protocol
are ignored: the request is answered as HTTP/1.1.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from charloom.server.limits import Limits
from charloom.server.refusal import Refusal

MOST_IDLE = 32_767  # seconds; Linux takes no more


def connection(limits: Limits) -> type[HttpToolsProtocol]:
    """The class of connections under these limits, as uvicorn wants it."""
    return type("Connection", (_Connection,), {"limits": limits})


class _Connection(HttpToolsProtocol):
    limits: Limits
    _deadline: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _head = 0  # bytes of headers so far
    _ending = False  # no more requests are taken: close after the answers that are due

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._refuse(429, "too many connections; try again later", "connections_limit")
            return
        _watch(transport, self.limits.stall_seconds)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._deadline, self._stall):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()  # uvicorn leaves it where the connection broke
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ending or self.transport.is_closing():
            return
        if self._deadline is None:
            self._expect()
        self._head += len(data)
        self._unset_keepalive_if_required()
        self._parse(memoryview(data))
        if self._head > self.limits.head and not self.transport.is_closing():
            self._refuse(431, f"the headers exceed {self.limits.head:,} bytes", "head_limit")

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer a whole request without a body although its client sends no more, as `nc` and old uptime
        checks do. After a POST the end of input means that the client has hung up.
        """
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.more_body or cycle.response_complete or cycle.scope["method"] == "POST":
            return False
        self._ending = True
        return True

    def on_headers_complete(self) -> None:
        if sum(name == b"host" for name, _ in self.headers) > 1:
            raise ValueError("Host is given twice")  # the parser's error from here
        if self.parser.should_upgrade():
            return  # `_parse` repeats the head without it
        self._head = -(2**62)  # what comes now is the body, which the application counts
        if self.url == b"*":  # OPTIONS of the server itself
            self.url = b"/"
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._head = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self._ending and not self.pipeline:
            self.transport.close()
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self.loop.call_later(self.limits.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        super().resume_writing()

    def _parse(self, data: memoryview) -> None:
        """Feed the parser.

        llhttp stops after the head of a request that offers an upgrade (`curl --http2`, Java's HttpClient),
        takes no body from it, and would read the body as the next request. A new parser gets the same head
        without the offer, and then the rest.
        """
        try:
            while not (self._ending or self.transport.is_closing()):
                try:
                    self.parser.feed_data(data)
                    return
                except httptools.HttpParserUpgrade as offer:
                    data = data[offer.args[0] :]
                    version, method = self.parser.get_http_version().encode("ascii"), self.parser.get_method()
                    if method == b"CONNECT":
                        self._refuse(405, "CONNECT is for proxies; this is none", "method_not_supported")
                        return
                    lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
                    lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
                    self.parser = httptools.HttpRequestParser(self)
                    self.parser.feed_data(b"\r\n".join([*lines, b"", b""]))
        except httptools.HttpParserError:
            self._refuse(400, "the request is not valid HTTP/1.1", "bad_http")

    def _expect(self) -> None:
        """From now on, a whole request has to arrive in time."""
        self._deadline = self.loop.call_later(self.limits.arrival_seconds, self._late)

    def _late(self) -> None:
        self._deadline = None
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and cycle.more_body and cycle.response_started:
            self.transport.abort()  # it was answered already, and goes on sending
        elif cycle is None and self._head == 0:
            self.transport.close()  # it said nothing: there is nobody to tell
        else:
            seconds = self.limits.arrival_seconds
            self._refuse(408, f"the request did not arrive whole within {seconds:g} s", "arrival_seconds")

    def _refuse(self, status: int, message: str, code: str) -> None:
        """Answer with an error and close; where earlier requests wait for answers, close after those."""
        cycle: RequestResponseCycle | None = self.cycle
        unread = cycle is not None and cycle.more_body  # the error lies in its body
        if self.pipeline or not (cycle is None or cycle.response_complete or unread):
            if unread:
                self.pipeline.popleft()  # the newest; its task has not begun
            self._ending = True
        elif not self.transport.is_closing():
            if not (unread and self.cycle.response_started):
                self.transport.write(Refusal(status, message, code=code).http())
            self.transport.close()


def _watch(transport: asyncio.Transport, seconds: float) -> None:
    """Have the system find out that the other end is gone; by itself it tries for a quarter of an hour."""
    found: Any = transport.get_extra_info("socket")
    if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", max(1, min(int(seconds / 2), MOST_IDLE))),
        ("TCP_KEEPINTVL", max(1, int(seconds / 6))),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", int(1000 * seconds)),
    ):
        if hasattr(socket, name):  # each system has some of them
            found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
