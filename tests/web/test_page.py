"""The one-file export in Chromium, from the disk and with the network off, as people use it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, expect

from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.text.condition import Condition
from drawn import require_drawn
from in_browser import finish, settle, write

Open = Callable[..., Page]
MakeFolder = Callable[..., tuple[Path, Model]]


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


def test_a_reload_keeps_the_text(open_page: Open) -> None:
    page = open_page()
    page.locator("#text").fill("the rain")
    page.reload()
    expect(page.locator("#text")).to_have_value("the rain")


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


def test_it_speaks_the_browser_s_language(open_page: Open) -> None:
    page = open_page(locale="es-MX")
    assert page.locator("html").get_attribute("lang") == "es"
    expect(page.get_by_role("button", name=re.compile("^Escribir"))).to_be_visible()
    page.locator("#write").click()
    expect(page.locator("#status")).to_contain_text("semilla")
    page.locator("#language").select_option("en")
    expect(page.locator("#status")).to_contain_text("seed")
    expect(page.get_by_role("button", name=re.compile("^Write"))).to_be_visible()
    expect(page.get_by_role("textbox", name="Text", exact=True)).to_be_visible()


def test_languages_say_the_same_things(open_page: Open) -> None:
    script = Path(__file__).parents[2] / "src/charloom/web/page/languages.js"
    blocks = re.findall(r"^  (\w\w): \{\n(.*?)^  \},", script.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    texts = {code: dict(re.findall(r"^    (\w+): (\".*\"),$", block, re.MULTILINE)) for code, block in blocks}
    assert texts.keys() == {"en", "es"}
    assert texts["en"].keys() == texts["es"].keys()
    for name, english in texts["en"].items():
        places = [sorted(re.findall(r"\{\w+\}", json.loads(text))) for text in (english, texts["es"][name])]
        assert places[0] == places[1], name
    page = open_page(locale="de-DE")
    assert page.locator("html").get_attribute("lang") == "en"


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
