"""Held-out loss during training: quick, and the same number that `eval` gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from charloom.text.corpus import Part
from charloom.text.vocabulary import Vocabulary
from charloom.training.batches import Ids
from charloom.training.device import Place
from charloom.training.network import Network

MOST_CHARACTERS = 2**20  # the error of a mean over a million characters is below what matters
WARM = 256  # characters read before a piece is scored; the state has then forgotten that it began at zero
PIECE = 1024  # scored characters a row: four times as many as are read to warm up
ROWS = 128


@dataclass(frozen=True)
class Piece:
    """ids[start:end] of one text, whose first `warm` targets are read but not scored."""

    start: int
    end: int
    warm: int


class HeldOut:
    """The loss on one part, in nats a character.

    A long text is cut into pieces, each read after the 256 characters before it, so that rows run side
    by side and yet nearly carry the state of one stream; a document is read from a zero state. `<eos>`
    counts to the sum of nats but not to the characters, `<bos>` to neither, an unknown character's
    bytes ln 256 more each. Where no `<bos>` comes before it, a text's first character counts to neither.
    """

    def __init__(self, part: Part, vocabulary: Vocabulary, place: Place, most: int = MOST_CHARACTERS) -> None:
        self._ids = part.ids
        self._bos = vocabulary.bos
        self._place = place
        bounds = np.array([0, len(part.ids)]) if part.documents is None else part.documents
        self._pieces = _pieces(bounds.astype(np.int64), most)
        self._characters = np.ones(len(vocabulary))  # of the text, that a row stands for
        self._characters[list(vocabulary.specials.values())] = 0
        self._spelling = np.zeros(len(vocabulary))  # nats that say which byte it is
        if vocabulary.byte is not None:
            counts = np.bincount(part.ids, minlength=len(vocabulary))
            strange = part.characters - counts @ self._characters
            self._characters[vocabulary.byte] = strange / max(1, counts[vocabulary.byte])
            self._spelling[vocabulary.byte] = math.log(256)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to score."""
        return not self._pieces

    @torch.no_grad()
    def nats(self, network: Network, stop: Callable[[], object] = lambda: False) -> float | None:
        """Mean nats a character; NaN where there is no text to score, None where `stop` cut it short."""
        total, characters = 0.0, 0.0
        for first in range(0, len(self._pieces), ROWS):
            read, scored = self._gather(self._pieces[first : first + ROWS])
            with self._place.autocast():
                nats = self._score(network, read, scored, stop)
            if nats is None:
                return None
            targets = read[:, 1:][scored]
            total += nats + float(self._spelling[targets].sum())
            characters += float(self._characters[targets].sum())
        return total / characters if characters else math.nan

    def _gather(self, pieces: list[Piece]) -> tuple[Ids, Ids]:
        longest = max(piece.end - piece.start for piece in pieces)
        read = np.zeros((len(pieces), longest), np.int64)  # (B, T + 1)
        scored = np.zeros((len(pieces), longest - 1), bool)  # (B, T)
        for row, piece in enumerate(pieces):
            length = piece.end - piece.start
            read[row, :length] = self._ids[piece.start : piece.end]
            scored[row, piece.warm : length - 1] = True
        if self._bos is not None:
            scored &= read[:, 1:] != self._bos
        return read, scored

    def _score(self, network: Network, read: Ids, scored: Ids, stop: Callable[[], object]) -> float | None:
        device = self._place.device
        state = network.zero_state(len(read))
        total = 0.0
        for start in range(0, read.shape[1] - 1, WARM):
            if stop():
                return None
            window = torch.from_numpy(read[:, start : start + WARM + 1]).to(device)
            counted = torch.from_numpy(scored[:, start : start + WARM]).to(device)
            logits, state = network(window[:, :-1], state)
            if counted.any():
                losses = functional.cross_entropy(
                    logits[counted].float(), window[:, 1:][counted], reduction="sum"
                )
                total += losses.item()
        return total


def _pieces(bounds: Ids, most: int) -> list[Piece]:
    """At most `most` scored targets, in pieces of like lengths side by side."""
    pieces: list[Piece] = []
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        for target in range(start + 1, end, PIECE):
            if most <= 0:
                break
            last = min(target + PIECE, end, target + most)
            begin = max(start, target - 1 - WARM)
            pieces.append(Piece(begin, last, target - 1 - begin))
            most -= last - target
    return sorted(pieces, key=lambda piece: piece.end - piece.start)
