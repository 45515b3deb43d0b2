"""What the page says in each language, and that it leaves nothing on the screen in another one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Page, Route, expect

from charloom.export import html
from charloom.model.folder import Model
from charloom.text.condition import Condition
from in_browser import write

Open = Callable[..., Page]
Lab = Callable[..., Page]
MakeFolder = Callable[..., tuple[Path, Model]]

SAID = """() => {
  const OWN = "#card, #card *, #tint, #tint *, .variant p"; // the model's and the user's own texts
  const said = [];
  for (const element of document.querySelectorAll(`body *:not(script, noscript *, ${OWN})`)) {
    const own = Array.from(element.childNodes).filter((node) => node.nodeType === Node.TEXT_NODE);
    const seen = element.checkVisibility() || element.localName === "option";
    if (seen) said.push(...own.map((node) => node.data));
    said.push(element.getAttribute("aria-label"), element.getAttribute("placeholder"), element.title);
  }
  return [...new Set(said.filter((text) => text?.trim()).map((text) => text.trim()))];
}"""
DATA = {"charloom", "tests", "kind, image", "kind", "image", "odd", "even", "English", "Español", "any-name"}
"""Other words of the model's own."""


def templates(lab: Lab) -> dict[str, dict[str, str]]:
    script = """async () => {
      const { TEXTS } = await import("/web/page/languages.js");
      const { MESSAGES } = await import("/web/engine/errors.js");
      const twice = Object.keys(MESSAGES).filter((name) => name in TEXTS.en && name !== "nothing_left");
      if (twice.length) throw new Error(`two messages are called ${twice}`);
      return { en: { ...MESSAGES, ...TEXTS.en }, es: TEXTS.es };
    }"""
    found: dict[str, dict[str, str]] = lab().evaluate(script)
    return found


def not_of(texts: dict[str, str], page: Page) -> list[str]:
    """What is on the screen and neither one of these texts nor the model's own."""
    parts = [map(re.escape, re.split(r"\{\w+\}", text)) for text in texts.values()]
    patterns = [re.compile(".*".join(each), re.DOTALL) for each in parts]
    return [
        text
        for text in page.evaluate(SAID)
        if re.search(r"[^\W\d_]{2}", text)
        and text not in DATA
        and not text.startswith("<iframe")
        and not any(pattern.fullmatch(re.sub(r", [\d.,]+\s?%$", "", text)) for pattern in patterns)
    ]


def test_languages_say_the_same_things(lab: Lab, open_page: Open) -> None:
    texts = templates(lab)
    assert texts["en"].keys() == texts["es"].keys()
    for name, english in texts["en"].items():
        places = [sorted(re.findall(r"\{\w+\}", text)) for text in (english, texts["es"][name])]
        assert places[0] == places[1], name
    page = open_page(locale="de-DE")
    assert page.locator("html").get_attribute("lang") == "en"


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


def test_another_language_leaves_nothing_behind(lab: Lab, open_page: Open, make_folder: MakeFolder) -> None:
    """Every view and message arises in English, and is on the screen while the language changes."""
    texts = templates(lab)
    conditions = (
        Condition(name="kind", kind="label", values=("odd", "even"), counts=(1, 1)),
        Condition(name="image", kind="array", size=9, mean=5.0, deviation=4.0),
    )
    source, _ = make_folder(
        layers=2,
        hidden=24,
        conditions=conditions,
        specials=("<bos>", "<sep>"),
        sampling={"length": 1234},
        metrics={"nats": 2.25},
        provenance={"corpora": [{"name": "any-name"}], "characters": 12345},
    )
    page = open_page(source=source)
    language, notice = page.locator("#language"), page.locator("#notice")

    def check(state: str) -> None:
        for code in ("es", "en"):
            language.select_option(code)
            assert not_of(texts[code], page) == [], (state, code)

    check("nothing done yet")
    page.locator("#write").click()
    check("no source")
    page.get_by_label("image").fill("1 2")
    page.locator("#source").fill("to")
    page.locator("#write").click()
    check("too few numbers")
    page.get_by_label("image").fill("")
    page.locator("#text").fill("the é")
    page.locator("#write").click()
    expect(notice).to_contain_text("does not know the character")
    check("a message of the engine")
    language.select_option("es")
    expect(notice).to_have_text('No ha funcionado: el modelo no conoce el carácter "é"; quítelo.')
    language.select_option("en")
    page.locator("#text").fill("the ")
    page.locator("summary").click()
    page.locator("#only").fill("é")
    page.locator("#write").click()
    expect(notice).to_contain_text("leave none to write")
    check("nothing left to draw")
    page.locator("#only").fill("")
    page.locator("#top_p").fill("0.001")
    page.locator("#write").click()
    language.select_option("es")
    expect(notice).to_have_text("Hasta esta proporción admite un número de 0,01 a 1.")
    check("a number out of range")
    page.locator("#top_p").fill("1")
    page.locator("#count").fill("2")
    write(page)
    check("variants")
    expect(page.locator("#status")).to_contain_text("2,468 characters")
    language.select_option("es")
    expect(page.locator("#status")).to_contain_text(re.compile(r"2\.?468 caracteres"))
    expect(page.get_by_role("button", name="Usar la variante 2")).to_have_text("Usar esta")
    language.select_option("en")
    page.get_by_role("button", name="Use variant 2").click()
    page.locator("#tab-inside").click()
    expect(page.locator("#unit-status")).to_contain_text("over this text")
    check("inside")
    page.locator("#find").select_option("line")
    expect(page.locator("#unit-status")).to_contain_text("follows it best")
    check("a unit that follows")
    page.locator("#unit").fill("99")
    page.locator("#unit").press("Enter")
    check("no such unit")
    page.locator("#clear").click()
    expect(page.locator("#unit-status")).to_contain_text("some text first")
    check("no text")
    page.locator("#tab-about").click()
    check("about")
    language.select_option("es")
    expect(page.locator("#facts")).to_contain_text("2,250 nats")


def test_what_a_server_says_is_translated(
    lab: Lab, open_context: Callable[..., object], make_folder: MakeFolder
) -> None:
    texts = templates(lab)
    page = open_context(offline=False).new_page()  # type: ignore[attr-defined]
    source, _ = make_folder()
    answers = {"v1/models": 401}

    def serve(route: Route) -> None:
        path = route.request.url.removeprefix("http://charloom.test/")
        status = answers.get(path, 200)
        if status == 0:
            return route.abort()
        if path == "":
            return route.fulfill(body=html.served(), content_type="text/html; charset=utf-8")
        if path == "v1/models":
            return route.fulfill(status=status, body='{"data": [{"id": "tests"}]}')
        file = source / path.removeprefix("model/")
        if status != 200 or not file.is_file():
            return route.fulfill(status=status if status != 200 else 404, body="<html>")
        return route.fulfill(path=file)

    page.route("http://charloom.test/**", serve)
    page.goto("http://charloom.test/")

    def check() -> None:
        for code in ("es", "en"):
            page.locator("#language").select_option(code)
            assert not_of(texts[code], page) == []

    expect(page.get_by_label("Key")).to_be_focused()
    check()
    page.keyboard.press("Tab")
    page.get_by_label("Key").fill("clé")  # no header can hold it
    page.keyboard.press("Enter")
    expect(page.locator("#key-told")).to_contain_text("does not take this key")
    check()
    for failure, status, expected in (
        ("model/vocab.json", 500, "No ha funcionado: vocab.json: 500; el servidor no lo ha enviado."),
        ("model/vocab.json", 0, "No ha funcionado: model/vocab.json: no se puede llegar al servidor."),
        ("model/model.safetensors", 500, "model.safetensors: 500; el servidor no lo ha enviado."),
    ):
        answers.clear()
        answers[failure] = status
        page.reload()
        alert = page.locator("#trouble, #notice").locator("visible=true")
        expect(alert).to_contain_text("That did not work")
        check()
        page.locator("#language").select_option("es")
        expect(alert).to_contain_text(expected)
        page.locator("#language").select_option("en")


def test_a_damaged_page_says_so_in_both(open_page: Open, tmp_path: Path) -> None:
    page = open_page()
    out = tmp_path / "model.html"
    content = out.read_text("utf-8")
    for name, cut, english, spanish in (
        ("weights", 4000, "model.safetensors", "model.safetensors: "),
        ("weights", 4001, "model.safetensors: the file is cut short", "el archivo está cortado"),
        ("about", 9, "the page's file is damaged", "el archivo de la página está dañado"),
    ):
        start = content.index(f'id="{name}">') + len(f'id="{name}">')
        out.write_text(content[:start] + content[start + cut :], encoding="utf-8", newline="")
        page.goto(out.as_uri())
        alert = page.locator("#trouble, #notice").locator("visible=true")
        expect(alert).to_contain_text(f"That did not work: {english}")
        page.locator("#language").select_option("es")
        expect(alert).to_contain_text(spanish)
        page.locator("#language").select_option("en")
