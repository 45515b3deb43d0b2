"""Pictures of every view, phone and desktop, light and dark: look at them before a change of the page lands.

    python tests/web/screenshots.py MODEL [FOLDER] [PROMPT]

MODEL is a model or run folder, FOLDER (screenshots/, if left out) where the pictures go, PROMPT what the text
begins with.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, Route, expect, sync_playwright

from charloom import run
from charloom.export import html
from charloom.model import folder

SIZES = {"desktop": (1280, 880), "phone": (390, 844)}
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def write(page: Page) -> None:
    """A text at a low temperature, coloured by surprise."""
    page.locator("#temperature").fill("0.8")
    page.locator("#length").fill("360")
    page.locator("#sure").check()
    page.locator("#write").click()
    expect(page.locator("#status")).to_contain_text("seed", timeout=60_000)
    expect(page.locator("#tint span").nth(300)).to_be_attached()
    page.wait_for_timeout(500)


def alternatives(page: Page) -> None:
    """The card of a character that is pointed to."""
    page.locator("#tint span").nth(160).scroll_into_view_if_needed()
    page.wait_for_timeout(500)  # the picture before this one made the window another size for a moment
    box = page.locator("#tint span").nth(160).bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("#peek")).to_be_visible(timeout=60_000)


def key(page: Page) -> None:
    """The same page from a server that asks for a key."""
    page.route("http://charloom.test/**", serve)
    page.goto("http://charloom.test/")
    expect(page.locator("#ask")).to_be_visible()


def serve(route: Route) -> None:
    if route.request.url.endswith("/v1/models"):
        route.fulfill(status=401)
    else:
        route.fulfill(body=html.served(), content_type="text/html; charset=utf-8")


def inside(page: Page) -> None:
    """The unit that follows the place in the line."""
    page.locator("#tab-inside").click()
    page.locator("#heat").fill("1")
    page.locator("#find").select_option("line")
    expect(page.locator("#unit-status")).to_contain_text("correlation", timeout=60_000)
    page.wait_for_timeout(1000)


def about(page: Page) -> None:
    """What the model is."""
    page.locator("#tab-about").click()
    page.wait_for_timeout(300)


def main(source: Path, out: Path, prompt: str) -> None:
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
                )
                page = context.new_page()
                page.goto(file.as_uri())
                page.locator("#text").fill(prompt)
                for view in (write, alternatives, inside, about, key):
                    view(page)
                    path = out / f"{view.__name__}-{size}-{scheme}.png"
                    page.screenshot(path=path, full_page=view not in (alternatives, key))
                    print(path)
                context.close()
        browser.close()


if __name__ == "__main__":
    given = [*sys.argv[1:], *("screenshots", "")[len(sys.argv) - 2 :]]
    main(Path(given[0]), Path(given[1]), given[2].replace("\\n", "\n"))
