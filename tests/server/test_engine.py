"""The engine, driven a moment at a time."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import pytest

import untrained
from charloom.runtime.arrays import Ids, Longs
from charloom.runtime.generator import Generator
from charloom.runtime.options import SamplerConfig
from charloom.runtime.slots import Slots
from charloom.runtime.twins import Twins
from charloom.runtime.weights import fold
from charloom.server import engine as engine_module
from charloom.server.desk import SLICE, Desk
from charloom.server.engine import Engine
from charloom.server.job import Job, Prompt, Update
from charloom.server.limits import Limits
from charloom.server.metrics import Metrics
from charloom.server.pace import Pace
from charloom.server.reading import Primed
from charloom.text.vocabulary import Vocabulary

from .conftest import FOR_EVER, Expected, wait_until

MakeJob = Callable[..., Job]


@pytest.fixture
def make_job(generator: Generator) -> MakeJob:
    """`make_job(prompt, length, …)`; what it hears is kept in `heard(job)`."""

    def make(text: str = "", length: int = 20, seed: int = 0, **given: object) -> Job:
        ids = generator.model.encode(text)
        beginning = generator.beginning
        prompt = Prompt(
            text=text, start=beginning.state(), before=beginning.ids(), ids=ids, key=text.encode()
        )
        settings = SamplerConfig(length=max(length, 1), seed=seed)
        return Job(prompt=prompt, settings=settings, hear=lambda update: None, length=length, **given)

    return make


class Driven(Engine):
    """An engine without its thread: `moment()` is one."""

    def __init__(self, generator: Generator, **limits: int) -> None:
        self.heard: defaultdict[Job, list[Update]] = defaultdict(list)
        super().__init__(generator, Limits(**limits), Metrics(), self._note)

    def _note(self, told: list[tuple[Job, Update]]) -> None:
        for job, update in told:
            self.heard[job].append(update)

    def moment(self) -> None:
        self._moment()

    def until(self, *jobs: Job) -> None:
        for _ in range(10_000):
            if all(self.ending(job) for job in jobs):
                return
            if not self._inside and not self._waiting and not self._arrived:
                break
            self.moment()
        raise AssertionError("a text never ended")

    def text(self, job: Job) -> str:
        return "".join(update.piece for update in self.heard[job])

    def ending(self, job: Job) -> str | None:
        return self.heard[job][-1].ending if self.heard[job] else None

    @property
    def streams(self) -> int:
        return len(self._batch.streams)


@pytest.fixture
def drive(generator: Generator) -> Iterator[Callable[..., Driven]]:
    made: list[Driven] = []

    def make(**limits: int) -> Driven:
        made.append(Driven(generator, **limits))
        return made[-1]

    yield make
    for each in made:
        each._batch.close()


def test_texts_are_those_of_the_runtime(drive, make_job: MakeJob, expected: Expected) -> None:
    engine = drive(streams=3)
    asked = [("the ", 50, 1), ("the fog " * 200, 30, 2), ("", 40, 3), ("a", 10, 4), ("the ", 50, 5)]
    jobs = [make_job(*each) for each in asked]
    engine.submit(jobs)
    engine.until(*jobs)
    for job, (prompt, length, seed) in zip(jobs, asked, strict=True):
        assert engine.text(job) == expected(prompt, length=length, seed=seed)


def test_a_prompt_read_in_parts_leaves_the_state_of_one_read_whole(
    drive, make_job: MakeJob, generator: Generator
) -> None:
    engine = drive()
    job = make_job("the fog comes " * 500, FOR_EVER)
    engine.submit([job])
    moments = 0
    while job.stream is None:
        engine.moment()
        moments += 1
    assert moments > 1
    whole = generator.prime(job.prompt.text)
    np.testing.assert_array_equal(job.stream.start.hidden, whole.hidden)
    np.testing.assert_array_equal(job.stream.start.logits, whole.logits)
    np.testing.assert_array_equal(job.stream.start.ids, whole.ids)


def test_a_long_prompt_does_not_stall_those_who_write_nor_short_prompts(drive, make_job: MakeJob) -> None:
    engine = drive()
    writer = make_job("a", FOR_EVER)
    engine.submit([writer])
    while not engine.heard[writer]:
        engine.moment()
    long = [make_job(f"{k} " * 40_000, 1) for k in range(100)]  # more than are read side by side
    engine.submit(long)
    engine.moment()
    short = make_job("the ", 1)
    engine.submit([short])
    for _ in range(4):
        before = len(engine.heard[writer])
        engine.moment()
        assert len(engine.heard[writer]) > before
    engine.until(short)
    assert not any(engine.ending(job) for job in long)


def test_a_prompt_is_read_once_for_all_who_wait_for_it(
    drive, make_job: MakeJob, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    plain = Generator.read

    def counted(self, rows, states):
        read.append(sum(map(len, rows)))
        return plain(self, rows, states)

    monkeypatch.setattr(Generator, "read", counted)
    engine = drive()
    prompt = "the fog comes on " * 20
    jobs = [make_job(prompt, 5, seed) for seed in range(8)]
    engine.submit(jobs)
    engine.until(*jobs)
    assert sum(read) == len(prompt) + 1  # and <bos>
    again = make_job(prompt, 5)
    engine.submit([again])
    engine.until(again)
    assert sum(read) == len(prompt) + 1
    engine.forget()
    engine.moment()
    again = make_job(prompt, 5)
    engine.submit([again])
    engine.until(again)
    assert sum(read) == 2 * (len(prompt) + 1)
    read.clear()
    forgetful = drive(primed_bytes=0)
    for _ in range(2):
        job = make_job(prompt, 5)
        forgetful.submit([job])
        forgetful.until(job)
    assert sum(read) == 2 * (len(prompt) + 1)


def test_the_states_kept_are_bounded_and_the_oldest_goes_first(generator: Generator) -> None:
    states = [generator.prime(f"{k} of them") for k in range(4)]
    size = sum(array.nbytes for array in (states[0].hidden, states[0].logits, states[0].ids))
    primed = Primed(3 * size)
    for k in range(3):
        primed.keep(bytes([k]), states[k])
    assert primed.get(b"\0") is states[0]
    primed.keep(b"\3", states[3])
    assert len(primed) == 3
    assert primed.get(b"\1") is None
    assert primed.get(b"\0") is states[0]
    small = Primed(size - 1)
    small.keep(b"\0", states[0])
    assert len(small) == 0


@pytest.mark.parametrize("stage", ["waiting", "reading", "writing", "scored"])
def test_what_is_withdrawn_is_gone_after_one_moment(drive, make_job: MakeJob, stage: str) -> None:
    engine = drive(streams=1)
    first = make_job("a", FOR_EVER)
    if stage == "waiting":
        engine.submit([first])
    prompt = "the fog " * 10_000 if stage in ("reading", "scored") else "b"
    job = make_job(prompt, FOR_EVER, scored=stage == "scored")
    engine.submit([job])
    engine.moment()
    if stage == "writing":
        engine.moment()
        assert job in engine._writing.values()
    engine.withdraw([job])
    told = len(engine.heard[job])
    engine.moment()
    assert job not in {**engine._waiting, **engine._inside}
    assert len(engine._readings) == 0
    assert engine.streams == (1 if stage == "waiting" else 0)
    assert len(engine.heard[job]) == told
    other = make_job("c", 5)
    engine.withdraw([first])
    engine.submit([other])
    engine.until(other)


def test_a_hang_up_takes_effect_after_the_step_under_way(
    drive, make_job: MakeJob, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step is the plain twin's, so that somebody can hang up in the middle of it."""
    network = fold(generator.model.config, generator.model.weights, "float32")
    monkeypatch.setattr(generator, "engine", Twins(network))
    engine = drive()
    gone, stays = make_job("a", FOR_EVER), make_job("b", FOR_EVER)
    engine.submit([gone, stays])
    engine._writing_pace = Pace(1000.0, 16, 16)
    while len(engine.text(stays)) < 16:
        engine.moment()
    fed: list[int] = []
    feed = Twins._feed

    def hanging_up(self: Twins, slots: Slots, rows: Longs, ids: Ids) -> None:
        fed.append(len(rows))
        if len(fed) == 2:
            engine.withdraw([gone])
        feed(self, slots, rows, ids)

    monkeypatch.setattr(Twins, "_feed", hanging_up)
    engine.moment()
    assert fed == [2, 2]
    engine.moment()
    assert fed == [2, 2, *[1] * 16]
    assert engine.streams == 1


def test_one_that_is_ended_hears_what_was_held_back(drive, make_job: MakeJob, expected: Expected) -> None:
    engine = drive()
    text = expected("the ", length=10)
    stop = text[9] + "no such end"
    job = make_job("the ", FOR_EVER)
    job.settings = SamplerConfig(length=FOR_EVER, stop=(stop,))
    engine.submit([job])
    while len(engine.text(job)) < 9:
        engine._writing_pace.amount = 1
        engine.moment()
    engine.withdraw([job], "time")
    engine.moment()
    assert engine.ending(job) == "time"
    assert engine.streams == 0
    assert engine.text(job) == expected("the ", length=len(engine.text(job)))


def test_at_the_end_all_are_ended(drive, make_job: MakeJob) -> None:
    engine = drive(streams=2)
    jobs = [make_job("a", FOR_EVER), make_job("b " * 20_000, 5), make_job("c", 5)]
    engine.submit(jobs)
    engine.moment()
    engine.end("shutdown")
    engine.moment()
    assert [engine.ending(job) for job in jobs] == ["shutdown"] * 3


def test_a_fault_ends_the_texts_and_not_the_engine(
    drive, make_job: MakeJob, expected: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = drive()
    jobs = [make_job("a", FOR_EVER), make_job("b", FOR_EVER)]
    engine.submit(jobs)
    engine.moment()
    with monkeypatch.context() as patch:
        patch.setattr(engine._batch, "advance", lambda steps: 1 / 0)
        engine.moment()
    assert [engine.ending(job) for job in jobs] == ["failed"] * 2
    after = make_job("the ", 20)
    engine.submit([after])
    engine.until(after)
    assert engine.text(after) == expected("the ", length=20)


@pytest.mark.parametrize("where", ["_update", "Speller", "Stream"])
def test_a_fault_with_one_text_ends_that_text_alone(
    where: str, drive, make_job: MakeJob, expected: Expected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the step in which the text ends, or enters; its client is told, and its slot is free again."""
    engine = drive(streams=2)
    bad, good = make_job("the ", 4, top=0), make_job("a", 20)
    works = getattr(engine_module, where)

    def fails(*given: object, **options: object) -> object:
        concerned = bad in given or where == "Speller" or any(each is bad.settings for each in given)
        return 1 / 0 if concerned else works(*given, **options)

    monkeypatch.setattr(engine_module, where, fails)
    engine.submit([bad, good])
    engine.until(bad, good)
    assert [engine.ending(bad), engine.ending(good)] == ["failed", "length"]
    assert sum(update.ending is not None for update in engine.heard[bad]) == 1
    assert engine.text(good) == expected("a", length=20)
    assert (engine.streams, len(engine._inside), len(engine._writing)) == (0, 0, 0)


def test_eos_inside_a_character_ends_a_text_with_log_probabilities() -> None:
    model = untrained.model(vocabulary=Vocabulary.of_bytes(("<bos>", "<eos>")), ends=2)
    engine = Driven(Generator(model))
    start, before = engine._generator.beginning.state(), engine._generator.beginning.ids()
    prompt = Prompt(text="", start=start, before=before, ids=before[:0], key=b"")
    jobs = [
        Job(prompt=prompt, settings=SamplerConfig(seed=seed, length=40), hear=lambda update: None,
            length=40, top=1, ranked=True)
        for seed in range(40)
    ]  # fmt: skip
    engine.submit(jobs)
    engine.until(*jobs)
    cut = 0
    for job in jobs:
        text, tokens = engine.text(job), [token for update in engine.heard[job] for token in update.tokens]
        assert engine.ending(job) in ("eos", "length")
        assert [token.at for token in tokens] == sorted(token.at for token in tokens)
        assert {token.at for token in tokens} <= set(range(len(text)))
        assert all(text[token.at] == token.text for token in tokens if not token.text.startswith("bytes:"))
        cut += text.endswith("\N{REPLACEMENT CHARACTER}") and engine.ending(job) == "eos"
    assert cut, "no <eos> came inside a character"
    engine._batch.close()


def test_patterns_wait_until_their_tables_have_room(
    drive, make_job: MakeJob, generator: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [generator.automaton(SamplerConfig(match=f"[a-e]{{{k}}}")) for k in (5, 6, 7)]
    monkeypatch.setattr(engine_module, "PATTERN_BYTES", made[0].follow.nbytes + made[1].follow.nbytes)
    engine = drive()
    jobs = [make_job("a", 20, automaton=automaton) for automaton in (*made, made[0])]
    plain = make_job("a", FOR_EVER)
    engine.submit([*jobs, plain])
    engine.moment()
    assert list(engine._waiting) == [jobs[2]]
    engine.until(*jobs)
    assert [len(engine.text(job)) for job in jobs] == [5, 6, 7, 5]


def test_a_tick_proves_that_the_engine_goes_round(generator: Generator) -> None:
    engine = Engine(generator, Limits(), Metrics(), lambda told: None)
    assert not engine.alive
    engine.start()
    assert not engine._inside  # what it wrote to compile everything has ended
    assert engine.tick().result(60) is None
    engine.close()
    assert not engine.alive
    assert not any(thread.name == "charloom-engine" for thread in threading.enumerate())
    with pytest.raises(TimeoutError):
        engine.tick().result(0.01)


def test_texts_from_many_threads(generator: Generator, make_job: MakeJob, expected: Expected) -> None:
    done: dict[Job, list[Update]] = defaultdict(list)

    def note(told: list[tuple[Job, Update]]) -> None:
        for job, update in told:
            done[job].append(update)

    engine = Engine(generator, Limits(streams=8), Metrics(), note)
    engine.start()
    jobs = [make_job("the ", 30, seed) for seed in range(40)]
    threads = [threading.Thread(target=engine.submit, args=([job],)) for job in jobs]
    for thread in threads:
        thread.start()
    wait_until(lambda: all(done[job] and done[job][-1].ending for job in jobs))
    engine.close()
    for seed, job in enumerate(jobs):
        assert "".join(update.piece for update in done[job]) == expected("the ", length=30, seed=seed)


def test_a_pace_fits_the_time_it_has() -> None:
    pace = Pace(0.1, 2, 1000)
    assert pace.amount == 2
    for _ in range(30):
        pace.took(pace.amount, pace.amount * 0.001)
    assert pace.amount == pytest.approx(100, abs=2)
    pace.took(100, 1000.0)
    assert pace.amount == 2
    for _ in range(60):
        pace.took(pace.amount, 0.0)
    assert pace.amount == 1000


def test_news_that_nobody_has_heard_yet_piles_up_with_its_text(
    generator: Generator, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event loop that is behind looks at each text once, however many pieces came; none waits twice."""
    desk = Desk(Limits(), Metrics(), log_prompts=False)
    heard: list[tuple[int, str]] = []
    jobs = [make_job("a") for _ in range(100)]
    for k, job in enumerate(jobs):
        job.hear = lambda update, k=k: heard.append((k, update.piece))
    turns = 0
    hand_out = Desk._hand_out

    def counted(self: Desk) -> None:
        nonlocal turns
        turns += 1
        hand_out(self)

    monkeypatch.setattr(Desk, "_hand_out", counted)

    async def behind() -> None:
        desk.open_at(asyncio.get_running_loop())
        for piece in range(500):
            desk._take([(job, Update(str(piece))) for job in jobs])
        while desk._news:
            await asyncio.sleep(0)

    asyncio.run(behind())
    assert turns == -(-len(jobs) // SLICE)
    assert heard == [(k, str(piece)) for k in range(100) for piece in range(500)]
