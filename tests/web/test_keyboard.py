"""Every control by keyboard alone: reached with Tab, operated, its effect seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.text.condition import Condition
from drawn import require_drawn

Open = Callable[..., Page]
MakeFolder = Callable[..., tuple[Path, Model]]

CLASS = Condition(name="<b>class</b>", kind="label", values=("odd", "even", "<i>"), counts=(5, 3, 1))
IMAGE = Condition(name="image", kind="array", size=9, mean=5.0, deviation=4.0)
TRANSLATES = ("<bos>", "<eos>", "<sep>", "<byte>")

CONTROLS = "a[href], button, input, select, textarea, summary, [tabindex='0']"
FARTHEST = 80  # presses of Tab to come round the page

OPERATED = {
    *("tab-write", "tab-inside", "tab-about", "language", "text", "write", "stop", "undo", "redo", "copy"),
    *("clear", "temperature", "length", "count", "seed", "keep", "sure", "top_k", "top_p", "min_p"),
    *("no_repeat", "frequency_penalty", "presence_penalty", "halt", "ban", "only", "ignore_eos", "fixed"),
    *("heat", "layer", "unit", "find", "copy-embed", "colour", "marks", "next", "alternatives", "summary"),
    *("source", "condition-0", "condition-1", "condition-2", "key", "open"),  # the last two: test_served.py
}
"""Ids of controls, or what groups of them go by."""


def reach(page: Page, selector: str, key: str = "Tab") -> None:
    """Press Tab until the element has the focus."""
    for _ in range(FARTHEST):
        if page.locator(f"{selector}:focus").count():
            return
        page.keyboard.press(key)
    raise AssertionError(f"{selector} cannot be reached with {key}")


def press(page: Page, selector: str, key: str = "Enter") -> None:
    reach(page, selector)
    page.keyboard.press(key)


def enter(page: Page, selector: str, text: str) -> None:
    """Type a value in the place of the old one."""
    reach(page, selector)
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.type(text)


def value(page: Page, selector: str = "#text") -> str:
    return page.locator(selector).input_value()


def written(page: Page) -> str:
    """Write from an empty paper by the keyboard's short way; the text."""
    enter(page, "#text", "the ")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#write")).to_be_visible()
    return value(page)


def test_no_control_is_left_out(open_page: Open, make_folder: MakeFolder) -> None:
    page = open_page(source=make_folder(layers=2, conditions=(CLASS, IMAGE), specials=TRANSLATES)[0])
    page.locator("#source").fill("to")
    page.locator("#text").fill("the ")
    expect(page.locator("#alternatives button").first).to_be_attached()
    page.locator("#tab-inside").click()
    expect(page.locator("#next button").first).to_be_attached()
    found = page.locator(CONTROLS).evaluate_all(
        "all => all.map((e) => e.id || e.name || e.closest('[id].chances, [id].marks')?.id || e.localName)"
    )
    assert set(found) == OPERATED


def test_views_and_language(open_page: Open) -> None:
    page = open_page()
    reach(page, "#tab-write")
    for key, view in (
        ("ArrowRight", "inside"),
        ("End", "about"),
        ("ArrowRight", "write"),
        ("ArrowLeft", "about"),
    ):
        page.keyboard.press(key)
        expect(page.locator(f"#tab-{view}")).to_be_focused()
        expect(page.locator(f"#view-{view}")).to_be_visible()
        assert page.locator(".panel:visible").count() == 1
    page.keyboard.press("Home")
    expect(page.locator("#view-write")).to_be_visible()
    press(page, "#language", "e")
    page.keyboard.press("s")
    expect(page.locator("html")).to_have_attribute("lang", re.compile("en|es"))
    page.keyboard.press("ArrowDown")
    expect(page.locator("html")).to_have_attribute("lang", "es")


def test_write_stop_undo_redo_clear_copy(open_page: Open, make_folder: MakeFolder) -> None:
    source, _ = make_folder(hidden=200)  # slow enough to be stopped on the way
    page = open_page(source=source, permissions=["clipboard-read", "clipboard-write"], offline=False)
    enter(page, "#length", "100000")
    enter(page, "#text", "the ")
    press(page, "#write")
    expect(page.locator("#stop")).to_be_focused()
    expect(page.locator("#text")).to_have_value(re.compile("the .{9}", re.DOTALL))
    page.keyboard.press("Enter")
    expect(page.locator("#write")).to_be_focused()
    text = value(page)
    page.keyboard.press("Enter")
    expect(page.locator("#text")).not_to_have_value(text)
    page.keyboard.press("Escape")
    expect(page.locator("#write")).to_be_visible()
    press(page, "#undo")
    assert value(page) == text
    press(page, "#redo")
    assert value(page) != text
    page.keyboard.press("Shift+Tab")
    press(page, "#clear")
    assert value(page) == ""
    reach(page, "#text")
    page.keyboard.press("Control+Z")
    longer = value(page)
    page.keyboard.press("Control+Z")
    assert value(page) == text != longer
    page.keyboard.press("Control+Shift+Z")
    assert value(page) == longer
    press(page, "#copy")
    expect(page.locator("#status")).to_have_text("Copied.")
    assert page.evaluate("() => navigator.clipboard.readText()") == longer


SETTINGS: list[tuple[str, str, dict[str, object]]] = [
    ("#temperature", "Home", {"temperature": 0}),
    ("#length", "7", {"length": 7}),
    ("#seed", "5", {"seed": 5}),
    ("#top_k", "2", {"top_k": 2}),
    ("#top_p", "0.4", {"top_p": 0.4}),
    ("#min_p", "0.3", {"min_p": 0.3}),
    ("#no_repeat", "2", {"no_repeat": 2}),
    ("#frequency_penalty", "1.5", {"frequency_penalty": 1.5}),
    ("#presence_penalty", "2", {"presence_penalty": 2}),
    ("#halt", "e", {"stop": ("e",)}),
    ("#ban", "aeiou", {"ban": "aeiou"}),
    ("#only", "the rain", {"only": "the rain"}),
    ("#ignore_eos", " ", {"ignore_eos": True}),
]


@pytest.fixture
def ending(make_folder: MakeFolder) -> tuple[Path, Generator]:
    """A model that may end its texts."""
    source, model = make_folder(sampling={"length": 60}, ends=-1)
    return source, Generator(model)


def test_every_setting_has_its_effect(open_page: Open, ending: tuple[Path, Generator]) -> None:
    source, generator = ending
    page = open_page(source=source)
    press(page, "#keep", " ")
    press(page, "summary")
    plain = written(page)
    require_drawn(generator, plain.removeprefix("the "), "the ", SamplerConfig(length=60))
    for selector, keys, options in SETTINGS:
        settings = SamplerConfig(**{"length": 60, **options})  # type: ignore[arg-type]
        before = value(page, selector)
        if keys in ("Home", " "):
            press(page, selector, keys)
        else:
            enter(page, selector, keys)
        text = written(page)
        assert text != plain, selector
        require_drawn(generator, text.removeprefix("the "), "the ", settings)
        if keys == "Home":
            for _ in range(20):
                press(page, selector, "ArrowRight")
            assert value(page, selector) == before
        elif keys == " ":
            press(page, selector, " ")
        else:
            enter(page, selector, before)
    assert written(page) == plain


def test_colours_fixed_width_and_alternatives(open_page: Open) -> None:
    page = open_page()
    enter(page, "#text", "the rain")
    press(page, "#sure", " ")
    expect(page.locator("#tint span")).to_have_count(8)
    page.keyboard.press(" ")
    expect(page.locator("#tint span")).to_have_count(0)
    press(page, "summary")
    press(page, "#fixed", " ")
    expect(page.locator("#text")).to_have_css("font-family", re.compile("monospace"))
    enter(page, "#length", "5")
    reach(page, "#text", "Shift+Tab")
    page.keyboard.press("End")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#here")).to_contain_text("in place of r")
    reach(page, "#alternatives li:nth-child(2) button")
    glyph = page.locator("#alternatives li:nth-child(2) bdi").inner_text()
    page.keyboard.press("Enter")
    expect(page.locator("#status")).to_contain_text("5 characters")
    assert value(page)[:5].replace(" ", "␣").replace("\n", "⏎") == f"the␣{glyph}"
    assert len(value(page)) == 10


def test_variants(open_page: Open) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"], offline=False)
    enter(page, "#count", "2")
    press(page, "#write")
    expect(page.locator("#status")).to_contain_text("seed")
    second = page.locator(".variant p").nth(1).text_content()
    press(page, ".variant:nth-child(2) button:nth-child(2)")
    expect(page.locator("#status")).to_have_text("Copied.")
    assert page.evaluate("() => navigator.clipboard.readText()") == second
    press(page, ".variant:nth-child(2) button:nth-child(1)")
    expect(page.locator("#text")).to_be_focused()
    assert value(page) == second


def test_conditions_and_source(open_page: Open, make_folder: MakeFolder) -> None:
    source, model = make_folder(conditions=(CLASS, IMAGE), specials=TRANSLATES, sampling={"length": 30})
    generator = Generator(model)
    page = open_page(source=source)
    press(page, "#keep", " ")

    def require_written(strength: float = 1.0, **given: Any) -> None:
        settings = SamplerConfig(length=30, strength=strength)
        require_drawn(generator, written(page).removeprefix("the "), "the ", settings, **given)

    enter(page, "#text", "the ")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("fill in the source first")
    reach(page, "#source", "Shift+Tab")
    page.keyboard.type("to")
    require_written(source="to")
    reach(page, "#condition-0", "Shift+Tab")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    require_written(source="to", condition={CLASS.name: "even"})
    reach(page, "#condition-1", "Shift+Tab")
    page.keyboard.type("1 2, 3")
    enter(page, "#text", "the ")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("alert")).to_contain_text("image takes 9 numbers")
    reach(page, "#condition-1", "Shift+Tab")
    page.keyboard.press("End")
    page.keyboard.type(" 4 5 6 7 8 9.5")
    given = {"source": "to", "condition": {CLASS.name: "even", "image": [1, 2, 3, 4, 5, 6, 7, 8, 9.5]}}
    require_written(**given)
    reach(page, "#condition-2", "Shift+Tab")
    page.keyboard.press("End")
    page.keyboard.type(".5")
    require_written(**given, strength=1.5)
    page.locator("#tab-inside").click()
    state = generator.prime("", **given, strength=1.5)
    text = value(page)
    scores, _ = generator.continue_score(model.encode(text), state)
    bits = -scores.log_probabilities.sum() / len(text) / 0.6931472
    expect(page.locator("#bits")).to_have_text(f"{bits:.3f}")


def test_inside(open_page: Open, make_folder: MakeFolder) -> None:
    page = open_page(source=make_folder(layers=2)[0], view="inside")
    enter(page, "#text", "the rain")
    top = page.locator("#next span").first
    expect(top).to_be_visible()
    press(page, "#heat", "End")
    assert value(page, "#temperature") == "2"
    hot = top.inner_text()
    press(page, "#marks button:nth-child(1)")
    assert value(page, "#heat") == "0.3"
    assert float(top.inner_text().rstrip("%")) > float(hot.rstrip("%"))
    reach(page, "#next li:nth-child(1) button")
    glyph = page.locator("#next li:nth-child(1) bdi").inner_text()
    page.keyboard.press("Enter")
    assert value(page).replace(" ", "␣").replace("\n", "⏎") == f"the␣rain{glyph}"
    reach(page, "[name=colour]")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#tint span")).to_have_count(9)
    page.keyboard.press("ArrowDown")
    expect(page.locator("#scale")).to_have_attribute("data-colour", "unit")
    told = page.locator("#unit-status")
    expect(told).to_have_text(re.compile("^Unit 0:"))
    first = told.inner_text()
    press(page, "#layer", "ArrowDown")
    expect(told).not_to_have_text(first)
    enter(page, "#unit", "7")
    page.keyboard.press("Enter")
    expect(told).to_have_text(re.compile("^Unit 7:"))
    press(page, "#find", "t")
    page.keyboard.press("ArrowDown")
    expect(told).to_have_text(re.compile("follows it best"))


def test_about(open_page: Open) -> None:
    page = open_page(view="about", permissions=["clipboard-read", "clipboard-write"], offline=False)
    press(page, "#copy-embed")
    expect(page.locator("#copy-embed")).to_be_focused()
    assert "<iframe" in page.evaluate("() => navigator.clipboard.readText()")
