"""The one commit under way, and how its answer is recognised.

Rule: a commit is confirmed by its offsets. A commit that timed out is forgotten while its answer may still come,
and that late answer must not be taken for the answer to the next one.
"""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from stream_infer.errors import CommitFailed, StreamInferError
from stream_infer.kafka.errors import from_exception, place, to_error

_DOING = "committing offsets"


class CommitUnderWay:
    """At most one asynchronous commit that somebody waits for."""

    def __init__(self) -> None:
        self._awaited: frozenset[tuple[str, int, int]] | None = None
        self._error: StreamInferError | None = None

    def begin(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Send the commit; an earlier one is no longer waited for.

        Raises:
            CommitFailed: it could not be sent.
            FatalError: it is refused for good.
        """
        self._error = None
        self._awaited = _identity(partitions)
        try:
            consumer.commit(offsets=partitions, asynchronous=True)
        except KafkaException as error:
            self._awaited = None
            raise from_exception(error, _DOING, retriable=CommitFailed) from error

    def answered(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        """The client's ``on_commit``: note the answer if it is the one awaited."""
        if _identity(partitions) != self._awaited:
            return
        self._awaited = None
        failed = next((partition for partition in partitions if partition.error is not None), None)
        if failed is not None and failed.error is not None:
            where = place(failed.topic, failed.partition, failed.offset)
            self._error = to_error(failed.error, _DOING, where=where, retriable=CommitFailed)
        elif error is not None:
            self._error = to_error(error, _DOING, retriable=CommitFailed)

    @property
    def waiting(self) -> bool:
        """True while the answer is missing."""
        return self._awaited is not None

    def done(self) -> bool:
        """True when the commit was acknowledged (or there was none).

        Raises:
            CommitFailed: it was refused for now.
            FatalError: it was refused for good.
        """
        error, self._error = self._error, None
        if error is not None:
            raise error
        return not self.waiting

    def forget(self) -> None:
        """Wait no longer."""
        self._awaited = None


def _identity(partitions: Iterable[TopicPartition]) -> frozenset[tuple[str, int, int]]:
    return frozenset((partition.topic, partition.partition, partition.offset) for partition in partitions)


__all__ = ["CommitUnderWay"]
