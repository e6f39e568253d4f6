"""The one commit under way, and how its answer is recognised.

Rule: a commit is confirmed by its offsets and their notes. A commit that timed out is forgotten while its answer may
still come, and that late answer must not be taken for the answer to the next one.

The answer comes through the client's ``on_commit``, which only a poll serves. Inside a rebalance callback the
client must not be polled (it aborts the process: a poll within a poll takes the outer one's state away), so there
the group is asked for its offsets instead. The question follows the commit on the same connection, and its
answer therefore shows whether the commit was taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_infer.errors import CommitFailed, StreamInferError
from stream_infer.kafka.client import ConsumerClient
from stream_infer.kafka.errors import from_exception, is_transient, place, to_error
from stream_infer.types import Commit, Split

_DOING = "committing offsets"
Identity: TypeAlias = tuple[str, int, int, str]
"""Topic, partition, offset and note."""
_MAX_LOOKUPS = 20
"""Look-ups that do not show the offsets before they count as refused: the client may have sent them a second time."""


class CommitUnderWay:
    """At most one asynchronous commit that somebody waits for."""

    def __init__(self) -> None:
        self._awaited: frozenset[Identity] | None = None
        self._lookups = 0
        self._error: StreamInferError | None = None

    def begin(self, consumer: ConsumerClient, partitions: list[TopicPartition]) -> None:
        """Send the commit; an earlier one is no longer waited for.

        Raises:
            CommitFailed: it could not be sent.
            FatalError: it is refused for good.
        """
        self._error = None
        self._lookups = 0
        self._awaited = _identity(partitions)
        try:
            consumer.commit(partitions)
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

    def look_up(self, consumer: ConsumerClient, timeout_s: float) -> None:
        """Ask the group for the awaited offsets, for at most ``timeout_s`` seconds; no answer changes nothing."""
        if self._awaited is None:
            return
        try:
            asked = [TopicPartition(topic, partition) for topic, partition, _, _ in self._awaited]
            found = consumer.committed(asked, timeout_s)
        except KafkaException as error:
            if not is_transient(error.args[0]):
                self._awaited = None
                self._error = from_exception(error, _DOING, retriable=CommitFailed)
            return
        self._lookups += 1
        if _identity(found) == self._awaited:
            self._awaited = None
        elif self._lookups >= _MAX_LOOKUPS:
            self._awaited = None
            self._error = CommitFailed(f"{_DOING} failed: the group did not take them during a rebalance")

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


def _identity(partitions: Iterable[TopicPartition]) -> frozenset[Identity]:
    # A mark moves no offset: it is told apart from the commit before it by its note alone.
    return frozenset((p.topic, p.partition, p.offset, p.metadata or "") for p in partitions)


def as_partitions(commits: Mapping[Split, Commit]) -> list[TopicPartition]:
    """Commits as the client wants them; the note is the offset's metadata."""
    return [
        TopicPartition(split.source, split.partition, commit.offset, metadata=commit.note)
        for split, commit in commits.items()
    ]


__all__ = ["CommitUnderWay", "as_partitions"]
