import itertools
import math
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import UsageError
from charloom.insight import ngram
from charloom.insight.ngram import DISCOUNT, Ngram


def nats(model: Ngram, ids) -> np.ndarray:
    return model.nats(np.asarray(ids, np.uint16))


def plain(train, order: int, size: int, context: tuple[int, ...], symbol: int) -> float:
    """p(symbol | context) with dictionaries and loops, from the formula."""
    grams = Counter(tuple(train[i : i + order + 1]) for i in range(len(train) - order))
    tables = [grams]
    for _ in range(order):
        tables.insert(0, Counter(run[1:] for run in tables[0]))
    found = 1 / size
    for k, table in enumerate(tables):
        if k > len(context):
            break
        n = [0, *(sum(times == wanted for times in table.values()) for wanted in (1, 2, 3, 4))]
        discounts = [0.0, DISCOUNT, DISCOUNT, DISCOUNT]
        if all(n[1:4]):
            share = n[1] / (n[1] + 2 * n[2])
            estimates = [0.0, *(i - (i + 1) * share * n[i + 1] / n[i] for i in (1, 2, 3))]
            if min(estimates[1:]) > 0:
                discounts = estimates
        last = context[len(context) - k :]
        here = {run[-1]: times for run, times in table.items() if run[:-1] == last}
        if here:
            kept = here.get(symbol, 0) - discounts[min(here.get(symbol, 0), 3)]
            freed = sum(discounts[min(times, 3)] for times in here.values())
            found = (kept + freed * found) / sum(here.values())
    return found


texts = st.integers(1, 4).flatmap(
    lambda size: st.tuples(st.just(size), st.lists(st.integers(0, size - 1), max_size=60), st.integers(0, 3))
)


@given(texts, st.data())
def test_it_is_the_formula_and_a_distribution(drawn, data) -> None:
    size, train, order = drawn
    context = tuple(data.draw(st.lists(st.integers(0, size - 1), min_size=order, max_size=order)))
    model = Ngram(np.array(train, np.uint8), order=order, size=size)
    chances = [math.exp(-nats(model, [*context, symbol])[-1]) for symbol in range(size)]
    assert sum(chances) == pytest.approx(1)
    assert chances == pytest.approx([plain(train, order, size, context, x) for x in range(size)])


def test_the_first_symbols_are_predicted_by_lower_orders() -> None:
    train = np.array([0, 1, 2, 0, 2, 1, 1, 0, 2, 2] * 7, np.uint8)
    expected = [
        plain(train.tolist(), 3, 3, tuple([2, 0, 1, 1, 0][:t][-3:]), [2, 0, 1, 1, 0][t]) for t in range(5)
    ]
    assert np.exp(-nats(Ngram(train, order=3, size=3), [2, 0, 1, 1, 0])) == pytest.approx(expected)


@pytest.mark.parametrize("order", [0, 2, 5])
def test_pieces_and_tables_change_nothing(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    train, held_out = random.integers(0, 7, 5000).astype(np.uint8), random.integers(0, 7, 999)
    whole = nats(Ngram(train, order=order, size=7), held_out)
    monkeypatch.setattr(ngram, "COUNTED", 617)
    model = Ngram(train, order=order, size=7)
    pieces = [model.nats(held_out, start, start + 101) for start in range(0, 999, 101)]
    assert np.array_equal(np.concatenate(pieces), whole)
    monkeypatch.setattr(ngram, "DENSE", 0)  # sorted keys in place of a dense table
    assert np.array_equal(nats(Ngram(train, order=order, size=7), held_out), whole)


def test_memory_is_bounded_by_reading_less_from_the_front(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngram, "COUNTED", 100)
    monkeypatch.setattr(ngram, "MOST_GRAMS", 150)
    monkeypatch.setattr(ngram, "DENSE", 0)
    train = np.random.default_rng(4).integers(0, 50, 5000).astype(np.uint8)
    model = Ngram(train, order=3, size=50)
    assert model.fitted == 200
    latest = Ngram(train[-203:], order=3, size=50)
    assert np.array_equal(nats(model, train[:300]), nats(latest, train[:300]))


def test_memory_does_not_grow_with_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngram, "COUNTED", 2**16)
    monkeypatch.setattr(ngram, "MOST_GRAMS", 2**18)
    monkeypatch.setattr(ngram, "DENSE", 2**18)
    train = np.random.default_rng(6).integers(0, 60, 2**22).astype(np.uint8)
    for order in (2, 4):  # dense and sparse
        tracemalloc.start()
        model = Ngram(train, order=order, size=60)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**18 * 160  # bytes; all the text at once would take three times that
        assert (model.fitted == len(train)) == (order == 2)


def test_a_cycle_is_learned_and_a_stranger_survived() -> None:
    cycle = np.tile(np.arange(5), 400).astype(np.uint8)
    model = Ngram(cycle, order=2, size=6)
    assert nats(model, cycle[:100])[2:].max() < 0.002
    assert 8 < nats(model, [0, 1, 5])[-1] < 20  # 5 was never seen: two discounts of 1/400, then 1/6


def test_an_empty_training_text_leaves_the_uniform_distribution() -> None:
    assert nats(Ngram(np.zeros(0, np.uint8), order=2, size=9), [3, 4, 8, 0]) == pytest.approx(math.log(9))


@pytest.mark.parametrize(("order", "size"), [(-1, 5), (7, 256), (10, 65)])
def test_an_order_that_cannot_be_counted_is_refused(order: int, size: int) -> None:
    with pytest.raises(UsageError, match=rf"an order of {order} with {size} symbols"):
        Ngram(np.zeros(9, np.uint8), order=order, size=size)


def test_shakespeare(data_folder: Path) -> None:
    text = (data_folder / "tinyshakespeare.txt").read_text(encoding="utf-8")
    numbers = {character: i for i, character in enumerate(dict.fromkeys(text))}
    ids = np.array([numbers[character] for character in text], np.uint8)
    train, held_out = ids[:-111_540], ids[-111_540:]
    found = [nats(Ngram(train, order=order, size=65), held_out).mean() for order in (0, 1, 2, 5)]
    assert all(better < worse for worse, better in itertools.pairwise(found))
    counts = np.bincount(train)
    entropy = -(np.bincount(held_out, minlength=65) @ np.log(counts / counts.sum())) / len(held_out)
    assert found[0] == pytest.approx(
        entropy, abs=1e-3
    )  # with a hundred characters a row, smoothing is slight
    assert found[3] < 1.53
