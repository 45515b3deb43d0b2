"""Every flag of `charloom serve` has an effect."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import click
import pytest
from click.testing import CliRunner
from playwright.sync_api import Error

from charloom.cli.serve import _keys, command
from charloom.errors import UsageError
from charloom.server.limits import ServeConfig
from in_browser import chromium, npm_package

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


class Pages(ThreadingHTTPServer):
    """A site of somebody else, on this machine: browsers let no other reach it unasked."""

    files: ClassVar[dict[str, bytes]] = {"/": b"<!doctype html><title>A page</title>"}

    @property
    def origin(self) -> str:
        return f"http://localhost:{self.server_port}"


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = Pages.files.get(self.path)
        self.send_response(404 if found is None else 200)
        self.send_header("content-type", "text/html" if self.path == "/" else "text/javascript")
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    with Pages(("127.0.0.1", 0), Page) as site:
        serving = threading.Thread(target=site.serve_forever)
        serving.start()
        yield site
        site.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def flagged(model: Path, pages: Pages) -> Iterator[Running]:
    with serving(model, *TOGETHER, "--cors", pages.origin) as running:
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
    asked = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-arch,x-new",
        "access-control-request-private-network": "true",
    }
    for each, opened in ((server, None), (flagged, ORIGIN)):
        found = each.http.options(f"{each.url}/v1/completions", headers=asked)
        assert found.headers.get(allowed) == opened
        if opened:
            assert "x-new" in found.headers["access-control-allow-headers"]
            assert found.headers["access-control-allow-private-network"] == "true"
        other = each.http.options(f"{each.url}/v1/completions", headers={**asked, "origin": "https://other"})
        assert other.headers.get(allowed) is None
        refused = each.post("/v1/nothing", headers={"origin": ORIGIN})  # a page can read errors, too
        assert refused.headers.get(allowed) == opened
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


SCRIPT = """async (baseURL) => {
    const { OpenAI } = await import('/index.mjs');
    const client = new OpenAI({ baseURL, apiKey: 'none', dangerouslyAllowBrowser: true, maxRetries: 0 });
    const asked = { model: 'verses', prompt: 'the ', max_tokens: 4000, seed: 3, temperature: 0.8 };
    const whole = await client.completions.create(asked);
    const pieces = [];
    for await (const event of await client.completions.create({ ...asked, stream: true }))
        pieces.push(event.choices[0].text);
    const wrong = await client.completions.create({ ...asked, model: 'gpt' }).catch((error) => error);
    const { response } = await client.models.list().withResponse();
    const id = response.headers.get('x-request-id');
    return { whole: whole.choices[0].text, pieces, code: wrong.code, id };
}"""


def test_cors_of_openais_javascript_client_in_a_browser(
    flagged: Running, server: Running, pages: Pages
) -> None:
    """It sends a dozen headers of its own, for which the browser asks first."""
    pages.files |= npm_package("openai", "6.49.0")
    with chromium() as browser:
        page = browser.new_page()
        page.goto(pages.origin)
        found = page.evaluate(SCRIPT, f"{flagged.url}/v1")
        assert "".join(found["pieces"]) == found["whole"]
        assert len(found["whole"]) == 4000
        assert len(found["pieces"]) > 1
        assert found["code"] == "model_not_found"
        assert found["id"]
        with pytest.raises(Error, match="Connection error"):  # one that allows no other page
            page.evaluate(SCRIPT, f"{server.url}/v1")


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
        [sys.executable, "-c", code.format(str(model))], capture_output=True, encoding="utf-8", timeout=300
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
