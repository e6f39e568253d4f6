"""Client messages -> columns. The one place where an event costs Python objects, and only those of the client.

Rule: per event nothing is made but what the client's Message gives: value, key and three integers. Headers stay
inside the messages until somebody asks for a row's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from confluent_kafka import Message

from stream_infer.types import Binary, HeaderList, Headers, Int64Array, Records, Split


@dataclass(frozen=True, slots=True)
class MessageHeaders:
    """Headers that are read from the client's messages when asked for. Row i is that of message i."""

    messages: Sequence[Message]

    def __getitem__(self, row: int) -> HeaderList:
        headers = cast("list[tuple[str, bytes | None]] | None", self.messages[row].headers())
        return headers or []

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


@dataclass(frozen=True, slots=True)
class SplitTable:
    """The owned partitions, for a quick look-up by topic and partition number."""

    splits: tuple[Split, ...]
    rows: Mapping[str | None, Mapping[int | None, int]]
    """Topic -> partition -> row of ``splits``."""

    @classmethod
    def of(cls, splits: Iterable[Split]) -> SplitTable:
        """The table of these splits."""
        ordered = tuple(splits)
        rows: dict[str | None, dict[int | None, int]] = {}
        for row, split in enumerate(ordered):
            rows.setdefault(split.source, {})[split.partition] = row
        return cls(ordered, rows)

    def holds(self, message: Message) -> bool:
        """True where the message's partition is owned."""
        return message.partition() in self.rows.get(message.topic(), _NOTHING)


_NOTHING: Mapping[int | None, int] = {}


def to_records(messages: Sequence[Message], owned: SplitTable, received_ms: int) -> Records:
    """Columns of ``messages``, which must all belong to an owned partition and hold no error.

    Args:
        messages: in the order in which the client gave them.
        owned: the partitions owned now.
        received_ms: wall-clock time of arrival, milliseconds since the epoch.
    """
    rows = [owned.rows[message.topic()][message.partition()] for message in messages]
    present, split_index = np.unique(np.array(rows, np.int32), return_inverse=True)
    return Records(
        values=Binary.from_values([message.value() for message in messages]),
        keys=Binary.from_values([message.key() for message in messages]),
        splits=tuple(owned.splits[row] for row in present.tolist()),
        split_index=split_index.astype(np.int32),
        offset=np.array([message.offset() for message in messages], np.int64),
        # Where a message has no timestamp the client gives -1, which is NO_TIMESTAMP.
        timestamp_ms=np.array([message.timestamp()[1] for message in messages], np.int64),
        received_ms=received_ms,
        headers=MessageHeaders(messages),
    )


def first_offsets(messages: Sequence[Message]) -> dict[tuple[str, int], int]:
    """Lowest offset of each topic and partition among ``messages``."""
    found: dict[tuple[str, int], int] = {}
    for message in messages:
        found.setdefault((message.topic() or "", message.partition() or 0), message.offset() or 0)
    return found


__all__ = ["MessageHeaders", "SplitTable", "first_offsets", "to_records"]
