"""One thread writes all open texts: they enter and leave at any step, prompts are read between steps.

A *moment* is what the thread does in one go: take in what is new, let go what is not wanted, read a chunk of
the waiting prompts, write some characters of every text, tell what came. How much it reads and writes is
paced so that a moment lasts some tens of milliseconds, whatever the model and however many texts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np

from charloom.runtime.batch import Batch, Stream
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.runtime.state import State
from charloom.runtime.twins import log_softmax
from charloom.server.job import Ending, Job, Prompt, Speller, Token, Update
from charloom.server.limits import Limits
from charloom.server.metrics import Metrics
from charloom.server.pace import Pace
from charloom.server.reading import SIDE_BY_SIDE, Readings

MOMENT = 0.02  # seconds of writing, unless somebody hangs up: what a text waits for another's step
EACH = 0.00006  # seconds more a text: telling and sending cost as much whatever came, so it should be more
MOST_STEPS = 16  # characters a moment: with a stop string, so much is written in vain at most
READING = 0.015  # seconds of reading between two stretches of writing
READING_ALONE = 0.05  # seconds of it where nobody is writing
MOST_READ = 2**15  # ids in one go
ENTERING = 128  # texts a moment, so that a rush does not stop those who write
PATTERN_BYTES = 2**23  # tables of the regular expressions in use: they are copied when one is added

log = logging.getLogger("charloom.server.engine")

Told = list[tuple[Job, Update]]


class Engine:
    """Texts are `submit`ted and `withdraw`n from any thread; `tell` is called on the engine's own.

    `tell` is given what a moment brought; it must not block.
    """

    def __init__(
        self, generator: Generator, limits: Limits, metrics: Metrics, tell: Callable[[Told], None]
    ) -> None:
        self._generator, self._limits, self._metrics, self._tell = generator, limits, metrics, tell
        self._changed = threading.Condition()
        self._arrived: list[Job] = []
        self._unwanted: list[tuple[Job, Ending | None]] = []
        self._asked: list[Future[None]] = []
        self._final: Ending | None = None
        self._closing = self._forgets = False
        self._waiting: dict[Job, None] = {}
        self._writing: dict[Stream, Job] = {}
        self._told: Told = []
        self._reading_pace = Pace(READING, SIDE_BY_SIDE, MOST_READ)
        self._writing_pace = Pace(MOMENT, 1, MOST_STEPS)
        self._begin()
        self._thread = threading.Thread(target=self._run, name="charloom-engine", daemon=True)

    def start(self) -> None:
        """Begin, and write a text for nobody: what has to be compiled is compiled now."""
        beginning = self._generator.beginning
        ids = np.zeros(1, np.int32)  # whatever comes first in the vocabulary
        prompt = Prompt(text="", start=beginning.state(), before=ids[:0], ids=ids, key=b"")
        begun = time.perf_counter()
        done = threading.Event()
        tell, self._tell = self._tell, lambda told: done.set()
        self._thread.start()
        for settings in SamplerConfig(length=1), SamplerConfig(length=1, top_k=1):  # compiled apart
            done.clear()
            self.submit([Job(prompt=prompt, settings=settings, hear=lambda _: None, length=1, moment=begun)])
            done.wait()
        self._tell = tell

    def submit(self, jobs: Sequence[Job]) -> None:
        """These texts are wanted; each hears of what comes until one Update has an ending."""
        with self._changed:
            self._arrived += jobs
            self._changed.notify()

    def withdraw(self, jobs: Iterable[Job], ending: Ending | None = None) -> None:
        """These are not wanted any longer. With an `ending` they hear of it, and of what was held back."""
        with self._changed:
            self._unwanted += ((job, ending) for job in jobs)
            self._batch.halt()
            self._changed.notify()

    def tick(self) -> Future[None]:
        """Done once the engine has gone round: proof that it does."""
        asked: Future[None] = Future()
        with self._changed:
            self._asked.append(asked)
            self._changed.notify()
        return asked

    def forget(self) -> Future[None]:
        """Forget the prompts that were read lately; done as `tick` is."""
        self._forgets = True
        return self.tick()

    def end(self, ending: Ending) -> None:
        """End every text that is open."""
        with self._changed:
            self._final = ending
            self._changed.notify()

    def close(self) -> None:
        """Stop the thread, and wait for it."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def _begin(self) -> None:
        self._batch = Batch(self._generator.engine, self._generator.model, self._limits.streams)
        self._readings = Readings(self._generator, self._limits.primed_bytes)
        self._inside: dict[Job, None] = {}  # reading or writing

    def _run(self) -> None:
        try:
            while self._moment():
                pass
        finally:
            self._batch.close()

    def _moment(self) -> bool:
        """One moment; False where it was the last."""
        with self._changed:
            while not (
                self._arrived
                or self._unwanted
                or self._asked
                or self._final
                or self._closing
                or self._inside
                or self._waiting
            ):
                self._changed.wait()
            arrived, self._arrived = self._arrived, []
            unwanted, self._unwanted = self._unwanted, []
            self._batch.halt(False)
            asked, self._asked = self._asked, []
            final, self._final = self._final, None
            if self._closing:
                return False
        try:
            self._waiting.update(dict.fromkeys(arrived))
            for job, ending in unwanted:
                self._drop(job, ending)
            if final is not None:
                for job in (*self._waiting, *self._inside):
                    self._drop(job, final)
            if self._forgets:
                self._forgets = False
                self._readings.forget()
            self._admit()
            self._read()
            self._write()
        except Exception:  # which texts it concerns is unknown: all that are open end, the next are served
            log.exception("engine: internal error; all open texts end")
            self._told += [(job, Update("", (), "failed")) for job in (*self._waiting, *self._inside)]
            self._waiting, self._writing = {}, {}
            self._batch.close()
            self._begin()
        self._metrics.texts(len(self._waiting), len(self._readings), len(self._writing))
        if self._told:
            self._tell(self._told)
            self._told = []
        for future in asked:
            future.set_result(None)
        return True

    @contextmanager
    def _isolated(self, job: Job) -> Iterator[None]:
        """Let an error while this job is served end this job alone: it gets "failed" and frees its slot."""
        try:
            yield
        except Exception:
            log.exception("engine: internal error; the text concerned ends")
            self._release(job)
            self._told.append((job, Update("", (), "failed")))

    def _release(self, job: Job) -> None:
        """Free whatever the job holds."""
        self._waiting.pop(job, None)
        self._inside.pop(job, None)
        self._readings.leave(job)
        writing = job.stream is not None and self._writing.pop(job.stream, None) is not None
        if writing and job.stream in self._batch.streams:  # where its text has ended, it has left
            self._batch.leave(job.stream)

    def _drop(self, job: Job, ending: Ending | None) -> None:
        """End a job that is no longer wanted."""
        if job not in self._waiting and job not in self._inside:
            return
        with self._isolated(job):
            piece = ""
            if ending is not None and job.stream is not None:
                piece = job.stream.writer.feed(
                    np.zeros(0, np.int32), "length"
                )  # what a stop string held back
            self._release(job)
            if ending is not None:
                tokens = () if job.speller is None or job.top < 0 else job.speller.told(len(piece))
                self._told.append((job, Update(piece, tokens, ending)))

    def _admit(self) -> None:
        """Give places to those who have waited longest; a pattern waits until its table has room."""
        room = min(self._limits.streams - len(self._inside), ENTERING)
        if not self._waiting or room <= 0:
            return
        tables = {id(job.automaton): _bytes(job) for job in self._inside if job.automaton is not None}
        for job in list(self._waiting):
            if room == 0:
                return
            if job.automaton is not None and id(job.automaton) not in tables:
                if tables and sum(tables.values()) + _bytes(job) > PATTERN_BYTES:
                    continue
                tables[id(job.automaton)] = _bytes(job)
            room -= 1
            del self._waiting[job]
            self._inside[job] = None
            with self._isolated(job):
                state = self._readings.enter(job)
                if state is not None:
                    self._enter(job, state)

    def _read(self) -> None:
        if not len(self._readings):
            return
        self._reading_pace.seconds = READING if self._writing else READING_ALONE
        for job, state in self._readings.advance(self._reading_pace):
            with self._isolated(job):
                if job.speller is not None:
                    self._told.append((job, Update("", job.speller.told())))
                if state is not None:
                    self._enter(job, state)

    def _enter(self, job: Job, state: State) -> None:
        """The prompt is read: now the text is written, if one is wanted."""
        job.speller = None  # the prompt's
        if not job.length:
            del self._inside[job]
            self._told.append((job, Update("", (), "length")))
            return
        model = self._generator.model
        traced = job.top >= 0 or job.ranked
        if traced:
            job.speller = Speller(model.vocabulary, job.top, len(job.prompt.text) if job.scored else 0)
        job.stream = Stream(
            model,
            state,
            job.settings,
            job.automaton,
            number=job.number,
            candidate=job.candidate,
            traced=traced,
        )
        self._writing[job.stream] = job
        self._batch.enter(job.stream)

    def _write(self) -> None:
        count = len(self._writing)
        if not count:
            return
        self._writing_pace.seconds = MOMENT + EACH * count
        begun = time.perf_counter()
        progress = self._batch.advance(self._writing_pace.amount)
        now = time.perf_counter()
        steps = max(1, *(each.ids for each in progress))  # a text may end before its first character
        self._writing_pace.took(steps, now - begun)
        characters = 0
        for each in progress:
            stream = each.stream
            job, ending = self._writing[stream], stream.writer.finish_reason
            with self._isolated(job):
                characters += len(each.piece)
                if each.piece:
                    self._metrics.piece(job, now)
                if each.piece or ending is not None:
                    self._told.append((job, _update(job, stream, each.piece, ending)))
                if ending is not None:
                    self._release(job)
        self._metrics.stretch(steps, now - begun, characters)


def _update(job: Job, stream: Stream, piece: str, ending: Ending | None) -> Update:
    """What came, its tokens where they are asked for; what a stream has piled up is let go."""
    tokens: tuple[Token, ...] = ()
    if job.speller is not None:
        job.speller.add(log_softmax(np.concatenate(stream.logits)), np.concatenate(stream.ids))
        tokens = job.speller.told(len(piece))
        if ending == "eos":
            job.speller.end()
        if job.top < 0:
            tokens = ()
    stream.logits.clear()
    stream.ids.clear()
    return Update(piece, tokens, ending)


def _bytes(job: Job) -> int:
    return 0 if job.automaton is None else job.automaton.follow.nbytes
