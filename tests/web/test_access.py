"""Fit for people: no accessibility violation, contrast, narrow and wide screens, every script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

from charloom.model.folder import Model
from charloom.text.condition import Condition

Open = Callable[..., Page]
MakeFolder = Callable[..., tuple[Path, Model]]

VIEWS = ("write", "inside", "about")
MIXED = "Straße naïve שלום עולם مرحبا بالعالم 漢字かな交じり文 한국어 👩‍👩‍👧‍👦🏳️‍🌈 " + "x" * 120
AA = 4.5  # WCAG 2.2, 1.4.3


def fill(page: Page, text: str = 'KING:\nthe "rain" (is) cold') -> None:
    page.locator("#text").fill(text)
    page.wait_for_timeout(300)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(open_page: Open, make_folder: MakeFolder, scheme: str) -> None:
    conditions = (
        Condition(name="class", kind="label", values=("odd", "even"), counts=(5, 3)),
        Condition(name="image", kind="array", size=9),
    )
    specials = ("<bos>", "<eos>", "<sep>", "<byte>")
    source, _ = make_folder(layers=2, sampling={"length": 20}, conditions=conditions, specials=specials)
    page = open_page(source=source, color_scheme=scheme)
    page.evaluate(AXE_SCRIPT)
    page.locator("#source").fill("to")
    fill(page)
    page.locator("summary").click()
    page.locator("#sure").check()
    page.locator("#count").fill("2")
    page.locator("#write").click()
    expect(page.locator("#status")).to_contain_text("seed")
    for view in VIEWS:
        page.locator(f"#tab-{view}").click()
        page.wait_for_timeout(300)
        if view == "write":
            box = page.locator("#tint span").nth(2).bounding_box()
            assert box
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            expect(page.locator("#peek")).to_be_visible()
        found = page.evaluate("() => axe.run()")
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found["violations"]] == [], view
        assert found["passes"]


@pytest.mark.parametrize("width", [320, 1920])
def test_nothing_runs_out_of_the_screen(open_page: Open, make_folder: MakeFolder, width: int) -> None:
    conditions = (
        Condition(name="class" * 30, kind="label", values=("odd" * 60,), counts=(5,)),
        Condition(name="image", kind="array", size=64),
    )
    card = f"# {'long' * 40}\n\n    {'code' * 60}\n"
    page = open_page(
        source=make_folder(layers=2, card=card, conditions=conditions)[0],
        name="name" * 30,
        viewport={"width": width, "height": 700},
        locale="es",
    )
    fill(page, MIXED)
    page.locator("summary").click()
    for view in VIEWS:
        page.locator(f"#tab-{view}").click()
        page.wait_for_timeout(200)
        wide = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1], view
        outside = page.locator("button:visible, input:visible, select:visible").evaluate_all(
            "(all, width) => all.filter((e) => e.getBoundingClientRect().right > width + 1).map((e) => e.id)",
            width,
        )
        assert outside == [], view


def test_every_script_keeps_letter_over_colour(open_page: Open) -> None:
    page = open_page(viewport={"width": 390, "height": 800})
    fill(page, MIXED + "\nשלום\n\n")
    page.locator("#sure").check()
    family = page.locator("#tint span", has_text="👩‍👩‍👧‍👦")
    expect(family).to_have_text("👩‍👩‍👧‍👦")
    text, tint = page.locator("#text"), page.locator("#tint")
    assert text.bounding_box() == tint.bounding_box()
    assert tint.evaluate("e => e.textContent.slice(0, -1)") == text.input_value()
    assert text.evaluate("e => e.scrollHeight - e.clientHeight") == 0
    for name in (
        "font",
        "letter-spacing",
        "white-space",
        "overflow-wrap",
        "direction",
        "unicode-bidi",
        "padding",
    ):
        styles = [each.evaluate(f"e => getComputedStyle(e)['{name}']") for each in (text, tint)]
        assert styles[0] == styles[1], name


def test_each_line_has_its_own_direction(open_page: Open) -> None:
    page = open_page()
    fill(page, "שלום עולם\nthe rain\nשלום")
    page.locator("#sure").check()
    expect(page.locator("#tint div")).to_have_count(3)
    paper = page.locator("#tint").bounding_box()
    assert paper is not None
    places = []
    for n in range(3):
        box = page.locator("#tint div").nth(n).locator("span").first.bounding_box()
        assert box is not None
        places.append((box["x"] - paper["x"]) / paper["width"])
    assert places[0] > 0.9
    assert places[1] < 0.1
    assert places[2] > 0.9


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_letters_stand_out_on_the_deepest_colours(open_page: Open, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    fill(page, "ab")
    page.locator("#sure").check()
    expect(page.locator("#tint span")).to_have_count(2)
    for tone in ("warm", "cool"):
        span = page.locator("#tint span").first
        span.evaluate(f"e => {{ e.className = '{tone}'; e.style.setProperty('--depth', '1'); }}")
        ink, paper, tint = (
            page.locator(selector).evaluate(f"e => getComputedStyle(e).{name}")
            for selector, name in (
                ("#text", "color"),
                (".paper", "backgroundColor"),
                ("#tint span >> nth=0", "backgroundColor"),
            )
        )
        assert contrast(rgba(ink), over(rgba(tint), rgba(paper))) >= AA, tone


Colour = tuple[float, ...]


def rgba(text: str) -> Colour:
    values = tuple(float(value) for value in text[text.index("(") + 1 : -1].split(","))
    return (*values, 1.0) if len(values) == 3 else values


def over(tint: Colour, paper: Colour) -> Colour:
    return tuple(tint[3] * a + (1 - tint[3]) * b for a, b in zip(tint[:3], paper[:3], strict=True))


def contrast(a: Colour, b: Colour) -> float:
    """WCAG 2.2's contrast ratio."""
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: Colour) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour[:3])
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
