"""A regular expression compiled to an automaton over a vocabulary, with a bound on its size and time.

Syntax and character classes are those of Python's `re`, of which `TOKEN` leaves out what no finite
automaton can do (backreferences) or what few need (lookaround, flags within). `.` matches line ends too.
The whole text has to match; a leading `^` and a final `$` may be written.

A state of the nondeterministic automaton is what remains to be matched: a node of the expression and the
state after it. States are made when they are reached, so that repetitions cost nothing beforehand. Source:
V. Antimirov, "Partial derivatives of regular expressions and finite automaton constructions", 1996.
"""

from __future__ import annotations

import math
import re
import time
import warnings
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from charloom.errors import UsageError
from charloom.runtime.arrays import Floats, Ids, Longs
from charloom.runtime.automaton import NEVER, Automaton
from charloom.text.vocabulary import POINTS, Vocabulary

MAX_EXPRESSION = 2_000  # characters
MAX_STATES = 20_000
MAX_ENTRIES = 20_000_000  # states times ids: 80 MB
MAX_SECONDS = 5.0

TOKEN = re.compile(
    r"""
    (?P<lookaround> \(\?<?[=!] )
  | (?P<backreference> \(\?P= | \\[1-9] (?![0-7]{2}) )
  | (?P<conditional> \(\?\( )
  | (?P<atomic> \(\?> )
  | (?P<comment> \(\?\#[^)]*\) )
  | (?P<open> \( (?: \?: | \?P<\w+> )? (?!\?) )
  | (?P<flags> \(\? )
  | (?P<close> \) )
  | (?P<or> \| )
  | (?P<possessive> (?: [*+?] | \{ (?:[0-9]+ | [0-9]*,[0-9]*) \} ) \+ )
  | (?P<repeat> (?: [*+?] | \{ (?P<least>[0-9]*) (?P<range> , (?P<most>[0-9]*) )? (?<!\{) \} ) \?? )
  | (?P<boundary> \\[bB] )
  | (?P<anchor> [\^$] | \\[AZ] )
  | (?P<set> \[ \^? \]? (?: \\. | [^\]\\] )* \]
      | \\x.. | \\u.{4} | \\U.{8} | \\N\{ [^}]* \} | \\0[0-7]{0,2} | \\[0-7]{3} | \\. | . )
    """,
    re.VERBOSE | re.DOTALL,
)
"""One token of an expression that `re` has compiled, whose syntax is therefore right."""

UNSUPPORTED = {
    "lookaround": "lookahead and lookbehind are not supported; describe the whole text",
    "backreference": "backreferences are not supported; write the group out again",
    "conditional": "conditional groups are not supported; write both forms with |",
    "atomic": "atomic groups are not supported; write (?:…)",
    "flags": "flags are not supported here; write (?i) at the very beginning, or both cases as in [aA]",
    "possessive": "possessive repetitions are not supported; leave out the last +",
    "boundary": r"word boundaries are not supported; name what stands between words, as in \w+( \w+)*",
    "anchor": "an anchor is allowed at the two ends only, since the whole text has to match; leave it out",
}
UTF8 = (0, 0, 0x80), (0xC0, 0x80, 0x800), (0xE0, 0x800, 0x10000), (0xF0, 0x10000, POINTS)
"""Of one byte, two, three and four: the least first byte, and the code points from and to."""

EVERYWHERE = re.IGNORECASE | re.ASCII
"""Flags that may be set for the whole expression; DOTALL always is, MULTILINE concerns anchors only."""

Mask = npt.NDArray[np.bool_]
Spelled = tuple[tuple[tuple[int, ...], "Spelled"], ...]
"""Bytes of characters: of each choice the first bytes, and what comes then."""


class TooLarge(UsageError):
    """An expression that takes too many states, `states` at least, or too much time."""

    def __init__(self, reason: str, states: int) -> None:
        super().__init__(f"match: the expression {reason}; shorten its repetitions")
        self.states = states


def automaton(
    expression: str, vocabulary: Vocabulary, added: Floats, max_entries: int = MAX_ENTRIES
) -> Automaton:
    """Return the automaton of `expression` over the ids whose entry in `added` (V,) is not -inf.

    `max_entries` bounds its states times ids. Raises UsageError where the expression cannot be read, is too
    large (TooLarge), or matches nothing that the model can write.
    """
    if len(expression) > MAX_EXPRESSION:
        raise UsageError(f"match: {len(expression)} characters are too many; write at most {MAX_EXPRESSION}")
    allowed = np.isfinite(added)
    network = _Network(vocabulary, allowed, min(MAX_STATES, max_entries // len(vocabulary)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # sets in sets, which `re` may read otherwise one day
        try:
            flags = re.compile(expression, re.DOTALL).flags
        except (re.error, OverflowError, RecursionError) as error:
            raise _unreadable(expression, error) from error
        root = network.parsed(expression, flags)
    if root is None:
        raise UsageError(
            "match: nothing that the model can write matches; look for characters it does not know"
        )
    return network.determined(root, vocabulary.eos)


class _Node(NamedTuple):
    """A part of the expression, with the characters of its shortest and its longest match.

    `kind` is "set", which reads one id of a mask (the only one of `parts`), "sequence" or "choice" of other
    nodes, or "repeat": one node, `least` to `most` times.
    """

    kind: str
    parts: tuple[int, ...]
    shortest: float
    longest: float
    least: float = 1
    most: float = 1


class _Network:
    """The nondeterministic automaton: numbered nodes, and numbered states (node, state after it).

    State 0 is the end of the expression. Instead of a node that nothing can match there is None.
    """

    def __init__(self, vocabulary: Vocabulary, allowed: Mask, max_states: int) -> None:
        self._bytes = vocabulary.unit == "byte"
        self._universe = "".join(map(str, vocabulary.characters))  # where it is one of characters
        self._places = vocabulary.places
        self._ids = np.array([*vocabulary.places.values()])
        self._allowed, self._max_states = allowed, max_states
        self._end = time.monotonic() + MAX_SECONDS
        self._masks: dict[bytes, int] = {}
        self._read: dict[str, int | None] = {}  # nodes of the tokens read so far
        self._nodes: dict[_Node, int] = {}
        self._node: list[_Node] = []
        self._states: dict[tuple[int, int], int] = {(-1, -1): 0}
        self._state: list[tuple[int, int]] = [(-1, -1)]
        self._expansions: dict[int, tuple[int, Sequence[int]]] = {}
        self._mask(np.zeros(len(allowed), np.bool_))

    def parsed(self, expression: str, flags: int) -> int | None:
        """Return the node of the whole expression, which `re` has compiled to these flags."""
        start = len(expression) - len(re.sub(r"^(?:\(\?[aimsu]+\))+", "", expression))
        stack: list[list[list[int | None]]] = [[[]]]  # of each open group its alternatives, each a sequence
        for token in TOKEN.finditer(expression, start):
            self._check()
            kind, sequence = str(token.lastgroup), stack[-1][-1]
            if kind == "anchor" and (
                token.end() == len(expression) if token[0] in ("$", r"\Z") else token.start() == start
            ):
                continue
            if kind in UNSUPPORTED:
                raise UsageError(f"match: {token[0]!r} at character {token.start() + 1}: {UNSUPPORTED[kind]}")
            if kind == "set":
                if token[0] not in self._read:
                    self._read[token[0]] = self._set(token[0], flags & EVERYWHERE | re.DOTALL)
                sequence.append(self._read[token[0]])
            elif kind == "open":
                stack.append([[]])
            elif kind == "or":
                stack[-1].append([])
            elif kind == "close":
                group = stack.pop()
                stack[-1][-1].append(self._choice(map(self._sequence, group)))
            elif kind == "repeat":
                sequence[-1] = self._repeat(sequence[-1], *_counts(token))
        return self._choice(map(self._sequence, stack.pop()))

    def _set(self, token: str, flags: int) -> int | None:
        """Return the node of one character, a class, an escape or a literal."""
        if len(token) == 1 and token != "." and not flags & re.IGNORECASE:
            if not self._bytes:
                return self._leaf([self._places[token]], 1) if token in self._places else None
            then: Spelled = ()
            for byte in reversed(token.encode("utf-8", "surrogatepass")):
                then = (((byte,), then),)
            return self._spelled(then)
        if self._bytes:
            return self._spelled(_utf8_class(token, flags))
        return self._leaf(self._ids[_members(token, flags, self._universe)], 1)

    def _spelled(self, choices: Spelled) -> int | None:
        """Return the node of some characters' bytes."""
        nodes = []
        for firsts, then in choices:
            first = self._leaf(firsts, int(not 0x80 <= firsts[0] < 0xC0))
            nodes.append(self._sequence([first, self._spelled(then)]) if then else first)
        return self._choice(nodes)

    def _mask(self, mask: Mask) -> int:
        return self._masks.setdefault(mask.tobytes(), len(self._masks))

    def _leaf(self, ids: Sequence[int] | Longs, characters: int) -> int | None:
        mask = np.zeros(len(self._allowed), np.bool_)
        mask[np.asarray(ids)] = True
        mask &= self._allowed
        return self._number(_Node("set", (self._mask(mask),), characters, characters)) if mask.any() else None

    def _sequence(self, parts: Sequence[int | None]) -> int | None:
        known = tuple(part for part in parts if part is not None)
        if len(known) < len(parts):
            return None
        nodes = [self._node[part] for part in known]
        shortest, longest = sum(each.shortest for each in nodes), sum(each.longest for each in nodes)
        return self._number(_Node("sequence", known, shortest, longest)) if len(known) != 1 else known[0]

    def _choice(self, parts: Iterable[int | None]) -> int | None:
        known = tuple(dict.fromkeys(part for part in parts if part is not None))
        if len(known) < 2:
            return known[0] if known else None
        nodes = [self._node[part] for part in known]
        shortest, longest = min(each.shortest for each in nodes), max(each.longest for each in nodes)
        return self._number(_Node("choice", known, shortest, longest))

    def _repeat(self, part: int | None, least: float, most: float) -> int | None:
        if part is None or most == 0:
            return self._sequence(()) if least == 0 else None
        node = self._node[part]
        longest = node.longest * most if node.longest else 0
        return self._number(_Node("repeat", (part,), node.shortest * least, longest, least, most))

    def _number(self, node: _Node) -> int:
        number = self._nodes.setdefault(node, len(self._nodes))
        if number == len(self._node):
            self._node.append(node)
        return number

    def _before(self, node: int, after: int) -> int:
        """Return the state in which `node` is to be matched, and then the rest of state `after`."""
        number = self._states.setdefault((node, after), len(self._states))
        if number == len(self._state):
            self._state.append((node, after))
        return number

    def _expanded(self, state: int) -> tuple[int, Sequence[int]]:
        """Return the mask that a state reads, and the state after it; or -1, and states that stand for it."""
        if state in self._expansions or state == 0:
            return self._expansions.get(state, (-1, ()))
        number, after = self._state[state]
        node = self._node[number]
        mask, reached = -1, [after]
        if node.kind == "set":
            mask = node.parts[0]
        elif node.kind == "sequence":
            for part in reversed(node.parts):
                after = self._before(part, after)
            reached = [after]
        elif node.kind == "choice":
            reached = [self._before(part, after) for part in node.parts]
        else:
            rest = self._repeat(node.parts[0], max(node.least - 1, 0), node.most - 1)
            assert rest is not None
            again = self._before(node.parts[0], self._before(rest, after))
            reached = [again, after] if node.least == 0 else [again]
        self._expansions[state] = mask, reached
        return mask, reached

    def determined(self, root: int, eos: int | None) -> Automaton:
        """Return the deterministic automaton of a node, in which `eos`, if any, ends a match."""
        node, most = self._node[root], self._max_states
        least = 1 + (node.shortest if math.isinf(node.longest) else node.longest)
        if least > most:  # so many texts begin differently
            raise TooLarge(f"needs {least:,.0f} states, and may have {most:,}", int(least))
        masks = np.array([np.frombuffer(mask, np.bool_) for mask in self._masks])
        kinds, kind_of = np.unique(masks, axis=1, return_inverse=True)  # ids that no mask tells apart
        kinds_in = [np.flatnonzero(mask).tolist() for mask in kinds]
        order = [frozenset([self._before(root, 0)])]
        number = {order[0]: 0}
        rows, accepting = [], []
        for states in order:  # which grows
            if len(order) > most:
                raise TooLarge(f"needs more than {most:,} states", len(order))
            targets: dict[int, set[int]] = defaultdict(set)
            seen, waiting = set(states), list(states)
            while waiting:
                self._check()
                mask, reached = self._expanded(waiting.pop())
                for kind in kinds_in[mask] if mask >= 0 else ():
                    targets[kind].update(reached)
                if mask < 0:
                    waiting += [state for state in reached if state not in seen]
                    seen.update(reached)
            accepting.append(0 in seen)
            row = np.full(kinds.shape[1], -1, np.int32)
            for kind, target in targets.items():
                self._check()
                after = frozenset(target)
                if after not in number:
                    number[after] = len(order)
                    order.append(after)
                row[kind] = number[after]
            rows.append(row)
        table, columns = np.array(rows), kind_of.ravel()
        within: Mask = np.zeros(len(table), np.bool_)
        if self._bytes:  # only inside a character such bytes can follow
            within |= (table[:, columns[0x80:0xC0]] >= 0).any(axis=1)
        distance = _distance(table, np.array(accepting), within)
        further = np.where(table >= 0, (distance + ~within)[table], NEVER).min(axis=1)
        follow = np.ascontiguousarray(table[:, columns])
        if eos is not None and self._allowed[eos]:
            follow[:, eos] = np.where(accepting, np.arange(len(follow)), -1)
        pairs = np.ascontiguousarray(np.stack((further, within), axis=1), np.int32)
        return Automaton(follow, (distance - within).astype(np.int32), pairs)

    def _check(self) -> None:
        if time.monotonic() > self._end:
            raise TooLarge(f"takes more than {MAX_SECONDS:g} seconds to prepare", 0)


def _distance(table: Ids, accepting: Mask, within: Mask) -> Ids:
    """Return how many characters must be completed from each state to a match, (S,).

    table (S, any) gives the states after each, -1 for none. The search goes backwards from the matches, along
    steps of one character, and of none for bytes within one.
    """
    before: dict[int, list[int]] = defaultdict(list)
    for state, row in enumerate(table):
        for then in set(row.tolist()):
            before[then].append(state)
    distance = np.where(accepting, 0, NEVER)
    waiting = deque(np.flatnonzero(accepting).tolist())
    while waiting:
        then = waiting.popleft()
        nearer = distance[then] + (not within[then])
        for state in before[then]:
            if nearer < distance[state]:
                distance[state] = nearer
                (waiting.appendleft if within[then] else waiting.append)(state)
    return distance


def _counts(token: re.Match[str]) -> tuple[float, float]:
    """Return how often a repetition may come, at least and at most."""
    if (known := {"*": (0, math.inf), "+": (1, math.inf), "?": (0, 1)}.get(token[0][0])) is not None:
        return known
    least = int(token["least"] or 0)
    return least, int(token["most"]) if token["most"] else math.inf if token["range"] else least


def _members(token: str, flags: int, universe: str) -> Mask:
    """Return which characters of `universe` (n,) are of a class."""
    mask = np.zeros(len(universe), np.bool_)
    for run in re.compile(f"(?:{token})+", flags).finditer(universe):
        mask[run.start() : run.end()] = True
    return mask


@lru_cache(1)
def _unicode() -> str:
    return "".join(map(chr, range(POINTS)))


@lru_cache(256)
def _utf8_class(token: str, flags: int) -> Spelled:
    """Return the bytes of all characters of a class but surrogates, which are no UTF-8."""
    mask = _members(token, flags, _unicode())
    mask[0xD800:0xE000] = False
    choices: Spelled = ()
    for more, (first, least, most) in enumerate(UTF8):
        span = np.zeros(-(-most // 64**more) * 64**more, np.bool_)
        span[least:most] = mask[least:most]
        choices += _utf8(span, first, more)
    return choices


def _utf8(mask: Mask, first: int, more: int) -> Spelled:
    """Return one byte from `first` on, then so many `more`, of the characters in mask (n 64^more,)."""
    alike: dict[bytes, list[int]] = defaultdict(list)
    for k, row in enumerate(mask.reshape(-1, 64**more)):
        if row.any():
            alike[row.tobytes()].append(first + k)
    return tuple(
        (tuple(firsts), _utf8(np.frombuffer(row, np.bool_), 0x80, more - 1) if more else ())
        for row, firsts in alike.items()
    )


def _unreadable(expression: str, error: Exception) -> UsageError:
    """Return what to say of an expression that `re` cannot compile."""
    if isinstance(error, RecursionError):
        return UsageError("match: groups are nested too deeply; write it without most of them")
    what = getattr(error, "msg", str(error))  # OverflowError has no position
    where = "" if getattr(error, "pos", None) is None else f" at character {error.pos + 1}"  # type: ignore[attr-defined]
    hint = "write signs of its syntax as in \\( to mean themselves"
    if what.lower().startswith((r"bad escape \p", r"bad escape \x")):
        hint = r"for a class of Unicode use \w, or list characters as in [а-я]"
    return UsageError(f"match {expression!r:.60}: {what}{where}; {hint}")
