"""What a request may ask for, checked before anything is allocated; each limit is named and settable."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields

from charloom.errors import UsageError
from charloom.server.refusal import Refusal

MOST = 2**31 - 1
MOST_SECONDS = 86_400
MOST_PORT = 65_535
ORIGIN = re.compile(r"\*|null|[a-z][a-z0-9+.-]*://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]+)?")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The most of everything; keys of `[serve]`. Raises UsageError for one out of its range."""

    streams: int = 1024  # texts written at the same time; with its connection each takes some 40 kB
    queue: int = 1024  # texts that wait for a place: as many again wait one text's time
    requests: int = 2048  # open HTTP requests: every place and the queue taken by requests of one text
    connections: int = 4096  # sockets, those that have sent nothing included
    body: int = 2**20  # bytes of a request; ten times the longest prompt in ASCII
    bodies: int = 2**26  # bytes of all open requests together: each takes about ten times as much memory
    head: int = 2**16  # bytes of a request's headers; what others allow
    prompt: int = 100_000  # characters; a minute of reading for a large model
    prompts: int = 32  # in one request
    n: int = 32  # texts a prompt, also of best_of; with `prompts`, all places of a server at once
    tokens: int = 10_000  # characters of a text
    stops: int = 16  # stop strings
    stop_characters: int = 256  # of one stop string
    pattern: int = 500  # characters of a regular expression
    pattern_bytes: int = 2**20  # of its table; 2,600 states over a hundred characters
    biases: int = 1024  # entries of logit_bias
    listed: int = 10_000  # characters in `only`, in `ban`
    alternatives: int = 5  # of a character, by `logprobs`; OpenAI's
    told: int = 50_000  # characters with log-probabilities in one request; 600 bytes each
    told_at_once: int = 1_000_000  # the same in all open requests
    repeat: int = 20_000  # characters that no_repeat looks back over, prompt and text
    request_seconds: float = 600.0  # a request, from its arrival to its end
    arrival_seconds: float = 10.0  # until a request has arrived whole
    stall_seconds: float = 30.0  # that a client may take nothing of what is sent to it
    primed_bytes: int = 2**26  # memory for the states of prompts read lately

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            least = 0 if name in ("queue", "primed_bytes", "port") else 1
            if field.type == "float":
                if not (isinstance(value, int | float) and 0 <= value <= MOST_SECONDS):
                    raise UsageError(f"{name} is {value!r}; it takes seconds, up to {MOST_SECONDS}")
            elif field.type == "int" and not (type(value) is int and least <= value <= MOST):
                raise UsageError(f"{name} is {value!r}; it takes a whole number of at least {least}")

    def at_most(self, name: str, count: int, param: str, what: str) -> None:
        """Raises Refusal, naming the request's field `param`, where `count` is over the limit `name`."""
        most = getattr(self, name)
        if count > most:
            raise Refusal(
                400,
                f"{param}: {count:,} {what} are too many; this server takes at most {most:,}",
                param=param,
                code=f"{name}_limit",
            )

    def fits(self, count: int, param: str) -> None:
        """Raises Refusal for a request of so many texts that the server could never hold them."""
        most = self.streams + self.queue
        if count > most:
            message = f"{param}: {count:,} texts are too many; this server holds {most:,} (streams + queue)"
            raise Refusal(400, message, param=param, code="queue_limit")

    def texts(self, param: str, texts: Sequence[str | list[int]]) -> None:
        """The limits of a list of prompts, or of texts to score."""
        self.at_most("prompts", len(texts), param, "texts in one request")
        for text in texts:
            self.at_most("prompt", len(text), param, "characters")


@dataclass(frozen=True, kw_only=True)
class ServeConfig(Limits):
    """The `[serve]` settings. Raises UsageError for a value out of its range."""

    host: str = "127.0.0.1"  # nobody else's machine gets in unasked
    port: int = 8000  # where the field's servers are
    drain_seconds: float = 30.0  # what a balancer or a container's stop waits
    cors: tuple[str, ...] = ()  # origins whose pages may ask

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.port > MOST_PORT:
            raise UsageError(f"port is {self.port}; it takes 0, for a free one, to {MOST_PORT}")
        for origin in self.cors:
            if not ORIGIN.fullmatch(origin):
                hint = "write it as browsers do, like https://my.page or http://localhost:3000"
                raise UsageError(f"cors: {origin!r:.200} is not an origin; {hint}")
