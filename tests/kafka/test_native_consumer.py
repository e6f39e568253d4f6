"""The consumer on librdkafka's C API, without any broker: every rebalance is answered, whatever the listener does."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_infer.kafka import librdkafka
from stream_infer.kafka.librdkafka import partition_list, read_partitions
from stream_infer.kafka.native_consumer import NativeConsumer
from stream_infer.kafka.properties import Properties

Place = tuple[str, int]
PAYMENTS = [("payments", 0), ("payments", 1)]


class Stumbled(Exception):
    """Raised by a listener."""


class Member:
    """A consumer in no group, whose rebalances the test makes."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[Place]]] = []
        self.assigns = True
        self.stumbles = False
        properties: Properties = {"group.id": "unit", "enable.auto.commit": False}
        self.consumer = NativeConsumer(properties, on_error=lambda _error: None, on_commit=lambda *_told: None)
        self.consumer.subscribe(["payments"], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lost)

    def rebalance(self, code: int, places: Sequence[Place]) -> None:
        """As librdkafka does it: by the callback, from within a fetch."""
        client = self.consumer._handle.address
        with partition_list([TopicPartition(*place) for place in places]) as partitions:
            self.consumer._callbacks.by_name["rebalance_cb"](client, code, partitions, None)

    def assignment(self) -> set[Place]:
        """What librdkafka has been told to fetch."""
        library = librdkafka.library()
        found = ctypes.POINTER(librdkafka.PartitionList)()
        librdkafka.check(
            library.rd_kafka_assignment(ctypes.c_void_p(self.consumer._handle.address), ctypes.byref(found))
        )
        try:
            return {(partition.topic, partition.partition) for partition in read_partitions(found)}
        finally:
            library.rd_kafka_topic_partition_list_destroy(found)

    def _assign(self, partitions: list[TopicPartition]) -> None:
        self._hear("assigned", partitions)
        if self.assigns:
            self.consumer.assign(partitions[:1])

    def _revoke(self, partitions: list[TopicPartition]) -> None:
        self._hear("revoked", partitions)

    def _lost(self, partitions: list[TopicPartition]) -> None:
        self._hear("lost", partitions)

    def _hear(self, what: str, partitions: list[TopicPartition]) -> None:
        self.told.append((what, [(partition.topic, partition.partition) for partition in partitions]))
        if self.stumbles:
            raise Stumbled


@pytest.fixture
def member() -> Iterator[Member]:
    made = Member()
    yield made
    made.consumer._handle.destroy()


def test_what_the_listener_assigns_is_fetched(member: Member) -> None:
    member.rebalance(librdkafka.ASSIGN_PARTITIONS, PAYMENTS)
    assert member.told == [("assigned", PAYMENTS)]
    assert member.assignment() == {PAYMENTS[0]}


def test_what_was_revoked_is_fetched_no_longer(member: Member) -> None:
    member.rebalance(librdkafka.ASSIGN_PARTITIONS, PAYMENTS)
    member.rebalance(librdkafka.REVOKE_PARTITIONS, PAYMENTS)
    assert member.told[1:] == [("revoked", PAYMENTS)]
    assert not member.assignment()


def test_a_rebalance_is_answered_where_the_listener_stumbles(member: Member) -> None:
    member.stumbles = True
    member.rebalance(librdkafka.ASSIGN_PARTITIONS, PAYMENTS)
    assert member.assignment() == set(PAYMENTS)
    with pytest.raises(Stumbled):
        member.consumer.fetch(1, 0)
    member.rebalance(librdkafka.REVOKE_PARTITIONS, PAYMENTS)
    assert not member.assignment()
    with pytest.raises(Stumbled):
        member.consumer.fetch(1, 0)
    assert not member.consumer.fetch(1, 0).reports, "it is raised once"


def test_a_rebalance_is_answered_where_the_listener_assigns_nothing(member: Member) -> None:
    member.assigns = False
    member.rebalance(librdkafka.ASSIGN_PARTITIONS, PAYMENTS)
    assert member.assignment() == set(PAYMENTS)


def test_a_fetch_that_brought_nothing_raises_what_came_up_in_it(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    def consume(*_room: int) -> int:
        member.rebalance(librdkafka.ASSIGN_PARTITIONS, PAYMENTS)
        return 0

    monkeypatch.setattr(member.consumer, "_consume", consume)
    member.stumbles = True
    with pytest.raises(Stumbled):
        member.consumer.fetch(1, 0)


def test_a_partition_of_somebody_else_is_not_sought(member: Member) -> None:
    with pytest.raises(KafkaException) as raised:
        member.consumer.seek(TopicPartition("payments", 0, 5))
    assert raised.value.args[0].code() == KafkaError._UNKNOWN_PARTITION
