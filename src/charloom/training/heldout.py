"""Held-out loss during training: quick, and of the characters that it looks at what `eval` gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from charloom.text.condition import Condition
from charloom.text.corpus import Part
from charloom.text.parts import in_source
from charloom.text.vocabulary import Vocabulary
from charloom.training.batches import UNCOUNTED, Ids
from charloom.training.device import Place
from charloom.training.network import Network
from charloom.training.ranks import Ranks

MIN_CHARACTERS, MAX_CHARACTERS = 2**13, 2**20  # beyond a million a mean's error is below what matters
WARM = 256  # characters read before a piece is scored; the state has then forgotten that it began at zero
PIECE = 1024  # scored characters a row: four times as many as are read to warm up
ROWS = 128
STRETCH = 2**22  # ids that are counted at a time


@dataclass(frozen=True)
class Piece:
    """ids[start:end] of a document, whose first `warm` targets are read but not scored."""

    start: int
    end: int
    warm: int
    document: int


class HeldOut:
    """The loss on one part, in nats a character.

    A long text is cut into pieces, each read after the `WARM` characters before it, so that rows run side
    by side and yet nearly carry the state of one stream; a document is read from a zero state. `<eos>`
    counts to the sum of nats but not to the characters, `<bos>` to neither, an unknown character's
    bytes ln 256 more each. Where no `<bos>` comes before it, a text's first character counts to neither.
    Of a part larger than `most` characters, about so many are scored, evenly spread over it. With conditions
    or sources, a document is read from its beginning, and no source is scored.
    """

    def __init__(
        self,
        part: Part,
        vocabulary: Vocabulary,
        place: Place,
        conditions: Sequence[Condition] = (),
        most: int = MAX_CHARACTERS,
        ranks: Ranks | None = None,
    ) -> None:
        self._ranks = ranks or Ranks()
        self._part = part
        self._ids = part.ids
        self._bos, self._sep = vocabulary.bos, vocabulary.sep
        self._place = place
        self._conditions = conditions
        self.limit(most)
        self._characters = np.ones(len(vocabulary))  # of the text, that a row stands for
        self._characters[list(vocabulary.specials.values())] = 0
        self._spelling = np.zeros(len(vocabulary))  # nats that say which byte it is
        if vocabulary.byte is not None:
            counts = np.zeros(len(vocabulary), np.int64)
            for ids in _stretches(part):
                counts += np.bincount(ids[~in_source(ids, vocabulary)[0]], minlength=len(vocabulary))
            strange = part.characters - counts @ self._characters
            self._characters[vocabulary.byte] = strange / max(1, counts[vocabulary.byte])
            self._spelling[vocabulary.byte] = math.log(256)

    def limit(self, most: int) -> None:
        """Score about `most` characters from now on."""
        bounds = np.array([0, len(self._ids)]) if self._part.documents is None else self._part.documents
        self._apart = apart = max(1, -(-(len(bounds) - 1) // most))  # a list of all may be larger than memory
        starts, ends = np.array(bounds[:-1:apart], np.int64), np.array(bounds[1::apart], np.int64)
        whole = bool(self._conditions) or self._sep is not None
        self._pieces = _pieces(starts, ends, most, whole=whole)

    @property
    def characters(self) -> int:
        """Return how many targets an evaluation reads, about."""
        return sum(piece.end - piece.start - 1 - piece.warm for piece in self._pieces)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to score."""
        return not self._pieces

    @torch.no_grad()
    def nats(self, network: Network, stop: Callable[[], object] = lambda: False) -> float | None:
        """Mean nats a character; NaN where there is no text to score, None where `stop` cut it short."""
        total, characters, stopped = 0.0, 0.0, False
        for first in range(ROWS * self._ranks.rank, len(self._pieces), ROWS * self._ranks.size):
            pieces = self._pieces[first : first + ROWS]
            read, scored = self._gather(pieces)
            state = self._begin(network, pieces)
            with self._place.autocast():
                nats = self._score(network, state, read, scored, stop)
            if stopped := nats is None:
                break
            targets = read[:, 1:][scored]
            total += nats + float(self._spelling[targets].sum())
            characters += float(self._characters[targets].sum())
        total, characters, cut_short = self._ranks.total([total, characters, stopped])
        if cut_short:
            return None
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
        if self._sep is not None:
            scored &= (np.cumsum(read == self._sep, axis=1) > 0)[:, :-1]
        return read, scored

    def _begin(self, network: Network, pieces: list[Piece]) -> Tensor:
        """The state before each piece."""
        zero = network.zero_state(len(pieces))
        documents = self._apart * np.array([piece.document for piece in pieces])
        if not self._conditions:
            return zero
        condition = torch.from_numpy(self._part.vectors(self._conditions, documents)).to(zero.device)
        return network.begun(zero, torch.ones(len(pieces), dtype=torch.bool, device=zero.device), condition)

    def _score(
        self, network: Network, state: Tensor, read: Ids, scored: Ids, stop: Callable[[], object]
    ) -> float | None:
        device = self._place.device
        total = 0.0
        for start in range(0, read.shape[1] - 1, WARM):
            if stop():
                return None
            window = torch.from_numpy(read[:, start : start + WARM + 1]).to(device)
            counted = scored[:, start : start + WARM]
            if counted.any():
                targets = window[:, 1:].masked_fill(torch.from_numpy(~counted).to(device), UNCOUNTED)
                nats, state = network.nats(window[:, :-1], state, targets)
                total += nats.item()
            else:
                _, state = network.hidden(window[:, :-1], state)
        return total


def _stretches(part: Part) -> Iterator[Ids]:
    """The part's ids, some documents or a few million at a time: the part may be larger than memory."""
    if part.documents is None:
        borders = [*range(0, len(part.ids), STRETCH), len(part.ids)]
    else:
        wanted = np.arange(STRETCH, len(part.ids), STRETCH)
        found = np.searchsorted(part.documents, wanted)
        borders = [0, *part.documents[np.unique(found)].tolist(), len(part.ids)]
    for start, end in pairwise(borders):
        yield part.ids[start:end]


def _pieces(starts: Ids, ends: Ids, most: int, *, whole: bool = False) -> list[Piece]:
    """Of documents' targets all, or about `most`, evenly spread, in pieces; `whole` documents are not cut.

    Pieces of like lengths come side by side.
    """
    targets = np.maximum(ends - starts - 1, 0)
    counts = np.minimum(targets, 1) if whole else -(-targets // PIECE)
    after = np.cumsum(counts)
    count, total = int(counts.sum()), int(targets.sum())
    wanted = count if total <= most else max(1, count * most // total)
    pieces: list[Piece] = []
    for number in (np.arange(wanted) * count // max(wanted, 1)).tolist():
        document = int(np.searchsorted(after, number, side="right"))
        start, end = int(starts[document]), int(ends[document])
        target = start + 1 + PIECE * (number - int(after[document] - counts[document]))
        begin = max(start, target - 1 - WARM)
        last = end if whole else min(end, target + PIECE)
        pieces.append(Piece(begin, last, target - 1 - begin, document))
    return sorted(pieces, key=lambda piece: piece.end - piece.start)
