"""Many streams in lockstep, entering and leaving at any step; a text does not depend on the others."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from charloom.job import processors
from charloom.model.folder import Model
from charloom.runtime.arrays import Floats, Ids, Longs
from charloom.runtime.automaton import Automaton, side_by_side
from charloom.runtime.options import SamplerConfig
from charloom.runtime.slots import CANDIDATE, ENDED_BY_EOS, ENDED_BY_MATCH, SEED, STREAM, Slots
from charloom.runtime.state import State
from charloom.runtime.writer import FinishReason, Writer

ROWS_A_THREAD = 12
"""Below two tiles of rows, a second thread brings less than it costs."""


ENDINGS: dict[int, FinishReason] = {ENDED_BY_EOS: "eos", ENDED_BY_MATCH: "match"}


class Engine(Protocol):
    """What kernels and twins both are; the arguments are told in `charloom.runtime.twins`."""

    def generate(self, slots: Slots, automaton: Automaton, eos: int, rows: range, steps: int) -> None:
        """Draw and feed back up to `steps` ids in each of these rows."""

    def read(
        self, ids: Ids, lengths: Longs, state: Floats, logits: Floats, scores: Floats, trace: Floats
    ) -> None:
        """Feed each row's ids."""


class Stream:
    """One text in the making: where it starts, what was asked for, what was written."""

    def __init__(
        self,
        model: Model,
        start: State,
        settings: SamplerConfig,
        automaton: Automaton | None = None,
        *,
        number: int = 0,
        candidate: int = 0,
        traced: bool = False,
    ) -> None:
        self.start, self.settings, self.automaton = start, settings, automaton
        self.number, self.candidate, self.traced = number, candidate, traced
        self.writer = Writer(model.vocabulary, settings.length, settings.stop)
        self.ids: list[Ids] = []  # where traced
        self.logits: list[Floats] = []  # likewise


@dataclass(frozen=True)
class Progress:
    """What one stretch brought to one stream: so many ids, and the text that they let out."""

    stream: Stream
    piece: str
    ids: int


class Batch:
    """Room for `rows` streams. `enter` and `leave` between any two calls of `advance`."""

    def __init__(self, engine: Engine, model: Model, rows: int) -> None:
        self._engine, self._model = engine, model
        self._slots = Slots.of(model.config, len(model.vocabulary), rows)
        self.rows = rows
        self.streams: list[Stream] = []
        self._settings: SamplerConfig | None = None  # of the stream that entered last
        self._automaton = side_by_side((), len(model.vocabulary))[0]
        self._starts: dict[Automaton, int] = {}  # in the common table
        self._threads = ThreadPoolExecutor(processors()) if rows >= 2 * ROWS_A_THREAD else None
        self._process = os.getpid()

    @property
    def free(self) -> int:
        """How many streams may still enter."""
        return self.rows - len(self.streams)

    def enter(self, stream: Stream) -> None:
        """Give a stream the next free row."""
        slots, b, vocabulary = self._slots, len(self.streams), len(self._model.vocabulary)
        self.streams.append(stream)
        slots.state[:, :, b, : self._model.config.hidden] = stream.start.hidden
        slots.logits[b, :vocabulary] = stream.start.logits
        if stream.settings is not self._settings:  # those of many streams are often one
            self._settings = stream.settings
            self._added, self._options = stream.settings.added(self._model.vocabulary), stream.settings.row()
        slots.added[b, :vocabulary], slots.options[b] = self._added, self._options
        slots.keys[b, SEED], slots.keys[b, STREAM] = stream.settings.seed, stream.number
        slots.keys[b, CANDIDATE] = stream.candidate
        slots.t[b] = slots.counts[b] = slots.used[b] = slots.ended[b] = 0
        slots.place[b] = -1
        # a character of unit byte takes up to 4 ids; the table of a match counts characters
        ids_a_character = 4 if self._model.vocabulary.unit == "byte" and stream.automaton is None else 1
        slots.left[b] = ids_a_character * stream.settings.length
        if stream.settings.no_repeat:
            self._widen(len(stream.start.ids))
            slots.history[b, : len(stream.start.ids)] = stream.start.ids
            slots.used[b] = len(stream.start.ids)
        if stream.automaton is not None:
            if stream.automaton not in self._starts:
                self._gather(stream.automaton)
            start = slots.place[b] = self._starts[stream.automaton]
            if self._automaton.ends[start, 0] > stream.settings.length:
                slots.ended[b] = ENDED_BY_MATCH  # nothing longer than "" matches

    def leave(self, stream: Stream) -> None:
        """Take a stream out; the last one takes its row."""
        at, last = self.streams.index(stream), len(self.streams) - 1
        if at != last:
            self._slots.move(last, at)
        self.streams[at] = self.streams[last]
        self.streams.pop()

    def halt(self, wanted: bool = True) -> None:
        """Called from another thread: `advance` returns after the step under way, until it is not wanted."""
        self._slots.halt[0] = wanted

    def advance(self, steps: int) -> list[Progress]:
        """Up to `steps` more ids for every stream; those that end leave."""
        slots, rows = self._slots, len(self.streams)
        if any(stream.settings.no_repeat for stream in self.streams):
            self._widen(int(slots.used[:rows].max()) + steps)
        self._resize(steps, any(stream.traced for stream in self.streams))
        slots.count[:rows] = 0
        eos = -1 if self._model.vocabulary.eos is None else self._model.vocabulary.eos
        parts = _shares(rows, 1 if self._threads is None else min(processors(), rows // ROWS_A_THREAD))
        if self._threads is not None and self._process != os.getpid():  # forked, without the threads
            self._threads, self._process = ThreadPoolExecutor(processors()), os.getpid()
        if self._threads is None or len(parts) == 1:
            self._engine.generate(slots, self._automaton, eos, parts[0], steps)
        else:
            jobs = [
                self._threads.submit(self._engine.generate, slots, self._automaton, eos, part, steps)
                for part in parts
            ]
            for job in jobs:
                job.result()
        drawn, counts, ended = (
            slots.drawn[:rows].copy(),
            slots.count[:rows].tolist(),
            slots.ended[:rows].tolist(),
        )
        progress = [
            self._collect(b, stream, drawn[b, : counts[b]], ended[b]) for b, stream in enumerate(self.streams)
        ]
        for each in progress:
            if each.stream.writer.finish_reason:
                self.leave(each.stream)
        return progress

    def close(self) -> None:
        """Let go of the threads."""
        if self._threads is not None:
            self._threads.shutdown()

    def _collect(self, b: int, stream: Stream, ids: Ids, ended: int) -> Progress:
        if stream.traced:
            stream.ids.append(ids)
            stream.logits.append(self._slots.trace[b, : len(ids), : len(self._model.vocabulary)].copy())
        reason = ENDINGS.get(ended)
        if reason is None and self._slots.left[b] <= 0:  # whatever the text has come to, no id may follow
            reason = "length"
        return Progress(stream, stream.writer.feed(ids, reason), len(ids))

    def _gather(self, new: Automaton) -> None:
        """Put the automata of all streams, and a new one, into one table, each once."""
        own = [(b, each.automaton) for b, each in enumerate(self.streams) if each.automaton is not None]
        used = dict.fromkeys((*(automaton for _, automaton in own), new))
        self._automaton, starts = side_by_side(list(used), len(self._model.vocabulary))
        moved = dict(zip(used, starts, strict=True))
        for b, automaton in own:
            self._slots.place[b] += moved[automaton] - self._starts.get(automaton, 0)
        self._starts = moved

    def _widen(self, width: int) -> None:
        slots = self._slots
        if slots.history.shape[1] < width:
            wider = np.zeros((self.rows, 2 * width), np.int32)
            wider[:, : slots.history.shape[1]] = slots.history
            slots.history = wider

    def _resize(self, steps: int, traced: bool) -> None:
        slots = self._slots
        if slots.drawn.shape[1] < steps:
            slots.drawn = np.zeros((self.rows, steps), np.int32)
        width = slots.drawn.shape[1] if traced else 0
        if slots.trace.shape[1] != width:
            slots.trace = np.zeros((self.rows, width, slots.logits.shape[1]), np.float32)


def _shares(rows: int, parts: int) -> list[range]:
    """0…rows in contiguous parts of nearly equal size."""
    borders = [rows * k // max(parts, 1) for k in range(max(parts, 1) + 1)]
    return [range(a, b) for a, b in pairwise(borders)]
