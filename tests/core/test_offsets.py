"""Only what is settled and owned is committed; a checkpoint commits what it froze."""

import pytest

from stream_infer.core.offsets import Checkpoint, OffsetTracker, Phase
from stream_infer.types import Split, Start

A, B = Split("t", 0, 1), Split("t", 1, 2)


def tracker() -> OffsetTracker:
    tracked = OffsetTracker()
    tracked.assigned({A: Start(10, 99), B: Start(19, 99)})
    tracked.received({A: 10, B: 20}, {A: 18, B: 30})
    return tracked


def test_nothing_is_committable_before_anything_settles() -> None:
    assert tracker().committable() == {}


def test_settled_offsets_are_committable_until_committed() -> None:
    tracked = tracker()
    tracked.settled({A: 15})
    assert tracked.committable() == {A: 15}
    tracked.committed({A: 15})
    assert tracked.committable() == {}
    tracked.settled({A: 16, B: 21})
    assert tracked.committable() == {A: 16, B: 21}
    assert tracked.committable([B]) == {B: 21}


def test_an_old_generation_is_ignored() -> None:
    tracked = tracker()
    tracked.removed([A])
    tracked.settled({A: 15})
    tracked.committed({A: 15})
    assert not tracked.owns(A)
    assert tracked.committable() == {}


def test_restart_is_the_last_commit_or_the_first_record() -> None:
    tracked = tracker()
    tracked.settled({A: 15, B: 25})
    tracked.committed({A: 15})
    assert tracked.restart_offsets() == {A: 15, B: 20}


def test_a_split_that_gave_nothing_has_no_restart() -> None:
    tracked = OffsetTracker()
    tracked.assigned({A: Start(7, 99)})
    assert tracked.restart_offsets() == {}
    assert tracked.restarts() == {A: 7}
    assert tracked.next_offset(A) == 7
    assert tracked.committable() == {}


def test_a_rewind_forgets_what_was_settled_and_keeps_what_was_committed() -> None:
    tracked = tracker()
    tracked.settled({A: 15})
    tracked.committed({A: 15})
    tracked.settled({A: 18})
    again = A._replace(generation=9)
    tracked.rewound({A: again})
    assert tracked.committable() == {}
    assert tracked.next_offset(again) == 15
    assert not tracked.owns(A)
    tracked.settled({again: 18})
    assert tracked.committable() == {again: 18}


def test_an_orderly_end_commits_what_settled_or_was_committed_before() -> None:
    tracked = tracker()
    tracked.settled({A: 15})
    assert tracked.ends() == {A: 15, B: 20}
    assert tracked.ends([B]) == {B: 20}


def test_what_reading_passed_over_behind_the_last_record_is_settled_with_it() -> None:
    tracked = tracker()
    tracked.settled({A: 18, B: 29})
    tracked.reached({A: 21, B: 33})
    assert tracked.committable() == {A: 21, B: 29}, "of B a record is still open"


def test_a_position_means_nothing_before_a_record_came_after_an_assignment_or_a_rewind() -> None:
    tracked = tracker()
    again = A._replace(generation=9)
    tracked.settled({A: 18})
    tracked.rewound({A: again})
    tracked.reached({again: 21})
    assert tracked.committable() == {}
    fresh = Split("t", 2, 3)
    tracked.assigned({fresh: Start(0, 99)})
    tracked.reached({fresh: 50})
    assert tracked.committable() == {}


def test_later_records_do_not_move_the_restart() -> None:
    tracked = tracker()
    tracked.received({A: 18}, {A: 20})
    assert tracked.restarts()[A] == 10


def test_an_early_checkpoint_waits_for_no_interval_but_for_a_retry() -> None:
    checkpoint = Checkpoint(1.0)
    checkpoint.begin({A: 15}, 5.0)
    checkpoint.acknowledged(5.1)
    checkpoint.committed(5.2)
    assert not checkpoint.due(5.3)
    assert checkpoint.due(5.3, early=True)
    assert checkpoint.seconds_until_due(5.3, early=True) == 0.0
    checkpoint.begin({A: 16}, 5.3)
    assert not checkpoint.due(5.4, early=True)
    checkpoint.failed(7.5, 5.4)
    assert not checkpoint.due(7.4, early=True)
    assert checkpoint.due(7.5, early=True)


def test_a_checkpoint_commits_what_it_froze() -> None:
    checkpoint = Checkpoint(1.0)
    assert checkpoint.due(5.0)
    checkpoint.begin({A: 15, B: 25}, 5.0)
    assert checkpoint.phase is Phase.FLUSHING
    assert not checkpoint.due(9.0)
    checkpoint.forget([B])
    assert checkpoint.acknowledged(5.1) == {A: 15}
    assert checkpoint.committed(5.2) == {A: 15}
    assert not checkpoint.due(5.9)
    assert checkpoint.due(6.0), "an interval after it began, not after it ended"


def test_a_failed_checkpoint_waits_for_its_retry() -> None:
    checkpoint = Checkpoint(1.0)
    checkpoint.begin({A: 15}, 5.0)
    checkpoint.failed(7.5, 5.1)
    assert not checkpoint.due(7.4)
    assert checkpoint.seconds_until_due(7.0) == pytest.approx(0.5)
    assert checkpoint.due(7.5)
