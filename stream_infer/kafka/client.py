"""What the Kafka room asks of a client: two small protocols, and the values that go through them.

Rule: what the source and the sinks are made of knows these and nothing behind them. The clients that keep them
(`stream_infer.kafka.native_consumer`, `native_producer`) stand on librdkafka's C API, and make no Python object for an
event.

They speak of partitions, errors and exceptions in confluent-kafka's words: ``TopicPartition``, ``KafkaError`` with its
three flags, and ``KafkaException``, which every call here may raise. Times are in seconds; infinity means no end.

Callbacks come from inside `ConsumerClient.fetch`, `ProducerClient.poll`, `ProducerClient.flush`, and from inside the
calls of transactions, on the thread that makes the call; what a callback raises comes out of that call, or of the next
one where this call has brought messages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from confluent_kafka import KafkaError, TopicPartition

from stream_infer.kafka.dead_letters import ClientHeaders
from stream_infer.types import Binary, Int32Array, Int64Array, Records

OnError: TypeAlias = Callable[[KafkaError], None]
"""Told what the client reports of itself and its connections."""
OnCommit: TypeAlias = Callable[[KafkaError | None, list[TopicPartition]], None]
"""Told how a commit ended: its error, or each partition's."""
OnPartitions: TypeAlias = Callable[[list[TopicPartition]], None]
"""Told of partitions that come or go."""
OnFailed: TypeAlias = Callable[[KafkaError, str, int], None]
"""Told of a message that was not delivered: why, and its topic and partition."""


class Report(NamedTuple):
    """An error that came in the place of a message. Topic and partition are empty and -1 where it concerns neither."""

    error: KafkaError
    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch brought.

    The splits of ``records`` have the generation 0, and ``received_ms`` is 0: whose they are, and when that was, is
    for the source to say.
    """

    records: Records | None = None
    reports: Sequence[Report] = ()


class ConsumerClient(Protocol):
    """A member of a consumer group. One thread owns it."""

    def subscribe(
        self, topics: Sequence[str], *, on_assign: OnPartitions, on_revoke: OnPartitions, on_lost: OnPartitions
    ) -> None:
        """Join the group. ``on_assign`` has to assign what it is given; the rest is done when the others return."""
        ...

    def fetch(self, max_messages: int, wait_s: float) -> Fetched:
        """At most ``max_messages`` (1 or more): wait up to ``wait_s`` for the first, then take what is there."""
        ...

    def assign(self, partitions: list[TopicPartition], /) -> None:
        """Fetch these, from their offsets, and nothing else."""
        ...

    def incremental_assign(self, partitions: list[TopicPartition], /) -> None:
        """Fetch these, too."""
        ...

    def incremental_unassign(self, partitions: list[TopicPartition], /) -> None:
        """Fetch these no longer."""
        ...

    def seek(self, partition: TopicPartition, /) -> None:
        """Go on at its offset. Nothing that was fetched before is given out afterwards."""
        ...

    def pause(self, partitions: list[TopicPartition], /) -> None:
        """Stop fetching these for a while."""
        ...

    def resume(self, partitions: list[TopicPartition], /) -> None:
        """Fetch these again."""
        ...

    def position(self, partitions: list[TopicPartition], /) -> list[TopicPartition]:
        """The next offset to be given out of each; negative where nothing was given out yet. Asks no broker."""
        ...

    def cached_end(self, topic: str, partition: int) -> int:
        """The end of the partition as of the last fetch, negative where unknown. Asks no broker."""
        ...

    def committed(self, partitions: list[TopicPartition], timeout_s: float, /) -> list[TopicPartition]:
        """What the group has: offset, metadata, and perhaps an error for each."""
        ...

    def commit(self, partitions: list[TopicPartition], /) -> None:
        """Send offsets. The answer comes through ``on_commit``."""
        ...

    def consumer_group_metadata(self) -> bytes:
        """Who this is in the group, in librdkafka's own form."""
        ...

    def probe(self, topic: str, timeout_s: float) -> None:
        """Ask any broker about the topic, only to see whether one answers."""
        ...

    def close(self) -> None:
        """Leave the group. What is still owned is given up through the callbacks."""
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Messages to be, n rows: ``partitions`` has -1 for the partitioner's choice, ``timestamps_ms`` 0 for now."""

    values: Binary
    keys: Binary
    partitions: Int32Array
    timestamps_ms: Int64Array


class ProducerClient(Protocol):
    """A producer. One thread at a time may use it. It ends with the last reference; nothing is flushed then."""

    def __len__(self) -> int:
        """Messages that are not acknowledged."""
        ...

    def produce(
        self, topic: str, outgoing: Outgoing, rows: Int64Array, headers: ClientHeaders | None = None
    ) -> tuple[int, KafkaError | None]:
        """Queue the named rows, in order, up to the first that is refused; never blocks. Bytes are copied.

        Returns how many were taken, and why the next one was not (``_QUEUE_FULL``: for now). All get the same
        ``headers``.
        """
        ...

    def poll(self, wait_s: float, /) -> object:
        """Hear of deliveries, for up to ``wait_s``."""
        ...

    def flush(self, wait_s: float, /) -> int:
        """Send what is queued and wait for acknowledgements; the number still missing."""
        ...

    def purge(self) -> None:
        """Drop everything that is not acknowledged. Each is reported as failed, by a poll that follows."""
        ...

    def init_transactions(self, timeout_s: float, /) -> object:
        """Take the transactional id, and end what an earlier owner of it left open."""
        ...

    def begin_transaction(self) -> object:
        """What is produced from now on belongs to a transaction."""
        ...

    def send_offsets_to_transaction(
        self, offsets: list[TopicPartition], membership: bytes, timeout_s: float, /
    ) -> None:
        """Make a consumer's offsets part of it; ``membership`` is of `ConsumerClient.consumer_group_metadata`."""
        ...

    def commit_transaction(self, timeout_s: float, /) -> object:
        """Commit it, after everything in it was delivered."""
        ...

    def abort_transaction(self, timeout_s: float, /) -> object:
        """Abort it, with everything in it."""
        ...


__all__ = [
    "ConsumerClient",
    "Fetched",
    "OnCommit",
    "OnError",
    "OnFailed",
    "OnPartitions",
    "Outgoing",
    "ProducerClient",
    "Report",
]
