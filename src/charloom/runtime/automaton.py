"""`--match`: a regular expression as a table over the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charloom.runtime.arrays import Ids


@dataclass(frozen=True)
class Automaton:
    """S states, state 0 the start.

    follow (S, V): the state after an id, -1 where the text could no longer match. distance (S,): the
    fewest ids to a match, 0 in accepting states. Where the vocabulary has `<eos>`, it leads from every
    accepting state to itself.
    """

    follow: Ids
    distance: Ids

    def ends(self, eos: int) -> Ids:
        """(S,) 1 where nothing but `<eos>` (or -1, none) can follow."""
        further = self.follow >= 0
        if eos >= 0:
            further[:, eos] = False
        return np.where(further.any(axis=1), 0, 1).astype(np.int32)


def side_by_side(automata: Sequence[Automaton], vocabulary: int) -> tuple[Automaton, list[int]]:
    """Several automata as one, and where each starts in it."""
    starts, total = [], 0
    follow, distance = [np.zeros((0, vocabulary), np.int32)], [np.zeros(0, np.int32)]
    for automaton in automata:
        starts.append(total)
        follow.append(np.where(automaton.follow < 0, np.int32(-1), automaton.follow + np.int32(total)))
        distance.append(automaton.distance)
        total += len(automaton.distance)
    return Automaton(np.concatenate(follow), np.concatenate(distance)), starts
