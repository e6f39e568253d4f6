"""The buffer between a client and the source, with a client whose fetches do what a test says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from confluent_kafka import TopicPartition

from stream_infer.errors import SourceUnavailable
from stream_infer.kafka.assignment import OwnedPartition
from stream_infer.kafka.client import Fetched
from stream_infer.kafka.intake import Intake
from stream_infer.kafka.ownership import Ownership
from stream_infer.testing import FakeClock, records
from stream_infer.types import Records, Split

Callback = Callable[[], object]


class ScriptedConsumer:
    """Gives out what it is told to, partition 0 and 1 in turns, and calls back in the middle of it."""

    def __init__(self) -> None:
        self.fetches: deque[tuple[int, Callback]] = deque()
        self.next_offset = {0: 10, 1: 10}

    def fetch(self, max_messages: int, wait_s: float) -> Fetched:
        count, callback = self.fetches.popleft()
        before = self._some(count)
        callback()
        return Fetched(Records.concat([before, self._some(count)]))

    def _some(self, count: int) -> Records:
        plain = records([b"v"] * count)
        partitions = np.arange(count, dtype=np.int32) % 2
        offsets = []
        for partition in partitions.tolist():
            offsets.append(self.next_offset[partition])
            self.next_offset[partition] += 1
        splits = (Split("payments", 0), Split("payments", 1))
        times = plain.timestamp_ms
        return Records(plain.values, plain.keys, splits, partitions, np.array(offsets, np.int64), times, 0)


class Moves:
    """In the place of `Fetching`: where reading was sent."""

    def __init__(self, consumer: ScriptedConsumer) -> None:
        self.targets: list[tuple[int, int]] = []
        self.refusal: Exception | None = None
        self._consumer = consumer

    def move(self, targets: list[TopicPartition]) -> None:
        if self.refusal is not None:
            raise self.refusal
        for target in targets:
            self.targets.append((target.partition, target.offset))
            self._consumer.next_offset[target.partition] = target.offset


class Rig:
    def __init__(self) -> None:
        self.consumer = ScriptedConsumer()
        self.owned = Ownership()
        self.clock = FakeClock()
        consumer: Any = self.consumer
        self.intake = Intake(consumer, self.owned, self.clock)
        self.moves: Any = Moves(self.consumer)
        self.own(0, 10)
        self.own(1, 10)

    def own(self, partition: int, start: int) -> None:
        split = Split("payments", partition, self.owned.next_generation())
        self.owned.add([OwnedPartition(split, start, 0, was_committed=True)])

    def give_up(self, partition: int) -> None:
        self.owned.remove([("payments", partition)])
        self.intake.drop([("payments", partition)])

    def rewind(self, partition: int, offset: int) -> None:
        split = self.owned["payments", partition].split
        self.owned.restart(split, offset, self.owned.next_generation())
        self.intake.drop([("payments", partition)])

    def fetch(self, count: int, callback: Callback = lambda: None) -> int:
        """As the source does: first what went astray, then ``count`` before and ``count`` after the callback."""
        self.intake.read_again(self.moves)
        self.consumer.fetches.append((count, callback))
        return self.intake.fetch(2 * count, 0.0)[0]

    def handed_out(self) -> list[tuple[int, int]]:
        taken = self.intake.take(1000)
        return [] if taken is None else [(taken.split(r).partition, int(taken.offset[r])) for r in range(len(taken))]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_what_came_is_the_owners_in_its_generation(rig: Rig) -> None:
    assert rig.fetch(1) == 2
    taken = rig.intake.take(10)
    assert taken is not None
    assert taken.splits == (Split("payments", 0, 1),) or taken.splits[0].generation == 1
    assert taken.received_ms == rig.clock.wall_ms()


def test_what_nobody_owns_is_dropped(rig: Rig) -> None:
    rig.give_up(1)
    assert rig.fetch(2) == 2
    assert rig.handed_out() == [(0, 10), (0, 11)]


def test_what_waits_is_dropped_with_its_partition(rig: Rig) -> None:
    rig.fetch(2)
    rig.give_up(0)
    assert rig.handed_out() == [(1, 10), (1, 11)]
    assert rig.intake.complete


def test_a_partition_that_was_taken_away_during_the_fetch_is_dropped(rig: Rig) -> None:
    assert rig.fetch(2, lambda: rig.give_up(0)) == 2
    assert rig.handed_out() == [(1, 10), (1, 11)]


def test_a_partition_that_was_rewound_during_the_fetch_is_read_again_from_there(rig: Rig) -> None:
    """Nobody can say which of the messages came before: none of them may get the new generation, and none be lost."""
    rig.fetch(2, lambda: rig.rewind(0, 4))
    assert not rig.intake.complete
    assert rig.handed_out() == [(1, 10), (1, 11)]
    rig.fetch(2)
    assert rig.moves.targets == [(0, 4)]
    assert rig.handed_out() == [(0, 4), (1, 12), (0, 5), (1, 13)]
    assert rig.intake.complete


def test_a_partition_that_left_and_came_back_during_the_fetch_is_read_from_its_new_start(rig: Rig) -> None:
    def rebalance() -> None:
        rig.give_up(0)
        rig.own(0, 7)

    rig.fetch(2, rebalance)
    rig.fetch(2)
    assert rig.moves.targets == [(0, 7)]
    assert rig.handed_out() == [(1, 10), (1, 11), (0, 7), (1, 12), (0, 8), (1, 13)]


def test_what_moved_before_the_fetch_is_read_at_once(rig: Rig) -> None:
    rig.rewind(0, 4)
    rig.moves.move([TopicPartition("payments", 0, 4)])
    rig.moves.targets.clear()
    rig.fetch(2)
    assert rig.handed_out() == [(0, 4), (1, 10), (0, 5), (1, 11)]
    assert rig.moves.targets == []


def test_a_partition_that_cannot_be_moved_now_is_moved_later(rig: Rig) -> None:
    rig.fetch(2, lambda: rig.rewind(0, 4))
    rig.moves.refusal = SourceUnavailable("not now")
    with pytest.raises(SourceUnavailable):
        rig.fetch(2)
    # A fetch that serves a commit does not wait for it.
    rig.consumer.fetches.append((2, lambda: None))
    rig.intake.fetch(4, 0.0)
    rig.moves.refusal = None
    rig.fetch(2)
    assert [offset for partition, offset in rig.handed_out() if partition == 0] == [4, 5]
