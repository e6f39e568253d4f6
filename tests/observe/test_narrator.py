"""What an operator reads while things happen, as golden lines."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest

from stream_infer.observe.logs import TextFormatter
from stream_infer.observe.narrator import LogInstrument, Throttle, format_splits
from stream_infer.testing.fakes import FakeClock
from stream_infer.types import ScoredBatch, Split, Status

BatchFactory = Callable[..., ScoredBatch]
P0, P1 = Split("payments", 0, 1), Split("payments", 1, 1)
NONE = np.array([], np.float64)


class Story:
    """A narrator whose lines are kept, without their time."""

    def __init__(self, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
        self.clock = clock
        self.tell = LogInstrument(clock)
        self._caplog = caplog
        self._format = TextFormatter().format

    def lines(self) -> list[str]:
        """Lines since the last call."""
        found = [self._format(record).split(" ", 1)[1] for record in self._caplog.records]
        self._caplog.clear()
        return found

    def wait(self, seconds: int) -> None:
        """Let time pass with a turn of the main loop every second."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.tell.ticked(self.clock.monotonic())


@pytest.fixture
def story(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> Story:
    caplog.set_level(logging.DEBUG, "stream_infer")
    return Story(clock, caplog)


def test_a_quiet_life(story: Story, batch: BatchFactory) -> None:
    story.tell.started("fraud-scorer")
    story.tell.splits_changed("assigned", [P0, P1])
    story.clock.advance(0.5)
    story.tell.records_polled(2, 200)
    story.tell.records_polled(2, 200)
    story.tell.batch_settled(batch([0.9, 0.1]), np.array([0.004, 0.0123]))
    story.tell.lag_observed({P0: (3, 0.25), P1: (4, None)})
    story.wait(10)
    story.tell.stopped("caught up")

    assert story.lines() == [
        "INFO    observe: pipeline started  service=fraud-scorer",
        "INFO    observe: partitions assigned  partitions=payments[0-1] count=2",
        "INFO    observe: first records arrived  records=2 bytes=200 after_seconds=0.5",
        "INFO    observe: progress  events_per_second=0.2 settled=2 flagged=1 gate=open latency_max_seconds=0.012"
        " lag_records=7 lag_seconds=0.25",
        'INFO    observe: pipeline stopped  reason="caught up" after_seconds=10.5 settled=2 flagged=1',
    ]


def test_no_progress_lines_while_nothing_happens(story: Story) -> None:
    story.tell.started("fraud-scorer")
    story.tell.lag_observed({P0: (0, 0.0)})
    story.lines()
    story.wait(60)
    assert story.lines() == []


def test_standing_still_with_lag_is_told(story: Story) -> None:
    story.tell.lag_observed({P0: (9, None)})
    story.wait(20)
    assert (
        story.lines()
        == [
            "INFO    observe: progress  events_per_second=0.0 settled=0 flagged=0 gate=open latency_max_seconds=0.0"
            " lag_records=9"
        ]
        * 2
    )


def test_each_progress_line_speaks_of_its_own_interval(story: Story, batch: BatchFactory) -> None:
    story.tell.batch_settled(batch([0.1] * 100), np.array([3.0]))
    story.wait(10)
    story.tell.batch_settled(batch([0.1] * 50), np.array([0.5]))
    story.wait(10)
    first, second = story.lines()
    assert "events_per_second=10.0 settled=100" in first
    assert "latency_max_seconds=3.0" in first
    assert "events_per_second=5.0 settled=150" in second
    assert "latency_max_seconds=0.5" in second


def test_the_first_reject_is_told_at_once_and_the_rest_summed_up(story: Story, batch: BatchFactory) -> None:
    bad = {0: Status.TRUNCATED}
    story.tell.batch_settled(batch([None], rejects=bad, first_offset=7, partition=3), NONE)
    assert story.lines() == [
        "WARNING observe: events rejected  reason=truncated count=1 topic=payments partition=3 offset=7"
        ' detail="row 0: truncated"'
    ]
    for offset in range(8, 508):
        story.tell.batch_settled(batch([None], rejects=bad, first_offset=offset, partition=3), NONE)
    assert story.lines() == []

    story.wait(10)
    rejected, progress = story.lines()
    assert "reason=truncated count=500 topic=payments partition=3 offset=8 " in rejected
    assert "rejected=501" in progress


def test_reasons_do_not_hide_one_another(story: Story, batch: BatchFactory) -> None:
    bad = {0: Status.EMPTY, 1: Status.MALFORMED, 2: Status.EMPTY}
    story.tell.batch_settled(batch([None] * 3, rejects=bad), NONE)
    first, second = story.lines()
    assert "reason=empty count=2" in first
    assert "offset=0" in first
    assert "reason=malformed count=1" in second
    assert "offset=1" in second


def test_rejects_held_back_are_told_at_the_end(story: Story, batch: BatchFactory) -> None:
    for offset in range(3):
        story.tell.batch_settled(batch([None], rejects={0: Status.EMPTY}, first_offset=offset), NONE)
    story.lines()
    story.tell.stopped("signal")
    rejected, stopped = story.lines()
    assert "count=2" in rejected
    assert stopped.endswith("settled=3 flagged=0 rejected=3")


def test_an_outage_is_told_at_its_start_now_and_then_and_at_its_end(story: Story) -> None:
    for attempt in range(1, 26):
        story.tell.retry_scheduled("poll", attempt, 1.0, "no broker")
        story.wait(1)
    story.tell.retry_succeeded("poll")

    assert story.lines() == [
        'WARNING observe: retry scheduled  stage=poll attempt=1 delay_seconds=1.0 reason="no broker" more=0',
        'WARNING observe: retry scheduled  stage=poll attempt=11 delay_seconds=1.0 reason="no broker" more=9',
        'WARNING observe: retry scheduled  stage=poll attempt=21 delay_seconds=1.0 reason="no broker" more=9',
        "INFO    observe: retry succeeded  stage=poll attempts=25 after_seconds=25.0",
    ]


def test_short_outages_one_after_the_other_are_one_line(story: Story) -> None:
    for _ in range(100):
        story.tell.retry_scheduled("score", 1, 0.1, "timeout")
        story.tell.retry_succeeded("score")
    assert len(story.lines()) == 2


def test_a_gate_that_flutters_is_one_line_with_the_count(story: Story) -> None:
    story.tell.gate_changed("hold")
    assert story.lines() == ["INFO    observe: flow gate changed  state=hold before=open changes=1"]
    for state in ["open", "hold"] * 20 + ["open"]:
        story.tell.gate_changed(state)
    assert story.lines() == []
    story.wait(11)
    assert story.lines() == ["INFO    observe: flow gate changed  state=open before=hold changes=41"]
    story.wait(60)
    assert story.lines() == []


def test_paused_is_a_warning(story: Story) -> None:
    story.tell.gate_changed("paused")
    assert story.lines()[0].startswith("WARNING observe: flow gate changed  state=paused")


def test_failures_are_named(story: Story) -> None:
    story.tell.checkpoint_failed("publish", "not acknowledged within 30 s")
    story.tell.checkpoint_failed("publish", "again")
    story.tell.checkpoint_failed("commit", "refused")
    story.tell.stage_timed_out("score", 30.0)
    story.tell.batch_bisected(9)
    story.tell.splits_changed("lost", [P1])
    story.tell.crash_suspected(P1, 1042, "alone")
    assert story.lines() == [
        'WARNING observe: checkpoint failed  stage=publish reason="not acknowledged within 30 s" more=0',
        "WARNING observe: checkpoint failed  stage=commit reason=refused more=0",
        "ERROR   observe: stage timed out  stage=score timeout_seconds=30.0",
        "WARNING observe: model failed on a batch, which was bisected  calls=9 more=0",
        "WARNING observe: partitions lost  partitions=payments[1] count=1",
        "WARNING observe: crash suspected  topic=payments partition=1 offset=1042 level=alone",
    ]


def test_a_throttle_counts_what_it_holds_back() -> None:
    throttle = Throttle(10.0)
    assert [throttle.take("a", now) for now in (0, 1, 2, 10, 11, 25)] == [0, None, None, 2, None, 1]
    assert throttle.take("b", 1) == 0


@pytest.mark.parametrize(
    ("splits", "shown"),
    [
        ([], ""),
        ([Split("t", 0)], "t[0]"),
        ([Split("t", 3, 9), Split("t", 0), Split("t", 2), Split("t", 1), Split("t", 7)], "t[0-3,7]"),
        ([Split("b", 1), Split("a", 0), Split("a", 1, 1), Split("a", 1, 2)], "a[0-1] b[1]"),
    ],
)
def test_splits_in_short(splits: list[Split], shown: str) -> None:
    assert format_splits(splits) == shown
