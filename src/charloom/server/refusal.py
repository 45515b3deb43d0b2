"""A request that is not answered as asked, in the shape in which OpenAI's clients read errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

RETRY_AFTER = "1"  # seconds: in so long, places come free

TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "timeout_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "server_error",
}
"""The `type` of an error by its HTTP status."""


class Refusal(Exception):
    """An answer with an error status; `param` names the field of the request at fault."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code
        self.headers = dict(headers or {})
        if status in (429, 503):
            self.headers.setdefault("retry-after", RETRY_AFTER)

    def to_json(self) -> dict[str, Any]:
        """The body, as OpenAI's."""
        error = {
            "message": self.message,
            "type": TYPES.get(self.status, "invalid_request_error"),
            "param": self.param,
            "code": self.code,
        }
        return {"error": error}

    def body(self) -> bytes:
        """The body's bytes."""
        return json.dumps(self.to_json()).encode("ascii")

    def http(self) -> bytes:
        """The whole answer, for a connection on which nothing was said yet and which then closes."""
        body = self.body()
        lines = [f"HTTP/1.1 {self.status} {self.code or 'error'}", "content-type: application/json"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"content-length: {len(body)}", "connection: close", "", ""]
        return "\r\n".join(lines).encode("ascii") + body
