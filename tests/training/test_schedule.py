"""A rate that never jumps, and a record of plans that repeats every rate of a live run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.training.schedule import Schedule

WARMUPS = st.sampled_from([0.0, 0.02, 0.3, 1.0])


def test_warmup_then_a_straight_line() -> None:
    schedule = Schedule(0.1, plan=[(0, 100)])
    assert [schedule.rate(step) for step in range(10)] == pytest.approx(
        [(step + 1) / 10 for step in range(10)]
    )
    for step in range(10, 101):
        assert schedule.rate(step) == pytest.approx((100 - step) / 90)
    assert schedule.rate(100) == pytest.approx(0)
    assert schedule.done(50) == pytest.approx(0.5)
    flat = Schedule(0.0, decay=False, plan=[(0, 100)])
    assert {flat.rate(step) for step in range(101)} == {1.0}


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Replans of a run: (after so many steps, so many in all), until the last plan is fulfilled."""
    total = draw(st.integers(1, 60))
    replans, step = [(0, total)], 0
    for _ in range(draw(st.integers(0, 6))):
        step = draw(st.integers(step, total))
        total = max(step, draw(st.integers(0, 90)))
        replans.append((step, total))
    return replans


def lived(replans: list[tuple[int, int]], warmup: float) -> tuple[Schedule, list[float], list[float]]:
    """Take every step at its rate, replanning before the step as the loop does."""
    schedule, rates, done = Schedule(warmup), [], []
    waiting = list(replans)
    step = 0
    while True:
        while waiting and waiting[0][0] == step:
            schedule.replan(*waiting.pop(0))
        if step >= schedule.steps and not waiting:
            return schedule, rates, done
        done.append(schedule.done(step))
        rates.append(schedule.rate(step))
        step += 1


@given(lives(), WARMUPS)
def test_a_recorded_plan_repeats_every_rate(replans: list[tuple[int, int]], warmup: float) -> None:
    schedule, rates, _ = lived(replans, warmup)
    replay = Schedule(warmup, plan=list(schedule.plan))
    assert replay.steps == len(rates)
    assert [replay.rate(step) for step in range(len(rates))] == rates


@given(lives(), WARMUPS)
def test_a_replan_is_no_jump(replans: list[tuple[int, int]], warmup: float) -> None:
    """What lies behind does not change, and the share grows from there to one."""
    schedule = Schedule(warmup)
    for step, total in replans:
        over = step in {end for start, end in schedule.plan if start < step or start == end}
        before = [schedule.done(s) for s in range(step + 1)] if schedule.plan else [0.0]
        schedule.replan(step, total)
        assert [schedule.done(s) for s in range(step + 1)] == before
        ahead = ([] if over else before[-1:]) + [schedule.done(s) for s in range(step + 1, total + 1)]
        assert ahead == sorted(ahead)
        if total > step:
            assert ahead[-1] == pytest.approx(1)
        assert all(0 <= share <= 1 for share in ahead)


@pytest.mark.parametrize("end", [(40, 100), (100, 100)])
def test_a_finished_plan_is_extended_by_a_new_one(end: tuple[int, int]) -> None:
    """After patience at step 40, or at the budget's end: the rate begins anew, as in a run of its own."""
    at, planned = end
    schedule = Schedule(0.1, plan=[(0, planned)])
    if at != planned:
        schedule.replan(at, at)
    before = [schedule.rate(step) for step in range(at)]
    schedule.replan(at, at + 50)
    assert schedule.steps == at + 50
    assert [schedule.rate(step) for step in range(at)] == before
    alone = Schedule(0.1, plan=[(0, 50)])
    assert [schedule.rate(at + step) for step in range(1, 51)] == pytest.approx(
        [alone.rate(step) for step in range(1, 51)]
    )
    assert schedule.ends >= {at, at + 50}


def test_plans_behind_a_rollback_are_forgotten() -> None:
    schedule = Schedule(0.0, plan=[(0, 100), (8, 60)])
    schedule.replan(5, 70)
    assert schedule.plan == [(0, 100), (5, 70)]
    schedule.replan(0, 30)
    assert schedule.plan == [(0, 30)]


def test_a_plan_that_was_only_changed_did_not_end() -> None:
    schedule = Schedule(0.0)
    for step, steps in ((0, 10), (5, 20), (8, 15)):
        schedule.replan(step, steps)
    assert schedule.ends == {15}
