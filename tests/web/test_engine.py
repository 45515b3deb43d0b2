"""The engine in Chromium against the runtime: logits, texts, chance, bytes, files."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Error, Page

from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.text.condition import Condition
from charloom.text.vocabulary import Vocabulary
from drawn import require_drawn
from in_browser import ask, generated

VECTORS = json.loads(
    (Path(__file__).parents[1] / "runtime" / "draw_vectors.json").read_text(encoding="utf-8")
)
TEXT = 'the rain\n"is heavy" (and cold) é 😀 to.'

CLASS = Condition(name="class", kind="label", values=("odd", "even", "<i>"), counts=(5, 3, 1))
IMAGE = Condition(name="image", kind="array", size=9, mean=5.0, deviation=4.0)
TRANSLATES = ("<bos>", "<eos>", "<sep>", "<byte>")

MakeFolder = Callable[..., tuple[Path, Model]]
Lab = Callable[..., Page]


def test_the_draw_follows_the_vectors(lab: Lab) -> None:
    page = lab()
    u, picked = page.evaluate(
        """async ({ uniform, pick }) => {
          const draw = await import("/web/engine/draw.js");
          return [
            uniform.map((x) => draw.uniform(x.seed, x.stream, x.t, x.candidate) * 2 ** 24),
            pick.map(({ weights, numerator }) => draw.pick(Float32Array.from(weights), numerator / 2 ** 24)),
          ];
        }""",
        VECTORS,
    )
    assert u == [case["numerator"] for case in VECTORS["uniform"]]
    assert picked == [case["id"] for case in VECTORS["pick"]]


@pytest.mark.parametrize(
    ("cell", "layers", "hidden", "embedding"),
    [("lstm", 1, 24, 8), ("gru", 2, 13, 8), ("rnn", 2, 16, 0), ("lstm", 3, 7, 0), ("gru", 1, 24, 8)],
)
def test_logits_and_greedy_text_are_the_runtime_s(
    lab: Lab, make_folder: MakeFolder, cell: str, layers: int, hidden: int, embedding: int
) -> None:
    source, model = make_folder(cell, layers=layers, hidden=hidden, embedding=embedding)
    generator = Generator(model)
    page = lab(source)
    rng = np.random.default_rng(1)
    initial = np.tanh(rng.normal(size=model.config.state_shape())).astype(np.float32)
    for start in (np.zeros_like(initial), initial):
        found = ask(
            page,
            "Array.from(model.prime(x.text, model.begin({ initial: x.initial })).logits)",
            {"text": TEXT, "initial": start.ravel().tolist()},
        )
        np.testing.assert_allclose(found, generator.prime(TEXT, initial=start).logits, atol=1e-4)
    nats = ask(page, "model.score(x)", TEXT)
    scores = next(generator.score([model.vocabulary.encode(TEXT)]))
    np.testing.assert_allclose(nats, -scores.log_probabilities, atol=1e-4)
    greedy = SamplerConfig(temperature=0, length=2000, ignore_eos=True)
    text = generated(page, TEXT, temperature=0, length=2000, ignore_eos=True)
    assert len(text) == 2000
    require_drawn(generator, text, TEXT, greedy)


@pytest.mark.parametrize(("cell", "layers"), [("lstm", 2), ("gru", 1), ("rnn", 2)])
def test_texts_begin_with_a_condition_or_a_source(
    lab: Lab, make_folder: MakeFolder, cell: str, layers: int
) -> None:
    source, model = make_folder(cell, layers=layers, conditions=(CLASS, IMAGE), specials=TRANSLATES)
    generator = Generator(model)
    asked: list[dict[str, Any]] = [
        {"source": "the café"},
        {"source": "the", "condition": {CLASS.name: "even"}},
        {"source": "the", "condition": {CLASS.name: "even"}, "strength": 3},
        {"source": "to", "condition": {IMAGE.name: list(range(9)), CLASS.name: "<i>"}},
        {"source": "to", "condition": {IMAGE.name: [[1, 2, 3], [4, 5, 6], [7, 8, 9]], CLASS.name: None}},
    ]
    found = ask(
        lab(source),
        """x.map((given) => [
          Array.from(model.prime("a ", model.begin(given)).logits),
          model.generate({ prompt: "a ", length: 60, seed: 3, ...given }),
        ])""",
        asked,
    )
    for given, (logits, text) in zip(asked, found, strict=True):
        np.testing.assert_allclose(logits, generator.prime("a ", **given).logits, atol=1e-4)
        settings = SamplerConfig(length=60, seed=3, strength=given.pop("strength", 1))
        require_drawn(generator, text, "a ", settings, **given)
    assert len({tuple(logits) for logits, _ in found}) == len(asked)


def test_a_wrong_beginning_is_told(lab: Lab, make_folder: MakeFolder) -> None:
    both, _ = make_folder(conditions=(CLASS, IMAGE))
    one, model = make_folder(conditions=(CLASS,))
    none, _ = make_folder()
    translates, _ = make_folder(specials=TRANSLATES)
    bare = generated(lab(one), "a ", condition="even", length=20)
    require_drawn(Generator(model), bare, "a ", SamplerConfig(length=20), condition="even")
    pages = {source: lab(source) for source in (both, none, translates)}
    for source, options, told in (
        (both, {"condition": "even"}, "there are .*; say which"),
        (both, {"condition": {"klass": 1}}, "condition klass: the model has none of this name"),
        (both, {"condition": {CLASS.name: "prime"}}, 'knows no "prime"; choose one of odd, even'),
        (both, {"condition": {"image": [1, 2]}}, "2 numbers were given; it takes 9"),
        (both, {"condition": {"image": ["x"] * 9}}, "holds what is no number"),
        (none, {"condition": "even"}, "trained without any"),
        (none, {"source": "the"}, "not trained to translate"),
        (translates, {}, "belongs to a source; give one"),
    ):
        with pytest.raises(Error, match=told):
            generated(pages[source], "a", **options)


OPTIONS: list[dict[str, Any]] = [
    {"temperature": 0.8, "seed": 7},
    {"temperature": 1.7, "seed": 2**32 - 1, "top_k": 9},
    {"temperature": 1.2, "seed": 3, "top_p": 0.8},
    {"temperature": 1.5, "seed": 4, "min_p": 0.1},
    {"temperature": 1.3, "seed": 5, "top_k": 20, "top_p": 0.95, "min_p": 0.02},
    {"temperature": 1.0, "seed": 6, "frequency_penalty": 0.3, "presence_penalty": 0.5},
    {"temperature": 0, "no_repeat": 3},
    {"temperature": 1.0, "seed": 8, "bias": {"e": 2.5, "t": -3.0}, "ban": "oi", "ignore_eos": True},
    {"temperature": 1.0, "seed": 9, "only": "abc etn漢", "ban": "ñ"},
    {"temperature": 1.0, "seed": 10, "stop": ["th", "e "]},
]


def test_the_same_options_and_seed_give_the_same_text(lab: Lab, make_folder: MakeFolder) -> None:
    source, model = make_folder()
    generator = Generator(model)
    asked = [{**options, "length": 200, "stream": stream} for options in OPTIONS for stream in (0, 3)]
    found = ask(lab(source), "x.map((options) => model.generate({ prompt: 'the rain ', ...options }))", asked)
    for options, text in zip(asked, found, strict=True):
        stream = options.pop("stream")
        settings = SamplerConfig(**{**options, "stop": tuple(options.get("stop", ()))})
        require_drawn(generator, text, "the rain ", settings, stream)


def test_the_model_s_own_settings_are_the_defaults(lab: Lab, make_folder: MakeFolder) -> None:
    source, model = make_folder(sampling={"temperature": 0.5, "length": 33})
    text = generated(lab(source), "the ")
    require_drawn(Generator(model), text, "the ", SamplerConfig(temperature=0.5, length=33))


def test_a_text_in_pieces_tells_why_it_ended(lab: Lab, make_folder: MakeFolder) -> None:
    source, _ = make_folder()
    pieces, reason = ask(
        lab(source),
        """(() => {
          const stream = model.stream({ prompt: "a", length: 50, stop: ["qqqq"] });
          const pieces = [];
          for (;;) {
            const { value, done } = stream.next();
            if (done) return [pieces, value];
            pieces.push(value);
          }
        })()""",
    )
    assert reason == "length"
    assert len("".join(pieces)) == 50
    assert len(pieces) > 20


def test_a_wrong_option_is_told(lab: Lab, make_folder: MakeFolder) -> None:
    source, _ = make_folder()
    page = lab(source)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"temperature": -1}, "temperature is -1"),
        ({"length": 1.5}, "whole number"),
        ({"top_p": 0}, "top_p is 0"),
        ({"heat": 2}, "no option heat"),
        ({"bias": {"é": 1}}, "does not know"),
        ({"only": "é"}, "no character to draw"),
        ({"only": "a", "ban": "a"}, "no character to draw"),
        ({"stop": [""]}, "a stop string is empty"),
    ]
    for options, told in wrong:
        with pytest.raises(Error, match=told):
            generated(page, "a", **options)


def test_a_model_without_a_beginning_needs_a_prompt(lab: Lab, make_folder: MakeFolder) -> None:
    source, model = make_folder(specials=())
    page = lab(source)
    with pytest.raises(Error, match="needs some text"):
        generated(page, "")
    with pytest.raises(Error, match="does not know the character"):
        generated(page, "é")
    nats = ask(page, "model.score(x)", "the ")
    scores = next(Generator(model).score([model.vocabulary.encode("the ")])).log_probabilities
    np.testing.assert_allclose(nats[1:], -scores[1:], atol=1e-4)
    assert np.isnan(nats[0])
    assert np.isnan(scores[0])


def test_bytes_never_come_in_halves(lab: Lab, make_folder: MakeFolder) -> None:
    source, _ = make_folder(vocabulary=Vocabulary.of_bytes(("<bos>",)))
    asked = {"prompt": "é😀", "temperature": 1.5, "length": 80, "seed": 1}
    pieces, whole = ask(lab(source), "[[...model.stream(x)], model.generate(x)]", asked)
    assert "".join(pieces) == whole
    assert len(whole) == 80
    assert any(len(piece.encode()) > 1 for piece in pieces)
    assert not any("\ud800" <= unit <= "\udfff" for piece in pieces for unit in piece)


def test_any_bytes_decode_as_in_python(lab: Lab, make_folder: MakeFolder) -> None:
    source, model = make_folder(vocabulary=Vocabulary.of_bytes())
    random = np.random.default_rng(2)
    heads = [0x41, 0x80, 0xBF, 0xC0, 0xC2, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xA0, 0x9F, 0x90]
    cases = [random.choice(heads, size=random.integers(1, 9)).tolist() for _ in range(1500)]
    cases += [list("é😀\ud800x".encode("utf-8", "surrogatepass"))]
    found = ask(
        lab(source),
        """x.map((ids) => {
          const decoder = model.vocabulary.decoder();
          const text = ids.map((id) => decoder.feed(id)).join("") + decoder.flush();
          return Array.from({ length: text.length }, (_, at) => text.charCodeAt(at));
        })""",
        cases,
    )
    for case, units in zip(cases, found, strict=True):
        expected = model.vocabulary.decode(case).encode("utf-16-le", "surrogatepass")
        assert units == list(struct.unpack(f"<{len(expected) // 2}H", expected)), case


def test_any_text_has_the_ids_of_python(lab: Lab, make_folder: MakeFolder) -> None:
    source, model = make_folder()
    texts = ["", TEXT, "ñ\u0301", "👩‍👩‍👧", "\U0010ffff\x00", "שלום عالم 漢字"]
    found = ask(lab(source), "x.map((text) => Array.from(model.vocabulary.encode(text)))", texts)
    assert found == [model.vocabulary.encode(text).tolist() for text in texts]


def test_a_prompt_takes_the_form_of_the_training_text(lab: Lab, make_folder: MakeFolder) -> None:
    texts = ["cafe\u0301\r\nno\r", "ﬁ Å 각 \u0344", "e\u0323\u0302"]
    settings = SamplerConfig(length=40)
    for form in ("nfc", "none"):
        vocabulary = Vocabulary.of_characters("abcdefnoé\n\r\u0301 ", ("<bos>", "<byte>"))
        source, model = make_folder(vocabulary=vocabulary, provenance={"normalize": form})
        found = ask(
            lab(source),
            "x.map((text) => [model.encode(text), model.generate({ prompt: text, length: 40 })])",
            texts,
        )
        generator = Generator(model)
        for text, (ids, written) in zip(texts, found, strict=True):
            assert ids == model.encode(text).tolist()
            require_drawn(generator, written, text, settings)
