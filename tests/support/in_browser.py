"""A model in Chromium: what its engine is asked there, and what somebody does on its page."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
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


def npm_package(name: str, version: str) -> dict[str, bytes]:
    """The JavaScript modules of a package, by path; downloaded once and kept. Skips where npm cannot."""
    folder = Path(tempfile.gettempdir(), "charloom-tests", "npm")
    archive = folder / f"{name}-{version}.tgz"
    if not archive.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        if (npm := shutil.which("npm")) is None:
            pytest.skip(f"npm is not installed, and the test runs its package {name}: apt-get install npm")
        with tempfile.TemporaryDirectory(dir=folder) as draft:
            command = [npm, "pack", f"{name}@{version}", "--silent", "--fetch-retries=0"]
            try:
                subprocess.run(command, cwd=draft, capture_output=True, check=True, timeout=60)
            except (subprocess.SubprocessError, OSError) as error:
                pytest.skip(
                    f"npm cannot download {name} {version} ({type(error).__name__}); it needs a network"
                )
            Path(draft, archive.name).replace(archive)
    with tarfile.open(archive) as found:
        members = {each.name: found.extractfile(each) for each in found if each.name.endswith(".mjs")}
        return {path.removeprefix("package"): each.read() for path, each in members.items() if each}


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
