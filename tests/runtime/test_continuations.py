"""The likeliest continuations, on models whose every probability is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from charloom.model.config import ModelConfig
from charloom.model.folder import Model
from charloom.runtime.continuations import LONGEST, continuations
from charloom.runtime.generator import Generator
from charloom.text.vocabulary import Vocabulary


def memoryless(chances: dict[str, float]) -> Generator:
    """A model that draws every character with the same chances, whatever came before."""
    vocabulary = Vocabulary.from_text("".join(chances), ("<bos>", "<byte>"))
    config = ModelConfig(hidden=3, embedding=2)
    weights = {
        name: np.zeros(shape, np.float32) for name, shape in config.weight_shapes(len(vocabulary)).items()
    }
    weights["output.bias"][: len(chances)] = np.log(list(chances.values()))
    weights["output.bias"][len(chances) :] = 5  # specials are no continuations, however likely
    return Generator(Model(config=config, vocabulary=vocabulary, weights=weights))


def test_words_have_the_probability_of_their_letters_and_of_an_end() -> None:
    generator = memoryless({"a": 0.5, "b": 0.2, " ": 0.2, ".": 0.1})
    found = {c.text: c.probability for c in continuations(generator, generator.prime(""), 8)}
    assert found["a"] == pytest.approx(0.5 * 0.3)
    assert found["aa"] == pytest.approx(0.5 * 0.5 * 0.3)
    assert found["b"] == pytest.approx(0.2 * 0.3)
    assert found["."] == pytest.approx(0.1)
    assert found[" a"] == pytest.approx(0.2 * 0.5 * 0.3)


def test_likeliest_first_and_no_piece_twice() -> None:
    generator = memoryless({"a": 0.4, "b": 0.3, " ": 0.2, "\n": 0.05, ",": 0.05})
    found = continuations(generator, generator.prime("ab "), 12)
    chances = [c.probability for c in found]
    assert len(found) == 12
    assert chances == sorted(chances, reverse=True)
    assert len({c.text for c in found}) == 12
    assert sum(chances) <= 1


def test_a_script_without_spaces_comes_to_an_end() -> None:
    generator = memoryless({"日": 1 - 1e-9, "本": 1e-9})
    (only,) = continuations(generator, generator.prime("日"), 1)
    assert only.text == "日" * LONGEST
    assert only.probability == pytest.approx(1, abs=1e-6)


def test_the_state_decides() -> None:
    """A trained-like model: after q comes u."""
    vocabulary = Vocabulary.from_text("qu x", ("<bos>",))
    config = ModelConfig(cell="rnn", hidden=5, embedding=0)
    shapes = config.weight_shapes(len(vocabulary))
    weights = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    weights["embedding.weight"] = np.eye(5, dtype=np.float32)
    weights["layers.0.weight_input"] = 3 * np.eye(5, dtype=np.float32)
    weights["output.weight"][1, 0] = 20  # q in the state raises u
    generator = Generator(Model(config=config, vocabulary=vocabulary, weights=weights))
    best = continuations(generator, generator.prime("q"), 1)[0]
    assert best.text.startswith("u")
    assert not math.isnan(best.probability)
