"""What the page shows of the network: colours, chances, surprise, hidden units."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from in_browser import settle, write

Open = Callable[..., Page]
MakeFolder = Callable[..., tuple[Path, Model]]


def numbers(page: Page, selector: str) -> list[float]:
    return [float(text.rstrip("%")) for text in page.locator(selector).all_inner_texts()]


def test_bars_move_with_the_temperature(open_page: Open) -> None:
    page = open_page(view="inside")
    page.locator("#text").fill("the ")
    settle(page)
    tops = []
    for name in ("0.3", "0.8", "1.0", "1.3", "1.8"):
        page.get_by_role("button", name=name, exact=True).click()
        assert float(page.locator("#heat-value").inner_text()) == float(name)
        tops.append(numbers(page, "#next span")[0])
    assert tops == sorted(tops, reverse=True)
    assert len(set(tops)) == 5
    slider = page.locator("#heat").bounding_box()
    assert slider
    y = slider["y"] + slider["height"] / 2
    page.mouse.move(slider["x"] + 0.9 * slider["width"], y)
    page.mouse.down()
    widths = []
    for share in (0.7, 0.4, 0.1):
        page.mouse.move(slider["x"] + share * slider["width"], y)
        bar = page.locator("#next i").first
        widths.append(float(bar.evaluate("bar => bar.style.getPropertyValue('--chance')")))
    page.mouse.up()
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]
    page.locator("#tab-write").click()
    assert page.locator("#temperature").input_value() == page.locator("#heat").input_value()


def test_any_pasted_text_is_scored(open_page: Open, make_folder: MakeFolder) -> None:
    source, model = make_folder()
    page = open_page(source=source, view="inside")
    text = 'the "rain" é 😀 שלום 漢字\n'
    page.locator("#text").fill(text)
    scores = next(Generator(model).score([model.vocabulary.encode(text)]))
    bits = -scores.log_probabilities.sum() / len(text) / 0.6931472
    expect(page.locator("#bits")).to_have_text(f"{bits:.3f}")
    page.get_by_role("radio", name="Surprise").check()
    expect(page.locator("#tint span").nth(11)).to_have_text("é")
    assert page.locator("#scale").get_attribute("data-colour") == "surprise"


def test_what_is_typed_takes_the_form_of_the_training_text(open_page: Open, make_folder: MakeFolder) -> None:
    source, model = make_folder(provenance={"normalize": "nfc"})
    page = open_page(source=source, view="inside")
    text = page.locator("#text")
    text.fill("a cafe\u0301 is")
    expect(text).to_have_value("a café is")
    text.press("Home")
    for _ in range(3):
        text.press("ArrowRight")
    page.keyboard.insert_text("o\u0302")
    expect(text).to_have_value("a côafé is")
    assert text.evaluate("area => area.selectionStart") == 4
    scores = next(Generator(model).score([model.encode("a côafé is")]))
    bits = -scores.log_probabilities.sum() / 10 / 0.6931472
    expect(page.locator("#bits")).to_have_text(f"{bits:.3f}")


def test_a_unit_that_counts_is_found(open_page: Open, make_folder: MakeFolder) -> None:
    source, _ = make_folder(hidden=30, layers=2)
    page = open_page(source=source, view="inside")
    page.locator("#text").fill('no "yes yes" no (it is) no "so so"\nand "on"')
    settle(page)
    for feature in ("quotes", "brackets", "line", "word"):
        page.locator("#find").select_option(feature)
        expect(page.locator("#unit-status")).to_have_text(
            re.compile(r"Unit \d+ follows it best: correlation")
        )
    page.locator("#find").select_option("capitals")
    expect(page.locator("#unit-status")).to_have_text("The text has nothing of the kind to follow.")
    page.locator("#layer").select_option("0")
    page.locator("#map").click(position={"x": 40, "y": 120})
    chosen = int(page.locator("#unit").input_value())
    expect(page.locator("#unit-status")).to_have_text(re.compile(f"^Unit {chosen}: from"))
    expect(page.locator("#tint span.cool").first).to_be_attached()
    assert page.get_by_label("The chosen hidden unit").is_checked()


def test_only_the_changed_lines_are_coloured_anew(open_page: Open) -> None:
    page = open_page()
    page.locator("#text").fill("the rain\nis cold\nto me")
    page.locator("#sure").check()
    expect(page.locator("#tint span")).to_have_count(22)
    page.locator("#tint div").first.evaluate("block => { block.title = 'kept'; }")
    page.locator("#text").press("End")
    page.locator("#text").press_sequentially("\nand")
    expect(page.locator("#tint span")).to_have_count(26)
    assert page.locator("#tint div").first.get_attribute("title") == "kept"
    assert page.locator("#tint div").all_inner_texts()[-1].strip("\u200b\n") == "and"


def test_colours_lie_under_their_letters_as_they_come(open_page: Open, make_folder: MakeFolder) -> None:
    source, model = make_folder(sampling={"length": 300})
    page = open_page(source=source)
    page.locator("#sure").check()
    text = write(page)
    expect(page.locator("#tint span")).to_have_count(len(text))
    tint, area = page.locator("#tint"), page.locator("#text")
    assert tint.evaluate("element => element.textContent.slice(0, -1)") == text
    assert tint.bounding_box() == area.bounding_box()
    scores = next(Generator(model).score([model.vocabulary.encode(text)]))
    depths = page.locator("#tint span").evaluate_all(
        "all => all.map((span) => Number(span.style.getPropertyValue('--depth')))"
    )
    bits = -scores.log_probabilities / 0.6931472
    assert depths == pytest.approx([min(1, bit / 8) for bit in bits], abs=0.0051)
