"""What a user may ask of the sampler, checked once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from charloom.errors import UsageError
from charloom.runtime.arrays import Doubles, Floats
from charloom.runtime.draw import MOST_SEED

if TYPE_CHECKING:
    from charloom.text.vocabulary import Vocabulary

MOST_TEMPERATURE = 100
"""At 100 a lead of ten nats is a factor of 1.1: uniform for every purpose."""

MIN_TEMPERATURE = 1e-30
"""Below it, quotients leave float32, and the smallest lead is certainty: greedy."""

MAX_BIAS = 10_000  # nats: certainty, and far from the ends of float32
MOST_BEST_OF = 1000
MOST_STRENGTH = 100  # the units that keep a condition have reached their ends long before

UNBOUNDED = 2**31 - 1
NUMBERS = {
    "temperature": (0, MOST_TEMPERATURE, "0 is greedy"),
    "top_p": (0, 1, "1 keeps every character"),
    "min_p": (0, 1, "0 keeps every character"),
    "frequency_penalty": (-100, 100, "0 is none"),
    "presence_penalty": (-100, 100, "0 is none"),
    "strength": (0, MOST_STRENGTH, "1 is as learned, 0 is without a condition"),
    "top_k": (0, UNBOUNDED, "0 keeps every character"),
    "no_repeat": (0, UNBOUNDED, "0 is no such rule"),
    "length": (1, UNBOUNDED, "it counts characters"),
    "best_of": (1, MOST_BEST_OF, "1 takes the first"),
    "seed": (0, MOST_SEED, "the same seed gives the same text"),
}
"""Of each number: the least, the most, and a hint."""


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """How to sample; `charloom.runtime.sampler` states the order in which the options apply.

    Raises UsageError for a value out of its range.
    """

    temperature: float = 1.0  # the distribution that was learned
    top_k: int = 0  # 0: every id
    top_p: float = 1.0  # 1: every id
    min_p: float = 0.0  # 0: every id
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    no_repeat: int = 0  # never the same N characters twice, the prompt's included; 0: no such rule
    bias: Mapping[str, float] = field(default_factory=dict)  # character: nats to add to its logit
    ban: str = ""  # characters that never appear
    only: str = ""  # if any, no other characters appear
    stop: str | Sequence[str] = ()  # the text ends before the first of these
    match: str = ""  # if any, the text matches this regular expression
    length: int = 300  # characters; the lesson's
    ignore_eos: bool = False
    best_of: int = 1  # of so many texts, the likeliest a character
    strength: float = 1.0  # of what is learned of the condition; 3 keeps to it more, and varies less
    seed: int = 0  # the same settings give the same text

    def __post_init__(self) -> None:
        for name, (least, most, hint) in NUMBERS.items():
            kind = int if isinstance(getattr(SamplerConfig, name), int) else float
            object.__setattr__(self, name, _number(name, getattr(self, name), kind, least, most, hint))
        if self.top_p == 0:
            raise UsageError("top_p is 0, which keeps no character; temperature 0 is greedy")
        for name in ("ban", "only", "match"):
            if not isinstance(getattr(self, name), str):
                raise UsageError(f"{name} is {getattr(self, name)!r:.60}; it takes a string")
        if not isinstance(self.ignore_eos, bool | np.bool_):
            raise UsageError(f"ignore_eos is {self.ignore_eos!r:.60}; it takes true or false")
        object.__setattr__(self, "ignore_eos", bool(self.ignore_eos))
        stops = (self.stop,) if isinstance(self.stop, str) else self.stop
        if not isinstance(stops, list | tuple) or not all(isinstance(stop, str) for stop in stops):
            raise UsageError(f"stop is {stops!r:.60}; it takes a string, or several in a list")
        if not all(stops):
            raise UsageError("stop: a string is empty, so that no text could begin; leave it out")
        object.__setattr__(self, "stop", tuple(stops))
        if not isinstance(self.bias, Mapping):
            raise UsageError(f"bias is {self.bias!r:.60}; it takes nats by character, as in {{'a': -1}}")
        bias = {}
        for character, nats in self.bias.items():
            if not isinstance(character, str) or len(character) != 1:
                raise UsageError(f"bias for {character!r:.60}: it takes one character at a time")
            what, hint = f"bias for {character!r}", "-inf forbids the character"
            number = _number(what, nats, float, -math.inf, MAX_BIAS, hint)
            bias[character] = number if number == -math.inf else max(number, -MAX_BIAS)
        object.__setattr__(self, "bias", bias)

    def row(self) -> Doubles:
        """The options as the kernels read them; places in `charloom.runtime.sampler`."""
        numbers = (
            self.temperature if self.temperature >= MIN_TEMPERATURE else 0,
            self.top_k,
            self.top_p,
            self.min_p,
            self.frequency_penalty,
            self.presence_penalty,
            self.no_repeat,
        )
        return np.array(numbers, dtype=np.float64)

    def added(self, vocabulary: Vocabulary) -> Floats:
        """What is added to every logit, (V,): biases, and -inf for what must not be drawn.

        `<bos>`, `<sep>` and `<byte>` are never drawn, `<eos>` unless ignored. What `ban` and `only` name
        and the model does not know changes nothing. In a model of bytes each byte of a character is
        meant. Raises UsageError for a bias on an unknown character, or where nothing is left to draw.
        """
        result = np.zeros(len(vocabulary), np.float32)
        if self.only:
            result[:] = -np.inf
            result[_ids(self.only, vocabulary)] = 0
            if vocabulary.eos is not None:
                result[vocabulary.eos] = 0
        for character, nats in self.bias.items():
            if not (ids := _ids(character, vocabulary)):
                raise UsageError(f"bias: the model does not know the character {character!r}; leave it out")
            result[ids] += np.float32(nats)
        if self.ban:
            result[_ids(self.ban, vocabulary)] = -np.inf
        for name, special in vocabulary.specials.items():
            if name != "<eos>" or self.ignore_eos:
                result[special] = -np.inf
        if np.delete(result, [i for i in (vocabulary.eos,) if i is not None]).max(initial=-np.inf) == -np.inf:
            raise UsageError("ban and only leave no character to draw; loosen one of them")
        return result


def _ids(characters: str, vocabulary: Vocabulary) -> list[int]:
    """The id of each character that the model knows; in unit byte all bytes of each."""
    if vocabulary.unit == "byte":
        return list(characters.encode("utf-8", "surrogatepass"))
    return [i for i in map(vocabulary.places.get, characters) if i is not None]


def _number(name: str, value: Any, kind: type[float], least: float, most: float, hint: str) -> float:
    """Return a number of Python's, an int where `kind` is int, from any number in the range, NumPy's too."""
    accepted = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if not accepted or not least <= value <= most:
        what = "a whole number" if kind is int else "a number"
        limit = f"of at least {least}" if most == UNBOUNDED else f"from {least} to {most}"
        raise UsageError(f"{name} is {value!r:.60}; it takes {what} {limit} ({hint})")
    return kind(value)
