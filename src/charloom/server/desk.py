"""Where the event loop and the engine meet: how many texts are open, and who hears what of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Any

from charloom.server.engine import Engine, Told
from charloom.server.job import Job, Update
from charloom.server.limits import Limits
from charloom.server.metrics import Metrics
from charloom.server.refusal import Refusal

SLICE = 16  # texts whose news is told in one go: between two slices, new requests get their turn


class Desk:
    """One for a server; all but `tell` is called on the event loop."""

    def __init__(self, limits: Limits, metrics: Metrics, *, log_prompts: bool) -> None:
        self.limits, self.metrics, self._log_prompts = limits, metrics, log_prompts
        self.engine: Engine
        self.open = 0  # texts
        self._told = 0  # characters whose probabilities are told, in all of them
        self._news: dict[Job, list[Update]] = {}  # the longest waiting first
        self._loop: asyncio.AbstractEventLoop | None = None

    def open_at(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on, news arrives on this loop."""
        self._loop = loop

    def tell(self, told: Told) -> None:
        """Called by the engine, on its thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._take, told)

    def enter(self, jobs: Sequence[Job], log: dict[str, Any]) -> None:
        """Take these in, and tell the log, or raise Refusal where there is no room for them."""
        limits, told = self.limits, sum(map(_told, jobs))
        self.room(len(jobs))
        if self._told + told > limits.told_at_once:
            self.metrics.rejected.labels("told_at_once").inc()
            raise Refusal(429, "too many log-probabilities are under way", code="told_at_once_limit")
        self.open += len(jobs)
        self._told += told
        if self._log_prompts:
            log["prompts"] = list(dict.fromkeys(job.prompt.text for job in jobs))
        self.engine.submit(jobs)

    def room(self, texts: int = 1) -> None:
        """Raises Refusal where there is none for so many."""
        if self.open + texts > self.limits.streams + self.limits.queue:
            self.metrics.rejected.labels("queue").inc()
            raise Refusal(429, "the queue is full; try again later", code="queue_limit")

    def leave(self, jobs: Sequence[Job], unfinished: Sequence[Job]) -> None:
        """They are answered, or nobody waits for them."""
        self.open -= len(jobs)
        self._told -= sum(map(_told, jobs))
        if unfinished:
            self.engine.withdraw(unfinished)

    def _take(self, told: Told) -> None:
        if not self._news:
            asyncio.get_running_loop().call_soon(self._hand_out)
        for job, update in told:  # what a job has not yet heard piles up with the job: no more than its text
            self._news.setdefault(job, []).append(update)

    def _hand_out(self) -> None:
        for job in list(islice(self._news, SLICE)):
            for update in self._news.pop(job):
                job.hear(update)
        if self._news:
            asyncio.get_running_loop().call_soon(self._hand_out)


def _told(job: Job) -> int:
    """Characters of which the job tells the probability."""
    return (len(job.prompt.text) if job.scored else 0) + (job.length if job.top >= 0 else 0)
