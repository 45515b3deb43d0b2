"""`--match`: a regular expression as a table over the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charloom.runtime.arrays import Ids

NEVER = np.int32(2**30)
"""More characters than any text has."""


@dataclass(frozen=True, eq=False)
class Automaton:
    """S states, state 0 the start; tables of int32.

    `follow` (S, V) is the state after an id, -1 where the text could no longer match. Where `<eos>` may be
    drawn, it leads from every accepting state to itself. `distance` (S,) is how many characters a match is
    away at least, the id that led to the state counted apart: 0 in accepting states, and one less inside a
    character of several bytes, which counts when it is whole. `ends` (S, 2): how many characters the next
    match is away that is longer than the text so far, NEVER where there is none; and 1 for a state inside
    a character.
    """

    follow: Ids
    distance: Ids
    ends: Ids

    @property
    def shortest(self) -> int:
        """Characters of the shortest match."""
        return int(self.distance[0])


def side_by_side(automata: Sequence[Automaton], vocabulary: int) -> tuple[Automaton, list[int]]:
    """Several automata as one, and where each starts in it."""
    starts, total = [], 0
    follow = [np.zeros((0, vocabulary), np.int32)]
    for automaton in automata:
        starts.append(total)
        follow.append(np.where(automaton.follow < 0, np.int32(-1), automaton.follow + np.int32(total)))
        total += len(automaton.distance)
    distance = [np.zeros(0, np.int32), *(automaton.distance for automaton in automata)]
    ends = [np.zeros((0, 2), np.int32), *(automaton.ends for automaton in automata)]
    return Automaton(np.concatenate(follow), np.concatenate(distance), np.concatenate(ends)), starts
