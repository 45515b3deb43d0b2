"""HTTP itself, on raw sockets and from other languages' clients: one request, one answer, its body intact."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import socket
import subprocess
from pathlib import Path

import httpx
import openai
import pytest

from .conftest import PATIENCE, Running, wait_until

BODY = json.dumps({"prompt": "the ", "max_tokens": 5, "echo": True}).encode()
SMUGGLED = b"GET /model/vocab.json HTTP/1.1\r\nhost: localhost\r\n\r\n"
H2C = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
UPGRADES = {
    "none": "",
    "h2c": H2C,
    "h2c without connection": "upgrade: h2c\r\n",
    "connection without upgrade": "connection: upgrade\r\n",
    "websocket": "connection: keep-alive, Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: a\r\n",
    "twice": "upgrade: h2c\r\nconnection: upgrade\r\nupgrade: websocket\r\n",
    "expect": f"{H2C}expect: 100-continue\r\n",
}


def answers(server: Running, *parts: bytes) -> list[tuple[int, bytes]]:
    """Status and body of every final answer to these parts, until the server closes."""
    with server.socket() as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            client.sendall(part)
        with client.makefile("rb") as stream:
            return list(iter(lambda: one(stream), None))


def one(stream: object) -> tuple[int, bytes] | None:
    """The next answer, without those that only say to go on."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return None
        head += line
    status = int(head[9:12])
    if status < 200:
        return one(stream)
    length = re.search(rb"content-length: (\d+)", head)
    return status, stream.read(int(length[1])) if length else b""


def framed(body: bytes, chunked: bool) -> bytes:
    if not chunked:
        return b"content-length: %d\r\n\r\n%s" % (len(body), body)
    half = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (body[:half], body[half:]))
    return b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


def posted(extra: str, chunked: bool, body: bytes = BODY) -> bytes:
    head = f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{extra}"
    return head.encode() + framed(body, chunked)


LAST = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
@pytest.mark.parametrize("upgrade", UPGRADES)
def test_an_upgrade_is_ignored(server: Running, upgrade: str, chunked: bool) -> None:
    """Whole, cut anywhere, and twice in one packet: each time the completion, then the next request."""
    request = posted(UPGRADES[upgrade], chunked)
    cuts = (1, request.index(b"\r\n\r\n") + 2, request.index(b"\r\n\r\n") + 4, len(request) - 1)
    for parts in ([request + LAST], [request, LAST], *([request[:k], request[k:], LAST] for k in cuts)):
        (first, text), last = answers(server, *parts)
        assert first == 200, text
        assert json.loads(text)["choices"][0]["text"].startswith("the ")
        assert last == (200, b'{"status":"ok"}')
    assert [status for status, _ in answers(server, request * 3 + LAST)] == [200] * 4


@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
@pytest.mark.parametrize("upgrade", UPGRADES)
def test_a_body_is_never_a_request(server: Running, upgrade: str, chunked: bool) -> None:
    for path in ("/v1/completions", "/v1/nothing", "/health"):
        request = posted(UPGRADES[upgrade], chunked, SMUGGLED).replace(b"/v1/completions", path.encode())
        for parts in ([request + LAST], [request[:-20], request[-20:], LAST]):
            found = answers(server, *parts)
            assert len(found) == 2
            assert 400 <= found[0][0] < 500
            assert not any(b'"ids"' in body for _, body in found)


BAD = {
    "length and chunks": b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"content-length: 5\r\ncontent-length: 60\r\n\r\nabcde",
    "signed length": b"content-length: +5\r\n\r\nabcde",
    "list of lengths": b"content-length: 5, 5\r\n\r\nabcde",
    "no number": b"content-length: five\r\n\r\nabcde",
    "negative": b"content-length: -1\r\n\r\n",
    "too long a number": b"content-length: 99999999999999999999999\r\n\r\n",
    "blank before the colon": b"content-length : 5\r\n\r\nabcde",
    "unknown coding": b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked is not last": b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "no chunk size": b"transfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "chunk too long": b"transfer-encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n",
    "folded": b"x: a\r\n content-length: 5\r\n\r\nabcde",
    "bare line feed": b"x: a\ncontent-length: 5\r\n\r\nabcde",
    "two hosts": b"host: localhost\r\ncontent-length: 5\r\n\r\nabcde",
}


@pytest.mark.parametrize("framing", BAD)
def test_doubtful_framing_is_refused(server: Running, framing: str) -> None:
    """With an upgrade and without, alone and after a good request: one 400, and no more is read."""
    for extra in (b"", H2C.encode()):
        head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n" + extra
        ((status, body),) = answers(server, head + BAD[framing] + SMUGGLED)
        assert (status, json.loads(body)["error"]["code"]) == (400, "bad_http")
    before = posted("", False)
    found = answers(server, before + head + BAD[framing] + SMUGGLED)
    assert found[0][0] == 200  # what is wrong with the second is no answer to the first
    assert not any(b'"ids"' in body for _, body in found)


def test_no_tunnel(server: Running) -> None:
    for before in (b"", posted("", False)):
        found = answers(
            server, before + b"CONNECT localhost:1 HTTP/1.1\r\nhost: localhost\r\n\r\n" + SMUGGLED
        )
        assert [status for status, _ in found] == ([200] if before else [405])


def test_a_refusal_before_the_body_ends_the_connection(server: Running) -> None:
    """Whoever waits for 100 sends no body any more: what came next would be taken for it."""
    head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n"
    with server.socket() as client:
        client.sendall(head + b"content-length: 99999999\r\n\r\n")
        with client.makefile("rb") as stream:
            assert one(stream)[0] == 413
            assert stream.read() == b""


def test_curl_offers_http2(server: Running) -> None:
    command = ["curl", "-sS", "--http2", "-H", "content-type: application/json", "-d", BODY.decode()]
    found = subprocess.run([*command, f"{server.url}/v1/completions"], capture_output=True, timeout=PATIENCE)
    assert json.loads(found.stdout)["choices"][0]["text"].startswith("the "), found


JAVA = """
import java.net.URI;
import java.net.http.*;
import java.net.http.HttpRequest.BodyPublishers;

public class Ask {
    public static void main(String[] a) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int i = 0; i < 2; i++)
            for (var body : new HttpRequest.BodyPublisher[] {BodyPublishers.ofString(a[1]),
                    BodyPublishers.ofInputStream(() -> new java.io.ByteArrayInputStream(a[1].getBytes()))}) {
                var request = HttpRequest.newBuilder(URI.create(a[0]))
                    .header("Content-Type", "application/json").POST(body).build();
                var found = client.send(request, HttpResponse.BodyHandlers.ofString());
                System.out.println(found.statusCode() + " " + found.body());
            }
    }
}
"""


@pytest.mark.skipif(shutil.which("java") is None, reason="java is not installed (openjdk-17-jdk-headless)")
def test_java_offers_http2(server: Running, tmp_path: Path) -> None:
    (tmp_path / "Ask.java").write_text(JAVA, encoding="utf-8")
    command = ["java", "-XX:TieredStopAtLevel=1", "Ask.java", f"{server.url}/v1/completions", BODY.decode()]
    found = subprocess.run(command, capture_output=True, cwd=tmp_path, timeout=PATIENCE, text=True)
    lines = found.stdout.splitlines()
    assert [line[:4] for line in lines] == ["200 "] * 4, found
    assert all('"text": "the ' in line for line in lines)


PROBES = [
    b"GET /health HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"OPTIONS / HTTP/1.0\r\n\r\n",  # HAProxy
    b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",  # Apache
    b"HEAD / HTTP/1.0\r\n\r\n",
    b"HEAD /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    b"GET /health HTTP/1.1\r\nhost: 10.1.2.3:8000\r\nuser-agent: kube-probe\r\nconnection: close\r\n\r\n",
    b"GET /ready HTTP/1.1\r\nhost: 172.31.0.5\r\nuser-agent: ELB\r\nconnection: close\r\n\r\n",
    b"GET http://localhost/health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    b"GET /health/?a=1 HTTP/1.0\r\n\r\n",
    *(b"GET %s HTTP/1.0\r\n\r\n" % path for path in (b"/healthz", b"/livez", b"/readyz", b"/ping")),
    b"GET /v1/models HTTP/1.0\r\n\r\n",
    b"GET /v1/models/ HTTP/1.0\r\n\r\n",
    b"HEAD /v1/models HTTP/1.0\r\n\r\n",
    b"OPTIONS /v1/completions HTTP/1.0\r\n\r\n",
    b"GET /health HTTP/0.9\r\n\r\n",
]


@pytest.mark.parametrize("half", [False, True], ids=["open", "half closed"])
def test_uptime_checks_of_every_age(server: Running, half: bool) -> None:
    """Also of those who end their side as soon as they have asked, as `printf … | nc` does."""
    for probe in PROBES:
        with server.socket() as client:
            client.sendall(probe)
            if half:
                client.shutdown(socket.SHUT_WR)
            with client.makefile("rb") as stream:
                head, _, body = stream.read().partition(b"\r\n\r\n")
        assert head[:12] in (b"HTTP/1.1 200", b"HTTP/1.1 204"), probe
        assert bool(body) == probe.startswith(b"GET"), probe
        assert (b"allow: " in head) == probe.startswith(b"OPTIONS"), probe


def test_a_hang_up_after_a_post_is_one(server: Running) -> None:
    before = server.metric("charloom_cancelled_total")
    with server.socket() as client:
        client.sendall(server.request("/v1/completions", {"prompt": "a", "max_tokens": 10_000}))
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    wait_until(lambda: server.metric("charloom_cancelled_total") == before + 1)


def test_no_redirect(server: Running) -> None:
    """A last slash is left out, and links on the page of the API lead where they should."""
    for path in ("/v1/models/", "/v1/models/verses/", "/health//", "/metrics/", "/openapi.json/"):
        assert server.get(path).status_code == 200, path
    for path in ("/v1/completions/", "/v1/score/"):
        body = {"prompt": "a", "max_tokens": 1} if "completions" in path else {"input": "a"}
        assert server.post(path, body).status_code == 200, path
    for link in re.findall(r'(?:href)="([^"d][^"]*)"', server.get("/docs/").text):
        assert server.http.get(httpx.URL(f"{server.url}/docs/").join(link)).status_code == 200, link


ELSEWHERE = [
    "/v1/chat/completions", "/chat/completions", "/completions", "/v1/engines/verses/completions", "/v1",
    "/v1/embeddings", "/v1/responses", "/v1/edits", "/v1/v1/completions", "/api/generate", "/generate",
    "/openai/deployments/verses/completions",
]  # fmt: skip


@pytest.mark.parametrize("path", ELSEWHERE)
def test_what_is_elsewhere_says_where(server: Running, path: str) -> None:
    for found in (server.post(path, {"messages": [], "model": "verses"}), server.get(path)):
        error = found.json()["error"]
        assert found.status_code == 404
        assert set(error) == {"message", "type", "param", "code"}
        assert (error["type"], error["param"]) == ("invalid_request_error", None)
        assert error["code"] == "unknown_url"
        assert path in error["message"]
        assert "completion model" in error["message"]
        assert "POST /v1/completions" in error["message"]


def test_the_official_clients_chat_is_told_so(server: Running) -> None:
    client = server.openai()
    with pytest.raises(openai.NotFoundError, match=r"not a chat model: .* POST /v1/completions"):
        client.chat.completions.create(model="verses", messages=[{"role": "user", "content": "a"}])
    with pytest.raises(openai.NotFoundError, match="This is a completion model"):
        client.embeddings.create(model="verses", input="a")


def test_another_method_says_which(server: Running) -> None:
    for found, allowed in ((server.get("/v1/completions"), "POST"), (server.post("/v1/models"), "GET")):
        assert (found.status_code, found.headers["allow"]) == (405, allowed)
        assert found.json()["error"]["code"] == "method_not_supported"
        assert found.json()["error"]["message"].endswith(f"use {allowed}")


def test_etags(server: Running) -> None:
    """Whoever has the weights does not load them again; of another model they have another tag."""
    tags = set()
    for path in ("/model/model.safetensors", "/model/config.json", "/", "/docs"):
        found = server.get(path)
        tags.add(found.headers["etag"])
        assert found.headers["cache-control"] == "no-cache"
        for known in (found.headers["etag"], f'"x", W/{found.headers["etag"]}', "*"):
            again = server.get(path, headers={"if-none-match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == found.headers["etag"]
        assert server.get(path, headers={"if-none-match": '"other"'}).content == found.content
        head = server.http.head(server.url + path)
        assert (head.content, head.headers["content-length"]) == (b"", str(len(found.content)))
    assert len(tags) == 4


ENCODINGS = [
    (gzip.compress(BODY, mtime=0), {"content-encoding": "gzip"}, r"compressed \(gzip\)"),
    (gzip.compress(BODY, mtime=0), {}, r"compressed \(gzip\)"),
    (b"\x28\xb5\x2f\xfd", {"content-encoding": "zstd"}, r"compressed \(zstd\)"),
    (b"\x0b", {"content-encoding": "br"}, r"compressed \(br\)"),
    ('{"prompt": "é"}'.encode("latin-1"), {}, r"not UTF-8 \(byte 0xe9 at position 12; perhaps it is Latin-1"),
    ('{"prompt": "€"}'.encode("cp1252"), {}, r"not UTF-8 \(byte 0x80 at position 12"),
]


@pytest.mark.parametrize(("body", "headers", "told"), ENCODINGS, ids=range(len(ENCODINGS)))
def test_other_encodings_are_named(server: Running, body: bytes, headers: dict, told: str) -> None:
    headers = {"content-type": "application/json", **headers}
    for path in ("/v1/completions", "/v1/score"):
        found = server.http.post(server.url + path, content=body, headers=headers)
        assert found.status_code == 400
        assert re.search(told, found.json()["error"]["message"])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"{'prompt': 'a'}", r"not JSON: Expecting property name .* at position 1$"),  # as from cmd.exe
        (b'{"prompt": "a"', r"not JSON: .* at position 14$"),
        (b"", "the body is empty; send a JSON object"),
    ],
)
def test_what_is_no_json_says_where(server: Running, body: bytes, told: str) -> None:
    headers = {"content-type": "application/json"}
    found = server.http.post(f"{server.url}/v1/completions", content=body, headers=headers)
    assert found.status_code == 400
    assert re.search(told, found.json()["error"]["message"])


def test_encodings_of_json(server: Running) -> None:
    for coding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        headers = {"content-type": "application/json", "content-encoding": "identity"}
        body = BODY.decode().replace("the ", "né ").encode(coding)
        found = server.http.post(f"{server.url}/v1/completions", content=body, headers=headers)
        assert found.json()["choices"][0]["text"].startswith("né "), coding
