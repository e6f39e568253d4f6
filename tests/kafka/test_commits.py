from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_infer.errors import CommitFailed, NotAuthorized
from stream_infer.kafka.commits import CommitUnderWay, as_partitions
from stream_infer.kafka.librdkafka import AnsweredPartition
from stream_infer.types import Commit, Split


class FakeConsumer:
    """Takes commits and tells the group's offset; fails when told to."""

    def __init__(self) -> None:
        self.failure: KafkaException | None = None
        self.sent: list[list[TopicPartition]] = []
        self.group_offset = -1001
        self.group_note = ""

    def committed(self, partitions: list[TopicPartition], timeout_s: float) -> list[TopicPartition]:
        assert timeout_s == 0.5
        if self.failure is not None:
            raise self.failure
        return [TopicPartition(p.topic, p.partition, self.group_offset, metadata=self.group_note) for p in partitions]

    def commit(self, partitions: list[TopicPartition]) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent.append(partitions)


def at(offset: int, error: KafkaError | None = None, note: str = "") -> TopicPartition:
    partition = AnsweredPartition("payments", 3, offset, metadata=note)
    partition.error = error
    return partition


@pytest.fixture
def consumer() -> Any:
    return FakeConsumer()


def test_nothing_under_way_is_done() -> None:
    assert CommitUnderWay().done()


def test_a_commit_is_done_when_its_answer_came(consumer: Any) -> None:
    commit = CommitUnderWay()
    commit.begin(consumer, [at(7)])
    assert not commit.done()
    commit.answered(None, [at(7)])
    assert commit.done()


def test_the_late_answer_to_an_earlier_commit_is_not_taken_for_this_ones(consumer: Any) -> None:
    commit = CommitUnderWay()
    commit.begin(consumer, [at(7)])
    commit.begin(consumer, [at(9)])
    commit.answered(None, [at(7)])
    assert not commit.done()
    commit.answered(None, [at(9)])
    assert commit.done()


def test_a_forgotten_commit_is_waited_for_no_longer(consumer: Any) -> None:
    commit = CommitUnderWay()
    commit.begin(consumer, [at(7)])
    commit.forget()
    commit.answered(KafkaError(KafkaError._TIMED_OUT), [at(7)])
    assert commit.done()


def test_a_refusal_for_now_is_raised_once(consumer: Any) -> None:
    commit = CommitUnderWay()
    commit.begin(consumer, [at(7)])
    commit.answered(KafkaError(KafkaError.REBALANCE_IN_PROGRESS), [at(7)])
    with pytest.raises(CommitFailed):
        commit.done()
    assert commit.done()


def test_a_refused_partition_is_named(consumer: Any) -> None:
    commit = CommitUnderWay()
    commit.begin(consumer, [at(7)])
    commit.answered(None, [at(7, KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))])
    with pytest.raises(NotAuthorized, match="topic payments, partition 3, offset 7"):
        commit.done()


def test_a_commit_that_cannot_be_sent_is_not_waited_for(consumer: Any) -> None:
    consumer.failure = KafkaException(KafkaError(KafkaError._STATE))
    commit = CommitUnderWay()
    with pytest.raises(CommitFailed):
        commit.begin(consumer, [at(7)])
    assert commit.done()


def test_inside_a_callback_the_groups_own_offsets_confirm_the_commit(consumer: Any) -> None:
    commit = CommitUnderWay()
    commit.begin(consumer, [at(7)])
    commit.look_up(consumer, 0.5)
    assert not commit.done()
    consumer.group_offset = 7
    commit.look_up(consumer, 0.5)
    assert commit.done()


def test_the_late_answer_to_the_same_offset_with_another_note_confirms_nothing(consumer: Any) -> None:
    commit = CommitUnderWay()
    commit.begin(consumer, [at(7, note="running")])
    commit.answered(None, [at(7)])
    assert not commit.done()
    commit.answered(None, [at(7, note="running")])
    assert commit.done()


def test_inside_a_callback_the_note_has_to_show_too(consumer: Any) -> None:
    commit = CommitUnderWay()
    commit.begin(consumer, [at(7, note="clean")])
    consumer.group_offset, consumer.group_note = 7, "running"
    commit.look_up(consumer, 0.5)
    assert not commit.done()
    consumer.group_note = "clean"
    commit.look_up(consumer, 0.5)
    assert commit.done()


def test_an_empty_note_is_none(consumer: Any) -> None:
    commit = CommitUnderWay()
    commit.begin(consumer, as_partitions({Split("payments", 3, 1): Commit(7)}))
    commit.answered(None, [TopicPartition("payments", 3, 7)])
    assert commit.done()


def test_a_note_is_the_metadata_of_the_offset() -> None:
    [partition] = as_partitions({Split("payments", 3, 1): Commit(7, "running")})
    assert (partition.topic, partition.partition, partition.offset, partition.metadata) == ("payments", 3, 7, "running")


def test_offsets_that_never_show_were_refused(consumer: Any) -> None:
    commit = CommitUnderWay()
    commit.begin(consumer, [at(7)])
    for _ in range(20):
        commit.look_up(consumer, 0.5)
    with pytest.raises(CommitFailed, match="did not take them"):
        commit.done()


def test_a_group_that_does_not_answer_leaves_the_commit_open(consumer: Any) -> None:
    commit = CommitUnderWay()
    commit.begin(consumer, [at(7)])
    consumer.failure = KafkaException(KafkaError(KafkaError._TIMED_OUT))
    for _ in range(100):
        commit.look_up(consumer, 0.5)
    assert not commit.done()


def test_a_refused_look_up_is_final(consumer: Any) -> None:
    commit = CommitUnderWay()
    commit.begin(consumer, [at(7)])
    consumer.failure = KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
    commit.look_up(consumer, 0.5)
    with pytest.raises(NotAuthorized):
        commit.done()
