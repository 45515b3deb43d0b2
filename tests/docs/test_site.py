"""The site: its generated pages are what the code says, it builds without a warning, and it can be read."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from in_browser import chromium

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
REFERENCE = runpy.run_path(str(DOCS / "reference.py"))
HOUSE = runpy.run_path(str(DOCS / "house.py"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. Every warning fails it, so every link within it leads somewhere."""
    out = tmp_path_factory.mktemp("site")
    found = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", str(DOCS), str(out)],
        capture_output=True, encoding="utf-8", timeout=600,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return out


@pytest.mark.parametrize("name", sorted(REFERENCE["PAGES"]))
def test_the_reference_is_what_the_code_says(name: str) -> None:
    told = (DOCS / "reference" / name).read_text("utf-8")
    assert told == REFERENCE["PAGES"][name](), "run python docs/reference.py"


def test_the_picture_shows_every_room() -> None:
    assert (DOCS / "house.svg").read_text("utf-8") == HOUSE["picture"](), "run python docs/house.py"
    source = ROOT / "src" / "charloom"
    rooms = {path.name for path in source.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms | {"api"} == {name for name, _, _ in HOUSE["ROOMS"]}


def test_the_readme_links_to_what_there_is() -> None:
    for link in re.findall(r"\]\(([^)#]+)", (ROOT / "README.md").read_text("utf-8")):
        if "://" not in link:
            assert (ROOT / link).exists(), link


def test_every_page_can_be_reached(site: Path) -> None:
    pages = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    pages = {page for page in pages if "_build" not in page.parts}
    index = (site / "index.html").read_text("utf-8")
    assert not [page for page in pages if f'href="{page.as_posix()}"' not in index and page.stem != "index"]


def test_pages_fit_a_phone_and_a_desk_and_fetch_nothing(site: Path) -> None:
    pages = ["index", "how-it-works", "mathematics", "guides/coming", "reference/configuration"]
    with chromium() as browser:
        page = browser.new_page()
        outside: list[str] = []
        page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else outside.append(r.url))
        for name in pages:
            page.goto((site / f"{name}.html").as_uri())
            for width in (390, 1280):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.locator("h1").first.is_visible()
                assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert page.locator("math").count() == 0
        page.goto((site / "mathematics.html").as_uri())
        assert page.locator("math").count() > 30
        assert outside == []
