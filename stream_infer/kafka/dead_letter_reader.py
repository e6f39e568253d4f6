"""Dead letters, read back: the whole topic, or a single one.

Rule: reading leaves no trace. Partitions are assigned, never subscribed to, and nothing is committed. What belongs to
an aborted transaction is not seen: it never was a dead letter. One pass ends where the topic ended when it began, and
holds no more than the client has fetched ahead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from stream_infer.clock import Clock, Deadline
from stream_infer.errors import FatalError, SourceUnavailable
from stream_infer.kafka.admin import KafkaAdmin
from stream_infer.kafka.client_log import client_logger
from stream_infer.kafka.dead_letter_progress import SentBack
from stream_infer.kafka.dead_letters import ReadHeaders, Verdict, read_verdict
from stream_infer.kafka.errors import place, to_error, translated
from stream_infer.kafka.properties import Properties
from stream_infer.kafka.watch import ConnectionWatch

_POLL_S = 0.5
_SILENCE_S = 30.0
"""Without a record or a committed offset for this long a pass is given up: the election of a leader takes less."""
_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter: where it lies, the event as it came, and what the headers say.

    ``timestamp_ms`` is the record's (`stream_infer.types.NO_TIMESTAMP` for none), which our own dead letters take from
    their event.
    """

    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: ReadHeaders
    verdict: Verdict

    @property
    def failed_at_ms(self) -> int:
        """When the event was rejected; where nobody says so, the record's timestamp."""
        failed_at_ms = self.verdict.failed_at_ms
        return self.timestamp_ms if failed_at_ms is None else failed_at_ms


class DeadLetterReader:
    """Reads one topic of dead letters. A context manager; one thread owns it.

    Args:
        properties: of `consumer_properties`. Their ``group.id`` is never joined; `sent_back` asks for its offsets.
        admin: knows where partitions begin and end.
        topic: of the dead letters.
        clock: tells how long nobody has answered.
    """

    def __init__(self, properties: Properties, admin: KafkaAdmin, topic: str, clock: Clock) -> None:
        self.topic = topic
        self._admin = admin
        self._clock = clock
        self._watch = ConnectionWatch(str(properties["bootstrap.servers"]))
        self._settings: dict[str, Any] = {
            **properties,
            "isolation.level": "read_committed",
            # What retention deletes under our eyes is of no interest any more.
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "error_cb": self._watch,
            "logger": client_logger(),
        }

    def __enter__(self) -> Self:
        with translated("opening a consumer"):
            self.consumer = Consumer(self._settings)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.consumer.close()

    def ends(self) -> dict[int, int]:
        """End offset of each partition at this moment.

        Raises:
            TopicMissing: the topic does not exist.
            SourceUnavailable, NotAuthorized
        """
        partitions = self._admin.require_topics([self.topic])[self.topic].partitions
        ends = self._admin.ends([TopicPartition(self.topic, number) for number in range(partitions)])
        return {number: end for (_, number), end in ends.items()}

    def sent_back(self, partitions: Collection[int]) -> dict[int, SentBack]:
        """What the group remembers of each partition; waits for transactions that are still open.

        Raises:
            SourceUnavailable: no answer in time.
            FatalError: not allowed, or the offsets are not ours.
        """
        asked = [TopicPartition(self.topic, number) for number in sorted(partitions)]
        deadline = Deadline.after(_SILENCE_S, self._clock.monotonic())
        while True:
            try:
                found = self._committed(asked, max(1.0, deadline.remaining(self._clock.monotonic())))
            except SourceUnavailable:
                # The coordinator of a cluster's first group takes a second or two to come into being.
                if deadline.passed(self._clock.monotonic()):
                    raise
                self._clock.sleep(_AGAIN_S)
            else:
                return {at.partition: SentBack.read(max(0, at.offset), at.metadata or "") for at in found}

    def _committed(self, asked: list[TopicPartition], timeout_s: float) -> list[TopicPartition]:
        with translated("reading offsets", where=f"of group {self._settings['group.id']}"):
            return self.consumer.committed(asked, timeout=timeout_s)

    def read(self, ends: Mapping[int, int]) -> Iterator[DeadLetter]:
        """Every dead letter below ``ends``, in order within each partition.

        Raises:
            SourceUnavailable: no broker answers.
            FatalError: not allowed, or the topic is gone.
        """
        beginnings = self._admin.beginnings([TopicPartition(self.topic, number) for number in ends])
        left = {number: ends[number] for (_, number), first in beginnings.items() if first < ends[number]}
        self._assign({number: beginnings[self.topic, number] for number in left})
        while left:
            message = self._next()
            number = message.partition() or 0
            if number not in left:
                continue
            if _is_end(message) or (message.offset() or 0) >= left[number]:
                del left[number]
                continue
            yield _dead_letter(message)
            if (message.offset() or 0) + 1 >= left[number]:
                del left[number]

    def at(self, partition: int, offset: int) -> DeadLetter | None:
        """The dead letter at this place; None where there is none (any more).

        Raises:
            SourceUnavailable, FatalError: as `read`.
        """
        if partition not in self.ends():
            return None
        self._assign({partition: offset})
        message = self._next()
        return _dead_letter(message) if not _is_end(message) and message.offset() == offset else None

    def _assign(self, starts: Mapping[int, int]) -> None:
        with translated("reading", where=place(self.topic)):
            self.consumer.assign([TopicPartition(self.topic, number, offset) for number, offset in starts.items()])

    def _next(self) -> Message:
        """The next message, or the news that a partition is at its end."""
        deadline = Deadline.after(_SILENCE_S, self._clock.monotonic())
        while not deadline.passed(self._clock.monotonic()):
            message = self.consumer.poll(_POLL_S)
            error = None if message is None else message.error()
            if message is not None and (error is None or _is_end(message)):
                self._watch.answered()
                return message
            failure = self._watch.refusal()
            if failure is None and error is not None:
                failure = to_error(error, "reading", where=place(self.topic))
            if isinstance(failure, FatalError):
                raise failure
        raise SourceUnavailable(f"reading {place(self.topic)} failed: {self._watch.reason()}")


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF


def _dead_letter(message: Message) -> DeadLetter:
    headers = cast("ReadHeaders | None", message.headers()) or []
    return DeadLetter(
        message.partition() or 0,
        message.offset() or 0,
        message.timestamp()[1],
        message.key(),
        message.value(),
        headers,
        read_verdict(headers),
    )


__all__ = ["DeadLetter", "DeadLetterReader"]
