"""One text that a request asked for: what is known before it is written, and how its tokens are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Literal, NamedTuple

import numpy as np

from charloom.runtime.arrays import Floats, Ids
from charloom.runtime.automaton import Automaton
from charloom.runtime.batch import Stream
from charloom.runtime.options import SamplerConfig
from charloom.runtime.state import State
from charloom.text.vocabulary import Special, Vocabulary

Ending = Literal["length", "stop", "eos", "match", "time", "shutdown", "failed"]
"""Why a text ended; the last three are the server's."""


class Token(NamedTuple):
    """An id as a client sees it; `at` is how many characters of the text come before it.

    nats is its log-probability and expected the entropy of what was expected, NaN where nothing came before;
    top the likeliest alternatives with theirs.
    """

    text: str
    at: int
    nats: float
    expected: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What is read before a text is written: from `start`, the rows `before` and then the prompt's `ids`.

    `text` is the prompt in the form that the model reads; `key` tells one beginning from another.
    """

    text: str
    start: State
    before: Ids
    ids: Ids
    key: bytes


@dataclass(frozen=True)
class Update:
    """What one moment of the engine brought to one job."""

    piece: str = ""
    tokens: tuple[Token, ...] = ()
    ending: Ending | None = None


@dataclass(eq=False, kw_only=True)
class Job:
    """One text in the queue, on its way, or written. `hear` is called with each Update, in order.

    `scored` asks for the tokens of the prompt, `top` for those of the text, with so many alternatives, -1
    for none of it; `ranked` for the likelihood of the whole. `length` 0 writes nothing.
    """

    prompt: Prompt
    settings: SamplerConfig
    hear: Callable[[Update], None]
    length: int
    automaton: Automaton | None = None
    number: int = 0
    candidate: int = 0
    scored: bool = False
    top: int = -1
    ranked: bool = False
    stream: Stream | None = None
    moment: float = 0.0  # when it was asked for, then when its last piece came
    began: bool = False  # whether a first piece came
    speller: Speller | None = None


@dataclass
class Speller:
    """Ids and log-probabilities of one text as tokens, in step with the text that is let out.

    `start` characters come before the text.
    """

    vocabulary: Vocabulary
    top: int
    start: int = 0
    _waiting: list[Token] = field(default_factory=list)
    _nats: float = 0.0  # of the tokens let out
    _count: int = 0

    def __post_init__(self) -> None:
        self._decoder = self.vocabulary.decoder()
        self._written = self.start  # characters that the ids so far spell
        self._told = self.start  # characters let out

    def add(self, normal: Floats, ids: Ids) -> None:
        """Ids (n,), of which normal (n, V) holds the log-probabilities of all that might have come."""
        rows = self.vocabulary.rows(ids)
        nats = normal[np.arange(len(ids)), rows] - np.where(
            ids >= len(self.vocabulary), np.float32(np.log(256)), np.float32(0)
        )
        expected = -np.where(np.isneginf(normal), np.float32(0), np.exp(normal) * normal).sum(axis=1)
        best = np.argsort(-normal, axis=1, kind="stable")[:, : max(self.top, 0)]
        for i, k in enumerate(ids.tolist()):
            known = not np.isnan(nats[i])
            top = [(name(self.vocabulary, int(b)), float(normal[i, b])) for b in best[i] if known]
            if top and k not in best[i]:  # as OpenAI's, the alternatives include what was drawn
                top.append((name(self.vocabulary, k), float(nats[i])))
            self._written += len(self._decoder.feed([k]))
            # bytes before this id that no character came of are U+FFFD by now, and stand before it
            own = k not in self.vocabulary.specials.values() and not self._decoder.pending
            self._waiting.append(
                Token(
                    name(self.vocabulary, k),
                    self._written - own,
                    float(nats[i]),
                    float(expected[i]),
                    tuple(top),
                )
            )

    def told(self, characters: int | None = None) -> tuple[Token, ...]:
        """The tokens of the next characters that are let out; without a number, of all that are whole."""
        self._told = self._written if characters is None else self._told + characters
        out = tuple(takewhile(lambda token: token.at < self._told, self._waiting))
        del self._waiting[: len(out)]
        self._nats += sum(token.nats for token in out)
        self._count += len(out)
        return out

    def end(self) -> None:
        """`<eos>` was drawn: it has no text, and counts all the same."""
        self._nats += self._waiting[-1].nats
        self._count += 1

    @property
    def likelihood(self) -> float:
        """Nats a drawn id of what was let out: by the sum, the shortest would always win."""
        return self._nats / max(self._count, 1)


def name(vocabulary: Vocabulary, k: int) -> str:
    r"""An id as a token of OpenAI's clients: the character, `bytes:\xe2` for a byte of one, or `<eos>`."""
    token = vocabulary.tokens[k] if k < len(vocabulary) else k - len(vocabulary)
    if isinstance(token, Special):
        return token.name
    if isinstance(token, int):
        return chr(token) if token < 128 else f"bytes:\\x{token:02x}"
    return token
