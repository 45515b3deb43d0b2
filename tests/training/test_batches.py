"""The lesson's pairs to the letter, every pair once an epoch, and heads that go on where they stopped."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import DataError
from charloom.text.vocabulary import Vocabulary
from charloom.training import batches
from charloom.training.batches import FEWEST_WINDOWS, LESSON_WINDOW, Lanes, Shuffled, Windows, pairs, shuffle

LESSON = (
    "Wall St. Bears Claw Back Into the Black (Reuters) Reuters - Short-sellers, Wall Street's "
    "dwindling\\band of ultra-cynics, are seeing green again."
)
SEEDS = st.integers(0, 2**32 - 1)


def test_the_lessons_pairs() -> None:
    """S4, of the first training text: 44 windows of 100, and the same one character later."""
    ids = Vocabulary.from_text(LESSON).encode(LESSON)
    inputs, targets = pairs(ids, LESSON_WINDOW)
    assert inputs.shape == targets.shape == (144 - 100, 100)
    assert inputs[0, :3].tolist() == [0, 1, 2]
    assert inputs[0, -3:].tolist() == [28, 29, 30]
    assert targets[0, :3].tolist() == [1, 2, 2]
    assert targets[0, -3:].tolist() == [29, 30, 1]
    assert targets[-1, -1] == ids[-1]
    for k in range(len(inputs)):
        assert inputs[k].tolist() == ids[k : k + 100].tolist()
        assert targets[k].tolist() == ids[k + 1 : k + 101].tolist()
    assert np.shares_memory(inputs, ids)
    assert np.shares_memory(targets, ids)


def test_one_text_a_step_and_short_ones_skipped() -> None:
    window = 5
    lengths = [window + FEWEST_WINDOWS, window + FEWEST_WINDOWS - 1, 40, 0]
    texts = [np.arange(length, dtype=np.uint8) + 50 * k for k, length in enumerate(lengths)]
    layout = Windows(np.concatenate(texts), np.cumsum([0, *lengths]), window)
    assert layout.steps_per_epoch == 2
    for step, text in enumerate([texts[0], texts[2], texts[0], texts[2]]):
        inputs, targets = pairs(text, window)
        batch = layout.batch(step)
        assert (batch.inputs == inputs).all()
        assert (batch.targets == targets).all()
        assert batch.fresh.all()
    with pytest.raises(DataError, match=r"no text has 15 characters.*smaller --set train.window"):
        Windows(texts[1], np.array([0, lengths[1]]), window)


@given(st.integers(1, 3000), SEEDS, st.integers(0, 5))
def test_a_shuffle_is_a_permutation(size: int, seed: int, epoch: int) -> None:
    order = shuffle(np.arange(size), size, (seed, epoch))
    assert sorted(order.tolist()) == list(range(size))


def test_a_shuffle_mixes_and_every_epoch_is_another() -> None:
    size = 10_000
    orders = [shuffle(np.arange(size), size, (0, epoch)) for epoch in range(3)]
    for order in orders:
        assert abs(np.corrcoef(order, np.arange(size))[0, 1]) < 0.05
        assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.05
    assert (orders[0] != orders[1]).mean() > 0.99
    assert (orders[1] != orders[2]).mean() > 0.99


@given(st.integers(2, 60), st.integers(1, 10), st.integers(1, 9), SEEDS)
def test_an_epoch_of_shuffled_windows_has_every_pair_once(
    size: int, window: int, rows: int, seed: int
) -> None:
    ids = np.arange(size, dtype=np.uint8)
    if size <= window:
        with pytest.raises(DataError, match="a window needs"):
            Shuffled(ids, rows=rows, window=window, seed=seed)
        return
    layout = Shuffled(ids, rows=rows, window=window, seed=seed)
    count = size - window
    assert layout.steps_per_epoch == count / rows
    steps = range(-(-2 * count // rows))
    found = [layout.batch(step) for step in steps]
    for batch in found:
        assert batch.inputs.shape == batch.targets.shape == (rows, window)
        assert (batch.targets == batch.inputs + 1).all()
        assert batch.fresh.all()
    drawn = np.concatenate([batch.inputs[:, 0] for batch in found])
    for epoch in range(2):
        assert sorted(drawn[epoch * count : (epoch + 1) * count].tolist()) == list(range(count))
    for step in reversed(steps):  # a step knows nothing of the others
        assert (layout.batch(step).inputs == found[step].inputs).all()


@given(
    st.integers(2, 80),
    st.integers(1, 8),
    st.integers(1, 9),
    SEEDS,
    st.sampled_from([0.0, 0.3, 1.0]),
    st.booleans(),
)
def test_lanes_go_on_where_they_stopped(
    size: int, lanes: int, window: int, seed: int, restarts: float, has_bos: bool
) -> None:
    ids = np.arange(size, dtype=np.uint8)
    bos = 200 if has_bos else None

    def make() -> Lanes:
        return Lanes(ids, lanes=lanes, window=window, seed=seed, restarts=restarts, bos=bos)

    if size <= window or size < lanes:
        with pytest.raises(DataError):
            make()
        return
    layout = make()
    assert layout.steps_per_epoch == size / (lanes * window)
    found = [layout.batch(step) for step in range(3 * size // window + 2)]  # three times around
    starts = np.arange(lanes) * size // lanes
    for step, batch in enumerate(found):
        places = (starts[:, None] + step * window + np.arange(window)) % size
        assert (batch.targets == ids[(places + 1) % size]).all()
        begun = np.zeros(places.shape, bool)
        begun[:, 0] = batch.fresh & has_bos
        assert (batch.inputs == np.where(begun, 200, ids[places])).all()
    assert found[0].fresh.all()
    for step in reversed(range(len(found))):
        again = make().batch(step)
        assert (again.inputs == found[step].inputs).all()
        assert (again.fresh == found[step].fresh).all()
    if restarts in (0.0, 1.0):
        assert all((batch.fresh == bool(restarts)).all() for batch in found[1:])


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 4), st.integers(1, 9), SEEDS)
def test_lanes_read_documents_whole_and_shuffled(
    lengths: list[int], lanes: int, window: int, seed: int
) -> None:
    lengths = [2 + length for length in lengths]
    ends = np.cumsum([0, *lengths])
    size = int(ends[-1])
    if size <= window or size < lanes:
        return
    ids = np.arange(size, dtype=np.uint16)

    def make() -> Lanes:
        return Lanes(ids, lanes=lanes, window=window, seed=seed, restarts=0.2, documents=ends)

    text = make().read(np.arange(size))
    begins = np.flatnonzero(np.isin(text, ends[:-1]))
    read = np.split(text, begins[1:])
    assert sorted(map(tuple, read)) == [tuple(range(a, b)) for a, b in pairwise(ends)]
    starts = np.arange(lanes) * size // lanes
    for step in range(2 * size // window):  # otherwise heads go on as in a text of one piece
        places = (starts[:, None] + step * window + np.arange(window + 1)) % size
        batch = make().batch(step)
        for row in np.flatnonzero(batch.fresh):  # from its document's beginning, where that is near
            begin = begins[begins <= places[row, 0]].max()
            if places[row, 0] - begin < window:
                places[row] = (begin + np.arange(window + 1)) % size
        assert (batch.inputs == text[places[:, :-1]]).all()
        assert (batch.targets == text[places[:, 1:]]).all()


def test_neighbours_in_a_file_are_none_to_the_heads() -> None:
    count = 1000
    layout = Lanes(
        np.arange(3 * count, dtype=np.uint16),
        lanes=1,
        window=1,
        seed=3,
        documents=np.arange(0, 3 * count + 1, 3),
    )
    order = layout.read(np.arange(0, 3 * count, 3)) // 3
    assert (np.diff(order) == 1).mean() < 0.02
    assert abs(np.corrcoef(order, np.arange(count))[0, 1]) < 0.1


def test_too_many_documents_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_SHUFFLED", 10)
    ids, ends = np.arange(40, dtype=np.uint8), np.arange(0, 41, 2)
    layout = Lanes(ids, lanes=2, window=3, seed=0, documents=ends)
    assert (layout.read(np.arange(40)) == ids).all()


def test_the_share_of_restarts() -> None:
    layout = Lanes(np.zeros(1000, np.uint8), lanes=50, window=3, seed=1, restarts=0.1)
    fresh = np.stack([layout.batch(step).fresh for step in range(1, 401)])
    assert abs(fresh.mean() - 0.1) < 4 * np.sqrt(0.1 * 0.9 / fresh.size)
    assert (fresh.any(axis=0)).all()


@pytest.mark.parametrize(("characters", "lanes"), [(64, 1), (70, 71)])
def test_a_text_too_short_is_one_line(characters: int, lanes: int) -> None:
    with pytest.raises(DataError) as caught:
        Lanes(np.zeros(characters, np.uint8), lanes=lanes, window=64, seed=0)
    message = str(caught.value)
    assert "\n" not in message
    assert f"the training text has {characters} characters" in message
    assert "use" in message
