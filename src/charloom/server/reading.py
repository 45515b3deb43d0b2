"""Prompts are read a chunk at a time, between the steps of writing, many side by side, the same one once."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import numpy as np

from charloom.runtime.arrays import Floats, Ids
from charloom.runtime.generator import Generator
from charloom.runtime.state import State
from charloom.runtime.twins import log_softmax
from charloom.server.job import Job, Prompt, Speller
from charloom.server.pace import Pace

SIDE_BY_SIDE = 64  # prompts in lockstep: enough for the matrix product to be quick
SCORED = 64  # ids of a prompt whose every character is told, in one go


class Primed:
    """States of prompts read lately, the least recently used forgotten first; bounded by memory."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self._held = most_bytes, 0
        self._states: OrderedDict[bytes, State] = OrderedDict()

    def __len__(self) -> int:
        return len(self._states)

    def get(self, key: bytes) -> State | None:
        """The state of that prompt, which is then the most recently used."""
        if key in self._states:
            self._states.move_to_end(key)
        return self._states.get(key)

    def keep(self, key: bytes, state: State) -> None:
        """Remember it, unless it is larger than all the memory there is for it."""
        if _bytes(state) > self._most or key in self._states:
            return
        self._states[key] = state
        self._held += _bytes(state)
        while self._held > self._most:
            self._held -= _bytes(self._states.popitem(last=False)[1])


def _bytes(state: State) -> int:
    return state.hidden.nbytes + state.logits.nbytes + state.ids.nbytes


class _Reading:
    """A prompt on its way, and the jobs that wait for it."""

    def __init__(self, prompt: Prompt, rows: Ids) -> None:
        self.prompt, self.state = prompt, prompt.start
        self.rows = rows  # (n,) of the network, still to be read
        self.at = 0  # ids of the prompt whose characters were told
        self.jobs: dict[Job, None] = {}


class Readings:
    """All prompts on their way."""

    def __init__(self, generator: Generator, primed_bytes: int) -> None:
        self._generator = generator
        self._vocabulary = generator.model.vocabulary
        self._most_bytes = primed_bytes
        self.forget()
        self._shared: dict[bytes, _Reading] = {}  # in the order of their turns
        self._scored: dict[Job, _Reading] = {}  # each for itself: every character of it is told

    def __len__(self) -> int:
        return len(self._scored) + sum(len(reading.jobs) for reading in self._shared.values())

    def enter(self, job: Job) -> State | None:
        """The state after the job's prompt where it is known; else it comes out of `advance`."""
        prompt = job.prompt
        if job.scored:
            self._scored[job] = _Reading(prompt, prompt.before)
            return None
        state = self._primed.get(prompt.key)
        if state is None:
            if prompt.key not in self._shared:
                rows = np.concatenate((prompt.before, self._vocabulary.rows(prompt.ids)))
                self._shared[prompt.key] = _Reading(prompt, rows)
            self._shared[prompt.key].jobs[job] = None
        return state

    def forget(self) -> None:
        """Let go of the states of prompts that are read."""
        self._primed = Primed(self._most_bytes)

    def leave(self, job: Job) -> None:
        """The job is no longer wanted; a prompt that nobody waits for is not read on."""
        self._scored.pop(job, None)
        reading = self._shared.get(job.prompt.key)
        if reading is not None and job in reading.jobs:
            del reading.jobs[job]
            if not reading.jobs:
                del self._shared[job.prompt.key]

    def advance(self, pace: Pace) -> Iterator[tuple[Job, State | None]]:
        """Read on for about the time that `pace` allows; each job whose prompt is read, with its state.

        A job whose prompt is told character by character comes with None for a state on the way.
        """
        if self._shared:
            yield from self._read_shared(pace)
        end = time.perf_counter() + pace.seconds
        for job in list(self._scored):
            yield self._read_scored(job)
            if time.perf_counter() > end:
                break

    def _read_shared(self, pace: Pace) -> Iterator[tuple[Job, State]]:
        """A chunk of those whose turn it is; the others are first next time."""
        turn = list(islice(self._shared.values(), SIDE_BY_SIDE))
        width = max(1, pace.amount // len(turn))
        parts = [reading.rows[:width] for reading in turn]
        begun = time.perf_counter()
        states = self._generator.read(parts, [reading.state for reading in turn])
        pace.took(sum(map(len, parts)), time.perf_counter() - begun)
        for reading, state in zip(turn, states, strict=True):
            key = reading.prompt.key
            del self._shared[key]
            reading.rows, reading.state = reading.rows[width:], state
            if len(reading.rows):
                self._shared[key] = reading
                continue
            state = replace(state, ids=reading.prompt.ids)
            self._primed.keep(key, state)
            yield from ((job, state) for job in reading.jobs)

    def _read_scored(self, job: Job) -> tuple[Job, State | None]:
        """A chunk of a prompt whose every character is told, or of what stands before it."""
        reading = self._scored.pop(job)
        if job.speller is None:
            job.speller = Speller(self._vocabulary, job.top)
        if len(reading.rows):
            (reading.state,) = self._generator.read([reading.rows[:SCORED]], [reading.state])
            reading.rows = reading.rows[SCORED:]
        else:
            ids = reading.prompt.ids[reading.at : reading.at + SCORED]
            after, state = self._generator.logits(ids, reading.state)  # (n, V)
            before: Floats = np.concatenate((reading.state.logits[None], after[:-1]))
            job.speller.add(log_softmax(before), ids)
            reading.at, reading.state = reading.at + len(ids), state
        if len(reading.rows) or reading.at < len(reading.prompt.ids):
            self._scored[job] = reading
            return job, None
        return job, replace(reading.state, ids=reading.prompt.ids)
