"""Where reading starts on a partition that was just assigned, and what to do where that offset is gone.

Rule: the client never chooses. A committed offset is where reading goes on; a partition without one starts as
``source.start`` says; a committed offset that is no longer in the log obeys ``source.on_data_loss`` and is
reported with what was lost, because librdkafka's own reset would jump in silence.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from confluent_kafka import KafkaException, TopicPartition

from stream_infer.errors import DataLoss, FatalError
from stream_infer.kafka.client import ConsumerClient
from stream_infer.kafka.errors import from_exception, place, to_error
from stream_infer.types import Split, Start

_LOGGER = logging.getLogger("stream_infer.kafka")

StartMode: TypeAlias = Literal["earliest", "latest", "fail"]
"""Where a partition without a committed offset starts; ``fail`` refuses to guess."""
OnDataLoss: TypeAlias = Literal["fail", "continue"]
"""What to do where a committed offset is gone: stop, or go on at the earliest record that is left."""


class LogBounds(Protocol):
    """What is asked of the cluster (`stream_infer.kafka.admin.KafkaAdmin`)."""

    def beginnings(self, partitions: Sequence[TopicPartition], /) -> dict[tuple[str, int], int]:
        """First offset of each partition that still exists."""
        ...

    def ends(self, partitions: Sequence[TopicPartition], /) -> dict[tuple[str, int], int]:
        """End of each partition."""
        ...


@dataclass(slots=True)
class OwnedPartition:
    """A partition that this process owns."""

    split: Split
    start_offset: int
    """Where reading started or was rewound to."""
    end_at_start: int
    """End of the log when the partition was assigned."""
    was_committed: bool
    """False where ``start_offset`` came from ``source.start``."""
    note: str = ""
    """What the commit at ``start_offset`` says, if there is one."""

    @property
    def place(self) -> tuple[str, int]:
        """Topic and partition number."""
        return (self.split.source, self.split.partition)

    @property
    def start(self) -> Start:
        """Where reading begins, as a listener is told."""
        return Start(self.start_offset, self.end_at_start, self.note)

    def at(self, offset: int) -> TopicPartition:
        """This partition at ``offset``, as the client wants it."""
        return TopicPartition(self.split.source, self.split.partition, offset)


class StartPolicy:
    """``source.start`` and ``source.on_data_loss``, applied.

    Args:
        start: for partitions without a committed offset.
        on_data_loss: for committed offsets that are gone.
        bounds: asked for the ends of the log.
        timeout_s: bounds the look-up of committed offsets, in seconds.
    """

    def __init__(self, start: StartMode, on_data_loss: OnDataLoss, bounds: LogBounds, timeout_s: float) -> None:
        self._start = start
        self._on_data_loss = on_data_loss
        self._bounds = bounds
        self._timeout_s = timeout_s

    def place(
        self, consumer: ConsumerClient, partitions: Sequence[TopicPartition], generation: int
    ) -> list[OwnedPartition]:
        """Find out where reading starts on each of ``partitions``.

        Raises:
            SourceUnavailable: no answer in time.
            FatalError: NotAuthorized, or ``start = "fail"`` and a partition has no committed offset.
        """
        if not partitions:
            # An assignment may change nothing, and the client answers the question about nothing with an error.
            return []
        committed = self.committed(consumer, partitions)
        ends = self._bounds.ends(partitions)
        fresh = [partition for partition in committed if partition.offset < 0]
        starts = self._starts(fresh, ends)
        placed = []
        for partition in committed:
            where = (partition.topic, partition.partition)
            offset = starts.get(where, partition.offset)
            note = "" if where in starts else partition.metadata or ""
            placed.append(OwnedPartition(Split(*where, generation), offset, ends[where], where not in starts, note))
        return placed

    def after_gap(self, partition: OwnedPartition, wanted: int) -> tuple[int, int]:
        """The offset to go on at, where ``wanted`` is not in the log, and how many records were lost.

        Raises:
            DataLoss: records are gone and ``on_data_loss = "fail"``.
            SourceUnavailable: no answer in time.
        """
        asked = [partition.at(wanted)]
        where = (partition.split.source, partition.split.partition)
        beginning, end = self._bounds.beginnings(asked)[where], self._bounds.ends(asked)[where]
        if not partition.was_committed and wanted == partition.start_offset:
            # Nothing was read yet: retention moved the beginning between the look-up and the first fetch.
            return (end if self._start == "latest" else beginning), 0
        gap = _gap(wanted, beginning, end)
        if self._on_data_loss == "fail":
            raise DataLoss(
                f'{place(*where, wanted)}: {gap}; to go on at {beginning}, set source.on_data_loss = "continue"'
            )
        lost = max(0, beginning - wanted)
        _LOGGER.warning(
            "records were lost: %s",
            gap,
            extra={
                "topic": where[0],
                "partition": where[1],
                "offset": wanted,
                "continued_at": beginning,
                "lost_records": lost,
            },
        )
        return beginning, lost

    def committed(self, consumer: ConsumerClient, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """What the group has for ``partitions``. While a transaction with offsets of them is open there is no answer.

        Raises:
            SourceUnavailable: no answer in time.
            FatalError: NotAuthorized.
        """
        try:
            found = consumer.committed(list(partitions), self._timeout_s)
        except KafkaException as error:
            raise from_exception(error, "reading committed offsets") from error
        for partition in found:
            if partition.error is not None:
                where = place(partition.topic, partition.partition)
                raise to_error(partition.error, "reading the committed offset", where=where)
        return found

    def _starts(self, fresh: Sequence[TopicPartition], ends: dict[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        if not fresh:
            return {}
        if self._start == "fail":
            places = "; ".join(place(partition.topic, partition.partition) for partition in fresh)
            raise FatalError(
                f'no committed offset for {places}, and source.start = "fail"; '
                f"commit one with kafka-consumer-groups --reset-offsets, or set source.start"
            )
        if self._start == "latest":
            return {(p.topic, p.partition): ends[p.topic, p.partition] for p in fresh}
        return self._bounds.beginnings(fresh)


def _gap(wanted: int, beginning: int, end: int) -> str:
    if wanted < beginning:
        return f"{beginning - wanted} records were deleted before they were read (the log begins at {beginning})"
    return f"the log ends at {end}, before the offset to read (the topic was truncated or created anew)"


__all__ = ["LogBounds", "OnDataLoss", "OwnedPartition", "StartMode", "StartPolicy"]
