"""What single hidden units stand for: those that go up and down with something one can name.

As A. Karpathy, J. Johnson and L. Fei-Fei did by eye ("Visualizing and understanding recurrent networks",
2015: units that follow quotes, line length, indentation), here by correlation: a unit's activation h after
each character against signals computed from the text up to and with that character (Pearson's r; its sign
means nothing, for a unit may as well switch off). Among hundreds of units some correlate by accident: the
same is therefore measured against the signals of the text shifted around by quarters of it, and what does not
clearly exceed the greatest r found there (`CLEAR` times) is not listed. A correlation says that a unit
follows something, not that the network uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from charloom.runtime.arrays import Doubles, Floats
from charloom.runtime.generator import Generator

CLEAR = 1.5
STRETCH = 420  # characters under which a unit's picture is drawn: some lines
BRACKETS = {"(": ")", "[": "]", "{": "}"}
QUOTES = '"“”„«»'
SENTENCE = ".!?"


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A unit (from 0) of a layer (from 0), the signal that it follows, and their correlation.

    `start` is where the `STRETCH` of text begins in which that signal moves most.
    """

    layer: int
    unit: int
    signal: str
    correlation: float
    start: int

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "layer": self.layer,
            "unit": self.unit,
            "signal": self.signal,
            "correlation": self.correlation,
        }


@dataclass(frozen=True, kw_only=True)
class Units:
    """The clearest unit of each signal that has one, clearest first; `chance` is the r of accidents.

    `text` was read; `activations` (layers, H, n) are those after each of its characters.
    """

    found: list[Unit]
    chance: float
    text: str
    activations: Floats


def hidden_units(generator: Generator, text: str, characters: int = 6000) -> Units:
    """Read the first `characters` of `text` and name the units that follow a signal."""
    text = text[:characters]
    activations = read(generator, text)
    layers, hidden, _ = activations.shape
    flat = activations.reshape(layers * hidden, -1)
    named = {name: signal for name, signal in signals(text).items() if signal.std() > 0}
    found, chance = [], 0.0
    for name, signal in named.items():
        exact = correlations(flat, signal)
        for quarter in (1, 2, 3):
            shifted = np.roll(signal, quarter * len(signal) // 4)
            chance = max(chance, float(np.abs(correlations(flat, shifted)).max()))
        best = int(np.abs(exact).argmax())
        found.append(
            Unit(
                layer=best // hidden, unit=best % hidden, signal=name, correlation=float(exact[best]),
                start=_liveliest(signal),
            )
        )  # fmt: skip
    clear = [unit for unit in found if abs(unit.correlation) > CLEAR * chance]
    return Units(
        found=sorted(clear, key=lambda unit: -abs(unit.correlation)),
        chance=chance,
        text=text,
        activations=activations,
    )


def _liveliest(signal: Doubles) -> int:
    """Where the stretch begins in which a signal (n,) moves most; the first of equals."""
    starts = range(0, max(1, len(signal) - STRETCH + 1), STRETCH)
    return max(starts, key=lambda start: float(signal[start : start + STRETCH].std()))


def read(generator: Generator, text: str) -> Floats:
    """Activations h (layers, H, n) after each character of `text`."""
    vocabulary = generator.model.vocabulary
    state = None if vocabulary.bos is None else generator.unconditioned()
    activations = np.empty(
        (len(text), generator.model.config.layers, generator.model.config.hidden), np.float32
    )
    for at, character in enumerate(text):
        _, state = generator.continue_score(vocabulary.encode(character), state)
        activations[at] = state.hidden[:, 0]
    result: Floats = activations.transpose(1, 2, 0)
    return result


def correlations(activations: Floats, signal: Doubles) -> Doubles:
    """Pearson's r of each row of `activations` (units, n) with `signal` (n,); 0 where a row never moves."""
    rows = activations - activations.mean(axis=1, keepdims=True)
    centred = signal - signal.mean()
    sizes = np.sqrt((rows**2).sum(axis=1) * (centred**2).sum())
    result: Doubles = np.divide(rows @ centred, sizes, out=np.zeros(len(rows)), where=sizes > 0)
    return result


def signals(text: str) -> Mapping[str, Doubles]:
    """What is true of a text after each of its characters (n,), by name."""
    return {name: np.fromiter(follow(text), np.float64, len(text)) for name, follow in SIGNALS.items()}


def _each(test: Callable[[str], bool]) -> Callable[[str], Any]:
    return lambda text: map(test, text)


def _since(test: Callable[[str], bool]) -> Callable[[str], Any]:
    """Characters since the last one that passes the test."""

    def follow(text: str) -> Any:
        count = 0
        for character in text:
            count = 0 if test(character) else count + 1
            yield count

    return follow


def _quoted(text: str) -> Any:
    inside = False
    for character in text:
        inside ^= character in QUOTES
        if character == "\n":  # a quote that nobody closed
            inside = False
        yield inside


def _bracketed(text: str) -> Any:
    open_ones: list[str] = []
    for character in text:
        if character in BRACKETS:
            open_ones.append(BRACKETS[character])
        elif open_ones and character == open_ones[-1]:
            open_ones.pop()
        yield bool(open_ones)


def _indentation(text: str) -> Any:
    """How far the line is indented, once its first character that is no space has come; before, so far."""
    spaces, leading = 0, True
    for character in text:
        if character == "\n":
            spaces, leading = 0, True
        elif leading and character == " ":
            spaces += 1
        else:
            leading = False
        yield spaces


def _speaker(text: str) -> Any:
    """Whether the line so far is in capitals, two at least: a heading, or who speaks in a play."""
    line = ""
    for character in text:
        line = "" if character == "\n" else line + character
        yield len(line) > 1 and line.isupper()


SIGNALS: Mapping[str, Callable[[str], Any]] = {
    "inside quotes": _quoted,
    "inside brackets": _bracketed,
    "place in the line": _since(lambda c: c == "\n"),
    "indentation": _indentation,
    "a line in capitals": _speaker,
    "place in the word": _since(lambda c: not c.isalnum()),
    "place in the sentence": _since(SENTENCE.__contains__),
    "a line has just ended": _each(lambda c: c == "\n"),
    "a space": _each(lambda c: c == " "),
    "a digit": _each(str.isdigit),
    "a capital letter": _each(str.isupper),
    "a vowel": _each("aeiouAEIOU".__contains__),
    "punctuation": _each(".,;:!?".__contains__),
}


def shades(activation: npt.NDArray[Any]) -> list[int]:
    """Activations (n,) about their middle as whole numbers from -4 to 4: the lowest -4, the highest 4."""
    low, high = float(activation.min()), float(activation.max())
    if low == high:
        return [0] * len(activation)
    levels: list[int] = np.rint(8 * (activation - low) / (high - low) - 4).astype(int).tolist()
    return levels
