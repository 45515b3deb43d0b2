"""What is given of a text gives the same in every engine: torch, the runtime, the plain twin, ONNX."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import charloom
from charloom import bulk, verdict
from charloom.character_model import CharacterModel
from charloom.errors import UsageError
from charloom.export import onnx
from charloom.insight.classify import classify
from charloom.insight.score import score
from charloom.model.config import CELLS, Cell
from charloom.model.folder import Model
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.runtime.sample import Given
from charloom.text.condition import slices, vector, width
from charloom.training.network import Network
from conditioned import IMAGE, KIND, KINDS, SPECIALS, TRANSLATES, YEAR, model
from typed import here

PROMPT = "the rain in "


def read_ids(made: Model, source: str = "") -> np.ndarray[Any, Any]:
    """Everything that is read for the prompt, in ids."""
    v = made.vocabulary
    before = [v.bos, *([*made.encode(source), v.sep] if source else [])]
    return np.array([[*before, *made.encode(PROMPT)]], np.int64)


def by_torch(made: Model, condition: Any = None, source: str = "") -> tuple[Any, Any]:
    network = Network(made.config, len(made.vocabulary), torch.Generator())
    network.load_weights(made.weights)
    given = torch.from_numpy(vector(made.config.conditions, condition)[None])
    with torch.no_grad():
        state = network.begun(network.zero_state(1), torch.tensor([True]), given)
        logits, state = network(torch.from_numpy(read_ids(made, source)), state)
    return logits[0, -1].numpy(), state[:, :, 0].numpy()


def by_onnx(made: Model, condition: Any = None, source: str = "") -> tuple[Any, Any]:
    session = onnxruntime.InferenceSession(onnx.graph(made))
    feeds = {"ids": read_ids(made, source), "state": np.zeros(made.config.state_shape(1), np.float32)}
    if made.config.conditions:
        feeds["condition"] = vector(made.config.conditions, condition)[None]
    logits, state = session.run(None, feeds)
    return logits[0, -1], state[:, :, 0]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_every_engine_begins_alike(kind: str, cell: Cell, layers: int) -> None:
    conditions, specials, given = KINDS[kind]
    made = model(conditions, specials, cell, layers)
    found = Generator(made).prime(PROMPT, **given)
    for engine in (by_torch, by_onnx):
        logits, state = engine(made, **given)
        np.testing.assert_allclose(found.logits, logits, atol=1e-4)
        np.testing.assert_allclose(found.hidden, state, atol=1e-4)
    if given:
        other = Generator(made).prime(PROMPT, source="b" if "source" in given else "")
        assert not np.allclose(found.logits, other.logits, atol=1e-3)


def test_onnx_applies_the_condition_at_the_first_step_alone(tmp_path: Path) -> None:
    """Whether callers pass it at every step or zeros after the first; the metadata describes its layout."""
    made = model((IMAGE, KIND))
    onnx.write(made, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    described = json.loads(session.get_modelmeta().custom_metadata_map["config"])["conditions"]
    assert described == {"image": IMAGE.to_json(), "kind": KIND.to_json()}
    assert [place.stop for _, place in slices(made.config.conditions)] == [5, 9]
    asked = {"image": [1, 2, 3, 4], "kind": "even"}
    greedy = SamplerConfig(temperature=0, length=60)
    expected = Generator(made).sample("a", settings=greedy, condition=asked).text
    first = vector(made.config.conditions, asked)[None]
    assert first.shape == (1, width(made.config.conditions))
    for later in (first, np.zeros_like(first)):
        ids, written, given = [made.vocabulary.bos, *made.encode("a")], [], first
        state = np.zeros(made.config.state_shape(1), np.float32)
        while len(written) < 60:
            feeds = {"ids": np.array([ids]), "state": state, "condition": given}
            logits, state = session.run(None, feeds)
            given = later
            logits[0, -1, [made.vocabulary.bos, made.vocabulary.byte]] = -np.inf
            ids = [int(logits[0, -1].argmax())]
            if ids[0] == made.vocabulary.eos:
                break
            written += ids
        assert made.vocabulary.decode(written) == expected


def test_translate_and_caption_are_greedy_and_take_options() -> None:
    translator = CharacterModel(model((), TRANSLATES))
    sources = ["a tale", "b", "a much longer source than those"] * 100  # more than a batch
    found = translator.translate(sources, length=20)
    assert found[:3] == found[3:6]
    assert found[0] == translator.generate(source="a tale", temperature=0, length=20)
    assert translator.translate(sources[:2], length=9, temperature=1.0, seed=3) != found[:2]
    captions = CharacterModel(model((IMAGE, YEAR)))
    given = {"image": [1, 2, 3, 4], "year": "2004"}
    expected = captions.generate(condition=given, temperature=0, length=30)
    assert captions.caption(np.array([[1, 2], [3, 4]]), condition={"year": 2004}, length=30) == expected
    with pytest.raises(UsageError, match="translate takes a list of texts"):
        translator.translate("a tale")
    with pytest.raises(UsageError, match="was not trained to translate"):
        captions.translate(["a"])
    with pytest.raises(UsageError, match="the model has 0 conditions that are arrays"):
        translator.caption([1])


@pytest.mark.parametrize("nothing", [[], (), iter([]), ""], ids=["list", "tuple", "iterator", "text"])
def test_nothing_to_do(nothing: Any) -> None:
    made = CharacterModel(model((KIND,), TRANSLATES))
    if nothing == "":
        for each in (made.translate, made.classify, made.generator.sample_many):
            with pytest.raises(UsageError, match="takes a list of texts; put brackets around the one"):
                list(each(nothing))
        with pytest.raises(UsageError, match="give one, as --source"):
            made.translate([""])
        return
    assert made.translate(nothing) == []
    assert list(made.classify(nothing, source=nothing)) == []
    assert list(made.generator.sample_many(nothing, n=0)) == []
    assert made.generator.prime_many(list(nothing)) == []
    assert list(made.generator.score(nothing)) == []
    with pytest.raises(UsageError, match="prompts: the list is empty"):
        next(made.generator.sample_many(nothing))


@pytest.mark.parametrize("wrong", [None, 5, b"a", ["a"]], ids=repr)
def test_what_is_no_text(wrong: Any) -> None:
    made = CharacterModel(model())
    translator = CharacterModel(model((), TRANSLATES))
    with pytest.raises(UsageError, match="top is"):
        made.sample(top=wrong if wrong not in (None, 5) else -1)
    calls: list[Callable[[], object]] = [
        lambda: made.generate(wrong),
        lambda: list(made.stream(wrong)),
        lambda: made.score(wrong),
        lambda: list(made.generator.sample_many([wrong], n=1)),
        lambda: translator.translate([wrong]),
        lambda: translator.generate(source=wrong),
    ]
    for call in calls:
        with pytest.raises(UsageError):
            call()


def test_strength_multiplies_what_is_learned_of_the_condition() -> None:
    made = CharacterModel(model((KIND, IMAGE)))
    given = {"kind": "odd", "image": [1, 2, 3, 4]}
    options = {"condition": given, "length": 40, "ignore_eos": True}
    assert made.generate(strength=0, **options) == made.generate(length=40, ignore_eos=True)
    weights = {
        n: w * np.float32(3) if n.startswith("condition.") else w for n, w in made.model.weights.items()
    }
    stronger = CharacterModel(replace(made.model, weights=weights))
    assert made.generate(strength=3, **options) == stronger.generate(**options)
    assert (
        "".join(made.stream(strength=3, **options))
        == stronger.generate(**options)
        != made.generate(**options)
    )
    with pytest.raises(UsageError, match="strength is -1"):
        made.generate(strength=-1, **options)


def test_classify_is_bayes_rule() -> None:
    made = model((KIND, YEAR))
    generator = Generator(made)
    texts = ["the rain", "in Spain", ""]
    eos = made.vocabulary.eos
    for found, text in zip(classify(generator, texts, "kind"), texts, strict=True):
        joint = []
        for value, count in zip(KIND.values, KIND.counts, strict=True):
            ids = np.append(made.encode(text), eos).astype(np.int32)
            scores, _ = generator.continue_score(ids, generator.prime(condition={"kind": value}))
            joint.append(np.exp(scores.log_probabilities.sum(dtype=float)) * count / sum(KIND.counts))
        expected = dict(zip(KIND.values, np.array(joint) / sum(joint), strict=True))
        assert found.text == text
        assert found.probabilities == pytest.approx(expected)
        assert found.label == max(expected, key=expected.__getitem__)
    with pytest.raises(UsageError, match="the model has kind, year; say which with --condition"):
        next(classify(generator, texts))
    with pytest.raises(UsageError, match="no condition 'image'; there are kind, year"):
        next(classify(generator, texts, "image"))
    with pytest.raises(UsageError, match="the model has no labels; train with --condition COLUMN"):
        next(classify(Generator(model((IMAGE,))), texts))


def test_score_reads_after_what_is_given() -> None:
    made = CharacterModel(model((KIND,), TRANSLATES))
    given = {"condition": "odd", "source": "a tale"}
    (scored,) = score(made.generator, ["the rain"], **given)
    eos = np.array([made.model.vocabulary.eos], np.int32)
    state = made.generator.prime(**given)
    scores, _ = made.generator.continue_score(np.concatenate((made.model.encode("the rain"), eos)), state)
    assert scored.bits == pytest.approx(-scores.log_probabilities.sum() / np.log(2), rel=1e-5)
    without_end = made.score("the rain", **given)
    assert without_end.nats == pytest.approx(-scores.log_probabilities[:-1].sum(), rel=1e-5)
    with pytest.raises(UsageError, match="the model writes what belongs to a source"):
        made.score("the rain")


@pytest.mark.parametrize("unique", [False, True])
def test_so_many_for_every_label_in_columns(
    unique: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the file is broken off within a label; and the file trains the next model."""
    monkeypatch.setattr(bulk, "FLUSHED", 7)
    made = CharacterModel(model((KIND,), provenance={"columns": ["title", "body"]}))
    given = [Given("", {"kind": value}) for value in KIND.values]
    options = {"length": 4 if unique else 30, "seed": 2, "ignore_eos": unique}
    asked = {"count": 25, "given": given, "options": options, "unique": unique}
    *_, last = bulk.write(made, tmp_path / "whole.csv", **asked)
    for _ in zip(range(5), bulk.write(made, tmp_path / "broken.csv", **asked), strict=False):
        pass
    assert not (tmp_path / "broken.csv").exists()
    list(bulk.write(made, tmp_path / "broken.csv", **asked))
    whole = (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "broken.csv").read_bytes() == whole
    rows = list(csv.DictReader(whole.decode().splitlines(keepends=True)))
    assert [row["kind"] for row in rows] == [value for value in KIND.values for _ in range(25)]
    assert last.written == 75
    assert {"title", "body"} <= rows[0].keys()
    direct = [
        made.generator.sample(settings=made.settings(**options), stream=i, condition=given[i // 25].condition)
        for i in ([] if unique else [0, 24, 25, 74])
    ]
    for sample in direct:
        title, _, body = sample.text.partition("\t")
        assert (rows[sample.stream]["title"], rows[sample.stream]["body"]) == (title, body)
    if unique:
        assert len({(row["title"], row["body"]) for row in rows}) == 75
    *_, last = bulk.write(made, tmp_path / "t.jsonl", count=2, given=given, options=options)
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text("utf-8").splitlines()]
    assert [line["condition"] for line in lines] == [{"kind": v} for v in KIND.values for _ in range(2)]
    assert list(lines[0]["columns"]) == ["title", "body"]


def test_novel_texts_keep_their_condition() -> None:
    from charloom.runtime.novel import Novel
    from charloom.runtime.passages import Passages

    generator = Generator(model((KIND,), SPECIALS))
    settings = SamplerConfig(length=40, temperature=0.5, ignore_eos=True)
    sample = generator.sample(settings=settings, condition="even")
    novel = Novel(generator, Passages([sample.text.encode()]), 8, settings)
    other = novel(sample)
    shared = next(i for i, (a, b) in enumerate(zip(sample.text, other.text, strict=True)) if a != b)
    again = generator.prime(other.text[: shared + 1], condition="even")
    assert generator.sample(settings=SamplerConfig(length=1, temperature=0), state=again).text
    assert other.condition == {"kind": "even"}
    assert shared < 8


PAIRS = [("uno", "one"), ("dos", "two"), ("tres", "three"), ("cuatro", "four"), ("cinco", "five")]


def test_from_a_table_to_a_model_that_translates_by_label(tmp_path: Path) -> None:
    """The whole way, small: every pair is learned by heart, in the language that is asked for."""
    rows = [f"{es},{en},small\n{es},{en.upper()},large\n" for es, en in PAIRS]
    (tmp_path / "pairs.csv").write_text("es,en,size\n" + "".join(rows * 8), encoding="utf-8")
    made = charloom.train(
        tmp_path / "pairs.csv", out=tmp_path / "run", text="en", source="es", condition="size",
        epochs=60, hidden=48, lanes=10, rate=0.02, fractions="100/0/0", threads=1, patience=0, dropout=0.0,
    )  # fmt: skip
    sources = [es for es, _ in PAIRS]
    assert made.translate(sources, condition="small") == [en for _, en in PAIRS]
    assert made.translate(sources, condition="large") == [en.upper() for _, en in PAIRS]
    texts, asked = ["one", "TWO", "two"], {"source": ["uno", "dos", "dos"]}
    assert [found.label for found in made.classify(texts, **asked)] == ["small", "large", "small"]
    with pytest.raises(UsageError, match="the model writes what belongs to a source"):
        list(made.classify(texts))
    told = here("classify", "run", "pairs.csv", folder=tmp_path)
    assert (told.code, len(told.out.splitlines())) == (0, 80)
    assert told.err.startswith("charloom: 80 of 80 right, ")
    (tmp_path / "lines.txt").write_text("one\n", encoding="utf-8")
    told = here("classify", "run", "lines.txt", folder=tmp_path)
    mend = "is no table, and the model needs a source for each text; give a table"
    assert (told.code, told.err) == (1, f"charloom: lines.txt: {mend}\n")
    samples = [
        json.loads(line) for line in (tmp_path / "run" / "samples.jsonl").read_text("utf-8").splitlines()
    ]
    assert samples[-1]["source"] in sources
    assert samples[-1]["condition"]["size"] in ("small", "large")
    assert made.model.provenance["longest_source"] == 6


def test_a_named_corpus_is_trained_on_without_its_classes(data_folder: Path, tmp_path: Path) -> None:
    made = charloom.train("ag_news:test", out=tmp_path / "run", steps=2, hidden=8, condition="none")
    assert made.model.config.conditions == ()
    text = verdict.own_text(tmp_path / "run", made.model)
    assert text.part.labels.shape[1] == 0
    assert " " in next(text.part.texts())
    for nothing in ("", []):
        with pytest.raises(UsageError, match="condition is empty; none trains without any"):
            charloom.train("ag_news:test", steps=2, condition=nothing)


def test_what_a_model_is_and_what_it_does_not_take() -> None:
    made = CharacterModel(model((KIND,)))
    assert repr(made).startswith("<CharacterModel without a folder: lstm 1 × 16, ")
    with pytest.raises(UsageError, match=r"there is no option 'temp'; did you mean 'temperature'\?"):
        made.generate("x", temp=1)
    with pytest.raises(UsageError, match="classify takes a list of texts"):
        made.classify("one text")
    with pytest.raises(UsageError, match="fewer sources than texts"):
        list(made.classify(["one", "two"], source=[""]))


def test_the_lesson_knows_no_conditions(data_folder: Path, tmp_path: Path) -> None:
    made = charloom.train("ag_news:test", out=tmp_path / "run", preset="lesson", steps=2)
    assert made.model.config.conditions == ()
