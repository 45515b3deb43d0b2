"""The process: it listens, drains on a signal, and ends with nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn

from charloom.errors import RunError
from charloom.server import allocator
from charloom.server.app import Service
from charloom.server.connection import connection
from charloom.server.limits import ServeConfig

SIGNALS = (signal.SIGTERM, signal.SIGINT)
FLUSH_SECONDS = 2  # that the last events have to reach their clients
LOOK_SECONDS = 0.05  # between two looks at whether all texts have ended
SPARE_FILES = 64  # besides connections
BACKLOG = 4096  # connections that the system holds for us; it may hold fewer
YOUNG = 10_000  # objects between two looks for garbage: a request leaves it young, and full looks take 70 ms
FLOOD = 100  # requests; what fewer of them leave behind is little
CALM = 5  # tenths of a second without a request: by then the connections of a flood are closed
SWITCH_SECONDS = 0.0005  # the engine gives up Python's lock so often: a new request is heard while it tells

log = logging.getLogger("charloom.server")


def tidy() -> None:
    """Let go of what nobody uses."""
    gc.collect()
    allocator.give_back()


class Server(uvicorn.Server):
    """A service on a socket. On SIGTERM or Ctrl-C it refuses what is new and finishes what is open.

    After `drain_seconds`, or at a second signal, texts end with what they have; then it is over.
    """

    def __init__(self, service: Service, settings: ServeConfig) -> None:
        config = uvicorn.Config(
            service.app,
            http=connection(settings),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_graceful_shutdown=FLUSH_SECONDS,
        )
        super().__init__(config)
        self._service, self._drain_seconds = service, settings.drain_seconds
        self._signals = 0
        self._tidied = self._come = 0  # requests that had come when it was tidied last, and at the last look
        self._calm = 0  # looks since one came
        self._draining: asyncio.Task[None] | None = None

    def listen(self, listener: socket.socket, on_ready: Callable[[], None]) -> None:
        """Serve on a bound socket until a signal ends it; `on_ready` is called when requests are taken."""
        sys.setswitchinterval(SWITCH_SECONDS)
        self._on_ready = on_ready
        self.run(sockets=[listener])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the engine, then listen."""
        self._service.desk.open_at(asyncio.get_running_loop())
        self._service.engine.start()
        await super().startup(sockets)
        gc.collect()
        gc.freeze()  # half a million objects of libraries: going over them took a fifth of a second each time
        gc.set_threshold(YOUNG)
        self._on_ready()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: where a flood has passed and nobody is served, tidy up.

        Its prompts are forgotten: nobody repeats them, and their states are what is left of it.
        """
        come = self.server_state.total_requests
        self._come, self._calm = come, self._calm + 1 if come == self._come else 0
        if self._calm >= CALM and come - self._tidied >= FLOOD and not self.server_state.tasks:
            self._tidied = come
            self._service.engine.forget().add_done_callback(lambda _: tidy())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close every connection, then the engine."""
        await super().shutdown(sockets)
        self._service.engine.close()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals drain; unlike uvicorn's own they are not raised again: this end is a good one."""
        before: dict[int, Any] = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, a second ends the texts, a third everything."""
        self._signals += 1
        if self._signals > 2:
            self.should_exit = self.force_exit = True
        elif self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        desk, engine = self._service.desk, self._service.engine
        self._service.gate.draining = True
        log.info("draining", extra={"told": {"texts": desk.open, "seconds": self._drain_seconds}})
        loop = asyncio.get_running_loop()
        end = loop.time() + self._drain_seconds
        while desk.open and loop.time() < end and self._signals < 2:
            await asyncio.sleep(LOOK_SECONDS)
        if desk.open:
            log.info("ending", extra={"told": {"texts": desk.open}})
            engine.end("shutdown")
        end = loop.time() + FLUSH_SECONDS
        while desk.open and loop.time() < end:
            await asyncio.sleep(LOOK_SECONDS)
        self.should_exit = True


def bind(host: str, port: int) -> tuple[socket.socket, bool]:
    """A socket at that address, and whether this machine alone reaches it. Raises RunError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        with contextlib.ExitStack() as stack:  # closed, unless it can be bound
            listener = stack.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            stack.pop_all()
    except OSError as error:
        what = f"{host}:{port}: cannot be listened on ({error.strerror or error})"
        raise RunError(f"{what}; choose another --port or --host") from error
    return listener, ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback


def room_for(connections: int) -> None:
    """Ask the system for as many open files as it lets us have, since each connection is one."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
