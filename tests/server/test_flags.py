"""Every flag of `charloom serve` has an effect."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from charloom.cli.serve import _keys, command
from charloom.errors import UsageError
from charloom.server.limits import ServeConfig

from .conftest import LONG, Running, serving, wait_until

KEYS = "# of the lab\n\nfirst\nsecond\n"
ORIGIN = "https://pages.example"


def status(server: Running, **asked: object) -> int:
    return server.post("/v1/completions", {"prompt": "a", **asked}).status_code


def logged(server: Running) -> str:
    """What the log says of a request."""
    server.post("/v1/completions", {"prompt": "the fog", "max_tokens": 1}, headers={"x-request-id": "flag"})
    return (
        server.lines("id=flag")[0] if "--log-json" not in server.process.args else server.lines('"flag"')[0]
    )


TOGETHER = ("--log-json", "--log-prompts", "--cors", ORIGIN, "--precision", "int8")
"""Flags that one server can have, and each be seen."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("flags")
    (path / "keys.txt").write_text(KEYS, encoding="utf-8")
    (path / "settings.toml").write_text("[serve]\ntokens = 49\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def flagged(model: Path) -> Iterator[Running]:
    with serving(model, *TOGETHER) as running:
        yield running


def test_no_flag_is_without_a_test() -> None:
    """Each has one here that is called after it."""
    tests = " ".join(name for name in globals() if name.startswith("test_"))
    for option in command.params:
        if isinstance(option, click.Option):
            assert f"_{option.opts[0].strip('-').replace('-', '_')}" in tests


def test_precision(server: Running, flagged: Running) -> None:
    sizes = [len(each.get("/model/model.safetensors").content) for each in (server, flagged)]
    assert sizes[1] < sizes[0]


def test_cors(server: Running, flagged: Running) -> None:
    allowed = "access-control-allow-origin"
    asked = {"origin": ORIGIN, "access-control-request-method": "POST"}
    for each, opened in ((server, None), (flagged, ORIGIN)):
        found = each.http.options(f"{each.url}/v1/completions", headers=asked)
        assert found.headers.get(allowed) == opened
        assert each.get("/health", headers={"origin": ORIGIN}).headers.get(allowed) == opened
        assert each.get("/health", headers={"origin": "https://other"}).headers.get(allowed) is None


def test_log_json(server: Running, flagged: Running) -> None:
    told = json.loads(logged(flagged))
    assert told["event"] == "request"
    assert (told["path"], told["status"], told["id"]) == ("/v1/completions", 200, "flag")
    assert (told["texts"], told["prompt"], told["written"]) == (1, 7, 1)
    assert " info request method=POST path=/v1/completions status=200 " in logged(server)


def test_log_prompts(server: Running, flagged: Running) -> None:
    assert json.loads(logged(flagged))["prompts"] == ["the fog"]
    assert "fog" not in "".join(server.log)


def test_host_and_port(serve: Callable[..., Running]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert serve("--host", "127.0.0.2", "--port", str(port)).url == f"http://127.0.0.2:{port}"


def test_streams_and_queue(serve: Callable[..., Running]) -> None:
    server = serve("--streams", "1", "--queue", "1", *LONG)
    with server.writers(1), server.socket() as waiting:
        server.writing(1)
        waiting.sendall(server.request("/v1/completions", {"prompt": "b", "max_tokens": 1}))
        wait_until(lambda: server.metric("charloom_texts", stage="waiting") == 1)
        assert status(server, max_tokens=1) == 429
        with server.socket() as early:  # refused by its headers: its body never comes
            head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 300\r\n\r\n"
            early.sendall(head)
            answer = b""
            while b"queue_limit" not in answer and (more := early.recv(1000)):  # head and body come apart
                answer += more
            assert b" 429 " in answer
            assert b"retry-after: 1" in answer
            assert b"queue_limit" in answer
    wait_until(lambda: status(server, max_tokens=1) == 200)


def test_api_key_file(serve: Callable[..., Running], folder: Path) -> None:
    """Each of a file opens, none is printed."""
    server = serve("--api-key-file", str(folder / "keys.txt"))
    assert not server.key
    for key, code in (("first", 200), ("second", 200), ("", 401), ("# of the lab", 401), ("firs", 401)):
        headers = {"authorization": f"Bearer {key}"} if key else {}
        assert server.get("/v1/models", headers=headers).status_code == code


def test_api_key_file_of_keys_that_no_header_carries(model: Path, tmp_path: Path) -> None:
    """Refused at the start, by the line; a comment may hold anything, a byte order mark is none of a key."""
    for key in ("clé", "ключ", "a\u200bb", "a\x07b"):
        path = tmp_path / "keys"
        path.write_text(f"# für alle\ngood\n{key}\n", encoding="utf-8")
        found = CliRunner().invoke(command, [str(model), "--api-key-file", str(path)])
        assert isinstance(found.exception, UsageError)
        assert str(found.exception).startswith(f"{path}: line 3: ")
        assert key not in str(found.exception)
    path.write_text("\ufefffirst\r\n# für alle\r\nsecond\r\n", encoding="utf-8")
    assert _keys(str(path)) == ["first", "second"]


@pytest.mark.parametrize("origin", ["my.page", "https://my.page/", "https://MY.page", "https://*.page", ""])
def test_cors_wants_an_origin(origin: str) -> None:
    """Anything else would match no page, in silence."""
    with pytest.raises(UsageError, match=r"^cors: .* is not an origin; write it as browsers do"):
        ServeConfig(cors=(origin,))
    ServeConfig(cors=("https://my.page", "http://localhost:3000", "null", "*", "http://[::1]:80"))


def test_config_and_set_and_environment(serve: Callable[..., Running], folder: Path) -> None:
    """A flag counts more than the environment, that more than the file."""
    server = serve(
        *("--config", str(folder / "settings.toml"), "--set", "serve.stops=1"), CHARLOOM_SERVE_N="2"
    )
    for asked, most in (("max_tokens", 49), ("n", 2)):
        assert status(server, **{asked: most}) == 200
        assert status(server, **{asked: most + 1}) == 400
    assert status(server, stop=["a"]) == 200
    assert status(server, stop=["a", "b"]) == 400


def test_without_the_extra_one_line_says_what_to_install(model: Path) -> None:
    code = "import sys; sys.modules['fastapi'] = None; from charloom.cli import main; main(['serve', {!r}])"
    found = subprocess.run(
        [sys.executable, "-c", code.format(str(model))], capture_output=True, encoding="utf-8", timeout=60
    )
    told = "charloom: serving needs a library that is not installed; pip install 'charloom[serve]'\n"
    assert (found.returncode, found.stderr) == (1, told)


def test_drain_seconds(serve: Callable[..., Running]) -> None:
    """After them open texts end, and the log says so."""
    server = serve("--drain-seconds", "0", "--log-json", *LONG)
    with server.writers(1):
        server.writing(1)
        assert server.stop() == 0
    told = [json.loads(line) for line in server.lines("draining") + server.lines("ending")]
    assert [line["event"] for line in told] == ["draining", "ending"]
    assert told[1]["texts"] == 1
