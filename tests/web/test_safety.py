"""The one file is closed: nothing goes out, nothing hostile gets in."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Error, Page, expect

from charloom.export.bundle import WEB, bundle
from charloom.model.folder import Model
from charloom.text.condition import Condition
from charloom.text.vocabulary import Vocabulary

Open = Callable[..., Page]
MakeFolder = Callable[..., tuple[Path, Model]]

HOSTILE = "</script><img src=x onerror=alert(1)><script>alert(2)</script>{{weights}}\"'&lt;"


def test_hostile_names_texts_and_cards_stay_text(open_page: Open, make_folder: MakeFolder) -> None:
    vocabulary = Vocabulary.of_characters("<>/=()\"'abcdeghimnoprstx1 &;l\n", ("<bos>",))
    source, _ = make_folder(
        vocabulary=vocabulary,
        card=f"# {HOSTILE}\n\n- {HOSTILE}\n\n    {HOSTILE}\n\n{HOSTILE}",
        conditions=(Condition(name=HOSTILE, kind="label", values=(HOSTILE, "b"), counts=(1, 1)),),
        provenance={"corpora": [{"name": HOSTILE}], "characters": 1},
    )
    page = open_page(source=source, name=HOSTILE)
    assert page.title() == HOSTILE
    assert page.locator("h1").text_content() == HOSTILE
    assert page.locator("#given label").first.text_content() == HOSTILE
    page.locator("#given select").select_option(HOSTILE)
    page.locator("#text").fill("<img src=a onerror=alert(1)>")
    page.locator("#sure").check()
    page.locator("#count").fill("2")
    page.locator("#write").click()
    expect(page.locator("#status")).to_contain_text("seed")
    page.locator("#tab-inside").click()
    expect(page.locator("#next button").first).to_be_visible()
    page.locator("#tab-about").click()
    assert page.locator("#card").inner_text().count("onerror") == 4
    assert HOSTILE in page.locator("#facts").inner_text()
    assert page.locator("img, script:not([type])").count() == 0
    assert page.locator("script").count() == 3  # the weights are gone once they are read


def test_the_policy_forbids_all_but_the_page_itself(open_page: Open) -> None:
    page = open_page(offline=False)
    policy = page.locator("meta[http-equiv]").get_attribute("content")
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("script-src").startswith("'sha256-")
    assert rules.pop("style-src").startswith("'sha256-")
    assert rules == {
        "default-src": "'none'",
        "worker-src": "blob:",
        "img-src": "data:",
        "connect-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    with pytest.raises(Error, match="Failed to fetch"):
        page.evaluate("() => fetch('data:,x')")
    assert (
        page.evaluate(
            """() => {
          const script = document.createElement("script");
          script.textContent = "globalThis.broken = true";
          document.body.append(script);
          return "broken" in globalThis;
        }"""
        )
        is False
    )


def test_a_worker_of_the_page_may_not_connect_either(open_page: Open) -> None:
    page = open_page(offline=False)
    told = page.evaluate(
        """() => new Promise((resolve) => {
          const source = "fetch('data:,x').then(() => postMessage('out'), () => postMessage('refused'))";
          const worker = new Worker(URL.createObjectURL(new Blob([source])));
          worker.onmessage = ({ data }) => resolve(data);
        })"""
    )
    assert told == "refused"


@pytest.mark.parametrize("entry", ["engine/worker.js", "engine/model.js", "page/main.js"])
def test_scripts_are_whole_and_name_nothing_outside(entry: str) -> None:
    script = bundle(entry)
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    assert not re.search(
        r"</script|<!--|innerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script, re.I
    )
    assert set(re.findall(r"https?://[^\"'` ]+", script)) <= {"http://www.w3.org/2000/svg"}


def test_sources_are_short() -> None:
    for path in WEB.rglob("*.*"):  # type: ignore[attr-defined]
        assert len(path.read_text("utf-8").splitlines()) < 400, path
