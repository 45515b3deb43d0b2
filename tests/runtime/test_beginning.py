"""What a condition and a source do to the beginning of a text."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charloom.errors import UsageError
from charloom.model.config import Cell
from charloom.runtime import twins
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.runtime.sample import Given
from charloom.runtime.weights import fold
from charloom.text.condition import Condition

CLASS = Condition(name="class", kind="label", values=("odd", "even"), counts=(5, 3))
IMAGE = Condition(name="an image", kind="array", size=3, mean=2.0, deviation=4.0)
TRANSLATES = ("<bos>", "<eos>", "<sep>", "<byte>")


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_state_is_the_linear_map_of_the_condition(make_model: Any, cell: Cell, layers: int) -> None:
    model = make_model(cell, layers=layers, conditions=(CLASS, IMAGE))
    generator = Generator(model)
    hidden = np.zeros(model.config.state_shape(1), np.float32)
    for k in range(layers):
        pixels = (np.array([1, 5, 9]) - 2) / 4
        state = model.weights[f"condition.class.layers.{k}.weight"][:, 1]
        state = state + model.weights[f"condition.class.layers.{k}.bias"]
        state = state + model.weights[f"condition.an image.layers.{k}.weight"] @ pixels
        state = state + model.weights[f"condition.an image.layers.{k}.bias"]
        hidden[k] = state.reshape(-1, 1, model.config.hidden)
    folded = fold(model.config, model.weights, "float32")
    bos = model.vocabulary.bos
    for token in (bos, *model.encode("he")):
        logits, hidden = twins.step(folded, np.array([token], np.int32), hidden)
    found = generator.prime("he", condition={"class": "even", "an image": [1, 5, 9]})
    np.testing.assert_allclose(found.logits, logits[0], atol=1e-4)
    np.testing.assert_allclose(found.hidden, hidden[:, :, 0], atol=1e-5)
    assert np.array_equal(generator.prime("he").hidden, generator.prime("he", condition={}).hidden)


def test_a_source_is_read_before_the_text(make_model: Any) -> None:
    model = make_model(specials=TRANSLATES)
    generator, vocabulary = Generator(model), model.vocabulary
    ids = np.concatenate(
        ([vocabulary.bos], model.encode("once "), [vocabulary.sep], model.encode("a "))
    ).astype(np.int32)
    logits, state = generator.logits(ids)
    found = generator.prime("a ", source="once ")
    np.testing.assert_allclose(found.logits, logits[-1], atol=1e-5)
    assert np.array_equal(found.hidden, state.hidden)
    assert np.array_equal(found.ids, model.encode("a "))  # of the text alone, for no_repeat


def test_many_beginnings_are_what_each_is_alone(make_model: Any) -> None:
    generator = Generator(make_model(specials=TRANSLATES, conditions=(CLASS,)))
    given = [
        Given("he", "odd", "one"),
        Given("", None, "a longer source"),
        Given("at", {"class": "even"}, "x"),
    ]
    settings = SamplerConfig(length=20, seed=3)
    texts = list(generator.sample_many(given, settings=settings, n=6))
    for i, text in enumerate(texts):
        each = given[i % 3]
        alone = generator.sample(
            each.prompt, settings=settings, stream=i, condition=each.condition, source=each.source
        )
        assert text == alone
        assert text.source == each.source
    assert [text.condition for text in texts[:3]] == [{"class": "odd"}, {}, {"class": "even"}]
    assert "".join(generator.stream("he", settings=settings, condition="odd", source="one")) == texts[0].text


def test_scores_begin_where_they_are_told(make_model: Any) -> None:
    model = make_model(conditions=(CLASS,))
    generator, ids = Generator(model), model.encode("the rain")
    starts = [generator.prime(condition=value) for value in ("odd", "even", None)]
    odd, even, unknown = generator.score([ids] * 3, starts=starts)
    (default,) = generator.score([ids])
    assert np.array_equal(unknown.log_probabilities, default.log_probabilities)
    assert not np.allclose(odd.log_probabilities, even.log_probabilities)
    alone, _ = generator.continue_score(ids, starts[1])
    assert np.array_equal(even.log_probabilities, alone.log_probabilities)


@pytest.mark.parametrize(
    ("conditions", "specials", "asked", "message"),
    [
        (
            (),
            TRANSLATES[:2],
            {"condition": "odd"},
            "condition: the model was trained without any; leave it out",
        ),
        ((CLASS,), TRANSLATES[:2], {"condition": "eve"}, "the model knows no 'eve'; did you mean even?"),
        ((), TRANSLATES[:2], {"source": "x"}, "source: the model was not trained to translate; leave it out"),
        ((), TRANSLATES, {}, "the model writes what belongs to a source; give one, as --source TEXT"),
    ],
)
def test_what_the_model_cannot_begin_with_is_told(
    make_model: Any, conditions: Any, specials: Any, asked: Any, message: str
) -> None:
    generator = Generator(make_model(conditions=conditions, specials=specials))
    with pytest.raises(UsageError) as error:
        generator.prime("he", **asked)
    assert message in str(error.value)


def test_a_state_has_its_condition_already(make_model: Any) -> None:
    generator = Generator(make_model(conditions=(CLASS,)))
    with pytest.raises(UsageError, match="a state has its condition and its source already"):
        generator.prime("he", generator.prime("t"), condition="odd")
