"""Who may ask what, what leaves the server, and what its log can be made to say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from charloom.model import folder

from .conftest import Running, build, serving

Serve = Callable[..., Running]
ROUTES = ("/v1/models", "/v1/models/verses", "/metrics", "/docs", "/docs/style.css", "/openapi.json",
          "/model/config.json", "/model/vocab.json", "/model/generation.json", "/model/README.md",
          "/model/model.safetensors", "/nothing", "/model/nothing")  # fmt: skip
OPEN = ("/health", "/ready", "/")


@pytest.fixture(scope="module")
def keyed(model: Path) -> Iterator[Running]:
    with serving(model, "--host", "0.0.0.0") as running:
        running.address = f"http://127.0.0.1:{running.port}/"
        yield running


def test_other_addresses_are_closed_by_a_key_that_is_printed(keyed: Running) -> None:
    assert len(keyed.key) >= 32
    for path in OPEN:
        assert keyed.http.get(keyed.url + path).status_code == 200
    for path in ROUTES:
        expected = 404 if "nothing" in path else 200
        assert keyed.get(path).status_code == expected, path
        for wrong in ("x", keyed.key[:-1], keyed.key + "x", "é"):
            headers = {"authorization": f"Bearer {wrong}".encode()}
            found = keyed.http.get(keyed.url + path, headers=headers)
            assert found.status_code == 401, path
            assert found.headers["www-authenticate"] == "Bearer"
            assert found.json()["error"]["code"] == "invalid_api_key"
    for path in ("/v1/completions", "/v1/score"):
        assert keyed.http.post(keyed.url + path, json={"prompt": "a"}).status_code == 401
    assert keyed.http.get(f"{keyed.url}/v1/models?key={keyed.key}").status_code == 401
    assert keyed.http.get(f"{keyed.url}/v1/models", headers={"authorization": keyed.key}).status_code == 401
    assert keyed.openai().models.list().data[0].id == "verses"


def test_the_key_is_not_in_the_log(keyed: Running) -> None:
    keyed.get("/v1/models")
    assert keyed.key not in "".join(keyed.log)


def test_a_page_elsewhere_cannot_take_this_machines_name(server: Running) -> None:
    """A name on the web that points to this machine is not answered: no key protects it."""
    for host in ("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", ""):
        assert server.get("/v1/models", headers={"host": host}).status_code == 403
    for host in ("localhost", "LOCALHOST:80", "127.0.0.1:9", "[::1]:9", "charloom.localhost"):
        assert server.get("/v1/models", headers={"host": host}).status_code == 200


def test_forms_of_other_pages_are_refused(server: Running) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        headers = {"content-type": kind, "origin": "https://evil.example"}
        found = server.http.post(f"{server.url}/v1/completions", content=b'{"prompt": "a"}', headers=headers)
        assert found.status_code == 400
        assert found.json()["error"]["message"].endswith("send the header Content-Type: application/json")
        assert "access-control-allow-origin" not in found.headers


def test_headers_of_every_answer(server: Running) -> None:
    for path in (*OPEN, "/v1/models", "/docs", "/nothing", "/model/config.json"):
        headers = server.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "server" not in headers
    page = server.get("/").headers["content-security-policy"]
    for part in ("connect-src 'self'", "base-uri 'none'", "form-action 'none'", "script-src 'sha256-"):
        assert part in page


def test_no_path_reaches_the_file_system(server: Running) -> None:
    (server.model / "secret.txt").write_text("secret", encoding="utf-8")
    (server.model / "checkpoints").mkdir(exist_ok=True)
    names = ("secret.txt", "checkpoints", "", "..", "../verses/config.json", "%2e%2e/verses/config.json",
             "..%2fverses%2fconfig.json", "config.json%00", "//etc/passwd", "config.json/")  # fmt: skip
    for name in names:
        with server.socket() as client:  # a client library would tidy the path
            client.sendall(f"GET /model/{name} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
            answer = client.recv(2**16)
        assert b"secret" not in answer.partition(b"\r\n\r\n")[2]
        assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 307", b"HTTP/1.1 400")), name


def test_the_files_of_the_model(server: Running) -> None:
    for name in ("config.json", "vocab.json", "generation.json", "README.md"):
        assert server.get(f"/model/{name}").content == (server.model / name).read_bytes()
    assert server.get("/model/metrics.jsonl").content == b""
    (server.model.parent / "copy").mkdir(exist_ok=True)
    copy = server.model.parent / "copy"
    for name in ("config.json", "vocab.json", "generation.json", "README.md", "model.safetensors"):
        (copy / name).write_bytes(server.get(f"/model/{name}").content)
    here, there = folder.read(server.model), folder.read(copy)
    assert all((there.weights[name] == here.weights[name]).all() for name in here.weights)


def test_a_log_cannot_be_forged(server: Running) -> None:
    evil = "x%0a2026-01-01%2000:00:00.000%20info%20request%20status=200"
    server.http.get(f"{server.url}/{evil}%1b[31m", headers={"x-request-id": "a b\tstatus=200"})
    (line,) = server.lines("2026-01-01")
    assert line.count("\n") == 1
    assert "status=404" in line
    assert "\x1b" not in line
    assert re.search(r" id=[0-9a-f]{16}$", line.strip())
    found = server.get("/health", headers={"x-request-id": "mine.7"})
    assert found.headers["x-request-id"] == "mine.7"
    assert server.lines("id=mine.7")


def test_nothing_of_a_prompt_is_logged(server: Running) -> None:
    secret = "the moon is a harsh mistress"
    wrong = {"stop": secret, "temperature": -1}, {secret: 1}, {"match": f"({secret}"}, {"user": secret}
    for asked in ({"prompt": secret}, {"prompt": [secret, 3]}, *wrong):
        server.post("/v1/completions", asked, headers={"x-request-id": "last"})
    server.http.post(
        f"{server.url}/v1/completions", content=secret, headers={"content-type": "application/json"}
    )
    server.lines("last")
    assert secret not in "".join(server.log)


def test_errors_do_not_repeat_what_was_sent(server: Running) -> None:
    found = server.post("/v1/completions", {"prompt": ["secret", 3]})
    assert found.status_code == 400
    assert "secret" not in found.text


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"a"', b"\xff", b"[" * 100_000, b'{"a":' * 50_000,
     b'{"max_tokens": 1e400}', b'{"temperature": NaN}', b'{"max_tokens": ' + b"9" * 5000 + b"}",
     b'{"seed": 1.5}', b'{"max_tokens": "5"}', b'{"stream": 1}', b'{"logit_bias": {"-1": 1}}',
     b'{"logit_bias": {"48": 1}}', b'{"prompt": []}', b'{"match": "("}', b'{"match": "(((((a*)*)*)*)*)*$^"}',
     b'{"only": "\xc3\xbf"}', b'{"stop": ""}', b'{"condition": "World"}', b'{"source": "uno"}'],
    ids=lambda body: body[:20].decode("latin-1"),
)  # fmt: skip
def test_bad_bodies_are_refused_on_one_line(server: Running, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    found = server.http.post(f"{server.url}/v1/completions", content=body, headers=headers)
    assert found.status_code == 400, found.text
    error = found.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert 0 < len(error["message"]) < 600
    assert "\n" not in error["message"]


def test_half_a_pair_is_a_character(server: Running) -> None:
    """As Python's strings hold it, and JSON can."""
    body = b'{"prompt": "a\\ud800", "max_tokens": 0, "echo": true}'
    headers = {"content-type": "application/json"}
    found = server.http.post(f"{server.url}/v1/completions", content=body, headers=headers)
    assert b'"text": "a\\ud800"' in found.content


def test_what_is_no_http_is_refused(server: Running) -> None:
    for sent in (
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n" * 10 + b"x y z\r\n",
    ):
        with server.socket() as client:
            client.sendall(sent)
            assert b" 400 " in client.recv(1000)
    with server.socket() as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                       b"sec-websocket-key: a\r\nsec-websocket-version: 13\r\n\r\n")  # fmt: skip
        assert client.recv(12) == b"HTTP/1.1 200"  # an upgrade that nobody offers is left out


def test_a_model_without_a_beginning_wants_a_prompt(serve: Serve, tmp_path: Path) -> None:
    server = serve("--log-json", model=build(tmp_path / "a & b", specials=()))
    found = server.complete("")
    assert found.status_code == 400
    assert found.json()["error"]["param"] == "prompt"
    assert "cannot begin by itself" in found.json()["error"]["message"]
    assert "not in the vocabulary" in server.complete("€").json()["error"]["message"]
    told = server.complete("the", max_tokens=0, echo=True, logprobs=2).json()["choices"][0]["logprobs"]
    assert told["token_logprobs"][0] is None
    assert told["top_logprobs"][0] is None
    assert None not in told["token_logprobs"][1:]
    score = server.post("/v1/score", {"input": "the", "characters": True}).json()["data"][0]
    assert score["surprise"][0] is None
    assert server.get("/v1/models").json()["data"][0]["id"] == "a & b"
    assert "a &amp; b" in server.get("/docs").text
    assert json.loads(server.lines("/v1/models")[0])["path"] == "/v1/models"
