"""A scored batch as messages: which topic, which partition, what is too large, and what became of them.

Rule: this is all that the two sinks share, and it decides nothing about acknowledgements: it hands messages to a
producer and keeps what the client reports. That is of two kinds: a delivery that failed (`Publisher.take_failure`),
and the end of the producer itself (`Publisher.fatal`), behind which no delivery means anything any more.

One publisher serves one sink for life; `Publisher.connect` replaces its producer. One thread at a time may use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from confluent_kafka import KafkaError, KafkaException

from stream_infer.clock import Clock
from stream_infer.errors import FatalError, RetriableError, SinkUnavailable, StreamInferError
from stream_infer.kafka.client import Outgoing, ProducerClient
from stream_infer.kafka.dead_letters import ClientHeaders, HeaderStyle, dead_letter_headers
from stream_infer.kafka.errors import CLIENT_EXCEPTIONS, client_error, from_exception, place, to_error
from stream_infer.kafka.native_producer import NativeProducer
from stream_infer.kafka.properties import Properties, PropertyValue
from stream_infer.kafka.watch import ConnectionWatch
from stream_infer.types import Binary, BoolArray, Int32Array, Int64Array, Reject, ScoredBatch, Status

_DEFAULT_MAX_OUTPUT_BYTES = 1_000_000
"""librdkafka's ``message.max.bytes``, just below what a broker takes by default (1048588)."""
_MAX_DEAD_LETTER_BYTES = 100_000_000
"""What could be read must be writable to the dead letters: only the topic's own limit judges there."""
_FULL_QUEUE_WAIT_S = 1.0
_ABANDONED = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
_PAST_SAVING = frozenset({KafkaError._FATAL, KafkaError._FENCED, KafkaError.PRODUCER_FENCED})
"""Codes under which a producer that has ended refuses messages, with or without the flag ``fatal``."""

When: TypeAlias = Literal["flagged", "not_flagged"]


class Route(NamedTuple):
    """A further topic for some of the scored events."""

    when: When
    topic: str


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where scored events and rejects go.

    Args:
        topic: where every scored event goes.
        dead_letter_topic: where rejects go, partitioned by their key.
        group_id: named in dead letters.
        routes: further topics for flagged or not flagged events; an event that was shed takes none.
        partition: ``key`` (Java's partitioner) or ``input`` (the partition the event came from).
        dead_letter_headers: whose names the headers of dead letters have.
        max_unacknowledged: most messages that wait for an acknowledgement.
    """

    topic: str
    dead_letter_topic: str
    group_id: str
    routes: tuple[Route, ...] = ()
    partition: Literal["key", "input"] = "key"
    dead_letter_headers: HeaderStyle = "native"
    max_unacknowledged: int = 100_000

    @property
    def topics(self) -> list[str]:
        """All of them."""
        return [self.topic, *(route.topic for route in self.routes), self.dead_letter_topic]


class Publisher:
    """Hands scored batches to a producer.

    Args:
        properties: of `producer_properties`.
        outputs: where things go.
        clock: for ``failed_at``.
    """

    def __init__(self, properties: Properties, outputs: Outputs, clock: Clock) -> None:
        self._properties = properties
        self._outputs = outputs
        self._clock = clock
        self._max_output_bytes = int(properties.get("message.max.bytes", _DEFAULT_MAX_OUTPUT_BYTES))
        self._failure: StreamInferError | None = None
        self.watch = ConnectionWatch(str(properties["bootstrap.servers"]))
        self.fatal: KafkaError | None = None
        """Why the producer can do nothing any more, if so. A new one is needed."""

    def connect(self) -> None:
        """A new ``producer`` in the place of the last. Connects in the background.

        Raises:
            SinkUnavailable, FatalError: the client refuses its properties.
        """
        settings: dict[str, PropertyValue] = {
            **self._properties,
            "message.max.bytes": max(self._max_output_bytes, _MAX_DEAD_LETTER_BYTES),
            "queue.buffering.max.messages": self._outputs.max_unacknowledged,
        }
        try:
            self.producer: ProducerClient = NativeProducer(settings, on_error=self.watch, on_failed=self._not_delivered)
        except KafkaException as error:
            raise from_exception(error, "opening a producer", retriable=SinkUnavailable) from error
        self._failure = self.fatal = None

    def disconnect(self) -> None:
        """Let go of the producer. Nothing is flushed."""
        del self.producer

    def leave_behind(self) -> None:
        """Let a producer be that somebody else is stuck in. What it still holds is not sent, if that can be had."""
        self.producer.purge()

    def serve(self, wait_s: float = 0.0) -> None:
        """Hear of deliveries, for up to ``wait_s`` seconds."""
        try:
            self.producer.poll(wait_s)
        except CLIENT_EXCEPTIONS as exception:
            self.fatal = client_error(exception)

    def flush(self, wait_s: float) -> int:
        """Send what is queued and wait for acknowledgements, ``wait_s`` seconds at most; the number still missing."""
        try:
            return self.producer.flush(wait_s)
        except CLIENT_EXCEPTIONS as exception:
            self.fatal = client_error(exception)
            return len(self.producer)

    def room(self) -> int:
        """How many more events there is room for, each with its routes. Serves delivery reports."""
        self.serve()
        free = self._outputs.max_unacknowledged - len(self.producer)
        return max(0, free) // (1 + len(self._outputs.routes))

    @property
    def failed(self) -> bool:
        """True when something published will not be delivered."""
        return self._failure is not None or self.fatal is not None

    def take_failure(self) -> StreamInferError | None:
        """The first failed delivery since the last question, if there was one."""
        failure, self._failure = self._failure, None
        return failure

    # ------------------------------------------------------------------ publish

    def publish(self, batch: ScoredBatch) -> list[tuple[int, Status]]:
        """Send every payload and every reject; see `stream_infer.ports.Publisher`.

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
        # To the client 0 means "now", which is what a record without a timestamp gets.
        timestamps_ms = np.maximum(batch.records.timestamp_ms, 0)
        outgoing = Outgoing(batch.payload, batch.records.keys, self._partitions(batch), timestamps_ms)
        for topic, chosen in self._destinations(batch, published):
            self._send(topic, outgoing, np.flatnonzero(chosen))

    def _destinations(self, batch: ScoredBatch, published: BoolArray) -> Iterable[tuple[str, BoolArray]]:
        yield self._outputs.topic, published
        scored = published & (batch.scored.status == Status.OK)
        for route in self._outputs.routes:
            yield route.topic, scored & (batch.scored.flagged if route.when == "flagged" else ~batch.scored.flagged)

    def _partitions(self, batch: ScoredBatch) -> Int32Array:
        if self._outputs.partition == "key":
            return np.full(len(batch.records), -1, np.int32)
        of_split = np.array([split.partition for split in batch.records.splits], np.int32)
        return of_split[batch.records.split_index]

    def _publish_rejects(self, batch: ScoredBatch, rejects: Sequence[Reject]) -> None:
        failed_at_ms = self._clock.wall_ms()
        for reject in rejects:
            headers = dead_letter_headers(
                batch,
                reject,
                group_id=self._outputs.group_id,
                failed_at_ms=failed_at_ms,
                style=self._outputs.dead_letter_headers,
            )
            value, key = (Binary.from_values([of[reject.row]]) for of in (batch.records.values, batch.records.keys))
            timestamp_ms = np.maximum(batch.records.timestamp_ms[reject.row : reject.row + 1], 0)
            outgoing = Outgoing(value, key, np.full(1, -1, np.int32), timestamp_ms)
            self._send(self._outputs.dead_letter_topic, outgoing, np.zeros(1, np.int64), headers)

    def _too_large(self, batch: ScoredBatch, row: int) -> Reject:
        nbytes = int(batch.payload.lengths[row] + batch.records.keys.lengths[row])
        message = f"the scored event has {nbytes} bytes with its key; message.max.bytes is {self._max_output_bytes}"
        return Reject(row, Status.OUTPUT_TOO_LARGE, message)

    def _send(self, topic: str, outgoing: Outgoing, rows: Int64Array, headers: ClientHeaders | None = None) -> None:
        """Queue the rows. What is refused spoils the rest only where nothing more can be taken."""
        waited = False
        while len(rows) and self.fatal is None:
            taken, error = self.producer.produce(topic, outgoing, rows, headers)
            rows = rows[taken:]
            if error is None:
                return
            if error.code() != KafkaError._QUEUE_FULL:
                self._not_taken(error, topic, int(outgoing.partitions[rows[0]]))
                rows = rows[1:]
            elif waited and not taken:
                self._keep(SinkUnavailable(f"publishing to topic {topic} failed: the client's queue is full"))
                return
            else:
                # `room` counts messages, the client also bytes: very large ones can fill its queue earlier.
                self.flush(_FULL_QUEUE_WAIT_S)
                waited = True

    def _not_taken(self, error: KafkaError, topic: str, partition: int) -> None:
        """The client refuses to queue a message."""
        if _is_past_saving(error):
            self.fatal = self.fatal or error
            return
        failure = self._refused(error, topic, partition)
        if isinstance(failure, FatalError):
            raise failure
        # A transaction that has failed takes nothing more, and says so again when it is to be committed.
        self._keep(failure)

    # ------------------------------------------------------------------ failures

    def _not_delivered(self, error: KafkaError, topic: str, partition: int) -> None:
        """Called by the client for every message that was not delivered."""
        if error.code() in _ABANDONED:
            return
        if _is_past_saving(error):
            self.fatal = self.fatal or error
            return
        self._keep(self._refused(error, topic, partition))

    def _keep(self, failure: StreamInferError) -> None:
        """Remember the first failure; what is final outweighs what may pass."""
        if self._failure is None or (isinstance(self._failure, RetriableError) and isinstance(failure, FatalError)):
            self._failure = failure

    def _refused(self, error: KafkaError, topic: str, partition: int) -> StreamInferError:
        where = place(topic, partition)
        if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            is_dead_letter = topic == self._outputs.dead_letter_topic
            remedy = "" if is_dead_letter else ", or lower message.max.bytes in kafka.client.producer"
            return FatalError(
                f"publishing to {where} failed: larger than the topic takes; raise its max.message.bytes{remedy}"
            )
        if error.code() == KafkaError._UNKNOWN_PARTITION:
            return FatalError(
                f"publishing to {where} failed: no such partition; give the topic as many partitions as "
                f'the input has, or set sink.partition = "key"'
            )
        failure = to_error(error, "publishing to", where=where, retriable=SinkUnavailable)
        if isinstance(failure, SinkUnavailable) and self.watch.down:
            return SinkUnavailable(f"{failure}; {self.watch.reason()}")
        return failure


def _is_past_saving(error: KafkaError) -> bool:
    return error.fatal() or error.code() in _PAST_SAVING


__all__ = ["Outputs", "Publisher", "Route", "When"]
