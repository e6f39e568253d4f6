"""Topics as columns: produced in one go, read back from the first record to the last.

Rule: what a partition holds is read up to the end that stood there when reading began, so reading always ends,
and whatever is missing is an error instead of a shorter answer.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from integration.topics import unique_name

Header = tuple[str, str | bytes | None]
"""As the client takes them; values come back as bytes."""
_TIMEOUT_S = 60.0
_LEADER_MOVES = frozenset(
    {
        KafkaError._UNKNOWN_PARTITION,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._TRANSPORT,
    }
)
"""What a broker says, or does not say, while it comes back."""
_COORDINATOR_MOVES = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError._TRANSPORT,
    }
)
"""The same of a group's coordinator."""
_QUEUE_RECORDS = 200_000
_POLL_EVERY = 20_000


@dataclass(frozen=True, slots=True)
class Log:
    """All records of a topic, partition after partition, each in the order of its offsets. n rows.

    ``partition`` int32, ``offset`` int64 and ``timestamp_ms`` int64, each ``[n]``.
    """

    partition: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]
    timestamp_ms: npt.NDArray[np.int64]
    keys: list[bytes | None]
    values: list[bytes | None]
    headers: list[list[Header]]

    def __len__(self) -> int:
        return len(self.values)

    def rows(self) -> dict[tuple[int, int], int]:
        """Row of each (partition, offset)."""
        return {place: row for row, place in enumerate(zip(self.partition.tolist(), self.offset.tolist(), strict=True))}


def produce(
    bootstrap_servers: str,
    topic: str,
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None = None,
    *,
    partitions: Iterable[int] | None = None,
    headers: Sequence[list[Header]] | None = None,
    timestamp_ms: int = 0,
) -> None:
    """Send ``values`` in order, without repetition, and wait until all are acknowledged.

    Args:
        bootstrap_servers: the broker.
        topic: where to.
        values: None is a tombstone.
        keys: none by default. By its key a record goes to the partition that Java clients choose.
        partitions: the partition of each, instead.
        headers: of each; none by default.
        timestamp_ms: of all; now by default.

    Raises:
        RuntimeError: some were not acknowledged.
    """
    errors: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            errors.append(error)

    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": 20,
            "message.max.bytes": 8 << 20,
            "queue.buffering.max.messages": _QUEUE_RECORDS,
            "queue.buffering.max.kbytes": 1 << 20,
            "delivery.report.only.error": True,
            "on_delivery": delivered,
        }
    )
    places = itertools.repeat(-1) if partitions is None else partitions
    columns = zip(values, keys or itertools.repeat(None), places, headers or itertools.repeat(None), strict=False)
    for number, (value, key, partition, own_headers) in enumerate(columns):
        if number % _POLL_EVERY == 0 and len(producer) > _QUEUE_RECORDS // 2:
            producer.flush(_TIMEOUT_S)
        producer.produce(topic, value, key, partition, timestamp=timestamp_ms, headers=own_headers)
    if producer.flush(_TIMEOUT_S) or errors:
        raise RuntimeError(f"not everything produced to {topic} was acknowledged: {errors[:3]}")


def read(bootstrap_servers: str, topic: str, isolation: str = "read_committed") -> Log:
    """Everything that a topic holds now.

    Args:
        bootstrap_servers: the broker.
        topic: what to read.
        isolation: ``read_uncommitted`` shows records of aborted and open transactions, too.

    Raises:
        RuntimeError: the topic does not exist, or a read fails.
        TimeoutError: it is not read in a minute.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": unique_name("reader"),
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "isolation.level": isolation,
        }
    )
    with contextlib.closing(consumer):
        found = consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic]
        if not found.partitions:
            raise RuntimeError(f"topic {topic} does not exist")
        by_partition: dict[int, list[Message]] = {partition: [] for partition in sorted(found.partitions)}
        open_partitions = set(by_partition)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in by_partition])
        give_up = time.monotonic() + _TIMEOUT_S
        while open_partitions:
            for message in consumer.consume(10_000, 0.2):
                _sort_in(message, by_partition, open_partitions)
            if time.monotonic() > give_up:
                raise TimeoutError(f"topic {topic} was not read in {_TIMEOUT_S:.0f} s")
    return _columns([message for messages in by_partition.values() for message in messages])


def _sort_in(message: Message, by_partition: Mapping[int, list[Message]], open_partitions: set[int]) -> None:
    error, partition = message.error(), message.partition()
    assert partition is not None
    if error is None:
        by_partition[partition].append(message)
    elif error.code() == KafkaError._PARTITION_EOF:
        open_partitions.discard(partition)
    else:
        raise RuntimeError(f"reading failed: {error}")


def _columns(messages: Sequence[Message]) -> Log:
    return Log(
        np.array([message.partition() for message in messages], np.int32),
        np.array([message.offset() for message in messages], np.int64),
        np.array([message.timestamp()[1] for message in messages], np.int64),
        [message.key() for message in messages],
        [message.value() for message in messages],
        [cast("list[Header] | None", message.headers()) or [] for message in messages],
    )


def ends(bootstrap_servers: str, topic: str, isolation: str = "read_committed") -> dict[int, int]:
    """The end offset of each partition: with ``read_committed`` where the first open transaction begins, if any."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": unique_name("reader"), "isolation.level": isolation}
    )
    with contextlib.closing(consumer):
        partitions = consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions
        return {partition: _end(consumer, TopicPartition(topic, partition)) for partition in sorted(partitions)}


def _end(consumer: Consumer, place: TopicPartition) -> int:
    """The end of one partition, whose leader may only just be coming back."""
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return consumer.get_watermark_offsets(place, timeout=_TIMEOUT_S)[1]
        except KafkaException as error:
            if error.args[0].code() not in _LEADER_MOVES or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def committed(bootstrap_servers: str, group_id: str, topic: str, partitions: int) -> dict[int, int]:
    """The committed offset of each partition of a group that has one."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": group_id})
    with contextlib.closing(consumer):
        answers = _committed(consumer, [TopicPartition(topic, partition) for partition in range(partitions)])
    return {answer.partition: answer.offset for answer in answers if answer.offset >= 0}


def _committed(consumer: Consumer, asked: list[TopicPartition]) -> list[TopicPartition]:
    """What a group has, whose coordinator may only just be coming back."""
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            return consumer.committed(asked, timeout=_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() not in _COORDINATOR_MOVES or time.monotonic() > deadline:
                raise
            time.sleep(0.2)


__all__ = ["Header", "Log", "committed", "ends", "produce", "read"]
