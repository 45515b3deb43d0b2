"""What outlives a reload, whose it is, and what becomes of it where storage is full of rubbish or missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, expect

from charloom.export import html
from charloom.model import folder
from charloom.model.folder import Model
from charloom.text.condition import Condition
from in_browser import settle, write

MakeFolder = Callable[..., tuple[Path, Model]]
OpenContext = Callable[..., BrowserContext]

KIND = Condition(name="kind", kind="label", values=("odd", "even"), counts=(1, 1))
DEFAULTS = {
    "#length": "60",
    "#seed": "0",
    "#top_k": "0",
    "#halt": "",
    "#temperature": "1",
    "#condition-1": "1",
}
CHANGED = {
    "#length": "7",
    "#seed": "5",
    "#top_k": "9",
    "#halt": "qq",
    "#temperature": "0.5",
    "#condition-1": "3",
}


def exported(make_folder: MakeFolder, out: Path, seed: int) -> Path:
    """Pages of models that differ in their weights alone."""
    source, _ = make_folder(
        seed=seed, conditions=(KIND,), specials=("<bos>", "<sep>", "<byte>"), sampling={"length": 60}
    )
    html.write(folder.read(source), source, out, name="tests", precision="int8", curve=[])
    return out


def visit(page: Page, out: Path) -> None:
    page.goto(out.as_uri())
    expect(page.locator("#write")).to_be_enabled()


def values(page: Page) -> dict[str, str]:
    return {selector: page.locator(selector).input_value() for selector in DEFAULTS}


def test_a_reload_keeps_draft_settings_and_language_of_this_model_alone(
    open_context: OpenContext, make_folder: MakeFolder, tmp_path: Path
) -> None:
    here, other = (exported(make_folder, tmp_path / f"{seed}.html", seed) for seed in (1, 2))
    page = open_context().new_page()
    visit(page, here)
    page.locator("summary").click()
    page.locator("#source").fill("to")
    page.get_by_label("kind").select_option("even")
    page.locator("#text").fill("the rain\n\n ")
    for selector, value in CHANGED.items():
        page.locator(selector).fill(value)
    for box in ("#keep", "#sure", "#fixed"):
        page.locator(box).check()
    page.locator("#language").select_option("es")
    for _ in range(2):
        page.reload()
        expect(page.locator("#write")).to_be_enabled()
        assert values(page) == CHANGED
        assert page.locator("#text").input_value() == "the rain\n\n "
        assert page.locator("#source").input_value() == "to"
        assert page.get_by_label("kind").input_value() == "1"
        assert page.locator("html").get_attribute("lang") == "es"
        for box in ("#keep", "#sure", "#fixed"):
            expect(page.locator(box)).to_be_checked()
        expect(page.locator("#top_k")).to_be_visible()  # a setting that acts is not hidden
        expect(page.locator("body")).to_have_attribute("data-fixed", "")
        expect(page.locator("#tint span").first).to_be_attached()
        visit(page, other)
        assert values(page) == DEFAULTS
        assert page.locator("#text").input_value() == page.locator("#source").input_value() == ""
        assert page.get_by_label("kind").input_value() == ""
        assert page.locator("html").get_attribute("lang") == "en"
        visit(page, here)
    tab = page.context.new_page()  # the settings are the browser's, the draft is its tab's
    visit(tab, here)
    assert tab.locator("#length").input_value() == "7"
    assert tab.locator("#text").input_value() == ""


def test_rubbish_in_storage_is_left_out(
    open_context: OpenContext, make_folder: MakeFolder, tmp_path: Path
) -> None:
    out = exported(make_folder, tmp_path / "a.html", 1)
    page = open_context().new_page()
    visit(page, out)
    page.locator("#text").fill("a")
    settle(page)
    wrong = {
        **dict.fromkeys(("length", "seed", "top_k", "temperature", "condition-1"), "nonsense"),
        "min_p": "7",
        "top_p": 0.5,
        "count": "1.5",
        "keep": "yes",
        "condition-0": "99",
        "constructor": "x",
    }
    for rubbish in (
        "{",
        "null",
        "7",
        '"text"',
        "[]",
        json.dumps({"language": "constructor", "colour": "x", "controls": 5, "text": 5}),
        json.dumps({"language": {}, "colour": None, "controls": wrong, "text": None}),
    ):
        page.evaluate(
            """(rubbish) => addEventListener("pagehide", () => {
              for (const area of [localStorage, sessionStorage]) {
                for (const name of Object.keys(area)) area.setItem(name, rubbish);
              }
            })""",
            rubbish,
        )
        page.reload()
        expect(page.locator("#write")).to_be_enabled()
        assert values(page) == DEFAULTS, rubbish
        assert page.locator("#text").input_value() == ""
        assert page.locator("#count").input_value() == page.locator("#top_p").input_value() == "1"
        assert page.locator("html").get_attribute("lang") == "en"
        expect(page.get_by_role("alert")).to_be_hidden()


def test_without_storage_the_page_works(
    open_context: OpenContext, make_folder: MakeFolder, tmp_path: Path
) -> None:
    out = exported(make_folder, tmp_path / "a.html", 1)
    context = open_context()
    context.add_init_script(
        """for (const name of ["localStorage", "sessionStorage"]) {
          const get = () => { throw new DOMException("denied", "SecurityError"); };
          Object.defineProperty(window, name, { get });
        }"""
    )
    page = context.new_page()
    visit(page, out)
    page.locator("#source").fill("to")
    page.locator("#length").fill("9")
    page.locator("#language").select_option("es")
    page.locator("#language").select_option("en")
    assert len(write(page)) == 9
    sandbox = tmp_path / "sandbox.html"
    sandbox.write_text(f'<iframe sandbox="allow-scripts" src="{out.name}"></iframe>', encoding="utf-8")
    page = open_context().new_page()
    page.goto(sandbox.as_uri())
    inner = page.frame_locator("iframe")
    inner.locator("#source").fill("to")
    inner.locator("#write").click()
    expect(inner.locator("#status")).to_contain_text("seed")
