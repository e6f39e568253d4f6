"""What the tests of the Kafka room share on a real broker: topics with content, readers, and sources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from integration.mock.rig import Listener
from integration.topics import unique_name
from stream_infer.clock import Deadline, SystemClock
from stream_infer.kafka.admin import KafkaAdmin
from stream_infer.kafka.assignment import LogBounds, OnDataLoss, StartMode
from stream_infer.kafka.properties import admin_properties, consumer_properties
from stream_infer.kafka.source import KafkaSource
from stream_infer.types import Commit, Records, Split

CLOCK = SystemClock()
QUICK: Mapping[str, Any] = {"consumer": {"session.timeout.ms": 6000, "heartbeat.interval.ms": 200}}
"""Rebalances are noticed with the next heartbeat."""


class Member:
    """A source that counts what it hands out, and commits it when it is asked to give splits up."""

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        group_id: str,
        *,
        client: Mapping[str, Any] = QUICK,
        bounds: LogBounds | None = None,
        start: StartMode = "earliest",
        on_data_loss: OnDataLoss = "fail",
    ) -> None:
        properties = consumer_properties(bootstrap_servers, client, client_id="tests", group_id=group_id)
        self.source = KafkaSource(
            properties,
            bounds or admin_of(bootstrap_servers, client),
            topics=[topic],
            start=start,
            on_data_loss=on_data_loss,
            clock=CLOCK,
        )
        self.listener = Listener()
        self._note_revoked = self.listener.splits_revoked
        self.listener.splits_revoked = self._commit_and_note  # type: ignore[method-assign]  # commits first
        self.read: list[tuple[int, int]] = []
        """Partition and offset of every record handed out."""
        self._next: dict[Split, int] = {}
        self.source.start(self.listener)

    def poll(self, max_records: int = 100, timeout_s: float = 0.05) -> Records | None:
        """Poll once and note what came."""
        records = self.source.poll(max_records, timeout_s)
        if records is not None:
            partitions = [records.split(row).partition for row in range(len(records))]
            self.read += zip(partitions, records.offset.tolist(), strict=True)
            self._next |= records.next_offsets()
        return records

    def commit(self) -> None:
        """Commit everything handed out of what is owned."""
        self.source.commit_now(self._commits(self.listener.owned), Deadline.after(10, CLOCK.monotonic()))

    def read_until_caught_up(self, timeout_s: float = 20) -> list[tuple[int, int]]:
        """Poll to the end of what was there at the start; gives all that was handed out so far."""
        deadline = Deadline.after(timeout_s, CLOCK.monotonic())
        while not self.source.caught_up():
            assert not deadline.passed(CLOCK.monotonic()), f"read {len(self.read)} records, then nothing"
            self.poll()
        return self.read

    def _commit_and_note(self, splits: Sequence[Split]) -> None:
        self.source.commit_now(self._commits(splits), Deadline.after(10, CLOCK.monotonic()))
        self._note_revoked(splits)

    def _commits(self, splits: Sequence[Split]) -> dict[Split, Commit]:
        return {split: Commit(offset) for split, offset in self._next.items() if split in splits}


def admin_of(bootstrap_servers: str, client: Mapping[str, Any] | None = None) -> KafkaAdmin:
    """An admin for a cluster that asks for no credentials, or for those in ``client``."""
    return KafkaAdmin(admin_properties(bootstrap_servers, client or {}, client_id="tests"), CLOCK)


def fill(bootstrap_servers: str, topic: str, count: int, partitions: int) -> None:
    """``count`` records, one partition after the other: key k<n>, value v<n>."""
    producer = Producer({"bootstrap.servers": bootstrap_servers})
    for number in range(count):
        producer.produce(topic, b"v%d" % number, b"k%d" % number, number % partitions)
    assert producer.flush(30) == 0


def messages_in(bootstrap_servers: str, topic: str, partitions: int = 1) -> list[Message]:
    """Everything in a topic, by partition and offset."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": unique_name("reader"), "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    found: list[Message] = []
    open_partitions = partitions
    while open_partitions:
        for message in consumer.consume(1000, 0.1):
            error = message.error()
            if error is None:
                found.append(message)
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                open_partitions -= 1
    consumer.close()
    return sorted(found, key=lambda message: (message.partition(), message.offset()))


def everything(count: int, partitions: int) -> list[tuple[int, int]]:
    """What `Member.read` holds, sorted, when each of `fill`'s records was read once."""
    return sorted((number % partitions, number // partitions) for number in range(count))
