"""From drawn ids to text that may be shown: whole characters, cut at the length, nothing of a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from charloom.runtime.arrays import Ids
from charloom.text.vocabulary import Vocabulary

FinishReason = Literal["length", "stop", "eos", "match"]


class Writer:
    """The text of one stream as it grows. `finish_reason` is None until it has ended."""

    def __init__(self, vocabulary: Vocabulary, length: int, stop: Sequence[str]) -> None:
        self._vocabulary = vocabulary
        self._decoder = vocabulary.decoder()
        self._stop = tuple(stop)
        self._left = length
        self._held = ""
        self._pieces: list[str] = []
        self.finish_reason: FinishReason | None = None

    @property
    def text(self) -> str:
        """All that was delivered so far."""
        return "".join(self._pieces)

    @property
    def left(self) -> int:
        """Characters still to come at most, those held back counted as come."""
        return self._left - len(self._held)

    def feed(self, ids: Ids, ended: FinishReason | None = None) -> str:
        """The text that these ids make certain; `ended` tells that no more will come, and why."""
        text = self._held + self._decoder.feed(ids)
        if ended is not None:
            text += self._decoder.flush()
        if len(text) >= self._left:
            text, ended = text[: self._left], "length"
        at = min((i for i in map(text.find, self._stop) if i >= 0), default=-1)
        if at >= 0:
            text, ended = text[:at], "stop"
        cut = len(text) if ended else len(text) - self._beginning(text)
        piece, self._held = text[:cut], text[cut:]
        self._left -= len(piece)
        self._pieces.append(piece)
        self.finish_reason = ended
        return piece

    def ids_kept(self, ids: Ids) -> int:
        """How many of all the ids fed it takes to spell the delivered text (all, unless it was cut)."""
        if self.finish_reason in ("eos", "match"):
            return len(ids)
        decoder, characters = self._vocabulary.decoder(), len(self.text)
        for kept, token in enumerate(ids):
            if characters <= 0:
                return kept
            characters -= len(decoder.feed(token))
        return len(ids)

    def _beginning(self, text: str) -> int:
        """The length of the longest end of `text` with which a stop string begins."""
        longest = max(map(len, self._stop), default=1) - 1
        for size in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self._stop):
                return size
        return 0
