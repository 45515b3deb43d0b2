"""What a user may ask of the sampler, checked once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from charloom.errors import UsageError
from charloom.runtime.arrays import Doubles, Floats
from charloom.runtime.draw import MOST_SEED

if TYPE_CHECKING:
    from charloom.text.vocabulary import Vocabulary

MOST_TEMPERATURE = 100.0
"""At 100 a lead of ten nats is a factor of 1.1: uniform for every purpose."""

MOST_BEST_OF = 1000
MOST_STRENGTH = 100.0  # the units that keep a condition have reached their ends long before


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
    stop: tuple[str, ...] = ()  # the text ends before the first of these
    match: str = ""  # if any, the text matches this regular expression
    length: int = 300  # characters; the lesson's
    ignore_eos: bool = False
    best_of: int = 1  # of so many texts, the likeliest a character
    strength: float = 1.0  # of what is learned of the condition; 3 keeps to it more, and varies less
    seed: int = 0  # the same settings give the same text

    def __post_init__(self) -> None:
        _number("temperature", self.temperature, 0, MOST_TEMPERATURE, "0 is greedy")
        _number("top_p", self.top_p, 0, 1, "1 keeps every character")
        if self.top_p == 0:
            raise UsageError("top_p is 0, which keeps no character; temperature 0 is greedy")
        _number("min_p", self.min_p, 0, 1, "0 keeps every character")
        _number("frequency_penalty", self.frequency_penalty, -100, 100, "0 is none")
        _number("presence_penalty", self.presence_penalty, -100, 100, "0 is none")
        _number("strength", self.strength, 0, MOST_STRENGTH, "1 is as learned, 0 is without a condition")
        _whole("top_k", self.top_k, 0, 2**31 - 1, "0 keeps every character")
        _whole("no_repeat", self.no_repeat, 0, 2**31 - 1, "0 is no such rule")
        _whole("length", self.length, 1, 2**31 - 1, "it counts characters")
        _whole("best_of", self.best_of, 1, MOST_BEST_OF, "1 takes the first")
        _whole("seed", self.seed, 0, MOST_SEED, "the same seed gives the same text")
        if any(not stop for stop in self.stop):
            raise UsageError("a stop string is empty, so that no text could begin; leave it out")
        for character, nats in self.bias.items():
            if len(character) != 1:
                raise UsageError(f"bias for {character!r}: it takes one character at a time")
            if math.isnan(nats) or nats == math.inf:
                raise UsageError(f"bias for {character!r} is {nats}; it takes a number, or -inf to ban")

    def row(self) -> Doubles:
        """The options as the kernels read them; places in `charloom.runtime.sampler`."""
        numbers = (
            self.temperature,
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


def _number(name: str, value: float, least: float, most: float, hint: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise UsageError(f"{name} is {value!r}; it takes a number from {least:g} to {most:g} ({hint})")


def _whole(name: str, value: int, least: int, most: int, hint: str) -> None:
    if type(value) is not int or not least <= value <= most:
        limit = f"from {least} to {most}" if most < 2**31 - 1 else f"of at least {least}"
        raise UsageError(f"{name} is {value!r}; it takes a whole number {limit} ({hint})")
