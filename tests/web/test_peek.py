"""The alternatives to a character: at the cursor, under the pointer, under a finger."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from in_browser import finish, settle

Open = Callable[..., Page]
MakeFolder = Callable[..., tuple[Path, Model]]


def test_alternatives_for_any_character(open_page: Open, make_folder: MakeFolder) -> None:
    source, model = make_folder(sampling={"length": 10})
    page = open_page(source=source)
    page.locator("#text").fill("the rain")
    page.locator("#text").press("Home")
    for _ in range(4):
        page.locator("#text").press("ArrowRight")
    expect(page.locator("#here")).to_have_text(re.compile("in place of r"))
    logits = Generator(model).prime("the ").logits.copy()
    logits[[model.vocabulary.specials[name] for name in ("<bos>", "<byte>")]] = float("-inf")
    best = [int(k) for k in (-logits).argsort(kind="stable")[:8]]
    pictures = {" ": "␣", "\n": "⏎"}
    tokens = [model.vocabulary.tokens[k] for k in best]
    names = [pictures.get(t, t) if isinstance(t, str) else "∎" for t in tokens]
    expect(page.locator("#alternatives bdi")).to_have_text(
        names
    )  # the name of the place comes a moment before
    chosen = next(k for k, token in enumerate(tokens) if isinstance(token, str))
    page.locator("#alternatives button").nth(chosen).click()
    expect(page.locator("#status")).to_contain_text("seed")
    text = finish(page)
    assert text.startswith(f"the {tokens[chosen]}")
    assert len(text) == 15


def centre(page: Page, character: int) -> tuple[float, float]:
    """Where a character of the text, which is on one line, lies in the window."""
    x, y = page.locator("#tint").evaluate(
        """(tint, n) => {
          const range = document.createRange();
          range.setStart(tint.querySelector("div").firstChild, n);
          range.setEnd(tint.querySelector("div").firstChild, n + 1);
          const { left, right, top, bottom } = range.getBoundingClientRect();
          return [(left + right) / 2, (top + bottom) / 2];
        }""",
        character,
    )
    return x, y


def test_a_character_pointed_to_shows_its_alternatives(open_page: Open, make_folder: MakeFolder) -> None:
    source, model = make_folder(sampling={"length": 10})
    page = open_page(source=source)
    page.locator("#text").fill("the rain")
    settle(page)
    page.mouse.move(*centre(page, 5))
    told = page.locator("#peek-told")
    scores = next(Generator(model).score([model.vocabulary.encode("the rain")]))
    chance = 100 * 2.718281828 ** scores.log_probabilities[5]
    expect(told).to_have_text(re.compile(f"^a: {chance:.1f}%, a surprise of"))
    page.mouse.move(*centre(page, 4))
    expect(told).to_have_text(re.compile("^r: "))
    chosen = page.locator("#peek-list button:enabled").first
    glyph = chosen.locator("bdi").inner_text()
    chosen.click()
    expect(page.locator("#peek")).to_be_hidden()
    expect(page.locator("#status")).to_contain_text("seed")
    text = finish(page)
    assert text[:5] == f"the {glyph.replace('␣', ' ').replace('⏎', chr(10))}"
    assert len(text) == 15


def test_a_character_tapped_shows_its_alternatives(open_page: Open) -> None:
    page = open_page(has_touch=True, viewport={"width": 390, "height": 800})
    page.locator("#text").fill("the rain")
    settle(page)
    page.touchscreen.tap(*centre(page, 6))
    expect(page.locator("#peek-told")).to_have_text(re.compile("^i: "))
    box = page.locator("#peek").bounding_box()
    assert box
    assert 0 <= box["x"] <= box["x"] + box["width"] <= 390
    page.keyboard.press("Escape")
    expect(page.locator("#peek")).to_be_hidden()
