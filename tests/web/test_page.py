"""The one-file export in Chromium, from the disk and with the network off, as people use it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.text.condition import Condition
from drawn import require_drawn
from in_browser import finish, settle, write

Open = Callable[..., Page]
MakeFolder = Callable[..., tuple[Path, Model]]

PASTE = """(area, text) => {
  area.value = text;
  area.dispatchEvent(new InputEvent("input", { bubbles: true }));
}"""
"""Quicker than typing a text of megabytes."""


def test_it_writes_what_the_runtime_writes_and_goes_on(open_page: Open, make_folder: MakeFolder) -> None:
    source, model = make_folder(sampling={"length": 60})
    page = open_page(source=source)
    page.locator("#text").fill("the rain ")
    first = write(page)
    generator = Generator(model)
    require_drawn(generator, first.removeprefix("the rain "), "the rain ", SamplerConfig(length=60))
    assert page.locator("#seed").input_value() == "1"
    second = write(page)
    require_drawn(generator, second.removeprefix(first), first, SamplerConfig(length=60, seed=1))
    page.locator("#keep").check()
    page.locator("#undo").click()
    page.locator("#seed").fill("1")
    assert write(page) == second
    assert page.locator("#seed").input_value() == "1"


def test_it_stops_and_goes_on(open_page: Open, make_folder: MakeFolder) -> None:
    page = open_page(source=make_folder(hidden=200)[0])  # slow enough to be stopped on the way
    page.locator("#length").fill("100000")
    page.locator("#write").click()
    expect(page.locator("#text")).to_have_value(re.compile(".{20}", re.DOTALL))
    page.locator("#stop").click()
    stopped = finish(page)
    assert 20 <= len(stopped) < 100_000
    page.wait_for_timeout(100)
    assert page.locator("#text").input_value() == stopped
    page.locator("#length").fill("10")
    assert len(write(page)) == len(stopped) + 10


def test_a_long_text_shows_how_far_it_is_read_and_stops_at_once(
    open_page: Open, make_folder: MakeFolder
) -> None:
    page = open_page(source=make_folder(hidden=400)[0])
    text = "the rain is cold to me " * 2000  # minutes of reading
    page.locator("#text").fill(text)
    bar = page.get_by_role("progressbar", name="Reading the text")
    expect(bar).to_be_visible()
    share = float(bar.get_attribute("value") or 0)
    assert 0 < share < 0.5
    page.locator("#write").click()
    page.locator("#stop").click()
    expect(page.locator("#write")).to_be_visible()
    expect(page.locator("#status")).to_have_text(re.compile("^0 characters"))
    assert page.locator("#text").input_value() == text


def test_work_that_nobody_waits_for_is_abandoned(open_page: Open, make_folder: MakeFolder) -> None:
    kind = Condition(name="kind", kind="label", values=("odd", "even"), counts=(1, 1))
    source, model = make_folder(hidden=500, conditions=(kind,), sampling={"length": 5})
    page = open_page(source=source)
    text, bar = page.locator("#text"), page.locator("#reading")
    long = "the rain is cold to me " * 4000  # minutes of reading
    generator = Generator(model)

    def paste(content: str = long) -> None:
        text.evaluate(PASTE, content)
        expect(bar).to_be_visible()

    def written(seed: int, prompt: str = "", **given: Any) -> str:
        return prompt + generator.sample(prompt, settings=SamplerConfig(length=5, seed=seed), **given).text

    paste()
    page.locator("#clear").click()
    assert write(page) == written(0)
    page.locator("#sure").check()  # now the whole text is scored as well
    paste()
    text.fill("to ")
    expect(bar).to_be_hidden()
    assert write(page) == written(1, "to ")
    paste()
    page.locator("#sure").uncheck()
    text.press("Control+Home")  # what may come first needs no reading of the rest
    expect(page.locator("#here")).to_contain_text("in place of t")
    expect(bar).to_be_hidden()
    page.locator("#tab-inside").click()
    expect(bar).to_be_visible()
    page.locator("#tab-about").click()  # shows nothing of the text
    expect(bar).to_be_hidden()
    page.locator("#tab-write").click()
    text.press("Control+End")
    expect(bar).to_be_visible()
    page.get_by_label("kind").select_option("even")
    page.locator("#clear").click()
    expect(bar).to_be_hidden()
    assert write(page) == written(2, condition="even")
    paste(long + "e")
    text.press("Control+End")
    page.keyboard.type("the")  # read on, not from the start
    share = float(bar.get_attribute("value") or 0)
    onward = "([bar, share]) => { if (bar.value < share) throw Error('read anew'); return bar.value > share }"
    page.wait_for_function(onward, arg=[bar.element_handle(), share])
    page.keyboard.press("Control+a")
    page.keyboard.type("a")
    assert write(page) == written(3, "a", condition="even")


def test_a_long_source_is_abandoned_too(open_page: Open, make_folder: MakeFolder) -> None:
    source, model = make_folder(hidden=500, specials=("<bos>", "<sep>", "<byte>"), sampling={"length": 5})
    page = open_page(source=source)
    field = page.get_by_label("Source: the text to translate")
    field.evaluate(PASTE, "the rain is cold to me " * 4000)
    expect(page.locator("#reading")).to_be_visible()
    field.fill("the")
    expected = Generator(model).sample("", settings=SamplerConfig(length=5), source="the").text
    assert write(page) == expected


def test_use_this_one_keeps_what_was_typed_since(open_page: Open, make_folder: MakeFolder) -> None:
    page = open_page(source=make_folder(sampling={"length": 10})[0])
    text = page.locator("#text")
    text.fill("the ")
    page.locator("#count").fill("2")
    write(page)
    variants = page.locator(".variant p").all_text_contents()
    text.press("Control+End")
    page.keyboard.type("rain ")
    page.get_by_role("button", name="Use variant 2").click()
    assert text.input_value() == "the rain " + variants[1]
    page.locator("#undo").click()
    assert text.input_value() == "the rain "


def test_alternatives_of_an_older_text_change_nothing(open_page: Open) -> None:
    page = open_page()
    page.locator("#text").fill("the ")
    expect(page.locator("#here")).to_contain_text("may come next")
    expect(page.locator("#alternatives button:enabled").first).to_be_visible()
    after = page.evaluate(
        """() => {
          const area = document.querySelector("#text");
          const button = document.querySelector("#alternatives button:enabled");
          area.value = "the rain and the sun";
          area.dispatchEvent(new InputEvent("input"));
          button.click();  // before the list has followed
          return area.value;
        }"""
    )
    assert after == "the rain and the sun"


def test_a_number_out_of_range_is_refused_with_a_word(open_page: Open, make_folder: MakeFolder) -> None:
    kind = Condition(name="kind", kind="label", values=("odd", "even"), counts=(1, 1))
    source, model = make_folder(conditions=(kind,), sampling={"length": 20, "frequency_penalty": 7})
    page = open_page(source=source)
    page.get_by_label("kind").select_option("odd")
    strength, alert = page.get_by_label("Strength"), page.get_by_role("alert")
    for wrong in ("101", "-1", ""):
        strength.fill(wrong)
        strength.blur()
        expect(alert).to_have_text("Strength takes a number from 0 to 100.")
        page.locator("#write").click()
        expect(alert).to_be_visible()
        assert page.locator("#text").input_value() == ""
    strength.fill("1.3")  # between the steps of its arrows
    expect(alert).to_be_hidden()
    settings = SamplerConfig(length=20, strength=1.3, frequency_penalty=7)
    assert write(page) == Generator(model).sample("", settings=settings, condition="odd").text
    page.locator("#top_k").evaluate("field => { field.value = '1.5' }")
    page.locator("#write").click()
    expect(alert).to_have_text("Likeliest only (0: all) takes a whole number from 0 to 1000.")
    expect(page.locator("#top_k")).to_be_visible()
    page.locator("#tab-inside").click()
    page.locator("#unit").fill("99")
    page.locator("#unit").press("Enter")
    expect(alert).to_have_text("Unit takes a number from 0 to 23.")


def test_paper_shows_the_whole_text_and_no_controls(open_page: Open, make_folder: MakeFolder) -> None:
    kind = Condition(name="kind", kind="label", values=("odd",), counts=(1,))
    source, _ = make_folder(conditions=(kind,), specials=("<bos>", "<sep>", "<byte>"))
    page = open_page(source=source, viewport={"width": 800, "height": 500})
    page.locator("#source").fill("to")
    page.locator("#text").fill("the rain is cold\n" * 300)
    settle(page)
    assert page.pdf().count(b"/Type /Page\n") > 8
    page.emulate_media(media="print")
    for view in ("write", "inside", "about"):
        page.locator(f"#tab-{view}").evaluate("tab => tab.click()")
        seen = page.locator("button, input, select, textarea, summary, canvas").evaluate_all(
            "all => all.filter((each) => each.checkVisibility()).map((each) => each.id)"
        )
        assert seen == [], view
        if view == "about":
            expect(page.locator("#facts")).to_be_visible()
        else:
            box = page.locator("#tint").bounding_box()
            assert box
            assert box["height"] > 300 * 15
            assert page.locator("body").evaluate("body => body.scrollHeight") > box["height"]
            style = "getComputedStyle(document.querySelector('#tint')).color"
            assert page.evaluate(style) == "rgb(0, 0, 0)"


def test_variants_stand_side_by_side(open_page: Open, make_folder: MakeFolder) -> None:
    source, model = make_folder(sampling={"length": 40})
    page = open_page(source=source)
    page.locator("#text").fill("a ")
    page.locator("#count").fill("3")
    write(page)
    settings = SamplerConfig(length=40)
    texts = page.locator(".variant p").evaluate_all("all => all.map((p) => p.textContent)")
    assert len(set(texts)) == 3
    for k, text in enumerate(texts):
        require_drawn(Generator(model), text, "a ", settings, stream=k)
    boxes = [page.locator(".variant").nth(k).bounding_box() for k in range(2)]
    assert boxes[0] is not None
    assert boxes[1] is not None
    assert boxes[0]["y"] == boxes[1]["y"]
    assert page.locator("#text").input_value() == "a "
    page.get_by_role("button", name="Use variant 2").click()
    assert page.locator("#text").input_value() == "a " + texts[1]
    expect(page.locator(".variant")).to_have_count(0)


def test_undo_and_redo_know_what_was_typed_and_written(open_page: Open) -> None:
    page = open_page()
    text = page.locator("#text")
    expect(page.locator("#undo")).to_be_disabled()
    text.press_sequentially("the ")
    written = write(page)
    page.locator("#clear").click()
    for expected in (written, "the ", ""):
        page.locator("#undo").click()
        assert text.input_value() == expected
    for expected in ("the ", written, ""):
        page.locator("#redo").click()
        assert text.input_value() == expected


def test_the_paper_grows_and_shrinks_with_the_text(open_page: Open) -> None:
    page = open_page(viewport={"width": 390, "height": 2000})
    area = page.locator("#text")

    def height() -> float:
        settle(page)
        return float(area.evaluate("area => area.offsetHeight"))

    empty = height()
    area.fill("the rain\n" * 30)
    assert height() > empty
    page.locator("#clear").click()
    assert height() == empty


def test_a_picture_can_be_drawn(open_page: Open, make_folder: MakeFolder) -> None:
    image = Condition(name="image", kind="array", size=9, mean=5.0, deviation=4.0)
    source, model = make_folder(conditions=(image,))
    page = open_page(source=source)
    box = page.locator(".pad").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.9, steps=9)
    page.mouse.up()
    expect(page.get_by_label("image")).to_have_value("0 13 0 0 13 0 0 13 0")
    drawn = [0, 13, 0] * 3
    page.locator("#length").fill("20")
    require_drawn(Generator(model), write(page), settings=SamplerConfig(length=20), condition=drawn)


def test_about_tells_what_the_model_is_and_how_to_embed_it(
    open_page: Open, make_folder: MakeFolder, tmp_path: Path
) -> None:
    provenance = {"corpora": [{"name": "verses"}], "characters": 12345}
    card = "---\ntags: [x]\n---\n\n# Verses\n\nAll of\nthem.\n\n- one\n- two\n\n    a line of code\n"
    source, model = make_folder(provenance=provenance, metrics={"nats": 2.25}, card=card)
    page = open_page(source=source, view="about", precision="int8", name='verses "of" <mine>')
    facts = page.locator("#facts").inner_text()
    for fact in ("LSTM", "12,345", "verses", "2.250 nats, 3.246 bits", f"{model.parameters:,}", "int8"):
        assert fact in facts
    assert page.locator("#card").inner_text().split() == [
        "Verses",
        "All",
        "of",
        "them.",
        "one",
        "two",
        "a",
        "line",
        "of",
        "code",
    ]
    assert page.title() == 'verses "of" <mine>'
    assert "from 3.500 to 2.250" in str(page.locator("#curve svg").get_attribute("aria-label"))
    expect(page.locator("#curve path.held")).to_have_attribute("d", re.compile("^M.*L"))
    line = page.locator("#embed").inner_text()
    (tmp_path / "mine.html").write_text(f"<!doctype html><h1>Mine</h1>{line}", encoding="utf-8")
    page.goto((tmp_path / "mine.html").as_uri())
    inner = page.frame_locator("iframe[title='verses \"of\" <mine>']")
    inner.get_by_role("button", name=re.compile("^Write")).click()
    expect(inner.locator("#status")).to_contain_text("seed")


def test_mistakes_are_told(open_page: Open, make_folder: MakeFolder) -> None:
    page = open_page(source=make_folder(specials=())[0])
    expect(page.locator("#text")).to_have_attribute("placeholder", re.compile("needs a beginning"))
    page.locator("#write").click()
    expect(page.get_by_role("alert")).to_have_text("This model needs a beginning: write a letter or more.")
    page.locator("#text").fill("the ")
    page.locator("#length").fill("0")
    page.locator("#write").click()
    expect(page.get_by_role("alert")).to_have_text("Characters takes a number from 1 to 100000.")
    page.locator("#length").fill("5")
    page.locator("#text").fill("é")
    page.locator("#write").click()
    expect(page.get_by_role("alert")).to_contain_text("does not know the character")
    page.locator("#text").fill("the ")
    assert len(write(page)) == 9
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_text_that_the_model_ends(open_page: Open, make_folder: MakeFolder) -> None:
    source, model = make_folder(sampling={"length": 500}, ends=0)
    page = open_page(source=source)
    settings = SamplerConfig(length=500, seed=2)
    page.locator("#seed").fill("2")
    require_drawn(Generator(model), write(page), settings=settings)
    expect(page.locator("#status")).to_contain_text("ended the text here")


def test_after_a_text_that_has_ended_comes_another(open_page: Open, make_folder: MakeFolder) -> None:
    source, model = make_folder(sampling={"length": 500}, ends=0)
    page = open_page(source=source)
    button, text = page.locator("#write"), page.locator("#text")
    text.fill("a")
    generator = Generator(model)
    for seed in range(3):  # each after the same beginning
        require_drawn(generator, write(page)[1:], "a", SamplerConfig(length=500, seed=seed))
        expect(button).to_have_text("Write another")
    page.locator("#ignore_eos").evaluate("box => { box.checked = true; box.onchange(); }")
    expect(button).to_have_text("Write on")
    page.locator("#ignore_eos").evaluate("box => { box.checked = false; box.onchange(); }")
    text.press("End")
    text.press_sequentially(".")
    expect(button).to_have_text("Write on")
    page.locator("#count").fill("12")
    write(page)
    assert page.locator(".variant").count() == 12
    page.get_by_role("button", name="Use variant 12").click()
    expect(button).to_have_text("Write another")


def test_a_damaged_page_says_so(open_page: Open, make_folder: MakeFolder, tmp_path: Path) -> None:
    page = open_page()
    out = tmp_path / "model.html"
    content = out.read_text("utf-8")
    start = content.index('id="weights">') + len('id="weights">')
    out.write_text(content[:start] + content[start + 4000 :], encoding="utf-8", newline="")
    page.goto(out.as_uri())
    expect(page.get_by_role("alert")).to_contain_text("That did not work: model.safetensors")
