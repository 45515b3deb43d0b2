"""The likeliest ways to go on, up to the end of a word, with their probabilities."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from itertools import count

import numpy as np

from charloom.runtime.arrays import Floats
from charloom.runtime.generator import Generator
from charloom.runtime.state import State

LONGEST = 16  # characters; scripts that write no spaces would otherwise never come to an end
UNLIKELY = 1e-4  # characters below this probability begin no word worth showing
MOST_STEPS = 400  # of the network: a tenth of a second at hidden 512


@dataclass(frozen=True)
class Continuation:
    """A piece of text that may come next, and the probability that it does, as a whole piece."""

    text: str
    probability: float


def continuations(generator: Generator, state: State, wanted: int) -> list[Continuation]:
    """The `wanted` likeliest pieces after `state`, likeliest first; fewer where the model sees fewer.

    A piece is a word with the white space before it, or one other mark with the same. The probability of
    a word is that of its letters, times that of anything but a letter after them. The search is exact
    best-first (Dijkstra 1959) on −ln p, as long as its steps last.
    """
    vocabulary = generator.model.vocabulary
    tokens = [token if isinstance(token, str) else "" for token in vocabulary.tokens]
    letters = np.array([is_letter(token) for token in tokens])
    drawable = np.array([token != "" for token in tokens])
    order = count()  # breaks ties, so that states are never compared
    heap: list[tuple[float, int, str, State | None]] = [(0.0, next(order), "", state)]
    found: list[Continuation] = []
    steps = 0
    while heap and len(found) < wanted and steps < MOST_STEPS:
        cost, _, text, before = heapq.heappop(heap)
        if before is None:
            found.append(Continuation(text, math.exp(-cost)))
            continue
        here = generator.prime(text[-1], before) if text else before
        steps += 1
        chances = _chances(here.logits, drawable)
        word = text != "" and is_letter(text[-1])
        if word:
            ends = float(chances[~letters].sum()) if len(text) < LONGEST else 1.0
            if ends > 0:
                heapq.heappush(heap, (cost - math.log(ends), next(order), text, None))
            if len(text) >= LONGEST:
                continue
        for token in np.flatnonzero(chances >= UNLIKELY).tolist():
            character = tokens[token]
            if word and not letters[token]:
                continue
            whole = not letters[token] and not character.isspace()
            longer = text + character
            if len(longer) > LONGEST:
                continue
            entry = None if whole else here
            heapq.heappush(heap, (cost - math.log(chances[token]), next(order), longer, entry))
    return found


def is_letter(character: str) -> bool:
    """Whether a character is part of a word: letters, digits, marks on letters, the apostrophe."""
    return character.isalnum() or character in "'’_" or (character > "\x7f" and not character.isspace())


def _chances(
    logits: Floats, drawable: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The softmax over characters alone, (V,)."""
    masked = np.where(drawable, logits, -np.inf).astype(np.float64)
    powers = np.exp(masked - masked.max())
    return powers / powers.sum()  # type: ignore[no-any-return]
