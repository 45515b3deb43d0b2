"""What docs/page.md and the example beside the engine show works, and names every option."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from charloom.export.bundle import WEB
from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.text.condition import Condition
from drawn import require_drawn
from in_browser import LOADED

CLASS = Condition(name="class", kind="label", values=("Sports", "World"), counts=(1, 1))
TRANSLATES = ("<bos>", "<eos>", "<sep>", "<byte>")
DOCS = (Path(__file__).parents[2] / "docs" / "page.md").read_text("utf-8")

MakeFolder = Callable[..., tuple[Path, Model]]
Lab = Callable[..., Page]


@pytest.mark.parametrize(
    ("number", "options"),
    [
        (2, {}),
        (3, {"conditions": (CLASS,)}),
        (4, {"specials": TRANSLATES}),
        (5, {}),
    ],
)
def test_the_lines_of_the_documentation_write(
    lab: Lab, make_folder: MakeFolder, number: int, options: dict[str, Any]
) -> None:
    (block,) = re.findall(r"```js\n(.*?)```", DOCS, re.DOTALL)
    line = block.splitlines()[number]
    body = f"return {line}" if line.startswith("model") else f"{line}\nreturn document.body.textContent"
    page = lab(make_folder(**options)[0])
    assert len(page.evaluate(f"async () => {{ const model = {LOADED}; {body}\n}}")) > 20


def test_the_documentation_names_every_option() -> None:
    source = (WEB / "engine" / "sampler.js").read_text("utf-8")
    names = re.findall(r"^  (\w+): \[", source.partition("const LIMITS")[2].partition("};")[0], re.MULTILINE)
    assert len(names) == 11
    for name in (
        *names,
        "bias",
        "ban",
        "only",
        "stop",
        "ignore_eos",
        "prompt",
        "condition",
        "source",
        "state",
    ):
        assert f"`{name}`" in DOCS, name


@pytest.mark.parametrize(("specials", "given"), [(("<bos>",), "prompt"), (TRANSLATES, "source")])
def test_the_example_beside_the_engine_writes(
    lab: Lab, make_folder: MakeFolder, specials: tuple[str, ...], given: str
) -> None:
    source, model = make_folder(specials=specials)
    page = lab(source)
    page.goto("http://charloom.test/model/index.html")
    begin = {given: str(model.vocabulary.characters[0])}
    settings = SamplerConfig(length=300, temperature=0.8, seed=7)
    expect(page.locator("#text")).not_to_be_empty()
    require_drawn(Generator(model), str(page.locator("#text").text_content()), settings=settings, **begin)
