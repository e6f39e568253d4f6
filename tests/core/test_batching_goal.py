"""A goal for latency: a batch waits as long as it pays, within its budget, and for no other reason."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from stream_infer.core.batching import LEAST_NAP_S, Batch, Batcher
from stream_infer.core.cost_model import BatchCost
from stream_infer.core.latency_goal import FIXED_SHARE, LatencyGoal, best_period_s
from stream_infer.core.waiting import Trigger, Waiting
from stream_infer.testing import records
from stream_infer.types import Records

SLO_S, PUBLISH_S = 0.025, 0.005
NOW_MS = 1_800_000_000_000
TREES = BatchCost(60e-6, 1.2e-6)
SLOW = BatchCost(2e-3, 200e-6)


def events(count: int = 1, age_ms: int = 0) -> Records:
    return replace(records([b"x"] * count, timestamp_ms=NOW_MS - age_ms), received_ms=NOW_MS)


def goal(cost: BatchCost | None = TREES) -> LatencyGoal:
    """A goal that knows what a batch costs."""
    policy = LatencyGoal(SLO_S, PUBLISH_S)
    if cost is not None:
        for count in (1, 8, 64, 512) * 16:
            policy.scored(count, cost.seconds(count))
    return policy


def batcher(cost: BatchCost | None = TREES, gap_s: float | None = 0.0, size: int = 512) -> Batcher:
    """One that has just let a batch go, at 10 s, and knows how long it takes until something comes."""
    policy = goal(cost)
    made = Batcher(size, 1_000_000, policy)
    made.add(events(), 10.0)
    assert made.take(10.0, drain=True) is not None
    if gap_s is not None:
        scoring_s = 0.0 if cost is None else cost.seconds(512)
        for _ in range(400):
            policy.began(scoring_s + gap_s)
    return made


def period_s(cost: BatchCost = TREES) -> float:
    """The best period of an event that arrives without delay."""
    return best_period_s(cost, SLO_S - PUBLISH_S - cost.seconds(1))


def taken(batch: Batch | None) -> tuple[int, Trigger]:
    assert batch is not None
    return len(batch), batch.trigger


# ------------------------------------------------------------------ when waiting pays


def test_before_anything_is_learned_batches_leave_at_once() -> None:
    for waiting in (batcher(cost=None, gap_s=None), batcher(cost=None), batcher(gap_s=None)):
        waiting.add(events(), 10.0001)
        assert taken(waiting.take(10.0001)) == (1, Trigger.SLO)


def test_the_wait_is_the_best_period_less_the_usual_gap() -> None:
    waiting = batcher(gap_s=0.0005)
    waiting.add(events(), 10.0001)
    wait_s = period_s() - waiting_gap(0.0005)
    assert waiting.seconds_until_due(10.0001) == pytest.approx(wait_s, rel=0.03)
    waiting.add(events(3), 10.001)
    assert waiting.take(10.0001 + 0.9 * wait_s) is None
    assert taken(waiting.take(10.0001 + 1.05 * wait_s)) == (4, Trigger.SLO)


def waiting_gap(gap_s: float) -> float:
    """The average gap after 400 of them, and one batch that came at once."""
    return gap_s * 31 / 32


def test_the_best_period_counts_a_turn_of_the_line_as_fixed_cost_too() -> None:
    assert best_period_s(TREES, 0.017) == pytest.approx(2.735e-3, rel=1e-3)
    assert best_period_s(BatchCost(0.0, 1.2e-6), 0.017) > 0.0
    assert best_period_s(TREES, -1.0) == 0.0


def test_a_lone_event_on_an_idle_line_leaves_at_once() -> None:
    waiting = batcher(gap_s=0.02)
    waiting.add(events(), 10.02)
    assert taken(waiting.take(10.02)) == (1, Trigger.SLO)


def test_arrivals_that_are_half_a_period_apart_are_not_waited_for() -> None:
    for factor, waits in ((0.45, True), (0.55, False)):
        waiting = batcher(gap_s=factor * period_s() * 32 / 31)
        waiting.add(events(), 10.0001)
        assert (waiting.take(10.0001) is None) == waits


def test_after_a_silence_longer_than_the_period_nothing_is_waited_for() -> None:
    waiting = batcher()
    waiting.add(events(), 10.0 + 1.01 * period_s())
    assert taken(waiting.take(10.0 + 1.01 * period_s())) == (1, Trigger.SLO)


def test_the_time_that_scoring_takes_is_no_gap_between_arrivals() -> None:
    policy = goal(SLOW)
    for _ in range(400):
        policy.scored(30, SLOW.seconds(30))
        policy.began(SLOW.seconds(30) + 0.0002)
    learned = policy.learned()
    assert learned is not None
    assert SLOW.seconds(30) > period_s(SLOW) / 2
    assert learned.wait_s == pytest.approx(period_s(SLOW) - 0.0002, rel=0.01)


def test_a_batch_behind_one_that_took_long_leaves_at_once() -> None:
    waiting = batcher()
    waiting.add(events(200), 10.005)
    assert taken(waiting.take(10.005)) == (200, Trigger.SLO)


def test_a_dear_batch_is_waited_for_longer_than_a_cheap_one() -> None:
    waits_s = []
    for fixed_s in (0.0, 10e-6, 100e-6, 1e-3):
        learned = goal(BatchCost(fixed_s, 1e-6)).learned()
        assert learned is not None
        waits_s.append(learned.wait_s)
    assert waits_s == sorted(waits_s)
    assert waits_s[0] == pytest.approx(0.0, abs=1e-4)
    assert waits_s[-1] < SLO_S - PUBLISH_S


# ------------------------------------------------------------------ budgets


def test_an_older_event_waits_less_and_a_late_one_not_at_all() -> None:
    dues = []
    for age_ms in (0, 10, 18, 20, 5000):
        waiting = batcher()
        waiting.add(events(age_ms=age_ms), 10.0001)
        dues.append(waiting.seconds_until_due(10.0001))
    assert dues == sorted(dues, reverse=True)
    assert dues[0] > dues[1] > dues[2] > dues[3] == 0.0


def test_the_oldest_of_the_events_decides() -> None:
    waiting = batcher()
    waiting.add(events(), 10.0001)
    before_s = waiting.seconds_until_due(10.0001)
    waiting.add(events(age_ms=19), 10.0002)
    assert 0.0 < waiting.seconds_until_due(10.0001) < before_s


def test_an_unbelievable_timestamp_does_not_use_up_the_budget() -> None:
    waiting = batcher()
    waiting.add(events(age_ms=3 * 24 * 3600 * 1000), 10.0001)
    assert waiting.seconds_until_due(10.0001) == pytest.approx(period_s(), rel=0.06)


def test_what_scoring_takes_is_no_time_to_wait_in() -> None:
    waiting = batcher(SLOW)
    waiting.add(events(60), 10.0001)
    assert SLO_S - PUBLISH_S - SLOW.seconds(60) > 0
    assert waiting.seconds_until_due(10.0001) <= SLO_S - PUBLISH_S - SLOW.seconds(60) + 1e-4
    waiting.add(events(40), 10.0002)
    assert waiting.seconds_until_due(10.0002) == 0.0


def test_a_trickle_never_prolongs_a_wait() -> None:
    waiting = batcher()
    waiting.add(events(), 10.0001)
    due_at = 10.0001 + waiting.seconds_until_due(10.0001)
    for step in range(1, 40):
        now = 10.0001 + step * 0.0005
        if waiting.take(now) is not None:
            assert now - due_at < 0.0005
            return
        waiting.add(events(), now)
    pytest.fail("it waits for ever")


def test_records_that_left_take_their_deadline_with_them() -> None:
    waiting = batcher()
    waiting.add(events(age_ms=5000), 10.0001)
    assert taken(waiting.take(10.0001)) == (1, Trigger.SLO)
    waiting.add(events(), 10.0002)
    assert waiting.seconds_until_due(10.0002) == pytest.approx(period_s(), rel=0.06)


def test_dropped_records_take_their_deadline_with_them() -> None:
    waiting = batcher()
    late = replace(events(age_ms=19), splits=(records([b""]).splits[0]._replace(partition=7),))
    waiting.add(events(), 10.0001)
    waiting.add(late, 10.0001)
    hurried_s = waiting.seconds_until_due(10.0001)
    assert waiting.drop({late.splits[0]}) == 1
    assert waiting.seconds_until_due(10.0001) > hurried_s


# ------------------------------------------------------------------ busy lines, sizes


def test_while_everybody_is_busy_a_batch_grows_until_it_is_full() -> None:
    waiting = batcher(size=4)
    waiting.add(events(3), 10.0001)
    assert waiting.take(99.0, idle=False) is None
    assert taken(waiting.take(99.0)) == (3, Trigger.SLO)
    waiting.add(events(4), 99.0)
    assert taken(waiting.take(99.0, idle=False)) == (4, Trigger.SIZE)


def test_draining_asks_nobody() -> None:
    waiting = batcher()
    waiting.add(events(3), 10.0001)
    assert taken(waiting.take(10.0001, drain=True, idle=False)) == (3, Trigger.DRAIN)


def test_two_batches_of_a_slow_model_fit_the_goal() -> None:
    slow = BatchCost(0.25e-3, 200e-6)
    limit = goal(slow).batch_limit(512)
    assert 2 * slow.seconds(limit) <= SLO_S - PUBLISH_S < 2 * slow.seconds(limit + 2)


def test_but_not_at_the_price_of_the_throughput() -> None:
    limit = goal(SLOW).batch_limit(512)
    assert SLOW.fixed_s / SLOW.seconds(limit) == pytest.approx(FIXED_SHARE, rel=0.05)


def test_a_fast_model_has_the_batches_that_the_config_allows() -> None:
    assert goal().batch_limit(512) == 512
    assert goal(cost=None).batch_limit(512) == 512


def test_a_nap_ends_when_the_batch_is_due_or_would_be_full() -> None:
    waiting = batcher(size=100)
    assert waiting.seconds_to_nap(10.0) == math.inf
    waiting.add(events(), 10.0005)
    assert waiting.seconds_to_nap(10.0005) == waiting.seconds_until_due(10.0005)
    waiting.add(events(39), 10.0005)
    until_due_s = waiting.seconds_until_due(10.0005)
    assert until_due_s > LEAST_NAP_S
    assert waiting.seconds_to_nap(10.0005) == LEAST_NAP_S
    waiting.add(events(60), 10.0005)
    assert waiting.seconds_to_nap(10.0005) == 0.0


# ------------------------------------------------------------------ whatever happens


@given(
    st.lists(st.tuples(st.integers(-5, 600), st.floats(allow_nan=True)), max_size=60),
    st.lists(st.floats(-1.0, 1e6), max_size=60),
    st.builds(
        Waiting,
        count=st.integers(1, 70_000),
        began_at=st.floats(0, 1e6),
        leave_by=st.floats(-1e6, 2e6),
        left_at=st.floats(max_value=1e6, allow_nan=False),
    ),
)
def test_a_wait_is_within_the_goal_whatever_was_learned(
    timings: list[tuple[int, float]], silences_s: list[float], waiting: Waiting
) -> None:
    policy = LatencyGoal(SLO_S, PUBLISH_S)
    for count, seconds in timings:
        policy.scored(count, seconds)
    for silence_s in silences_s:
        policy.began(silence_s)
    waiting = replace(waiting, leave_by=min(waiting.leave_by, waiting.began_at + SLO_S - PUBLISH_S))
    due_at = policy.due_at(waiting, idle=True)
    assert waiting.began_at <= due_at <= max(waiting.began_at, waiting.leave_by) + 1e-6
    assert 1 <= policy.batch_limit(512) <= 512


class IdleLine(RuleBasedStateMachine):
    """One batch after the other, on a line that scores them in no time: it is always idle."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 10.0
        self.offset = 0
        self.policy = LatencyGoal(SLO_S, PUBLISH_S)
        self.batcher = Batcher(64, 1_000_000, self.policy)
        self.due_by: list[tuple[int, float]] = []
        self.out: list[int] = []

    @rule(count=st.integers(1, 90), age_ms=st.integers(-100, 60))
    def arrive(self, count: int, age_ms: int) -> None:
        arrived = replace(
            records([b"x"] * count, first_offset=self.offset, timestamp_ms=NOW_MS - age_ms), received_ms=NOW_MS
        )
        self.batcher.add(arrived, self.now)
        budget_s = max(0.0, SLO_S - PUBLISH_S - max(0, age_ms) / 1000)
        self.due_by += [(self.offset + row, self.now + budget_s) for row in range(count)]
        self.offset += count

    @rule(seconds=st.floats(0.0, 0.03))
    def time_passes(self, seconds: float) -> None:
        end = self.now + seconds
        while len(self.batcher) and self.now + self.batcher.seconds_until_due(self.now) <= end:
            self.now += self.batcher.seconds_until_due(self.now)
            self.leave()
        self.now = max(self.now, end)

    @rule(fixed_us=st.floats(1, 20_000), event_us=st.floats(0, 500), count=st.integers(1, 64))
    def a_batch_was_scored(self, fixed_us: float, event_us: float, count: int) -> None:
        for _ in range(8):
            self.policy.scored(count, (fixed_us + event_us * count) * 1e-6)

    def leave(self) -> None:
        while (batch := self.batcher.take(self.now)) is not None:
            assert len(batch) <= 64
            self.out += batch.records.offset.tolist()

    @invariant()
    def nobody_waits_beyond_its_budget_while_the_line_is_idle(self) -> None:
        self.leave()
        waiting = self.due_by[len(self.out) :]
        assert all(self.now <= due_at + 1e-9 for _, due_at in waiting)

    @invariant()
    def order_holds_and_nothing_is_lost(self) -> None:
        assert self.out == list(range(len(self.out)))
        assert len(self.out) + len(self.batcher) == self.offset


TestIdleLine = IdleLine.TestCase
