"""Every limit: a request just under it is answered, one just over it is refused by the limit's name."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from charloom.errors import UsageError
from charloom.server.limits import Limits, ServeConfig

from .conftest import FOR_EVER, LONG, Running, serving, wait_until

IDS = 49  # of the model's vocabulary, specials included
SMALL = {
    "body": 2000, "head": 3000, "prompt": 100, "prompts": 3, "n": 2, "tokens": 50, "stops": 2,
    "stop_characters": 5, "pattern": 20, "pattern_bytes": 4 * IDS * 11, "biases": 2, "listed": 10,
    "alternatives": 2, "told": 120, "repeat": 60,
}  # fmt: skip
COMPLETIONS = "/v1/completions"
CASES = [  # limit, the field at fault, under, over
    ("prompt", "prompt", {"prompt": "a" * 100}, {"prompt": "a" * 101}),
    ("prompt", "source", {"source": ""}, {"source": "a" * 101}),
    ("prompts", "prompt", {"prompt": ["a"] * 3}, {"prompt": ["a"] * 4}),
    ("n", "n", {"n": 2}, {"n": 3}),
    ("n", "best_of", {"best_of": 2}, {"best_of": 3}),
    ("tokens", "max_tokens", {"max_tokens": 50}, {"max_tokens": 51}),
    ("stops", "stop", {"stop": ["a", "b"]}, {"stop": ["a", "b", "c"]}),
    ("stop_characters", "stop", {"stop": "abcde"}, {"stop": "abcdef"}),
    ("pattern", "match", {"match": f"[{'a' * 18}]"}, {"match": f"[{'a' * 19}]"}),
    ("pattern_bytes", "match", {"match": "[a-e]{10}"}, {"match": "[a-e]{11}"}),
    ("pattern_bytes", "match", {"match": "[ab]*"}, {"match": ".{9000}"}),
    ("pattern_bytes", "match", {"match": "(a|b){10}"}, {"match": "((a{99}){99}){99}"}),
    ("biases", "logit_bias", {"logit_bias": {"0": 1, "1": 1}}, {"logit_bias": {"0": 1, "1": 1, "2": 1}}),
    ("listed", "only", {"only": "abcdefghij"}, {"only": "abcdefghijk"}),
    ("listed", "ban", {"ban": "abcdefghij"}, {"ban": "abcdefghijk"}),
    ("alternatives", "logprobs", {"logprobs": 2}, {"logprobs": 3}),
    (
        "told",
        "logprobs",
        {"logprobs": 0, "prompt": "a" * 70, "echo": True, "max_tokens": 50},
        {"logprobs": 0, "prompt": "a" * 71, "echo": True, "max_tokens": 50},
    ),
    (
        "repeat",
        "no_repeat",
        {"no_repeat": 2, "prompt": "a" * 10, "max_tokens": 50},
        {"no_repeat": 2, "prompt": "a" * 11, "max_tokens": 50},
    ),
]


@pytest.fixture(scope="module")
def small(model: Path) -> Iterator[Running]:
    flags = [part for name, most in SMALL.items() for part in ("--set", f"serve.{name}={most}")]
    with serving(model, *flags) as running:
        yield running


@pytest.mark.parametrize(("limit", "field", "under", "over"), CASES, ids=lambda value: str(value)[:20])
def test_a_limit(small: Running, limit: str, field: str, under: dict, over: dict) -> None:
    asked = {"prompt": "a", "max_tokens": 20}
    assert small.post(COMPLETIONS, asked | under).status_code == 200
    refused = small.post(COMPLETIONS, asked | over)
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert (error["param"], error["code"]) == (field, f"{limit}_limit")
    assert f"{SMALL[limit]:,}" in error["message"]


def test_limits_of_a_score(small: Running) -> None:
    for under, over, code in (
        (["a" * 100], ["a" * 101], "prompt_limit"),
        (["a"] * 3, ["a"] * 4, "prompts_limit"),
        (["a" * 40] * 3, ["a" * 40] * 2 + ["a" * 41], "told_limit"),
    ):
        assert small.post("/v1/score", {"input": under}).status_code == 200
        assert small.post("/v1/score", {"input": over}).json()["error"]["code"] == code


@pytest.mark.parametrize("chunked", [False, True])
def test_body(small: Running, chunked: bool) -> None:
    for size, status in ((2000, 200), (2001, 413)):
        body = json.dumps({"prompt": "a", "max_tokens": 1}).encode().ljust(size)
        sent = iter([body[:700], body[700:]]) if chunked else body
        headers = {"content-type": "application/json"}
        found = small.http.post(small.url + COMPLETIONS, content=sent, headers=headers)
        assert found.status_code == status
        assert status == 200 or found.json()["error"]["code"] == "body_limit"


def test_head(small: Running) -> None:
    for size, status in ((2700, 200), (3000, 431)):
        found = small.get("/v1/models", headers={"x-long": "a" * size})
        assert found.status_code == status
    with small.socket() as endless:  # headers that never end are not waited for
        endless.sendall(b"GET / HTTP/1.1\r\nx: " + b"a" * 5000)
        assert b" 431 " in endless.recv(1000)


def test_streams_queue_and_requests(serve: Callable[..., Running]) -> None:
    limits = {"requests": 4, "bodies": 700, "body": 300, "arrival_seconds": 86_400}
    flags = [part for name, most in limits.items() for part in ("--set", f"serve.{name}={most}")]
    server = serve("--streams", "2", "--queue", "1", *flags, *LONG)
    short = {"prompt": "a", "max_tokens": 1}
    with server.writers(1):
        server.writing(1)
        assert server.complete(**short, n=2).status_code == 200  # one is written, one waits
        over = server.complete(**short, n=3)
        assert (over.status_code, over.json()["error"]["code"]) == (429, "queue_limit")
        with server.writers(1):
            server.writing(2)
            over = server.complete(**short, n=2)  # refused at once: no place ever becomes free
            assert over.headers["retry-after"] == "1"
    server.writing(0)
    with server.writers(1), server.socket() as first, server.socket() as second:
        head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 300\r\n\r\n"
        first.sendall(head)
        server.writing(1)  # those that only announce a body count, too
        second.sendall(head)
        wait_until(lambda: server.complete("a" * 50, max_tokens=1).status_code == 429)
        assert server.complete("a" * 50, max_tokens=1).json()["error"]["code"] == "bodies_limit"
        with server.socket() as third:
            third.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n")
            wait_until(lambda: server.get("/metrics").status_code == 429)
            assert server.get("/metrics").json()["error"]["code"] == "requests_limit"
            assert server.get("/health").status_code == 200  # whoever watches over it still sees it
    wait_until(lambda: server.complete(**short).status_code == 200)


def test_told_at_once(serve: Callable[..., Running]) -> None:
    flags = (f"told={FOR_EVER + 30}", f"told_at_once={FOR_EVER + 30}", *LONG[1::2])
    server = serve(*(part for each in flags for part in ("--set", each if "." in each else f"serve.{each}")))
    with server.writers(1, logprobs=0):
        server.writing(1)
        told = {"prompt": "a", "max_tokens": 15, "logprobs": 0}
        assert server.complete(**told, n=2).status_code == 200
        over = server.complete(**told | {"max_tokens": 16}, n=2)
        assert (over.status_code, over.json()["error"]["code"]) == (429, "told_at_once_limit")


def test_what_can_never_be_held_is_no_overload(serve: Callable[..., Running]) -> None:
    """400 and the limit's name: who tries again as after 429 would do so for ever."""
    limits = {"told_at_once": 30, "bodies": 400}
    flags = [part for name, most in limits.items() for part in ("--set", f"serve.{name}={most}")]
    server = serve("--streams", "2", "--queue", "1", *flags)
    for asked, param, code, number in (
        ({"n": 4}, "n", "queue_limit", "4"),
        ({"n": 2, "prompt": ["a", "b"]}, "n", "queue_limit", "4"),
        ({"best_of": 5}, "best_of", "queue_limit", "5"),
        ({"prompt": ["a"] * 6}, "prompt", "queue_limit", "6"),
        ({"logprobs": 0, "max_tokens": 16, "n": 2}, "logprobs", "told_at_once_limit", "32"),
    ):
        found = server.complete(**{"prompt": "a", "max_tokens": 1} | asked)
        error = found.json()["error"]
        assert (found.status_code, error["param"], error["code"]) == (400, param, code)
        assert error["message"].startswith(f"{param}: {number} ")
        assert error["type"] == "invalid_request_error"
    for texts, code in ((["a"] * 4, "queue_limit"), (["a" * 31], "told_at_once_limit")):
        found = server.post("/v1/score", {"input": texts})
        assert (found.status_code, found.json()["error"]["code"]) == (400, code)
    for sent in (b" " * 401, iter([b" " * 401])):
        headers = {"content-type": "application/json"}
        found = server.http.post(server.url + COMPLETIONS, content=sent, headers=headers)
        assert (found.status_code, found.json()["error"]["code"]) == (413, "body_limit")
    chunked = iter([json.dumps({"prompt": "a", "max_tokens": 1}).encode()])
    assert server.http.post(server.url + COMPLETIONS, content=chunked, headers=headers).status_code == 200
    assert server.complete("a", max_tokens=1, n=3).status_code == 200


def test_connections(serve: Callable[..., Running]) -> None:
    server = serve("--set", "serve.connections=3")
    server.http.close()
    held = [server.socket() for _ in range(3)]
    for each in held:
        each.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b" 200 " in each.recv(1000)
    with server.socket() as over:
        answer = over.recv(1000)
        assert b" 429 " in answer
        assert b"connections_limit" in answer
        assert over.recv(1) == b""
    held.pop().close()

    def room() -> bool:
        with server.socket() as again:
            again.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            return b" 200 " in again.recv(1000)

    wait_until(room)
    for each in held:
        each.close()


@pytest.fixture(scope="module")
def hasty(model: Path) -> Iterator[Running]:
    seconds = ("arrival_seconds=3", "request_seconds=2", "stall_seconds=1")
    with serving(model, *LONG, *(part for each in seconds for part in ("--set", f"serve.{each}"))) as running:
        yield running


def received(connection: socket.socket, ending: bytes) -> bytes:
    """What comes, until `ending` is in it: a head and its body may come apart."""
    found = b""
    while ending not in found and (more := connection.recv(4000)):
        found += more
    return found


def test_arrival_seconds(hasty: Running) -> None:
    request = hasty.request(COMPLETIONS, {"prompt": "a", "max_tokens": 3})
    with contextlib.ExitStack() as stack:
        silent, headers, body, second_of_two = late = [stack.enter_context(hasty.socket()) for _ in range(4)]
        headers.sendall(request[:10])
        body.sendall(request[:-5])
        second_of_two.sendall(request)
        assert b" 200 " in received(second_of_two, b"}}")  # a completion ends with its usage
        second_of_two.sendall(request[:10])
        for cut in (10, len(request) - 5):
            with hasty.socket() as in_time:
                in_time.sendall(request[:cut])
                time.sleep(0.3)
                in_time.sendall(request[cut:])
                assert b" 200 " in received(in_time, b"}}")
        assert silent.recv(1) == b""
        for each in late[1:]:
            assert b" 408 " in received(each, b"arrival_seconds")
            while each.recv(1000):  # what is left of the body
                pass


def test_a_trickle_is_no_arrival(hasty: Running) -> None:
    with hasty.socket() as slow, pytest.raises(OSError):  # noqa: PT012 - either call may see the end
        for byte in hasty.request(COMPLETIONS, {"prompt": "a", "max_tokens": 3}):
            slow.sendall(bytes([byte]))
            time.sleep(0.1)
            slow.settimeout(0.01)
            with contextlib.suppress(TimeoutError):
                assert b" 408 " in slow.recv(1000)
                raise ConnectionError


def test_request_seconds(hasty: Running) -> None:
    """A text that takes too long ends with what there is."""
    found = hasty.complete("a", max_tokens=FOR_EVER, ignore_eos=True).json()["choices"][0]
    assert found["ended_by"] == "time"
    assert found["finish_reason"] == "length"
    assert len(found["text"]) > 100
    assert hasty.complete("a", max_tokens=5).json()["choices"][0]["ended_by"] == "length"


def test_stall_seconds(hasty: Running) -> None:
    """Whoever takes nothing of its answer is let go; whoever is slow is not."""
    with hasty.writers(1, n=20) as (stalled,):
        wait_until(lambda: hasty.metric("charloom_cancelled_total") >= 1)
        stalled.settimeout(1)
        with contextlib.suppress(ConnectionError):
            while stalled.recv(2**20):
                pass
    with hasty.writers(1) as (slow,):
        for _ in range(20):  # twice as long as whoever takes nothing may stay
            assert slow.recv(2**16)
            time.sleep(0.1)


def test_every_limit_is_tested() -> None:
    tested = Path(__file__).read_text("utf-8") + Path(__file__).with_name("test_engine.py").read_text("utf-8")
    for field in dataclasses.fields(Limits):
        assert field.name in tested


def test_the_page_tells_every_limit() -> None:
    page = (Path(__file__).parents[2] / "docs" / "server.md").read_text("utf-8")
    for field in dataclasses.fields(Limits):
        shown = f"{field.default:g}" if field.type == "float" else f"{field.default:,}"
        assert f"| `{field.name}` | {shown} |" in page


@pytest.mark.parametrize(
    ("name", "value"),
    [("queue", -1), ("streams", 0), ("tokens", 0), ("port", 65_536), ("stall_seconds", -1.0), ("body", 1.5)],
)
def test_limits_have_limits(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"^{name} is "):
        ServeConfig(**{name: value})
