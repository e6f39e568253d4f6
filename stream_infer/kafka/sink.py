"""A Kafka producer as a `stream_infer.ports.Sink`.

Rule: what `flushed` confirms has been acknowledged by all in-sync replicas, and nothing else is ever confirmed.

Theory of operation. Only failures are reported by the client (one callback for all), so "acknowledged" means that
the client's queue is empty and no failure came. The first failure condemns everything since the last flush: the
rest is abandoned, and whoever published it publishes it again.

Abandoning purges the queue of the *same* idempotent producer. A request that is still on its way then carries
an old sequence number, so the broker writes it before what follows or not at all. With a new producer in its
place the broker would take the late request for news and write it behind its own repetition.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream_infer.clock import Clock, Deadline
from stream_infer.errors import FatalError, RetriableError, SinkUnavailable, SourceUnavailable, StreamInferError
from stream_infer.kafka.admin import KafkaAdmin
from stream_infer.kafka.client_log import client_logger
from stream_infer.kafka.dead_letters import ClientHeaders, dead_letter_headers
from stream_infer.kafka.errors import from_exception, place, to_error
from stream_infer.kafka.properties import Properties
from stream_infer.kafka.watch import ConnectionWatch
from stream_infer.types import BoolArray, Reject, ScoredBatch, Status

_LOGGER = logging.getLogger("stream_infer.kafka")

_DEFAULT_MAX_OUTPUT_BYTES = 1_000_000
"""librdkafka's ``message.max.bytes``, just below what a broker takes by default (1048588)."""
_MAX_DEAD_LETTER_BYTES = 100_000_000
"""What could be read must be writable to the dead letters: only the topic's own limit judges there."""
_PURGE_TIMEOUT_S = 1.0
"""Emptying the queue takes a millisecond; after this the producer is replaced."""
_FULL_QUEUE_WAIT_S = 1.0

_ABANDONED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})

When: TypeAlias = Literal["flagged", "not_flagged"]


class Route(NamedTuple):
    """A further topic for some of the scored events."""

    when: When
    topic: str


class KafkaSink:
    """Publishes scored events to topics and rejects to a dead-letter topic.

    Args:
        properties: of `producer_properties`.
        admin: asked whether the topics exist.
        topic: where every scored event goes.
        routes: further topics for flagged or not flagged events; an event that was shed takes none.
        dead_letter_topic: where rejects go, partitioned by their key.
        partition: ``key`` (Java's partitioner) or ``input`` (the partition the event came from).
        max_unacknowledged: most messages that wait for an acknowledgement.
        group_id: named in dead letters.
        clock: for ``failed_at``.
    """

    def __init__(
        self,
        properties: Properties,
        admin: KafkaAdmin,
        *,
        topic: str,
        routes: Sequence[Route],
        dead_letter_topic: str,
        partition: Literal["key", "input"],
        max_unacknowledged: int,
        group_id: str,
        clock: Clock,
    ) -> None:
        self._properties = properties
        self._admin = admin
        self._topic = topic
        self._routes = tuple(routes)
        self._dead_letter_topic = dead_letter_topic
        self._by_input_partition = partition == "input"
        self._max_unacknowledged = max_unacknowledged
        self._group_id = group_id
        self._clock = clock
        self._max_output_bytes = int(properties.get("message.max.bytes", _DEFAULT_MAX_OUTPUT_BYTES))
        self._failure: StreamInferError | None = None

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Connect and see that every topic exists.

        Raises:
            SinkUnavailable: no broker answers.
            FatalError: TopicMissing, NotAuthorized, or the client refuses its properties.
        """
        try:
            self._admin.require_topics([self._topic, *(route.topic for route in self._routes), self._dead_letter_topic])
        except SourceUnavailable as error:
            raise SinkUnavailable(str(error)) from error
        self._connect()

    def close(self) -> None:
        """Release the connection. Nothing is flushed."""
        self.abandon()
        # Not Producer.close(): that flushes, for as long as it takes. The connection goes with the object.
        del self._producer

    def _connect(self) -> None:
        self._watch = ConnectionWatch(str(self._properties["bootstrap.servers"]))
        settings: dict[str, Any] = {
            **self._properties,
            "message.max.bytes": max(self._max_output_bytes, _MAX_DEAD_LETTER_BYTES),
            "queue.buffering.max.messages": self._max_unacknowledged,
            "on_delivery": self._delivered,
            "error_cb": self._watch,
            "logger": client_logger(),
        }
        try:
            self._producer = Producer(settings)
        except KafkaException as error:
            raise from_exception(error, "opening a producer", retriable=SinkUnavailable) from error

    # ------------------------------------------------------------------ publish

    def room(self) -> int:
        """How many more events it takes now, each with its routes. Serves delivery reports."""
        self._producer.poll(0)
        return max(0, self._max_unacknowledged - len(self._producer)) // (1 + len(self._routes))

    def publish(self, batch: ScoredBatch) -> list[tuple[int, Status]]:
        """Send every payload and every reject; see `stream_infer.ports.Sink`.

        Raises:
            FatalError: a topic is gone or closed to us, or a dead letter is too large even for the client.
        """
        published = np.ones(len(batch.payload), np.bool_) if batch.payload.valid is None else batch.payload.valid
        too_large = published & (batch.payload.lengths + batch.records.keys.lengths > self._max_output_bytes)
        self._publish_scored(batch, published & ~too_large)
        refused = [self._too_large(batch, row) for row in np.flatnonzero(too_large).tolist()]
        self._publish_rejects(batch, [*batch.rejects, *refused])
        return [(reject.row, reject.status) for reject in refused]

    def _publish_scored(self, batch: ScoredBatch, published: BoolArray) -> None:
        values, keys = batch.payload.to_list(), batch.records.keys.to_list()
        # To the client 0 means "now", which is what a record without a timestamp gets.
        timestamps = np.maximum(batch.records.timestamp_ms, 0).tolist()
        partitions = self._partitions(batch)
        for topic, rows in self._destinations(batch, published):
            for row in rows:
                self._send(topic, values[row], keys[row], partitions[row], timestamps[row])

    def _destinations(self, batch: ScoredBatch, published: BoolArray) -> Iterable[tuple[str, list[int]]]:
        yield self._topic, np.flatnonzero(published).tolist()
        scored = published & (batch.scored.status == Status.OK)
        for route in self._routes:
            wanted = batch.scored.flagged if route.when == "flagged" else ~batch.scored.flagged
            yield route.topic, np.flatnonzero(scored & wanted).tolist()

    def _partitions(self, batch: ScoredBatch) -> list[int]:
        if not self._by_input_partition:
            return [-1] * len(batch.records)
        of_split = np.array([split.partition for split in batch.records.splits], np.int32)
        partitions: list[int] = of_split[batch.records.split_index].tolist()
        return partitions

    def _publish_rejects(self, batch: ScoredBatch, rejects: Iterable[Reject]) -> None:
        failed_at_ms = self._clock.wall_ms()
        for reject in rejects:
            headers = dead_letter_headers(batch, reject, group_id=self._group_id, failed_at_ms=failed_at_ms)
            value, key = batch.records.values[reject.row], batch.records.keys[reject.row]
            timestamp_ms = max(0, int(batch.records.timestamp_ms[reject.row]))
            self._send(self._dead_letter_topic, value, key, -1, timestamp_ms, headers)

    def _too_large(self, batch: ScoredBatch, row: int) -> Reject:
        nbytes = int(batch.payload.lengths[row] + batch.records.keys.lengths[row])
        message = f"the scored event has {nbytes} bytes with its key; message.max.bytes is {self._max_output_bytes}"
        return Reject(row, Status.OUTPUT_TOO_LARGE, message)

    def _send(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int,
        timestamp_ms: int,
        headers: ClientHeaders | None = None,
    ) -> None:
        try:
            self._produce(topic, value, key, partition, timestamp_ms, headers)
        except BufferError:
            # `room` counts messages, the client also bytes: very large ones can fill its queue earlier.
            self._producer.flush(_FULL_QUEUE_WAIT_S)
            try:
                self._produce(topic, value, key, partition, timestamp_ms, headers)
            except BufferError:
                self._keep(SinkUnavailable(f"publishing to topic {topic} failed: the client's queue is full"))

    def _produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        partition: int,
        timestamp_ms: int,
        headers: ClientHeaders | None,
    ) -> None:
        try:
            self._producer.produce(topic, value, key, partition, timestamp=timestamp_ms, headers=headers)
        except KafkaException as error:
            raise self._refused(error.args[0], topic, partition) from error

    # ------------------------------------------------------------------ acknowledgements

    def begin_flush(self) -> None:
        """Send what is queued now, without waiting for ``linger.ms``."""
        self._producer.flush(0)

    def flushed(self, wait_s: float) -> bool:
        """Wait up to ``wait_s`` seconds for everything published to be acknowledged; True when it is.

        Raises:
            SinkUnavailable: something was not delivered; the rest is abandoned.
            FatalError: delivery is refused for good.
        """
        unacknowledged = self._producer.flush(wait_s)
        failure = self._failure or (self._watch.refusal() if unacknowledged else None)
        if failure is not None:
            self.abandon()
            raise failure
        if not unacknowledged:
            self._watch.answered()
        return not unacknowledged

    def abandon(self) -> None:
        """Forget everything not yet acknowledged. What is on its way may still arrive, as a duplicate in order."""
        # The client's flag is the wrong way round (2.16): with blocking=True the purge runs later, and takes
        # with it what is produced next.
        self._producer.purge(in_queue=True, in_flight=True, blocking=False)
        deadline = Deadline.after(_PURGE_TIMEOUT_S, self._clock.monotonic())
        while len(self._producer) and not deadline.passed(self._clock.monotonic()):
            self._producer.poll(0.01)
        if len(self._producer):
            _LOGGER.warning("the producer was replaced: its queue could not be emptied")
            self._connect()
        self._failure = None

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        """Called by the client for every message that was not delivered."""
        if error is None or error.code() in _ABANDONED:
            return
        self._keep(self._refused(error, message.topic() or "", message.partition()))

    def _keep(self, failure: StreamInferError) -> None:
        """Remember the first failure; what is final outweighs what may pass."""
        if self._failure is None or (isinstance(self._failure, RetriableError) and isinstance(failure, FatalError)):
            self._failure = failure

    def _refused(self, error: KafkaError, topic: str, partition: int | None) -> StreamInferError:
        where = place(topic, partition)
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return FatalError(
                f"publishing to {where} failed: larger than the topic takes; raise max.message.bytes of the topic"
                + ("" if topic == self._dead_letter_topic else ", or lower message.max.bytes in kafka.client.producer")
            )
        if error.code() == KafkaError._UNKNOWN_PARTITION:
            return FatalError(
                f"publishing to {where} failed: no such partition; give the topic as many partitions as "
                f'the input has, or set sink.partition = "key"'
            )
        failure = to_error(error, "publishing to", where=where, retriable=SinkUnavailable)
        if isinstance(failure, SinkUnavailable) and self._watch.down:
            return SinkUnavailable(f"{failure}; {self._watch.reason()}")
        return failure


__all__ = ["KafkaSink", "Route", "When"]
