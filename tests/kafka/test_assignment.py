from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_infer.errors import DataLoss, FatalError, SourceUnavailable
from stream_infer.kafka.assignment import OnDataLoss, OwnedPartition, StartMode, StartPolicy
from stream_infer.types import Split, Start

PARTITIONS = [TopicPartition("payments", 0), TopicPartition("payments", 1)]


class FakeBounds:
    """A log of partitions that all begin and end alike."""

    def __init__(self, beginning: int, end: int) -> None:
        self.beginning, self.end = beginning, end

    def beginnings(self, partitions: Sequence[TopicPartition]) -> dict[tuple[str, int], int]:
        return {(p.topic, p.partition): self.beginning for p in partitions}

    def ends(self, partitions: Sequence[TopicPartition]) -> dict[tuple[str, int], int]:
        return {(p.topic, p.partition): self.end for p in partitions}


class FakeConsumer:
    """Knows the committed offset of each partition (-1001: none), and a note."""

    def __init__(self, *offsets: int, note: str = "") -> None:
        self.offsets = offsets
        self.note = note

    def committed(self, partitions: Sequence[TopicPartition], timeout_s: float) -> list[TopicPartition]:
        assert timeout_s == 1.0
        if not self.offsets:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return [TopicPartition(p.topic, p.partition, self.offsets[p.partition], metadata=self.note) for p in partitions]


def policy(start: StartMode, on_data_loss: OnDataLoss = "fail", bounds: tuple[int, int] = (10, 50)) -> StartPolicy:
    return StartPolicy(start, on_data_loss, FakeBounds(*bounds), timeout_s=1.0)


def place(start: StartMode, *committed: int) -> list[OwnedPartition]:
    consumer: Any = FakeConsumer(*committed)
    return policy(start).place(consumer, PARTITIONS, generation=4)


def owned(start_offset: int, *, was_committed: bool) -> OwnedPartition:
    return OwnedPartition(Split("payments", 3, 1), start_offset, 50, was_committed)


def test_reading_goes_on_at_the_committed_offset() -> None:
    placed = place("latest", 20, 30)
    assert [partition.start_offset for partition in placed] == [20, 30]
    assert [partition.split for partition in placed] == [Split("payments", 0, 4), Split("payments", 1, 4)]
    assert all(partition.was_committed and partition.end_at_start == 50 for partition in placed)


@pytest.mark.parametrize(("start", "offset"), [("earliest", 10), ("latest", 50)])
def test_a_partition_without_a_commit_starts_as_configured(start: StartMode, offset: int) -> None:
    placed = place(start, -1001, 30)
    assert [partition.start_offset for partition in placed] == [offset, 30]
    assert [partition.was_committed for partition in placed] == [False, True]


@pytest.mark.parametrize("note", ["running", ""])
def test_the_note_of_the_commit_is_told_with_the_start(note: str) -> None:
    consumer: Any = FakeConsumer(20, -1001, note=note)
    committed, fresh = policy("earliest").place(consumer, PARTITIONS, generation=4)
    assert committed.start == Start(20, 50, note)
    assert fresh.start == Start(10, 50, "")


def test_start_fail_names_the_partition_without_a_commit() -> None:
    with pytest.raises(FatalError, match=r"topic payments, partition 1.*source\.start"):
        place("fail", 20, -1001)


def test_nobody_is_asked_about_nothing() -> None:
    consumer: Any = FakeConsumer()
    assert policy("fail").place(consumer, [], generation=4) == []


def test_no_answer_may_pass() -> None:
    with pytest.raises(SourceUnavailable):
        place("earliest")


def test_data_loss_stops_with_place_count_and_remedy() -> None:
    with pytest.raises(DataLoss, match=r"partition 3, offset 4: 6 records .* begins at 10.*on_data_loss"):
        policy("earliest").after_gap(owned(4, was_committed=True), wanted=4)


def test_data_loss_goes_on_at_the_beginning_and_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "stream_infer.kafka"):
        assert policy("earliest", "continue").after_gap(owned(4, was_committed=True), wanted=4) == (10, 6)
    [record] = caplog.records
    assert vars(record)["lost_records"] == 6
    assert vars(record)["continued_at"] == 10


def test_an_offset_behind_the_end_says_what_may_have_happened() -> None:
    with pytest.raises(DataLoss, match="created anew"):
        policy("earliest").after_gap(owned(99, was_committed=True), wanted=99)


def test_retention_overtaking_the_very_first_fetch_is_no_loss() -> None:
    assert policy("earliest").after_gap(owned(4, was_committed=False), wanted=4) == (10, 0)
    assert policy("latest").after_gap(owned(99, was_committed=False), wanted=99) == (50, 0)


def test_retention_overtaking_a_slow_reader_is_a_loss_even_without_a_commit() -> None:
    with pytest.raises(DataLoss):
        policy("earliest").after_gap(owned(4, was_committed=False), wanted=7)
