"""The two clients over confluent-kafka's classes: an event costs the Python objects that they make.

Rule: nothing is decided here. What confluent-kafka gives is put into columns, what it raises goes through.

Per event nothing is made but what the Message gives: value, key and three integers. Headers stay inside the messages
until somebody asks for a row's; that keeps the messages alive for as long as their records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from stream_infer.kafka.client import Fetched, OnCommit, OnError, OnFailed, OnPartitions, Outgoing, Report
from stream_infer.kafka.client_log import client_logger
from stream_infer.kafka.dead_letters import ClientHeaders
from stream_infer.kafka.properties import Properties
from stream_infer.types import Binary, BoolArray, HeaderList, Headers, Int64Array, Records, Split


class ConfluentConsumer:
    """A `stream_infer.kafka.client.ConsumerClient` over ``confluent_kafka.Consumer``.

    Args:
        properties: of `consumer_properties`.
        on_error: told of connections.
        on_commit: told how commits end.
    """

    def __init__(self, properties: Properties, *, on_error: OnError, on_commit: OnCommit) -> None:
        settings: dict[str, Any] = {
            **properties,
            "error_cb": on_error,
            "on_commit": on_commit,
            "logger": client_logger(),
        }
        self._consumer = Consumer(settings)
        self.assign = self._consumer.assign
        self.incremental_assign = self._consumer.incremental_assign
        self.incremental_unassign = self._consumer.incremental_unassign
        self.seek = self._consumer.seek
        self.pause = self._consumer.pause
        self.resume = self._consumer.resume
        self.position = self._consumer.position
        self.close = self._consumer.close

    def subscribe(
        self, topics: Sequence[str], *, on_assign: OnPartitions, on_revoke: OnPartitions, on_lost: OnPartitions
    ) -> None:
        """Join the group."""
        self._consumer.subscribe(
            list(topics),
            on_assign=lambda _consumer, partitions: on_assign(partitions),
            on_revoke=lambda _consumer, partitions: on_revoke(partitions),
            on_lost=lambda _consumer, partitions: on_lost(partitions),
        )

    def fetch(self, max_messages: int, wait_s: float) -> Fetched:
        """At most ``max_messages``: wait for the first, then take what is there."""
        first = self._consumer.poll(wait_s)
        if first is None:
            return Fetched()
        messages = [first]
        if max_messages > 1:
            # consume() waits its whole timeout for the last message, so it gets none.
            messages += self._consumer.consume(max_messages - 1, 0)
        good = [message for message in messages if message.error() is None]
        reports = () if len(good) == len(messages) else [_report(m) for m in messages if m.error() is not None]
        return Fetched(to_records(good) if good else None, reports)

    def cached_end(self, topic: str, partition: int) -> int:
        """The end of the partition as of the last fetch."""
        place = TopicPartition(topic, partition, OFFSET_INVALID)
        _, end = self._consumer.get_watermark_offsets(place, cached=True)
        return end

    def committed(self, partitions: list[TopicPartition], timeout_s: float) -> list[TopicPartition]:
        """What the group has."""
        return self._consumer.committed(partitions, timeout=timeout_s)

    def commit(self, partitions: list[TopicPartition]) -> None:
        """Send offsets."""
        self._consumer.commit(offsets=partitions, asynchronous=True)

    def consumer_group_metadata(self) -> bytes:
        """Who this is in the group."""
        return cast("bytes", self._consumer.consumer_group_metadata())

    def probe(self, topic: str, timeout_s: float) -> None:
        """Ask any broker about the topic."""
        self._consumer.list_topics(topic, timeout=timeout_s)


def _report(message: Message) -> Report:
    error = message.error()
    assert error is not None, "asked for messages with an error only"
    partition = message.partition()
    return Report(error, message.topic() or "", -1 if partition is None else partition)


def to_records(messages: Sequence[Message]) -> Records:
    """Columns of ``messages``, which must hold no error, in the order in which the client gave them."""
    table: dict[tuple[str | None, int | None], int] = {}
    index = [table.setdefault((message.topic(), message.partition()), len(table)) for message in messages]
    return Records(
        values=Binary.from_values([message.value() for message in messages]),
        keys=Binary.from_values([message.key() for message in messages]),
        splits=tuple(Split(topic or "", partition or 0) for topic, partition in table),
        split_index=np.array(index, np.int32),
        offset=np.array([message.offset() for message in messages], np.int64),
        # Where a message has no timestamp the client gives -1, which is NO_TIMESTAMP.
        timestamp_ms=np.array([message.timestamp()[1] for message in messages], np.int64),
        received_ms=0,
        headers=MessageHeaders(messages),
    )


@dataclass(frozen=True, slots=True)
class MessageHeaders:
    """Headers that are read from the client's messages when asked for. Row i is that of message i."""

    messages: Sequence[Message]

    def __getitem__(self, row: int) -> HeaderList:
        headers = cast("list[tuple[str, bytes | None]] | None", self.messages[row].headers())
        return headers or []

    def present(self) -> BoolArray:
        """Which messages have headers, bool ``[n]``."""
        return np.fromiter((bool(message.headers()) for message in self.messages), np.bool_, len(self.messages))

    def slice(self, start: int, stop: int) -> MessageHeaders:
        """Rows ``start`` to ``stop``."""
        return MessageHeaders(self.messages[start:stop])

    def take(self, rows: Int64Array) -> MessageHeaders:
        """The named rows."""
        return MessageHeaders([self.messages[int(row)] for row in rows])

    def concat(self, others: Sequence[Headers]) -> MessageHeaders:
        """These rows followed by those of the others (all must be ``MessageHeaders``)."""
        messages = list(self.messages)
        for other in others:
            assert isinstance(other, MessageHeaders), "headers of one source are of one kind"
            messages.extend(other.messages)
        return MessageHeaders(messages)


class ConfluentProducer:
    """A `stream_infer.kafka.client.ProducerClient` over ``confluent_kafka.Producer``.

    Args:
        properties: of `producer_properties`.
        on_error: told of connections.
        on_failed: told of messages that are not delivered.
    """

    def __init__(self, properties: Properties, *, on_error: OnError, on_failed: OnFailed) -> None:
        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None:
                partition = message.partition()
                on_failed(error, message.topic() or "", -1 if partition is None else partition)

        settings: dict[str, Any] = {
            **properties,
            "on_delivery": delivered,
            "error_cb": on_error,
            "logger": client_logger(),
        }
        self._producer = Producer(settings)
        self.poll = self._producer.poll
        self.flush = self._producer.flush
        self.init_transactions = self._producer.init_transactions
        self.begin_transaction = self._producer.begin_transaction
        self.commit_transaction = self._producer.commit_transaction
        self.abort_transaction = self._producer.abort_transaction

    def __len__(self) -> int:
        return len(self._producer)

    def produce(
        self, topic: str, outgoing: Outgoing, rows: Int64Array, headers: ClientHeaders | None = None
    ) -> tuple[int, KafkaError | None]:
        """Queue the named rows, up to the first that is refused."""
        values, keys = outgoing.values.to_list(), outgoing.keys.to_list()
        partitions, timestamps = outgoing.partitions.tolist(), outgoing.timestamps_ms.tolist()
        produce = self._producer.produce
        taken = 0
        try:
            for row in rows.tolist():
                produce(topic, values[row], keys[row], partitions[row], timestamp=timestamps[row], headers=headers)
                taken += 1
        except BufferError:
            return taken, KafkaError(KafkaError._QUEUE_FULL)
        except KafkaException as exception:
            return taken, exception.args[0]
        return taken, None

    def purge(self) -> None:
        """Drop everything that is not acknowledged."""
        # The client's flag is the wrong way round (2.16): with blocking=True the purge runs later, and takes
        # with it what is produced next.
        self._producer.purge(in_queue=True, in_flight=True, blocking=False)

    def send_offsets_to_transaction(self, offsets: list[TopicPartition], membership: bytes, timeout_s: float) -> None:
        """Make a consumer's offsets part of the transaction."""
        self._producer.send_offsets_to_transaction(offsets, membership, timeout_s)


__all__ = ["ConfluentConsumer", "ConfluentProducer", "MessageHeaders", "to_records"]
