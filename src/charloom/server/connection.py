"""A connection with the deadlines and bounds that uvicorn's own does not have.

A request has to arrive whole in time, its headers within a size; a socket that says nothing is closed, and
so is one whose other end has vanished or takes nothing of what it asked for.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

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
        if self.transport.is_closing():
            return
        if self._deadline is None:
            self._expect()
        self._head += len(data)
        super().data_received(data)
        if self._head > self.limits.head and not self.transport.is_closing():
            self._refuse(431, f"the headers exceed {self.limits.head:,} bytes", "head_limit")

    def on_headers_complete(self) -> None:
        self._head = -(2**62)  # what comes now is the body, which the application counts
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._head = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self.loop.call_later(self.limits.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg, "bad_http")

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
        if not self.transport.is_closing():
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
