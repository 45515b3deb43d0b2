"""The page, sent by the real server to a real browser, with the key in its address."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from in_browser import chromium

from .conftest import Expected, Running


def test_the_page_runs_the_model_that_is_served(serve: Callable[..., Running], expected: Expected) -> None:
    server = serve("--host", "0.0.0.0")
    complaints: list[str] = []
    with chromium() as browser:
        page = browser.new_page()
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type == "error" else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.port}/#key={server.key}")
        page.locator("#length").fill("40")
        expect(page.locator("#write")).to_be_enabled()
        page.locator("#write").click()
        expect(page.locator("#status")).to_contain_text("seed")
        assert page.locator("#text").input_value() == expected("", length=40)
        assert page.title() == "verses"
        assert server.key not in page.url
    assert complaints == []
