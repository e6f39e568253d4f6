"""Only what is settled and owned is committed; a checkpoint commits what it froze."""

import pytest

from stream_infer.core.offsets import Checkpoint, OffsetTracker, Phase
from stream_infer.types import Split

A, B = Split("t", 0, 1), Split("t", 1, 2)


def tracker() -> OffsetTracker:
    tracked = OffsetTracker()
    tracked.assigned([A, B])
    tracked.received({A: 10, B: 20})
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
    tracked.assigned([A])
    assert tracked.restart_offsets() == {}
    assert tracked.next_offset(A) is None


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
