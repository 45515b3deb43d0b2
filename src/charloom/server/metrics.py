"""What Prometheus reads: texts and requests, times to and between characters, the engine's steps."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from charloom.server.job import Job

FINE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # seconds
STEPS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25)


class Metrics:
    """The numbers of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        texts = Gauge("charloom_texts", "Texts open.", ["stage"], registry=self.registry)
        self._waiting, self._reading, self._running = map(texts.labels, ("waiting", "reading", "running"))
        self.requests = Counter(
            "charloom_requests", "Requests answered.", ["route", "status"], registry=self.registry
        )
        self.rejected = Counter(
            "charloom_rejected", "Requests refused for lack of room.", ["reason"], registry=self.registry
        )
        self.cancelled = Counter(
            "charloom_cancelled", "Requests whose client hung up before the end.", registry=self.registry
        )
        self._characters = Counter("charloom_characters", "Characters written.", registry=self.registry)
        self._first = Histogram(
            "charloom_first_character_seconds",
            "From a request to the first character of a text.",
            buckets=FINE,
            registry=self.registry,
        )
        self._between = Histogram(
            "charloom_between_pieces_seconds",
            "From a piece of a text to the next; a piece is one character or several.",
            buckets=FINE,
            registry=self.registry,
        )
        self._step = Histogram(
            "charloom_step_seconds", "One character of every text.", buckets=STEPS, registry=self.registry
        )

    def texts(self, waiting: int, reading: int, running: int) -> None:
        """How many are where."""
        self._waiting.set(waiting)
        self._reading.set(reading)
        self._running.set(running)

    def stretch(self, steps: int, seconds: float, characters: int) -> None:
        """A stretch of writing."""
        self._step.observe(seconds / steps)
        self._characters.inc(characters)

    def piece(self, job: Job, now: float) -> None:
        """A piece of a job's text came at `now`, of time.perf_counter."""
        (self._between if job.began else self._first).observe(now - job.moment)
        job.began, job.moment = True, now

    def page(self) -> bytes:
        """What /metrics says, in Prometheus's text format."""
        return generate_latest(self.registry)


def now() -> float:
    """The clock of `piece`."""
    return time.perf_counter()
