"""Events that go from the dead letters back to the input, never twice by accident.

Rule: what is sent and the memory of it (`stream_infer.kafka.dead_letter_progress`) are one transaction. All senders of
a group have the same ``transactional.id``: whoever begins shuts out the one before and ends its open transaction. So
the memory is read after the beginning; nobody else adds to it from then on.

This fences by the producer. The offsets need no membership of the group, which nobody ever joins.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from stream_infer.clock import Clock, Deadline
from stream_infer.errors import FatalError, Fenced, SinkUnavailable, StreamInferError
from stream_infer.kafka.client_log import client_logger
from stream_infer.kafka.dead_letter_progress import MAX_NOTE_BYTES, SentBack
from stream_infer.kafka.dead_letters import ClientHeaders
from stream_infer.kafka.errors import describe, from_exception, place, to_error
from stream_infer.kafka.properties import Properties

_LOGGER = logging.getLogger("stream_infer.kafka")

TRANSACTION_TIMEOUT_MS = 60_000
"""Readers of the input wait this long at most for a sender that died."""
_CALL_TIMEOUT_S = 30.0
"""For each step of a transaction; the election of a coordinator takes less."""
_AGAIN_S = 0.2
_MAX_EVENTS = 1000
_MAX_BYTES = 16 << 20
"""A transaction is committed at one of the two: it is then some seconds long at most."""
_MAX_MESSAGE_BYTES = 100_000_000
"""What could be read must be writable: only the topic's own limit judges."""
_Result = TypeVar("_Result")


class DeadLetterSender:
    """Sends events and commits, in one transaction after the other. A context manager; one thread owns it.

    Args:
        properties: of `producer_properties`, with a transaction.
        topic: of the dead letters.
        consumer: a consumer of the group whose offsets are the memory.
        clock: bounds every step.
    """

    def __init__(self, properties: Properties, topic: str, consumer: Consumer, clock: Clock) -> None:
        self._topic = topic
        self._consumer = consumer
        self._clock = clock
        self._settings: dict[str, Any] = {
            **properties,
            "message.max.bytes": _MAX_MESSAGE_BYTES,
            "on_delivery": self._delivered,
            "logger": client_logger(),
        }
        self._events = self._bytes = 0
        self._failure: StreamInferError | None = None

    def __enter__(self) -> Self:
        """Take over from whoever sent before.

        Raises:
            SinkUnavailable: no answer in time.
            FatalError: not allowed, or the client refuses its properties.
        """
        try:
            self._producer = Producer(self._settings)
        except KafkaException as error:
            raise from_exception(error, "opening a producer", retriable=SinkUnavailable) from error
        self._insist("taking over from earlier senders", self._producer.init_transactions)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events:
            self._abort()

    @property
    def full(self) -> bool:
        """True when it is time to commit."""
        return self._events >= _MAX_EVENTS or self._bytes >= _MAX_BYTES

    def send(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: ClientHeaders,
        timestamp_ms: int,
    ) -> None:
        """Send one event; a transaction begins with the first. Partition -1: by the key.

        Raises:
            SinkUnavailable: the client cannot take it now.
            FatalError: refused for good.
        """
        try:
            if not self._events:
                self._producer.begin_transaction()
            self._events += 1
            self._bytes += len(key or b"") + len(value or b"")
            self._producer.produce(topic, value, key, partition, timestamp=max(0, timestamp_ms), headers=headers)
        except KafkaException as error:
            raise self._refused(error, f"sending to {place(topic, partition)}") from error
        except BufferError as error:
            raise SinkUnavailable(f"sending to {place(topic, partition)} failed: the client's queue is full") from error
        self._producer.poll(0)

    def commit(self, memory: Mapping[int, SentBack]) -> None:
        """End the transaction: what was sent is seen, and ``memory`` (by partition) is kept.

        Raises:
            SinkUnavailable: it did not happen, or nobody knows; the memory tells next time.
            FatalError: refused for good, or there is too much to remember.
        """
        if not self._events:
            return
        offsets = [self._offset(number, sent_back) for number, sent_back in memory.items()]
        group = self._consumer.consumer_group_metadata()
        try:
            self._insist(
                "noting what was sent", lambda left: self._producer.send_offsets_to_transaction(offsets, group, left)
            )
            self._insist("committing", self._producer.commit_transaction)
        except StreamInferError as error:
            raise self._failure or error from None
        self._events = self._bytes = 0

    def _offset(self, number: int, sent_back: SentBack) -> TopicPartition:
        note = sent_back.note()
        if len(note) > MAX_NOTE_BYTES:
            raise FatalError(
                f"which dead letters of {place(self._topic, number)} were sent back does not fit into the "
                f"{MAX_NOTE_BYTES} bytes that a broker keeps with an offset: what was sent lies too scattered. Send "
                f"all of them back (without --reason, --since, --until, --only; with a higher --max-attempts)"
            )
        return TopicPartition(self._topic, number, sent_back.offset, note)

    def _insist(self, doing: str, step: Callable[[float], _Result]) -> _Result:
        """Repeat a step of the transaction for as long as the client says that this may help."""
        deadline = Deadline.after(_CALL_TIMEOUT_S, self._clock.monotonic())
        while True:
            try:
                return step(max(1.0, deadline.remaining(self._clock.monotonic())))
            except KafkaException as error:
                if not error.args[0].retriable() or deadline.passed(self._clock.monotonic()):
                    raise self._refused(error, doing) from error
                self._clock.sleep(_AGAIN_S)

    def _abort(self) -> None:
        """Take back what is open. Where that fails the broker does it, at the timeout or for the next sender."""
        self._events = self._bytes = 0
        try:
            self._producer.abort_transaction(_CALL_TIMEOUT_S)
        except KafkaException as error:
            # An error is on its way already, or Ctrl-C. Readers wait a little longer, and nothing else is lost.
            _LOGGER.warning("a transaction was left for the broker to abort", extra={"reason": describe(error.args[0])})

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failure is None:
            where = place(message.topic(), message.partition())
            self._failure = to_error(error, "sending to", where=where, retriable=SinkUnavailable)

    def _refused(self, error: KafkaException, doing: str) -> StreamInferError:
        failure = from_exception(error, doing, retriable=SinkUnavailable)
        if isinstance(failure, Fenced):
            name = self._settings["transactional.id"]
            return Fenced(f"{doing} failed: another dlq resend has taken over (transactional.id {name})")
        return failure


__all__ = ["TRANSACTION_TIMEOUT_MS", "DeadLetterSender"]
