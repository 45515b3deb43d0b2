"""Debian's Chromium, pages that may ask for nothing from outside, and small models with random weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

import untrained
from charloom.export import html, module
from charloom.model import folder
from charloom.model.folder import Model
from in_browser import chromium

ORIGIN = "http://charloom.test"  # no such host: what it serves comes from the test itself
WEB = Path(html.__file__).parents[1] / "web"
CURVE = [
    {"step": 0, "seconds": 1.0, "loss": None, "nats": 3.5},
    {"step": 90, "seconds": 61.0, "loss": 2.1, "nats": 2.25},
]

MakeFolder = Callable[..., tuple[Path, Model]]
Open = Callable[..., Page]


@pytest.fixture(scope="session")
def make_folder(tmp_path_factory: pytest.TempPathFactory) -> MakeFolder:
    """`make_folder(cell, layers=, hidden=, …, card=)`: a model folder on disk and the model in it."""

    def make(*arguments: Any, card: str = "# A model\n\n- of: tests\n", **options: Any) -> tuple[Path, Model]:
        model = untrained.model(*arguments, **{"ends": -6, **options})  # texts long enough to look at
        return untrained.write(tmp_path_factory.mktemp("model"), model, card), model

    return make


@pytest.fixture(scope="package")  # Playwright's loop runs until it ends: tests elsewhere start their own
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def open_context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """A context a call; afterwards the test fails if any page asked for something outside, or complained."""
    expect.set_options(timeout=60_000)  # the machine may be busy
    contexts: list[BrowserContext] = []
    outside: list[str] = []
    complaints: list[str] = []

    def make(**options: Any) -> BrowserContext:
        context = browser.new_context(**{"locale": "en-GB", "offline": True, **options})
        context.set_default_timeout(60_000)
        context.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("file:", "blob:", "data:", ORIGIN))
                else outside.append(request.url)
            ),
        )
        context.on("weberror", lambda error: complaints.append(str(error.error)))
        context.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()
    assert outside == []
    assert complaints == []


@pytest.fixture
def lab(open_context: Callable[..., BrowserContext]) -> Open:
    """`lab(folder)`: a page that can import /web/engine/*.js, and /model/charloom.js beside that model."""

    def make(source: Path | None = None, precision: str = "float32") -> Page:
        page = open_context(offline=False).new_page()
        if source is not None:
            module.write(folder.read(source), source, source / "js", precision)  # type: ignore[arg-type]

        def serve(route: Route) -> None:
            path = route.request.url.removeprefix(ORIGIN)
            if path.startswith("/web/"):
                route.fulfill(path=WEB / path.removeprefix("/web/"))
            elif path.startswith("/model/") and source is not None:
                route.fulfill(path=source / "js" / path.removeprefix("/model/"))
            else:
                route.fulfill(body="<!doctype html>", content_type="text/html")

        page.route(f"{ORIGIN}/**", serve)
        page.goto(ORIGIN)
        return page

    return make


@pytest.fixture
def open_page(open_context: Callable[..., BrowserContext], make_folder: MakeFolder, tmp_path: Path) -> Open:
    """`open_page(name=, view=, precision=, …)`: the one-file export of a small model, from the disk."""

    def make(
        *,
        name: str = "tests",
        view: str = "write",
        precision: str = "float32",
        source: Path | None = None,
        viewport: dict[str, int] | None = None,
        **context: Any,
    ) -> Page:
        source = source or make_folder(sampling={"length": 60}, metrics={"nats": 2.25})[0]
        out = tmp_path / "model.html"
        html.write(folder.read(source), source, out, name=name, precision=precision, curve=CURVE)  # type: ignore[arg-type]
        page = open_context(viewport=viewport or {"width": 1200, "height": 900}, **context).new_page()
        page.goto(out.as_uri())
        expect(page.locator("#status")).not_to_have_text("Loading the model…")
        expect(page.locator("#write")).to_be_enabled()
        if view != "write":
            page.locator(f"#tab-{view}").click()
        return page

    return make
