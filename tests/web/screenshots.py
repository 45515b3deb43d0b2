"""Pictures of every view, phone and desktop, light and dark: look at them before a change of the page lands.

    python tests/web/screenshots.py MODEL [FOLDER]

MODEL is a model or run folder, FOLDER (screenshots/, if left out) where the pictures go.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from charloom import run
from charloom.export import html
from charloom.model import folder

SIZES = {"desktop": (1280, 880), "phone": (390, 844)}
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def write(page: Page) -> None:
    """A text at the lesson's most readable temperature, coloured by surprise."""
    page.locator("#temperature").fill("0.8")
    page.locator("#length").fill("360")
    page.locator("#sure").check()
    page.locator("#write").click()
    expect(page.locator("#status")).to_contain_text("seed", timeout=60_000)
    expect(page.locator("#tint span").nth(300)).to_be_attached()
    page.wait_for_timeout(500)


def inside(page: Page) -> None:
    """The unit that follows the place in the line."""
    page.locator("#tab-inside").click()
    page.locator("#heat").fill("1")
    page.wait_for_timeout(1000)
    page.locator("#find").select_option("line")
    page.wait_for_timeout(1000)


def about(page: Page) -> None:
    """What the model is."""
    page.locator("#tab-about").click()
    page.wait_for_timeout(300)


def main(source: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        file = Path(scratch, f"{source.name}.html")
        curve = run.records(source / run.METRICS)
        html.write(folder.read(source), source, file, name=source.name, precision="float32", curve=curve)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        for size, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                context = browser.new_context(
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,  # type: ignore[arg-type]
                    locale="en-GB",
                    offline=True,
                )
                page = context.new_page()
                page.goto(file.as_uri())
                for view in (write, inside, about):
                    view(page)
                    path = out / f"{view.__name__}-{size}-{scheme}.png"
                    page.screenshot(path=path, full_page=size == "phone" or view is not write)
                    print(path)
                context.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) > 2 else "screenshots"))
