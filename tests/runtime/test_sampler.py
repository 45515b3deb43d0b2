"""The algebra of the options on logits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from charloom.runtime import sampler

LOGITS = arrays(np.float32, st.integers(1, 12), elements=st.integers(-8, 8).map(float))  # ties are common
P = st.floats(0.01, 1)


def softmax(logits):
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return weights / weights.sum()


def memory(logits):
    return np.full(len(logits), 99, np.int64)


def kept(logits):
    return np.flatnonzero(np.isfinite(logits))


@given(LOGITS, st.integers(1, 15))
def test_top_k_keeps_the_k_likeliest_ties_to_the_lowest_id(logits, k) -> None:
    after = logits.copy()
    sampler.keep_top_k(after, k, memory(after))
    assert kept(after).tolist() == sorted(sorted(range(len(logits)), key=lambda i: (-logits[i], i))[:k])
    assert np.array_equal(after[kept(after)], logits[kept(after)])


@given(LOGITS, P)
def test_top_p_keeps_the_smallest_head_that_reaches_p(logits, p) -> None:
    after = logits.copy()
    sampler.keep_top_p(after, p, memory(after))
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    size, probabilities = len(kept(after)), softmax(logits)
    assert set(kept(after)) == set(order[:size])
    assert probabilities[order[:size]].sum() >= p - 1e-6
    assert size == 1 or probabilities[order[: size - 1]].sum() < p + 1e-6


@given(LOGITS, P)
def test_min_p_keeps_what_is_likely_enough(logits, p) -> None:
    after = logits.copy()
    sampler.keep_min_p(after, p)
    ratio = softmax(logits) / softmax(logits).max()
    assert np.isfinite(after[ratio > p + 1e-5]).all()
    assert not np.isfinite(after[ratio < p - 1e-5]).any()


@given(LOGITS, st.integers(1, 15), P, P)
def test_the_largest_logit_survives_every_restriction_and_twice_is_once(logits, k, p, least) -> None:
    work = memory(logits)
    for restrict, *bounds in (
        (sampler.keep_top_k, k, work),
        (sampler.keep_top_p, p, work),
        (sampler.keep_min_p, least),
    ):
        once = logits.copy()
        restrict(once, *bounds)
        assert sampler.greedy(once) == sampler.greedy(logits) == int(np.argmax(logits))
        if restrict is not sampler.keep_top_p:  # what is left has new probabilities
            twice = once.copy()
            restrict(twice, *bounds)
            assert np.array_equal(once, twice)


@given(LOGITS, st.floats(-2, 2), st.floats(-2, 2), st.data())
def test_penalties_follow_their_definition(logits, frequency, presence, data) -> None:
    counts = data.draw(arrays(np.int32, len(logits), elements=st.integers(0, 5)))
    after = logits.copy()
    sampler.penalise(after, counts, frequency, presence)
    expected = logits.astype(np.float64) - counts * frequency - (counts > 0) * presence
    assert np.allclose(after, expected, atol=1e-5)


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 4))
def test_no_run_is_completed_twice(history, n) -> None:
    logits = np.zeros(4, np.float32)
    sampler.forbid_repeats(logits, np.array(history, np.int32), n, memory(logits))
    runs = {tuple(history[i : i + n]) for i in range(len(history) - n + 1)}
    repeating = {k for k in range(4) if (*history[len(history) - n + 1 :], k) in runs}
    expected = set(range(4)) - repeating if len(repeating) < 4 else set(range(4))
    assert set(kept(logits)) == expected


@given(LOGITS, st.integers(0, 2**24 - 1), st.floats(0.1, 5))
def test_only_differences_between_logits_matter(logits, numerator, shift) -> None:
    u = np.float32(numerator / 2**24)
    assert sampler.draw(logits, u) == sampler.draw(logits + np.float32(8), u)


@given(LOGITS, st.integers(1, 2**24 - 2))
def test_temperature_goes_from_greedy_to_uniform(logits, numerator) -> None:
    row = np.array([0.01, 0, 1, 0, 0, 0, 0])
    none = np.zeros(len(logits), np.int32)
    cold = logits.copy()
    sampler.shape(cold, row, none, none[:0], memory(cold))
    chosen = sampler.draw(cold, np.float32(numerator / 2**24))
    assert logits[chosen] == logits.max()
    hot = (logits / 1000).copy()
    row[0] = 100
    sampler.shape(hot, row, none, none[:0], memory(hot))
    assert np.allclose(softmax(hot), 1 / len(logits), atol=1e-3)


def test_bytes_of_unknown_characters_in_the_history_touch_no_row() -> None:
    """Virtual ids lie beyond the logits: as the last id of a run they forbid nothing, and write nowhere."""
    memory = np.zeros(8, np.float32)
    logits = memory[:4]
    sampler.forbid_repeats(logits, np.array([1, 6, 1], np.int32), 2, np.zeros(4, np.int64))
    assert (memory == 0).all()
    sampler.forbid_repeats(logits, np.array([6, 2, 6], np.int32), 2, np.zeros(4, np.int64))
    assert logits.tolist() == [0, 0, -np.inf, 0]
    assert (memory[4:] == 0).all()
