"""A model in Chromium: what its engine is asked there, and what somebody does on its page."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
]
LOADED = "(await import('/model/charloom.js').then(({ load }) => load('/model')))"


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's. Where there is none the test is skipped, or, where all has to be tested, fails."""
    path = shutil.which("chromium")
    if path is None:
        missing = "chromium is not installed, and pages are tested in it: apt-get install chromium"
        pytest.fail(missing) if os.environ.get("CI") == "true" else pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


def ask(page: Page, expression: str, argument: Any = None) -> Any:
    """The value of a JavaScript expression in which `model` is the model and `x` the argument."""
    return page.evaluate(f"async (x) => {{ const model = {LOADED}; return {expression}; }}", argument)


def generated(page: Page, prompt: str, **options: Any) -> str:
    return str(ask(page, "model.generate(x)", {"prompt": prompt, **options}))


def finish(page: Page) -> str:
    """Wait until nothing is being written; the text then."""
    expect(page.locator("#write")).to_be_visible()
    return page.locator("#text").input_value()


def write(page: Page) -> str:
    page.get_by_role("button", name=re.compile("^Write")).click()
    expect(page.locator("#status")).to_contain_text("seed")
    return finish(page)


def settle(page: Page) -> None:
    """Long enough for what hangs on the text to be asked for."""
    page.wait_for_timeout(300)
