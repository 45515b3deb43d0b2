"""The page as a server sends it: it fetches the model, with a key where the server asks for one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from charloom.export import html
from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from drawn import require_drawn

Open = Callable[..., Page]
MakeFolder = Callable[..., tuple[Path, Model]]

ORIGIN = "http://charloom.test"
KEY = "s3cret+/="


@pytest.fixture
def visit(open_context: Callable[..., BrowserContext]) -> Open:
    """`visit(folder, address)`: what a server that knows only KEY gives to somebody who opens it."""

    def make(source: Path, address: str = "/", context: BrowserContext | None = None) -> Page:
        page = (context or open_context(offline=False)).new_page()

        def serve(route: Route) -> None:
            path = route.request.url.removeprefix(ORIGIN).removeprefix("/served")
            if path == "/":
                return route.fulfill(body=html.served(), content_type="text/html; charset=utf-8")
            if route.request.headers.get("authorization") != f"Bearer {KEY}":
                return route.fulfill(status=401, body='{"error": {"message": "no key"}}')
            if path == "/v1/models":
                return route.fulfill(body=json.dumps({"data": [{"id": "<b>verses</b>"}]}))
            file = source / path.removeprefix("/model/")
            return route.fulfill(path=file) if file.is_file() else route.fulfill(status=404, body="")

        page.route(f"{ORIGIN}/**", serve)
        page.goto(ORIGIN + address)
        return page

    return make


def write(page: Page) -> str:
    page.get_by_role("button", name=re.compile("^Write")).click()
    expect(page.locator("#status")).to_contain_text("seed")
    return page.locator("#text").input_value()


def test_the_key_of_the_address_opens_the_model(visit: Open, make_folder: MakeFolder) -> None:
    source, model = make_folder(sampling={"length": 60}, metrics={"nats": 2.25}, card="# Verses\n")
    (source / "metrics.jsonl").write_text(
        '{"step": 0, "seconds": 1, "loss": null, "nats": 3.5}\n'
        '{"step": 9, "seconds": 61, "loss": 2.1, "nats": 2.25}\n{"step": 1',
        encoding="utf-8",
    )
    page = visit(source, "/served/#key=s3cret%2B%2F%3D")
    text = write(page)
    require_drawn(Generator(model), text, settings=SamplerConfig(length=60))
    assert page.title() == page.locator("h1").text_content() == "<b>verses</b>"
    assert page.url == f"{ORIGIN}/served/"  # an address is copied and shown about; the key is not in it
    page.locator("#tab-about").click()
    facts = page.locator("#facts").inner_text()
    for fact in ("2.250 nats", f"{model.parameters:,}", "float32"):
        assert fact in facts
    expect(page.locator("#curve path.held")).to_have_attribute("d", re.compile("^M.*L"))
    assert page.locator("#card").inner_text() == "Verses"
    page.reload()
    expect(page.locator("#text")).to_have_value(text)  # the tab keeps the text, and the key
    expect(page.locator("#write")).to_be_enabled()


def test_without_a_key_the_page_asks(visit: Open, make_folder: MakeFolder) -> None:
    page = visit(make_folder(sampling={"length": 20})[0])
    key = page.get_by_label("Key")
    expect(key).to_be_focused()
    expect(page.locator("#room")).to_be_hidden()
    expect(page.get_by_role("tablist")).to_be_hidden()
    page.evaluate(AXE_SCRIPT)
    assert page.evaluate("() => axe.run()")["violations"] == []
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#key-told")).to_have_text("The server does not take this key. Is it whole?")
    expect(key).to_be_focused()
    expect(key).to_have_value("")
    page.keyboard.type(f" {KEY} ")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Open")).to_be_focused()
    page.keyboard.press("Enter")
    assert len(write(page)) == 20
    expect(page.locator("#ask")).to_be_hidden()


def test_what_a_server_cannot_give_is_told(visit: Open, make_folder: MakeFolder) -> None:
    source, _ = make_folder()
    (source / "vocab.json").unlink()
    page = visit(source, "/#key=s3cret%2B%2F%3D")
    expect(page.get_by_role("alert")).to_have_text(re.compile("That did not work: vocab.json: 404"))


def test_its_policy_lets_it_ask_its_own_server_alone() -> None:
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html.served())
    assert len(policy) == 1
    assert "default-src 'none'" in policy[0]
    assert "connect-src 'self';" in policy[0]
    assert "unsafe" not in policy[0]


def test_the_real_server_s_page_writes_and_asks_nobody_else(
    browser: Browser, make_folder: MakeFolder
) -> None:
    source, model = make_folder(sampling={"length": 40})
    command = [sys.executable, "-m", "charloom", "serve", str(source), "--host", "0.0.0.0", "--port", "0"]
    context = browser.new_context(locale="en-GB")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://[^:]*:(\d+)(/#key=\S+)", process.stdout.readline().decode())
            assert found
            page = context.new_page()
            asked: list[str] = []
            context.on("request", lambda request: asked.append(request.url))
            page.goto(f"http://127.0.0.1:{found[1]}{found[2]}")
            require_drawn(Generator(model), write(page), settings=SamplerConfig(length=40))
            assert page.title() == source.name
            assert all(url.startswith((f"http://127.0.0.1:{found[1]}/", "blob:", "data:")) for url in asked)
            assert not any("key" in url.partition("#")[0] for url in asked)
        finally:
            context.close()
            process.terminate()
        assert process.wait(60) == 0
