"""A client that hangs up frees its place, whatever stage it is at."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from .conftest import FOR_EVER, LONG, Running, serving, wait_until


@pytest.fixture(scope="module")
def narrow(model: Path) -> Iterator[Running]:
    with serving(model, "--streams", "2", "--queue", "8", "--set", "serve.prompt=900000", *LONG) as running:
        yield running


STAGES = ("waiting", "reading", "running")
ASKED = {
    "stream": {"stream": True},
    "whole": {"stream": False},
    "several": {"stream": True, "n": 2},
    "best of three, of whom one waits": {"n": 2, "best_of": 3},
    "reading": {"prompt": "the fog " * 80_000, "max_tokens": 1},
    "scoring": {"prompt": "the fog " * 5_000, "max_tokens": 0, "echo": True, "logprobs": 0},
}


def texts(server: Running) -> float:
    """How many are open."""
    return sum(server.metric("charloom_texts", stage=stage) for stage in STAGES)


def test_hanging_up_frees_the_place(narrow: Running) -> None:
    before = narrow.metric("charloom_cancelled_total")
    for gone, asked in enumerate(ASKED.values(), 1):
        body = {"prompt": "a", "max_tokens": FOR_EVER, "ignore_eos": True, **asked}
        with narrow.socket() as client:
            client.sendall(narrow.request("/v1/completions", body))
            wait_until(lambda: texts(narrow))
        wait_until(lambda: not texts(narrow))
        wait_until(lambda gone=gone: narrow.metric("charloom_cancelled_total") == before + gone)
    assert len(narrow.lines("ended=gone")) >= len(ASKED)
    assert narrow.complete("a", max_tokens=5, n=2).status_code == 200


def test_those_who_wait_move_up(narrow: Running) -> None:
    with narrow.writers(2) as first, narrow.socket() as waiting:
        narrow.writing(2)
        waiting.sendall(narrow.request("/v1/completions", {"prompt": "a", "max_tokens": 1}))
        wait_until(lambda: narrow.metric("charloom_texts", stage="waiting") == 1)
        first[0].close()
        assert b" 200 " in waiting.recv(1000)


def test_a_closed_stream_of_the_official_client(narrow: Running) -> None:
    client = narrow.openai()
    asked = {"model": "verses", "prompt": "a", "max_tokens": FOR_EVER, "extra_body": {"ignore_eos": True}}
    with client.completions.create(**asked, stream=True) as stream:
        assert next(iter(stream)).choices[0].text
    narrow.writing(0)
    with pytest.raises(openai.APITimeoutError):
        narrow.openai(timeout=0.5).completions.create(**asked)
    narrow.writing(0)


def test_a_hundred_give_up_at_once(server: Running) -> None:
    prompt = "the fog comes on little cat feet " * 300
    with contextlib.ExitStack() as stack:
        for k in range(100):
            client = stack.enter_context(server.socket())
            client.sendall(
                server.request("/v1/completions", {"prompt": f"{k} {prompt}", "max_tokens": 10_000})
            )
        time.sleep(0.1)
    for stage in ("waiting", "reading", "running"):
        wait_until(lambda stage=stage: not server.metric("charloom_texts", stage=stage))
    assert server.complete("a", max_tokens=5).status_code == 200
