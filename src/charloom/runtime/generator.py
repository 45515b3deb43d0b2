"""A model that writes: single texts, pieces as they come, many at once, states, and scores of given text."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count, islice, repeat
from operator import attrgetter

import numpy as np

from charloom.compiled import COMPILES
from charloom.errors import UsageError
from charloom.model.folder import Model
from charloom.runtime import match
from charloom.runtime.arrays import Floats, Ids, aligned, padded
from charloom.runtime.automaton import Automaton
from charloom.runtime.batch import Batch, Engine, Stream
from charloom.runtime.beginning import Beginning
from charloom.runtime.options import SamplerConfig
from charloom.runtime.sample import Alternative, Given, require_several, require_top
from charloom.runtime.sample import Sample as Sample  # who generates finds the records here too
from charloom.runtime.sample import Scores as Scores
from charloom.runtime.state import State
from charloom.runtime.twins import Twins, log_softmax
from charloom.runtime.weights import Precision, fold
from charloom.text.condition import Asked, named
from charloom.text.vocabulary import Special

STRETCH = 256  # ids a compiled call: long enough that entering it costs nothing, short enough to interrupt
READ = 1024  # ids a row that are scored at once: the memory of a call is bounded by it
STOPPING = 32  # the same where a stop string may end a text before the call does
AHEAD = 8  # batches of finished texts that may wait for a slow one before them
BATCH = 256  # streams at once in bulk: beyond it the products get no faster


class Generator:
    """A model ready to write. Safe to share between threads: nothing in it changes.

    `engine` advances the slots of a Batch, for those who bring their own.
    """

    def __init__(self, model: Model, precision: Precision = "float32") -> None:
        self.model = model
        self.precision = precision
        self.engine = _engine(model, precision)
        self.beginning = Beginning(model)

    def sample(
        self,
        prompt: str = "",
        *,
        settings: SamplerConfig | None = None,
        seed: int | None = None,
        stream: int = 0,
        state: State | None = None,
        top: int | None = None,
        condition: Asked = None,
        source: str = "",
    ) -> Sample:
        """One text. `prompt` is read after `state`, if given, else after what `condition` and `source` begin;
        `seed` takes the place of the settings' seed. `top` asks for log-probabilities, with so many
        alternatives each. Raises UsageError as `prime` does, and for settings that the model cannot fulfil.
        """
        settings = _seeded(settings, seed)
        start = self.prime(prompt, state, condition=condition, source=source, strength=settings.strength)
        given = Given(prompt, condition, source)
        return next(self._samples([(stream, given, start)], settings, settings.best_of, top))

    def stream(
        self,
        prompt: str = "",
        *,
        settings: SamplerConfig | None = None,
        seed: int | None = None,
        stream: int = 0,
        state: State | None = None,
        condition: Asked = None,
        source: str = "",
    ) -> Iterator[str]:
        """The text of `sample` in pieces, as soon as they are certain."""
        settings = _seeded(settings, seed)
        start = self.prime(prompt, state, condition=condition, source=source, strength=settings.strength)
        if settings.best_of > 1:
            yield next(self._samples([(stream, Given(prompt), start)], settings, settings.best_of, None)).text
            return
        batch = Batch(self.engine, self.model, 1)
        batch.enter(Stream(self.model, start, settings, self.automaton(settings), number=stream))
        steps = 1
        while batch.streams:
            for progress in batch.advance(steps):
                if progress.piece:
                    yield progress.piece
            steps = min(2 * steps, STRETCH // 8)

    def sample_many(
        self,
        prompts: Sequence[str | Given] = ("",),
        *,
        settings: SamplerConfig | None = None,
        seed: int | None = None,
        n: int | None = None,
        first: int = 0,
        batch: int = BATCH,
        top: int | None = None,
    ) -> Iterator[Sample]:
        """Texts number `first` to n−1 (None: without end) in order; number i is stream i, of prompt i modulo
        their number, and the same whatever the batch. Memory does not grow with n.
        """
        settings = _seeded(settings, seed)
        if batch < 1:
            raise UsageError(f"batch is {batch}; it takes at least 1")
        require_several("prompts", prompts)
        given = [prompt if isinstance(prompt, Given) else Given(prompt) for prompt in prompts]
        if not given and (n is None or n > first):
            raise UsageError("prompts: the list is empty; give a text to go on from, or an empty one")

        def starts() -> Iterator[tuple[int, Given, State]]:
            numbers = count(first) if n is None else iter(range(first, n))
            few = self.prime_many(given, settings.strength) if len(given) <= BATCH else []
            while block := list(islice(numbers, BATCH)):
                asked = [given[i % len(given)] for i in block]
                states = (
                    [few[i % len(given)] for i in block] if few else self.prime_many(asked, settings.strength)
                )
                yield from zip(block, asked, states, strict=True)

        return self._samples(starts(), settings, batch, top)

    def prime(
        self,
        text: str = "",
        state: State | None = None,
        initial: Floats | None = None,
        *,
        condition: Asked = None,
        source: str = "",
        strength: float = 1.0,
    ) -> State:
        """The state after reading `text`: from `state`, else from the beginning (`<bos>` where there is one).

        The beginning depends on `condition`, a bare value or a mapping from names to labels and arrays
        (what is not named is unknown), times `strength`, and on `source`, the text to translate. `initial`
        (layers, parts, H) is the network's state before anything is read, if not the condition's. Raises
        UsageError where there is nothing to read, for a value that the model does not know, and for a
        source too much or too few.
        """
        if state is None:
            start = self.beginning.state(condition, strength)
            start = start if initial is None else replace(start, hidden=initial)
            return self._primed([Given(text, condition, source)], [start])[0]
        if condition is not None or source:
            raise UsageError("a state has its condition and its source already; leave one of the two out")
        ids = self.model.encode(text)
        if not len(ids):
            return state
        after = self._read([self.model.vocabulary.rows(ids)], [state], scored=False)[0][0]
        return replace(after, ids=np.concatenate((state.ids, ids)))

    def check(self, given: Given) -> None:
        """Raises UsageError, as `prime` would, for what a text cannot begin with; reads nothing."""
        self.beginning.state(given.condition)
        self.beginning.ids(given.source)

    def prime_many(self, given: Sequence[Given], strength: float = 1.0) -> list[State]:
        """`prime` for many beginnings at once, each with the same result as alone."""
        return self._primed(given, [self.beginning.state(each.condition, strength) for each in given])

    def _primed(self, given: Sequence[Given], starts: Sequence[State]) -> list[State]:
        texts = [self.model.encode(each.prompt) for each in given]
        fed = [
            np.concatenate((self.beginning.ids(each.source), self.model.vocabulary.rows(ids)))
            for each, ids in zip(given, texts, strict=True)
        ]
        if not all(map(len, fed)):
            raise UsageError("the model has no <bos> and needs some text to begin with; give --prompt")
        after, _ = self._read(fed, starts, scored=False)
        return [replace(state, ids=ids) for state, ids in zip(after, texts, strict=True)]

    def read(self, rows: Sequence[Ids], states: Sequence[State]) -> list[State]:
        """The states after these rows of the network, each (n,) read on from its state, all in lockstep.

        For those who read a prompt in parts: no `<bos>` is added, and the states keep the ids they had.
        """
        after, _ = self._read(rows, states, scored=False)
        return [replace(state, ids=start.ids) for state, start in zip(after, states, strict=True)]

    def logits(self, ids: Ids, state: State | None = None) -> tuple[Floats, State]:
        """Logits (n, V) after each of `ids` (n,), and the state after the last; nothing is fed beforehand."""
        start = state if state is not None else self.beginning.state()
        rows = self.model.vocabulary.rows(ids)
        hidden, logits = self._padded([start])
        trace = np.empty((1, len(rows), logits.shape[1]), np.float32)
        self.engine.read(
            rows[None], np.array([len(rows)]), hidden, logits, np.empty((2, 1, 0), np.float32), trace
        )
        after = self._unpadded(hidden, logits, 0)
        read = replace(after, ids=np.concatenate((start.ids, ids)))
        return trace[0, :, : len(self.model.vocabulary)].copy(), read

    def score(
        self, texts: Iterable[Ids], batch: int = BATCH, starts: Iterable[State] | None = None
    ) -> Iterator[Scores]:
        """Log-probability and entropy of each id of each text, in order, each text after its state in
        `starts`, by default from the beginning.

        A byte of a character outside the vocabulary has p(`<byte>`)/256. Texts are read `batch` at a
        time; memory beyond that and the results of one batch does not grow.
        """
        pairs = zip(texts, starts if starts is not None else repeat(self.unconditioned()), strict=False)
        while waiting := list(islice(pairs, batch)):
            yield from self._score([text for text, _ in waiting], [start for _, start in waiting])

    def continue_score(self, ids: Ids, state: State | None = None) -> tuple[Scores, State]:
        """`score` of one text that goes on after `state`, and the state at its end: texts of any length,
        a part at a time.
        """
        states, scores = self._read(
            [self.model.vocabulary.rows(ids)], [state or self.unconditioned()], scored=True
        )
        return self._spelt(ids, scores[0]), replace(states[0], ids=ids[:0])

    def _samples(
        self,
        starts: Iterable[tuple[int, Given, State]],
        settings: SamplerConfig,
        rows: int,
        top: int | None,
    ) -> Iterator[Sample]:
        """Texts in the order of `starts` (number, what is given, state), from `rows` streams in lockstep."""
        require_top(top)
        matching = self.automaton(settings)
        traced = top is not None or settings.best_of > 1
        batch = Batch(self.engine, self.model, rows)
        waiting = (
            (
                number,
                given,
                Stream(
                    self.model, start, settings, matching, number=number, candidate=candidate, traced=traced
                ),
            )
            for number, given, start in starts
            for candidate in range(settings.best_of)
        )
        order: deque[tuple[int, Given, list[Stream]]] = deque()
        try:
            while True:
                # a slow text holds back those after it: how many may pile up is bounded
                for number, given, stream in islice(
                    waiting, min(batch.free, AHEAD * rows - sum(len(each[2]) for each in order))
                ):
                    if not stream.candidate:
                        order.append((number, given, []))
                    order[-1][2].append(stream)
                    batch.enter(stream)
                if not order:
                    return
                batch.advance(STOPPING if settings.stop else STRETCH)
                while (
                    order
                    and all(s.writer.finish_reason for s in order[0][2])
                    and len(order[0][2]) == settings.best_of
                ):
                    number, given, streams = order.popleft()
                    yield max((self._finished(s, given, top) for s in streams), key=attrgetter("likelihood"))
        finally:
            batch.close()

    def automaton(self, settings: SamplerConfig, max_entries: int = match.MAX_ENTRIES) -> Automaton | None:
        """Return the table of `match`, if any. Raises UsageError as `match` does, and where none fits."""
        if not settings.match:
            return None
        vocabulary = self.model.vocabulary
        result = match.automaton(settings.match, vocabulary, settings.added(vocabulary), max_entries)
        if result.shortest > settings.length:
            raise UsageError(f"match: the shortest match has {result.shortest} characters; raise length")
        return result

    def _finished(self, stream: Stream, given: Given, top: int | None) -> Sample:
        assert stream.writer.finish_reason is not None
        log_probabilities, alternatives = self._likely(stream, top)
        return Sample(
            text=stream.writer.text,
            prompt=given.prompt,
            condition=named(self.model.config.conditions, given.condition),
            source=given.source,
            temperature=stream.settings.temperature,
            seed=stream.settings.seed,
            stream=stream.number,
            finish_reason=stream.writer.finish_reason,
            log_probabilities=log_probabilities,
            top=alternatives,
        )

    def _likely(
        self, stream: Stream, top: int | None
    ) -> tuple[tuple[float, ...], tuple[tuple[Alternative, ...], ...]]:
        """Log-probabilities of the ids whose text was delivered, and their `top` alternatives."""
        if not stream.traced:
            return (), ()
        ids = np.concatenate(stream.ids)
        kept = stream.writer.ids_kept(ids)
        normal = log_softmax(np.concatenate(stream.logits)[:kept])
        chosen = tuple(normal[np.arange(kept), ids[:kept]].tolist())
        if not top:
            return chosen, ()
        best = np.argsort(-normal, axis=1, kind="stable")[:, :top]
        vocabulary = self.model.vocabulary
        names = [
            token.name if isinstance(token, Special) else vocabulary.decode([i])
            for i, token in enumerate(vocabulary.tokens)
        ]
        return chosen, tuple(
            tuple(Alternative(names[i], float(row[i])) for i in likely)
            for row, likely in zip(normal, best, strict=True)
        )

    def unconditioned(self) -> State:
        """Where a text begins of which nothing is known: after `<bos>`, if there is one, and no source."""
        start, bos = self.beginning.state(), self.model.vocabulary.bos
        if bos is None:
            return start
        return self._read([np.array([bos], np.int32)], [start], scored=False)[0][0]

    def _score(self, texts: list[Ids], starts: list[State]) -> Iterator[Scores]:
        fed = [self.model.vocabulary.rows(ids) for ids in texts]
        _, scores = self._read(fed, starts, scored=True)
        return map(self._spelt, texts, scores)

    def _spelt(self, ids: Ids, scores: Floats) -> Scores:
        """Scores of rows as scores of ids: each byte of a strange character is one of 256."""
        log_probabilities = scores[0] - np.where(
            ids >= len(self.model.vocabulary), np.float32(np.log(256)), np.float32(0)
        )
        return Scores(log_probabilities, scores[1])

    def _read(
        self, rows: Sequence[Ids], starts: Sequence[State], *, scored: bool
    ) -> tuple[list[State], list[Floats]]:
        """Feed each row of ids from its state: the states after it and, if asked, scores (2, n) of each."""
        if not rows:
            return [], []
        order = sorted(range(len(rows)), key=lambda b: -len(rows[b]))
        lengths = np.array([len(rows[b]) for b in order])
        hidden, logits = self._padded([starts[b] for b in order])
        longest = int(lengths[0])
        kept = np.empty((2, len(rows), longest if scored else 0), np.float32)
        nothing = np.empty((len(rows), 0, logits.shape[1]), np.float32)
        for begin in range(0, longest, READ):
            active = int(np.count_nonzero(lengths > begin))
            width = min(READ, longest - begin)
            ids = np.zeros((active, width), np.int32)
            for b in range(active):
                part = rows[order[b]][begin : begin + width]
                ids[b, : len(part)] = part
            scores = np.empty((2, active, width if scored else 0), np.float32)
            state, after = hidden[:, :, :active].copy(), logits[:active].copy()
            self.engine.read(ids, lengths[:active] - begin, state, after, scores, nothing[:active])
            hidden[:, :, :active], logits[:active] = state, after
            if scored:
                kept[:, :active, begin : begin + width] = scores
        place = {b: at for at, b in enumerate(order)}
        states = [self._unpadded(hidden, logits, place[b]) for b in range(len(rows))]
        return states, [kept[:, place[b], : len(rows[b])] for b in range(len(rows))] if scored else []

    def _padded(self, states: Sequence[State]) -> tuple[Floats, Floats]:
        """States as the engine holds them: (layers, parts, B, Hp) and logits (B, Vp)."""
        config, vocabulary = self.model.config, len(self.model.vocabulary)
        hidden: Floats = aligned((config.layers, config.parts, len(states), padded(config.hidden)))
        logits: Floats = aligned((len(states), padded(vocabulary)))
        logits.fill(-np.inf)
        for b, state in enumerate(states):
            hidden[:, :, b, : config.hidden] = state.hidden
            logits[b, :vocabulary] = state.logits
        return hidden, logits

    def _unpadded(self, hidden: Floats, logits: Floats, b: int) -> State:
        config, vocabulary = self.model.config, len(self.model.vocabulary)
        return State(
            hidden[:, :, b, : config.hidden].copy(), logits[b, :vocabulary].copy(), np.zeros(0, np.int32)
        )


def _engine(model: Model, precision: Precision) -> Engine:
    network = fold(model.config, model.weights, precision)
    if not COMPILES:
        return Twins(network)
    from charloom.runtime.kernels import Kernels

    return Kernels(network)


def _seeded(settings: SamplerConfig | None, seed: int | None) -> SamplerConfig:
    settings = settings or SamplerConfig()
    return settings if seed is None else replace(settings, seed=seed)
