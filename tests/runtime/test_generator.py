"""The public face: the same text on every path, states, scores, log-probabilities."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from charloom import bulk
from charloom.character_model import CharacterModel
from charloom.errors import DataError, ModelError, UsageError
from charloom.runtime.batch import Batch, Stream
from charloom.runtime.generator import Generator
from charloom.runtime.kernels import Kernels
from charloom.runtime.options import SamplerConfig
from charloom.runtime.sample import Given
from charloom.runtime.state import State
from charloom.runtime.twins import Twins, log_softmax
from charloom.runtime.weights import fold
from charloom.text.vocabulary import Vocabulary
from drawn import require_drawn

OPTIONS = [
    {},
    {"temperature": 0},
    {"temperature": 0, "no_repeat": 3},
    {"temperature": 1.8},
    {"top_k": 3},
    {"top_p": 0.7},
    {"min_p": 0.1},
    {"frequency_penalty": 0.5},
    {"presence_penalty": 1.5},
    {"no_repeat": 2},
    {"bias": {"e": 3.0, "t": -3.0}},
    {"ban": "aeiou"},
    {"only": "abc "},
    {"stop": ("e", "th")},
    {"stop": ("qzxj", " a")},
    {"match": "[a-m ]{5,30}(x|y)"},
    {"ignore_eos": True},
    {"best_of": 4},
    {"length": 1},
    {"top_k": 8, "top_p": 0.9, "min_p": 0.01, "temperature": 0.7, "presence_penalty": 0.2, "no_repeat": 4},
]


@pytest.mark.parametrize("specials", [(), ("<bos>", "<eos>", "<byte>")], ids=["bare", "byte"])
@pytest.mark.parametrize("ids", [[-1], [0, 10**6]], ids=str)
def test_ids_out_of_range_are_refused(make_model, specials, ids) -> None:
    generator = Generator(make_model("gru", specials=specials))
    array = np.array(ids, np.int32)
    for call in (generator.logits, generator.continue_score, lambda ids: next(generator.score([ids]))):
        with pytest.raises(DataError, match=r"the ids run from -?\d+ to -?\d+; this vocabulary has 0 to"):
            call(array)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_gives_one_text_on_every_path(make_model, options, tmp_path) -> None:
    written = CharacterModel(make_model("lstm", hidden=40))
    generator, options = written.generator, {"length": 40, "seed": 11, "temperature": 1.0, **options}
    settings = SamplerConfig(**options)
    single = [generator.sample("the ", settings=settings, stream=k) for k in range(9)]
    assert len({sample.text for sample in single}) > (options["temperature"] > 0)
    assert ["".join(generator.stream("the ", settings=settings, stream=k)) for k in range(9)] == [
        sample.text for sample in single
    ]
    for batch in (1, 4, 64):
        assert list(generator.sample_many(["the "], settings=settings, n=9, batch=batch)) == single
    assert list(generator.sample_many(["the "], settings=settings, first=5, n=9, batch=3)) == single[5:]
    out = tmp_path / "texts.jsonl"
    for _ in bulk.write(written, out, count=9, given=[Given("the ")], options=options):
        pass
    assert [json.loads(line)["text"] for line in out.read_text("utf-8").splitlines()] == [
        sample.text for sample in single
    ]
    for sample in single:
        holds(sample, settings)


def holds(sample, settings) -> None:
    text = sample.text
    assert len(text) <= settings.length
    assert not set(text) & set(settings.ban)
    assert not settings.only or set(text) <= set(settings.only)
    assert not any(stop in text for stop in settings.stop)
    assert not settings.match or re.fullmatch(settings.match, text)
    assert sample.finish_reason != "length" or len(text) == settings.length
    if settings.no_repeat > 2:
        whole, n = "the " + text, settings.no_repeat
        runs = [whole[i : i + n] for i in range(len(whole) - n + 1)]
        assert len(runs) == len(set(runs))


@pytest.mark.parametrize("precision", ["float32", "int8"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("layers", [1, 3])
def test_a_text_does_not_depend_on_its_company(make_model, cell, layers, precision) -> None:
    generator = Generator(make_model(cell, layers=layers, hidden=50), precision)
    settings = SamplerConfig(length=60)
    alone = [generator.sample("so ", settings=settings, stream=k).text for k in range(64)]
    for batch in (7, 64):
        together = [s.text for s in generator.sample_many(["so "], settings=settings, n=64, batch=batch)]
        assert together == alone


def test_streams_enter_and_leave_at_any_step(make_model) -> None:
    model = make_model("gru", layers=2)
    generator = Generator(model)
    random = np.random.default_rng(0)
    kinds = [
        {},
        {"top_k": 4},
        {"match": "[a-z ]{20,40}"},
        {"no_repeat": 3},
        {"frequency_penalty": 1.0},
        {"stop": ("a",)},
    ]
    wanted = [SamplerConfig(length=int(random.integers(1, 60)) + 20, **kinds[k % 6]) for k in range(30)]
    expected = [generator.sample("he ", settings=s, stream=k).text for k, s in enumerate(wanted)]
    start, batch = generator.prime("he "), Batch(generator.engine, model, 8)
    waiting = [Stream(model, start, s, generator.automaton(s), number=k) for k, s in enumerate(wanted)]
    streams = list(waiting)
    while waiting or batch.streams:
        for _ in range(min(int(random.integers(0, 4)), batch.free, len(waiting))):
            batch.enter(waiting.pop(0))
        if batch.streams and random.random() < 0.1:
            gone = batch.streams[int(random.integers(len(batch.streams)))]
            batch.leave(gone)
            streams[gone.number] = None
        if batch.streams:
            batch.advance(int(random.integers(1, 9)))
    assert sum(stream is not None for stream in streams) > 15
    for stream, text in zip(streams, expected, strict=True):
        assert stream is None or stream.writer.text == text


@pytest.mark.parametrize("engine", [Kernels, Twins])
def test_a_stretch_that_is_told_to_halt_ends_after_the_step(make_model, engine) -> None:
    model = make_model("gru")
    generator = Generator(model)
    generator.engine = engine(fold(model.config, model.weights, "float32"))
    settings = SamplerConfig(length=40, ignore_eos=True)
    batch = Batch(generator.engine, model, 64)
    streams = [Stream(model, generator.prime("he "), settings, number=k) for k in range(64)]
    for stream in streams:
        batch.enter(stream)
    batch.halt()
    for _ in range(3):
        assert [each.ids for each in batch.advance(100)] == [1] * 64
    batch.halt(False)
    assert [each.ids for each in batch.advance(100)] == [37] * 64
    batch.close()
    for k, stream in enumerate(streams):
        assert stream.writer.text == generator.sample("he ", settings=settings, stream=k).text


@pytest.mark.parametrize(
    "options", [{}, {"stop": ("\n",)}, {"match": "[a-zé]{3,9}"}, {"ban": "é"}, {"only": "aé"}], ids=str
)
def test_a_model_of_bytes_writes_whole_characters(make_model, options) -> None:
    vocabulary = Vocabulary.of_bytes(("<bos>", "<eos>"))
    generator = Generator(make_model("lstm", vocabulary=vocabulary))
    settings = SamplerConfig(length=25, **options)
    for k in range(6):
        sample = generator.sample("é", settings=settings, stream=k, top=0)
        pieces = list(generator.stream("é", settings=settings, stream=k))
        assert "".join(pieces) == sample.text
        assert len(sample.text) <= 25
        assert len(sample.log_probabilities) >= len(sample.text)


def test_a_primed_state_forks_and_survives_the_disk(make_model) -> None:
    generator = Generator(make_model("lstm", layers=2))
    state = generator.prime("once upon")
    before = state.save()
    settings = SamplerConfig(length=30, no_repeat=3)
    texts = [generator.sample(" a", state=state, settings=settings, stream=k).text for k in range(3)]
    assert texts == [generator.sample("once upon a", settings=settings, stream=k).text for k in range(3)]
    assert state.save() == before
    loaded = State.load(before)
    assert generator.sample(" a", state=loaded, settings=settings).text == texts[0]
    assert np.array_equal(loaded.ids, generator.model.vocabulary.encode("once upon"))
    for damaged in (b"", before[:-3], before[:50], np.random.default_rng(0).bytes(100)):
        with pytest.raises(ModelError, match="saved state"):
            State.load(damaged)


@pytest.mark.parametrize("cut", [1, 2, 9, 18])
def test_reading_in_parts_is_reading_at_once(make_model, cut) -> None:
    generator, text = Generator(make_model("gru", layers=2)), "then the end\nand th"
    whole, parts = generator.prime(text), generator.prime(text[cut:], generator.prime(text[:cut]))
    assert np.array_equal(whole.hidden, parts.hidden)
    assert np.array_equal(whole.logits, parts.logits)
    ids = generator.model.vocabulary.encode(text)
    first, state = generator.continue_score(ids[:cut])
    second, _ = generator.continue_score(ids[cut:], state)
    joined = np.concatenate((first.log_probabilities, second.log_probabilities))
    assert np.array_equal(next(generator.score([ids])).log_probabilities, joined)


def test_scores_are_the_log_softmax_of_the_logits(make_model) -> None:
    model = make_model("lstm")
    generator, vocabulary = Generator(model), model.vocabulary
    texts = ["the and", "é x", "", "a", "then the end of it all\n" * 60]
    scores = list(generator.score(map(vocabulary.encode, texts), batch=3))
    for text, score in zip(texts, scores, strict=True):
        ids = vocabulary.encode(text)
        fed = np.concatenate(([vocabulary.bos], ids)).astype(np.int32)
        logits, _ = generator.logits(fed)
        normal = log_softmax(logits[:-1])
        expected = normal[np.arange(len(ids)), vocabulary.rows(ids)] - np.log(256) * (ids >= len(vocabulary))
        assert np.allclose(score.log_probabilities, expected, atol=2e-5)
        assert np.allclose(score.entropies, -(np.exp(normal) * normal).sum(axis=1), atol=2e-5)


def test_a_text_longer_than_one_reading_scores_the_same(make_model, monkeypatch) -> None:
    generator = Generator(make_model("gru"))
    ids = [generator.model.vocabulary.encode(text) for text in ("the " * 20, "a " * 9, "n" * 50)]
    at_once = list(generator.score(ids))
    monkeypatch.setattr("charloom.runtime.generator.READ", 7)
    for whole, parts in zip(at_once, generator.score(ids), strict=True):
        assert np.array_equal(whole.log_probabilities, parts.log_probabilities)


def test_without_bos_the_first_id_has_no_score_and_a_prompt_is_needed(make_model) -> None:
    generator = Generator(make_model("rnn", specials=()))
    scores = next(generator.score([generator.model.vocabulary.encode("the")]))
    assert np.isnan(scores.log_probabilities).tolist() == [True, False, False]
    with pytest.raises(UsageError, match="--prompt"):
        generator.sample()
    with pytest.raises(DataError, match="vocabulary"):
        generator.sample("é")
    assert len(generator.sample("t", settings=SamplerConfig(length=9)).text) == 9


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.4, "ban": "e"}, {"stop": ("a",)}, {"length": 3}], ids=str
)
def test_log_probabilities_are_the_models_own(make_model, options) -> None:
    generator = Generator(make_model("lstm"))
    sample = generator.sample("the ", settings=SamplerConfig(**{"length": 50, **options}), top=3)
    ids = generator.model.vocabulary.encode(sample.text)
    scores, state = generator.continue_score(ids, generator.prime("the "))
    expected = scores.log_probabilities.tolist()
    if sample.finish_reason == "eos":
        expected.append(float(log_softmax(state.logits)[generator.model.vocabulary.eos]))
    assert np.allclose(sample.log_probabilities, expected, atol=2e-5)
    assert np.isclose(sample.log_probability, sum(expected), atol=1e-3)
    for likely, chosen in zip(sample.top, sample.log_probabilities, strict=True):
        values = [each.log_probability for each in likely]
        assert len(values) == 3
        assert values == sorted(values, reverse=True)
        assert chosen <= values[0] + 1e-6


def test_best_of_is_the_likeliest_a_character(make_model) -> None:
    generator = Generator(make_model("lstm"))
    best = generator.sample("the ", settings=SamplerConfig(length=30, best_of=8), top=0)
    some = generator.sample("the ", settings=SamplerConfig(length=30), top=0)
    assert np.mean(best.log_probabilities) >= np.mean(some.log_probabilities)


def test_greedy_is_the_argmax_of_every_step(make_model) -> None:
    generator = Generator(make_model("gru"))
    text = generator.sample("the ", settings=SamplerConfig(temperature=0, length=30, ignore_eos=True)).text
    logits, _ = generator.logits(generator.model.vocabulary.encode("the " + text), generator.prime())
    allowed = SamplerConfig(ignore_eos=True).added(generator.model.vocabulary)
    assert np.array_equal((logits + allowed).argmax(axis=1)[3:-1], generator.model.vocabulary.encode(text))


def test_prompts_take_turns_and_bulk_holds_little(make_model) -> None:
    generator = Generator(make_model("lstm"))
    settings = SamplerConfig(length=5)
    samples = list(generator.sample_many(["a", "b", "c"], settings=settings, n=7, batch=2))
    assert [sample.prompt for sample in samples] == ["a", "b", "c", "a", "b", "c", "a"]
    assert [sample.stream for sample in samples] == list(range(7))
    assert samples[4] == generator.sample("b", settings=settings, stream=4)
    assert list(generator.sample_many(settings=settings, n=0)) == []


def test_the_initial_state_counts(make_model) -> None:
    generator = Generator(make_model("lstm"))
    initial = np.full(generator.model.config.state_shape(), 0.5, np.float32)
    assert not np.array_equal(generator.prime("a").logits, generator.prime("a", initial=initial).logits)


def test_one_hot_product_and_folded_table_are_equal(make_model) -> None:
    model = make_model("lstm", embedding=0)
    network = fold(model.config, model.weights, "float32")
    w = model.weights
    for k in range(len(model.vocabulary)):
        one_hot = np.eye(len(model.vocabulary), dtype=np.float32)[k]
        gates = w["layers.0.weight_input"] @ one_hot + w["layers.0.bias_input"] + w["layers.0.bias_hidden"]
        assert np.allclose(network.layers[0].start[k], gates, atol=1e-6)


def test_without_compilation_the_texts_are_of_the_same_paths(make_model) -> None:
    generator = Generator(make_model("gru", layers=2))
    generator.engine = Twins(fold(generator.model.config, generator.model.weights, "float32"))
    for options in ({}, {"top_k": 3, "no_repeat": 3}, {"match": "[a-f]{9}"}):
        settings = SamplerConfig(length=20, **options)
        single = [generator.sample("the ", settings=settings, stream=k) for k in range(4)]
        assert list(generator.sample_many(["the "], settings=settings, n=4, batch=3)) == single


@pytest.mark.parametrize("options", [{}, {"temperature": 0}, {"top_k": 3}, {"stop": ("e",)}], ids=str)
def test_a_text_of_other_logits_is_not_taken_for_drawn(make_model, options) -> None:
    model, settings = make_model("gru"), SamplerConfig(length=40, ignore_eos=True, **options)
    generator = Generator(model)
    text = generator.sample("he ", settings=settings).text
    require_drawn(generator, text, "he ", settings)
    model.weights["output.bias"][:] += np.linspace(0, 1, len(model.vocabulary), dtype=np.float32)
    with pytest.raises(AssertionError):
        require_drawn(Generator(model), text, "he ", settings)
