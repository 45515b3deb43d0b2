"""A regular expression compiled to an automaton over a vocabulary, with a bound on its size and time.

greenery reads the expression: literals, classes, `.` (any character, line ends too), groups, `|`, and
the repetitions `* + ? {m,n}`. The whole text has to match; a leading `^` and a final `$` may be written.
From its tree we build the automaton ourselves, over the model's own ids and only as far as the bounds
below. Source: K. Thompson, "Regular expression search algorithm", CACM 11 (1968), and subset construction.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from charloom.errors import UsageError
from charloom.runtime.arrays import Floats, Ids
from charloom.runtime.automaton import Automaton
from charloom.text.vocabulary import Vocabulary

MOST_EXPRESSION = 2_000  # characters
MOST_POSITIONS = 20_000  # places in the expression with its repetitions written out
MOST_STATES = 20_000
MOST_ENTRIES = 20_000_000  # states times ids: 80 MB
MOST_SECONDS = 5.0
MOST_LISTED = 2_000  # characters outside ASCII in one class, for a model of bytes

_TAIL = (0x80, 0xBF)
WELL_FORMED = (
    ((0xC2, 0xDF), _TAIL),
    ((0xE0, 0xE0), (0xA0, 0xBF), _TAIL),
    ((0xE1, 0xEC), _TAIL, _TAIL),
    ((0xED, 0xED), (0x80, 0x9F), _TAIL),
    ((0xEE, 0xEF), _TAIL, _TAIL),
    ((0xF0, 0xF0), (0x90, 0xBF), _TAIL, _TAIL),
    ((0xF1, 0xF3), _TAIL, _TAIL, _TAIL),
    ((0xF4, 0xF4), (0x80, 0x8F), _TAIL, _TAIL),
)
"""Bytes of characters outside ASCII: the Unicode Standard, table 3-7."""

Mask = npt.NDArray[np.bool_]


def automaton(expression: str, vocabulary: Vocabulary, added: Floats) -> Automaton:
    """The automaton of `expression` over the ids whose entry in `added` (V,) is not -inf.

    Raises UsageError where the expression cannot be read, is too large, or matches nothing that the
    model can write.
    """
    from greenery import parse  # on use: few texts are matched, and every start would wait for it

    if len(expression) > MOST_EXPRESSION:
        raise UsageError(f"match: {len(expression)} characters are too many; write at most {MOST_EXPRESSION}")
    bare = expression.removeprefix("^")
    if bare.endswith("$") and not bare.endswith(r"\$"):
        bare = bare[:-1]
    try:
        tree = parse(bare)
    except (Exception, RecursionError) as error:  # the library's errors have no common base
        raise UsageError(f"match {expression!r:.60}: {error}; write it without that") from error
    allowed = np.isfinite(added)
    network = _Network(vocabulary, allowed)
    start, accept = network.state(), network.state()
    network.alternatives(tree, start, accept)
    follow, accepting = network.determined(start, accept)
    return _trimmed(
        follow, accepting, vocabulary.eos if vocabulary.eos is not None and allowed[vocabulary.eos] else None
    )


class _Network:
    """A nondeterministic automaton in the making: edges read an id of a set, or nothing."""

    def __init__(self, vocabulary: Vocabulary, allowed: Mask) -> None:
        self._vocabulary, self._allowed = vocabulary, allowed
        self._points = np.array(
            [
                -1 if not isinstance(token, str | int) else token if isinstance(token, int) else ord(token)
                for token in vocabulary.tokens
            ]
        )
        self._masks: dict[bytes, int] = {}
        self._sets: list[Mask] = []
        self._reads: list[list[tuple[int, int]]] = []  # of each state: (set, target)
        self._skips: list[list[int]] = []
        self._end = time.monotonic() + MOST_SECONDS

    def state(self) -> int:
        """A new state."""
        if len(self._reads) >= MOST_POSITIONS or time.monotonic() > self._end:
            raise _too_large()
        self._reads.append([])
        self._skips.append([])
        return len(self._reads) - 1

    def alternatives(self, pattern: Any, start: int, end: int) -> None:
        """Every alternative of a greenery Pattern, from one state to another."""
        for sequence in pattern.concs:
            at = start
            for part in sequence.mults:
                at = self._repeated(part, at)
            self._skips[at].append(end)

    def _repeated(self, part: Any, at: int) -> int:
        least, most = part.multiplier.min.v, part.multiplier.max.v
        for _ in range(least):
            at = self._once(part.multiplicand, at)
        if most is None:
            loop = self.state()
            self._skips[at].append(loop)
            self._skips[self._once(part.multiplicand, loop)].append(loop)
            return loop
        end = self.state()
        for _ in range(most - least):
            self._skips[at].append(end)
            at = self._once(part.multiplicand, at)
        self._skips[at].append(end)
        return end

    def _once(self, what: Any, at: int) -> int:
        end = self.state()
        if hasattr(what, "concs"):
            self.alternatives(what, at, end)
        elif self._vocabulary.unit == "byte":
            self._bytes(what, at, end)
        else:
            self._read(at, _inside(what, self._points), end)
        return end

    def _bytes(self, what: Any, at: int, end: int) -> None:
        """A class of characters as the bytes of their UTF-8."""
        ascii_ = np.arange(len(self._points)) < 128
        self._read(at, _inside(what, self._points) & ascii_, end)
        ranges = [(max(first, 128), last) for first, last in what.ord_ranges if last >= 128]
        if what.negated and not ranges:
            for ranges_of_bytes in WELL_FORMED:
                now = at
                for low, high in ranges_of_bytes:
                    then = self.state()
                    self._read(now, (self._points >= low) & (self._points <= high), then)
                    now = then
                self._skips[now].append(end)
        elif what.negated or sum(last - first + 1 for first, last in ranges) > MOST_LISTED:
            raise UsageError(
                "match: a class of so many characters outside ASCII is too large for a model of bytes"
            )
        else:
            for character in (chr(point) for first, last in ranges for point in range(first, last + 1)):
                now = at
                for byte in character.encode("utf-8", "surrogatepass"):
                    then = self.state()
                    self._read(now, self._points == byte, then)
                    now = then
                self._skips[now].append(end)

    def _read(self, at: int, ids: Mask, end: int) -> None:
        ids = ids & self._allowed
        key = ids.tobytes()
        if key not in self._masks:
            self._masks[key] = len(self._sets)
            self._sets.append(ids)
        self._reads[at].append((self._masks[key], end))

    def determined(self, start: int, accept: int) -> tuple[Ids, Mask]:
        """The deterministic automaton: follow (S, V), -1 for none, and which states accept (S,)."""
        ids = len(self._points)
        sets = np.array(self._sets).reshape(-1, ids)
        kinds, kind_of = np.unique(sets, axis=1, return_inverse=True)  # ids that no set tells apart
        number = {self._closure([start]): 0}
        waiting, rows = list(number), []
        while waiting:
            if len(number) > min(MOST_STATES, MOST_ENTRIES // ids) or time.monotonic() > self._end:
                raise _too_large()
            states = waiting.pop(0)
            reads = [read for state in states for read in self._reads[state]]
            row = np.full(kinds.shape[1], -1, np.int32)
            for kind in range(kinds.shape[1]):
                targets = [target for which, target in reads if kinds[which, kind]]
                if targets:
                    then = self._closure(targets)
                    if then not in number:
                        number[then] = len(number)
                        waiting.append(then)
                    row[kind] = number[then]
            rows.append(row[kind_of.ravel()])
        return np.array(rows, np.int32), np.array([accept in states for states in number])

    def _closure(self, states: list[int]) -> frozenset[int]:
        reached, waiting = set(states), list(states)
        while waiting:
            for state in self._skips[waiting.pop()]:
                if state not in reached:
                    reached.add(state)
                    waiting.append(state)
        return frozenset(reached)


def _inside(what: Any, points: Ids) -> Mask:
    """Which code points (n,) a greenery Charclass holds; -1 is none."""
    inside = np.zeros(len(points), np.bool_)
    for first, last in what.ord_ranges:
        inside |= (points >= first) & (points <= last)
    chosen: Mask = (inside != what.negated) & (points >= 0)
    return chosen


def _trimmed(follow: Ids, accepting: Mask, eos: int | None) -> Automaton:
    """Leave out what leads to no match, and let `<eos>` end a match."""
    far = np.int32(2**30)
    distance = np.where(accepting, np.int32(0), far)
    while True:
        after = np.where(follow >= 0, distance[follow], far).min(axis=1)
        nearer = np.minimum(distance, np.minimum(after, far - 1) + 1).astype(np.int32)
        if np.array_equal(nearer, distance):
            break
        distance = nearer
    if distance[0] >= far:
        raise UsageError(
            "match: nothing that the model can write matches; look for characters it does not know"
        )
    follow = np.where((follow >= 0) & (distance[follow] < far), follow, np.int32(-1))
    if eos is not None:
        follow[:, eos] = np.where(accepting, np.arange(len(follow)), -1)
    return Automaton(follow, distance)


def _too_large() -> UsageError:
    return UsageError("match: the expression needs too many states; shorten its repetitions")
