import numpy as np
import pytest
from scipy.stats import pearsonr

from charloom.insight import units
from charloom.insight.units import correlations, hidden_units, read, shades, signals
from charloom.text.vocabulary import Vocabulary

LETTERS = 'ab (){}"1A\n.'
PHRASES = ["ab ", "(ab a) ", '"ba 1A" ', "b.\n", "  a1", "(b)", " 11", "A\n"]
TEXT = "".join(np.random.default_rng(0).choice(PHRASES, 600))


@pytest.fixture
def gated(build):
    """An LSTM of three units: one is on between brackets, one follows digits, one never moves."""
    vocabulary = Vocabulary.of_characters(LETTERS, ("<bos>",))
    hidden, size = 3, len(vocabulary)
    inputs, bias = np.zeros((4, hidden, size)), np.zeros((4, hidden))
    i, f, g, o = range(4)
    bias[i] = -10  # nothing is written …
    bias[f, 0] = 10  # … the first unit keeps what it has …
    bias[o, :2] = 10
    inputs[i, 0, LETTERS.index("(")] = inputs[g, 0, LETTERS.index("(")] = 20  # … but a bracket opens it
    inputs[f, 0, LETTERS.index(")")] = -20  # and a bracket closes it
    bias[f, 1] = -10
    inputs[i, 1, LETTERS.index("1")] = 20
    inputs[g, 1, LETTERS.index("1")] = -10  # the second switches off at digits
    weights = {
        "layers.0.weight_input": inputs.reshape(4 * hidden, size),
        "layers.0.bias_input": bias.reshape(4 * hidden),
    }
    return build(vocabulary, "lstm", hidden, weights)


def test_units_that_were_made_for_something_are_found(gated):
    found = hidden_units(gated, TEXT)
    named = {unit.signal: unit for unit in found.found}
    brackets, digits = named["inside brackets"], named["a digit"]
    assert (brackets.layer, brackets.unit) == (0, 0)
    assert brackets.correlation == pytest.approx(1, abs=1e-3)
    assert (digits.unit, digits.correlation) == (1, pytest.approx(-1, abs=1e-3))
    assert found.found[:2] == sorted((brackets, digits), key=lambda unit: -abs(unit.correlation))
    assert found.text == TEXT
    assert found.activations.shape == (1, 3, len(TEXT))
    assert brackets.to_json()["signal"] == "inside brackets"


def test_the_picture_shows_where_the_signal_moves(gated):
    quiet = "ab " * units.STRETCH
    found = hidden_units(gated, quiet[: 2 * units.STRETCH] + "(ab a) ba " * 60)
    start = next(unit.start for unit in found.found if unit.signal == "inside brackets")
    assert start == 2 * units.STRETCH


def test_a_network_of_accidents_has_no_clear_units(build):
    """What moves on its own follows nothing: noise is not listed."""
    random = np.random.default_rng(0)
    flat = np.cumsum(random.normal(size=(200, 2000)), axis=1) * 0.01
    signal = np.sin(np.arange(2000) / 50)
    exact = np.abs(correlations(flat, signal)).max()
    shifted = np.abs(correlations(flat, np.roll(signal, 1000))).max()
    assert exact > 0.3  # a clear correlation, one would think
    assert exact < units.CLEAR * shifted


def test_correlations_are_pearsons():
    random = np.random.default_rng(1)
    rows, signal = random.normal(size=(4, 50)), random.normal(size=50)
    rows[3] = 2
    found = correlations(rows, signal)
    assert found[:3] == pytest.approx([pearsonr(row, signal).statistic for row in rows[:3]])
    assert found[3] == 0


def test_activations_are_the_states_after_each_character(successor):
    generator = successor("abc")
    found = read(generator, "abcab")
    state = generator.prime("abcab")
    assert found.shape == (1, 3, 5)
    assert found[:, :, -1] == pytest.approx(state.hidden[:, 0])
    assert found[0, :, 0] == pytest.approx([1, 0, 0], abs=1e-3)  # tanh(10) for the letter just read


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("inside quotes", 'a"bc"d', "011100"),
        ("inside quotes", 'a"b\nc', "01100"),
        ("inside brackets", "a(b[c]d)e", "011111100"),
        ("inside brackets", "a)b(", "0001"),
        ("place in the line", "ab\ncd", "12012"),
        ("indentation", "  a b\nc", "1222200"),
        ("a line in capitals", "AB:\nAb", "011000"),
        ("place in the word", "ab cd", "12012"),
        ("place in the sentence", "ab. c", "12012"),
        ("a line has just ended", "a\nb", "010"),
        ("a space", "a b", "010"),
        ("a digit", "a1b", "010"),
        ("a capital letter", "aBc", "010"),
        ("a vowel", "bab", "010"),
        ("punctuation", "a,b", "010"),
    ],
)
def test_signals(name, text, expected):
    assert signals(text)[name].tolist() == [int(digit) for digit in expected]


def test_shades_run_from_one_end_to_the_other():
    assert shades(np.array([-0.5, 0.0, 0.25, 0.5])) == [-4, 0, 2, 4]
    assert shades(np.array([0.7, 0.8, 0.9])) == [-4, 0, 4]  # a unit that is always on still moves
    assert shades(np.zeros(2)) == [0, 0]
