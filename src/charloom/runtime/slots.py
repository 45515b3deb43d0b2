"""The arrays on which streams advance in lockstep, a row a stream; kernels and twins write into them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from charloom.model.config import ModelConfig
from charloom.runtime.arrays import Bytes, Doubles, Floats, Ids, Longs, aligned, padded
from charloom.runtime.sampler import OPTIONS

RUNNING, ENDED_BY_EOS, ENDED_BY_MATCH = range(3)

SEED, STREAM, CANDIDATE = range(3)


@dataclass
class Slots:
    """B rows; widths are padded to whole vectors (H to Hp, V to Vp, the logits there -inf)."""

    state: Floats  # (layers, parts, B, Hp)
    logits: Floats  # (B, Vp) after the last id
    added: Floats  # (B, Vp) biases and bans
    options: Doubles  # (B, OPTIONS)
    keys: Longs  # (B, 3) seed, stream, candidate
    t: Longs  # (B,) ids drawn so far
    left: Longs  # (B,) ids that may still be drawn
    counts: Ids  # (B, V) of each id drawn, for the penalties
    history: Ids  # (B, any) ids read and drawn, for no_repeat; as wide as needed
    used: Longs  # (B,) filled part of history
    place: Ids  # (B,) state of the automaton of `match`; -1 for none
    drawn: Ids  # (B, stretch) the ids of the latest stretch
    count: Ids  # (B,) how many of them
    ended: Bytes  # (B,) RUNNING, ENDED_BY_EOS, ENDED_BY_MATCH
    trace: Floats  # (B, stretch, Vp) the logits each id was drawn from; (B, 0, Vp) when not asked for
    halt: Bytes  # (1,) for all rows: nonzero ends a stretch after the step under way; set from any thread

    @classmethod
    def of(cls, config: ModelConfig, vocabulary: int, rows: int) -> Slots:
        """Empty slots for so many streams of a model with V = `vocabulary`."""
        wide, hidden = padded(vocabulary), padded(config.hidden)
        slots = cls(
            state=aligned((config.layers, config.parts, rows, hidden)),
            logits=aligned((rows, wide)),
            added=aligned((rows, wide)),
            options=np.zeros((rows, OPTIONS)),
            keys=np.zeros((rows, 3), np.int64),
            t=np.zeros(rows, np.int64),
            left=np.zeros(rows, np.int64),
            counts=np.zeros((rows, vocabulary), np.int32),
            history=np.zeros((rows, 0), np.int32),
            used=np.zeros(rows, np.int64),
            place=np.full(rows, -1, np.int32),
            drawn=np.zeros((rows, 0), np.int32),
            count=np.zeros(rows, np.int32),
            ended=np.zeros(rows, np.int8),
            trace=np.zeros((rows, 0, wide), np.float32),
            halt=np.zeros(1, np.int8),
        )
        slots.logits.fill(-np.inf)
        return slots

    def move(self, source: int, target: int) -> None:
        """Copy one row over another."""
        self.state[:, :, target] = self.state[:, :, source]
        for field in fields(self)[1:-1]:
            array = getattr(self, field.name)
            array[target] = array[source]
