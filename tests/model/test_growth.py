"""A grown model says of old text what it said before."""

from __future__ import annotations

import numpy as np
import pytest

from charloom.errors import UsageError
from charloom.model.config import ModelConfig
from charloom.model.folder import Model
from charloom.model.growth import grown
from charloom.runtime.generator import Generator
from charloom.text.condition import Condition
from charloom.text.vocabulary import BOS, BYTE, EOS, Vocabulary
from untrained import of


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("embedding", [0, 5])
@pytest.mark.parametrize("specials", [(), (BOS, BYTE)])
def test_old_ids_keep_their_rows(cell, embedding, specials) -> None:
    config = ModelConfig(cell=cell, hidden=8, embedding=embedding)
    before = of(config, Vocabulary.from_text("abc ", specials))
    vocabulary = before.vocabulary.extended("cadé", (BOS, EOS))
    assert vocabulary.tokens[: len(before.vocabulary)] == before.vocabulary.tokens
    weights = grown(before, config, vocabulary)
    assert {name: value.shape for name, value in weights.items()} == config.weight_shapes(len(vocabulary))
    after = Model(config=config, vocabulary=vocabulary, weights=weights)
    ids = before.vocabulary.encode("a cab" + ("é" if specials else ""))
    ids = before.vocabulary.rows(ids)
    old, new = (Generator(each).logits(ids)[0] for each in (before, after))
    np.testing.assert_allclose(new[:, : len(before.vocabulary)], old, atol=1e-6)
    if specials:  # what is new begins as <byte>, which stood for it
        stand_in = old[:, [before.vocabulary.byte]]
        added = new[:, len(before.vocabulary) :]
        np.testing.assert_allclose(added, np.broadcast_to(stand_in, added.shape), atol=1e-6)


def test_conditions_that_are_missing_are_told() -> None:
    with_condition = ModelConfig(
        hidden=4,
        embedding=2,
        conditions=(Condition(name="genre", kind="label", values=("a", "b"), counts=(1, 1)),),
    )
    before = of(with_condition, Vocabulary.from_text("ab"))
    with pytest.raises(UsageError, match="condition genre"):
        grown(before, ModelConfig(hidden=4, embedding=2), before.vocabulary)
    assert grown(before, with_condition, before.vocabulary).keys() == before.weights.keys()


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_conditions_go_on_to_mean_what_they_meant(cell) -> None:
    """Labels that stand elsewhere, and one that is new; an array of another text, with another mean."""

    def config(values: tuple[str, ...], mean: float, deviation: float) -> ModelConfig:
        genre = Condition(name="genre", kind="label", values=values, counts=(1,) * len(values))
        image = Condition(name="image", kind="array", size=3, mean=mean, deviation=deviation)
        return ModelConfig(cell=cell, layers=2, hidden=4, embedding=2, conditions=(genre, image))

    before = of(config(("a", "b", "c"), 2.0, 3.0), Vocabulary.from_text("ab"))
    now = config(("c", "new", "a"), -1.0, 0.5)
    weights = grown(before, now, before.vocabulary)
    assert {name: value.shape for name, value in weights.items()} == now.weight_shapes(2)
    after = Model(config=now, vocabulary=before.vocabulary, weights=weights)
    for asked in ({"genre": "a"}, {"genre": "c", "image": [1.0, -2.0, 5.0]}, {"image": [0, 0, 7]}, {}):
        old, new = (Generator(each).prime("a", condition=asked).hidden for each in (before, after))
        np.testing.assert_allclose(new, old, atol=1e-5)
    assert np.isfinite(Generator(after).prime("a", condition={"genre": "new"}).hidden).all()
