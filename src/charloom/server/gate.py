"""What every request passes on its way in and out: who may, how much, what is written to the log.

Plain ASGI, so that streams flow and a hang-up is heard.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import quote

from charloom.server.limits import Limits
from charloom.server.metrics import Metrics
from charloom.server.refusal import Refusal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ALIASES = {"/healthz": "/health", "/livez": "/health", "/ping": "/health", "/readyz": "/ready"}
"""What balancers and uptime checks ask for by default."""
GZIP = b"\x1f\x8b"
NEVER_LOGGED_LONGER = 200  # characters of a path
ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
CLOSED_POLICY = b"default-src 'none'; frame-ancestors 'none'"

log = logging.getLogger("charloom.server")


class Gone(Exception):
    """The client hung up."""


class Gate:
    """Around the application. `keys`, if any, open every route that is not in `public`.

    `room` raises Refusal where nothing more can be written: so an overload is refused before a body is read.

    Without keys only loopback is served: a page on the web that has its own name point here is refused by
    the name that it asks for.
    """

    def __init__(
        self,
        app: Application,
        *,
        limits: Limits,
        metrics: Metrics,
        keys: Collection[str],
        public: Collection[str],
        room: Callable[[], None],
    ) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._public, self._room = public, room
        self._keys = [_digest(key.encode("ascii")) for key in keys]
        self._largest = min(limits.body, limits.bodies)
        self.draining = False
        self.open = 0  # requests
        self._held = 0  # bytes of their bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, from its headers to its line in the log."""
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not served")
        headers = dict(scope["headers"])  # of one that came twice the last counts
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request = given if SAFE_ID.fullmatch(given) else secrets.token_hex(8)
        begun, status = time.perf_counter(), 0
        told: dict[str, Any] = {}
        asked, scope = scope, {**scope, "path": _route(scope["path"])}
        if scope["method"] == "HEAD":
            scope["method"] = "GET"  # uvicorn leaves out the body
        scope["charloom.told"], scope["charloom.id"] = told, request

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _finished(message["headers"], request)
            await send(message)

        self.open += 1
        held, body = 0, None
        try:
            held = self._admit(scope, headers)
            self._held += held
            body = await self._read(receive)
            _check_encoding(headers, body)
            await self._app(scope, _again(body, receive), answer)
        except Refusal as refusal:
            if body is None and b"expect" in headers:  # its body may never come: nothing after it can be read
                refusal.headers["connection"] = "close"
            await _refuse(refusal, answer)
        except Gone:
            told["ended"] = "gone"
        finally:
            self.open -= 1
            self._held -= held
            route = scope.get("route")
            self._metrics.requests.labels(getattr(route, "path", "other"), str(status)).inc()
            _log(asked, status, time.perf_counter() - begun, request, told)

    def _admit(self, scope: Scope, headers: dict[bytes, bytes]) -> int:
        """How many bytes of body are announced, where the request may go on; raises Refusal."""
        limits, public = self._limits, scope["path"] in self._public
        if sum(len(name) + len(value) for name, value in scope["headers"]) > limits.head:
            raise Refusal(431, f"the headers exceed {limits.head:,} bytes", code="head_limit")
        if self._keys and not public:
            self._check(headers.get(b"authorization", b""))
        if not (self._keys or public or _is_loopback(headers.get(b"host"))):
            message = "without keys only this machine is served, by the name of localhost; see --api-key-file"
            raise Refusal(403, message, code="host_not_allowed")
        if public:
            return 0
        if self.draining:
            raise Refusal(503, "the server is shutting down; ask another, or later", code="draining")
        if self.open > limits.requests:
            self._metrics.rejected.labels("requests").inc()
            raise Refusal(429, "too many open requests; try again later", code="requests_limit")
        if scope["method"] == "POST":
            self._room()
        announced = headers.get(b"content-length", b"")
        chunked = b"transfer-encoding" in headers
        size = int(announced) if announced.isdigit() else self._largest if chunked else 0
        if size > self._largest:
            raise _too_large(self._largest)
        if self._held + size > limits.bodies:
            self._metrics.rejected.labels("bodies").inc()
            raise Refusal(429, "too much is being read; try again later", code="bodies_limit")
        return size

    def _check(self, authorization: bytes) -> None:
        """Compare with every key, always all, in constant time."""
        scheme, _, key = authorization.partition(b" ")
        given = _digest(key.strip())
        right = sum([hmac.compare_digest(given, known) for known in self._keys])
        if scheme.lower() != b"bearer" or not right:
            message = "a key is needed: Authorization: Bearer KEY, or the page's address with #key=KEY"
            headers = {"www-authenticate": "Bearer"}
            raise Refusal(401, message, code="invalid_api_key", headers=headers)

    async def _read(self, receive: Receive) -> bytes:
        """The body; raises Refusal for one that is larger than it may be, Gone where it does not come."""
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._largest:
                raise _too_large(self._largest)
            if not message.get("more_body"):
                return b"".join(parts)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"the body exceeds {most:,} bytes; send less in one request", code="body_limit")


def _route(path: str) -> str:
    """The path that is served: without a last slash, which would make links on pages mean something else."""
    if path.startswith(("/docs/", "/model/")):
        return path
    path = path.rstrip("/") or "/"
    return ALIASES.get(path, path)


def _check_encoding(headers: dict[bytes, bytes], body: bytes) -> None:
    """Raises Refusal for a body that is compressed or not in UTF-8, before it is called bad JSON."""
    coding = headers.get(b"content-encoding", b"").decode("latin-1").strip().lower()
    if coding not in ("", "identity") or body.startswith(GZIP):
        kind = coding[:20] if coding.isalnum() else "gzip"
        raise Refusal(400, f"the body is compressed ({kind}); send it as it is, without Content-Encoding")
    try:
        body.decode(json.detect_encoding(body), "surrogatepass")
    except UnicodeDecodeError as error:
        found = f"byte 0x{body[error.start]:02x} at position {error.start}"
        message = f"the body is not UTF-8 ({found}; perhaps it is Latin-1); encode JSON as UTF-8"
        raise Refusal(400, message) from error


def _is_loopback(host: bytes | None) -> bool:
    """Whether a Host names this machine or is missing: browsers send one always, uptime checks may not."""
    if host is None:
        return True
    name = host.decode("latin-1").lower()
    name = name if name.endswith("]") else name.rpartition(":")[0] or name
    return name in LOOPBACK or name.endswith(".localhost")


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body first."""
    first = True

    async def again() -> MutableMapping[str, Any]:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again


def _finished(headers: Any, request: str) -> list[tuple[bytes, bytes]]:
    """The headers of every answer."""
    known = {name for name, _ in headers}
    result = [*headers, (b"x-request-id", request.encode("ascii")), *ALWAYS]
    if b"content-security-policy" not in known:
        result.append((b"content-security-policy", CLOSED_POLICY))
    if b"cache-control" not in known:
        result.append((b"cache-control", b"no-store"))
    return result


async def _refuse(refusal: Refusal, send: Send) -> None:
    body = refusal.body()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **refusal.headers}
    pairs = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def _log(scope: Scope, status: int, seconds: float, request: str, told: dict[str, Any]) -> None:
    """One line; what the client chose in it is quoted, so that it can look like nothing else."""
    path = quote(scope["path"], safe="/:@!$&'()*+,;=~")[:NEVER_LOGGED_LONGER]
    record = {
        "method": scope["method"] if scope["method"].isalpha() else "?",
        "path": path,
        "status": status,
        "milliseconds": round(1000 * seconds, 1),
        "id": request,
        **told,
    }
    log.info("request", extra={"told": record})
