"""When records become a batch: by size, by bytes, or by linger from the first record.

Rule: linger runs from the *first* record of a batch and is never restarted by later ones, so no record
waits longer than ``linger_s`` here while batches may be dispatched. Order of arrival is kept.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from stream_infer.types import Records, Split


class Trigger(enum.StrEnum):
    """Why a batch was closed."""

    SIZE = "size"
    BYTES = "bytes"
    LINGER = "linger"
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are scored together. ``waited_s`` is how long the first one lay in the batcher."""

    records: Records
    trigger: Trigger
    waited_s: float

    def __len__(self) -> int:
        return len(self.records)


@dataclass(frozen=True, slots=True)
class _Chunk:
    records: Records
    arrived_at: float


class Batcher:
    """Collects polled records and hands out batches.

    Args:
        max_batch_size: records in a batch at most.
        max_batch_bytes: bytes of values and keys in a batch at most; a single larger record goes alone.
        linger_s: seconds that the first record of a batch waits for company.
    """

    def __init__(self, max_batch_size: int, max_batch_bytes: int, linger_s: float) -> None:
        self._max_size = max_batch_size
        self._max_bytes = max_batch_bytes
        self._linger_s = linger_s
        self._chunks: deque[_Chunk] = deque()
        self._count = 0
        self._nbytes = 0

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes that wait here."""
        return self._nbytes

    def add(self, records: Records, now: float) -> None:
        """Take records that arrived at ``now`` (seconds)."""
        if len(records):
            self._chunks.append(_Chunk(records, now))
            self._count += len(records)
            self._nbytes += records.nbytes

    def missing(self) -> int:
        """Records that the next batch still takes; a full batch's worth when one is already complete."""
        return self._max_size - self._count % self._max_size

    def seconds_until_due(self, now: float) -> float:
        """Seconds until `take` would give a batch; infinity when nothing waits."""
        if not self._chunks:
            return float("inf")
        if self._full():
            return 0.0
        return max(0.0, self._chunks[0].arrived_at + self._linger_s - now)

    def take(self, now: float, *, drain: bool = False, alone: Collection[Split] = ()) -> Batch | None:
        """The next batch, if one is due at ``now``; with ``drain`` whatever is there.

        A record of a split in ``alone`` is a batch of its own. When the batch is due does not change by that.
        """
        trigger = self._trigger(now, drain)
        if trigger is None:
            return None
        arrived_at = self._chunks[0].arrived_at
        return Batch(Records.concat(list(self._take_parts(alone))), trigger, now - arrived_at)

    def drop(self, splits: Collection[Split]) -> int:
        """Forget the records of these splits; returns how many."""
        before = self._count
        kept = deque(_without(chunk, splits) for chunk in self._chunks)
        self._chunks = deque(chunk for chunk in kept if len(chunk.records))
        self._count = sum(len(chunk.records) for chunk in self._chunks)
        self._nbytes = sum(chunk.records.nbytes for chunk in self._chunks)
        return before - self._count

    def clear(self) -> None:
        """Forget everything."""
        self._chunks.clear()
        self._count = self._nbytes = 0

    def waiting(self) -> Iterator[Records]:
        """What waits here, oldest first."""
        return (chunk.records for chunk in self._chunks)

    def _full(self) -> bool:
        return self._count >= self._max_size or self._nbytes >= self._max_bytes

    def _trigger(self, now: float, drain: bool) -> Trigger | None:
        if not self._chunks:
            return None
        if self._count >= self._max_size:
            return Trigger.SIZE
        if self._nbytes >= self._max_bytes:
            return Trigger.BYTES
        if drain:
            return Trigger.DRAIN
        # The same subtraction as in `seconds_until_due`: whoever waits for 0 must find a batch.
        return Trigger.LINGER if self.seconds_until_due(now) <= 0.0 else None

    def _take_parts(self, alone: Collection[Split]) -> Iterator[Records]:
        count_left, bytes_left, first = self._max_size, self._max_bytes, True
        while self._chunks and count_left > 0:
            chunk = self._chunks.popleft()
            taken = min(count_left, _rows_within(chunk.records, bytes_left, at_least=int(first)))
            together = _rows_before(chunk.records, alone)
            if together < taken:
                # The record that must be alone is the batch if it comes first, and ends the batch otherwise.
                taken, count_left = max(together, int(first)), 0
            if taken < len(chunk.records):
                rest = chunk.records.slice(taken, len(chunk.records))
                self._chunks.appendleft(_Chunk(rest, chunk.arrived_at))
                if taken == 0:
                    return
            part = chunk.records.slice(0, taken)
            self._count -= taken
            self._nbytes -= part.nbytes
            count_left -= taken
            bytes_left -= part.nbytes
            first = False
            yield part
            if taken < len(chunk.records):
                return


def _rows_within(records: Records, nbytes: int, *, at_least: int) -> int:
    if records.nbytes <= nbytes:
        return len(records)
    values, keys = records.values.offsets, records.keys.offsets
    ends = (values[1:] - values[0]) + (keys[1:] - keys[0])
    return max(at_least, int(np.searchsorted(ends, nbytes, side="right")))


def _rows_before(records: Records, alone: Collection[Split]) -> int:
    """Rows in front of the first one of a split in ``alone``."""
    if not alone:
        return len(records)
    indices = [i for i, split in enumerate(records.splits) if split in alone]
    found = np.flatnonzero(np.isin(records.split_index, indices))
    return int(found[0]) if len(found) else len(records)


def _without(chunk: _Chunk, splits: Collection[Split]) -> _Chunk:
    records = chunk.records
    gone = [i for i, split in enumerate(records.splits) if split in splits]
    if not gone:
        return chunk
    keep = np.flatnonzero(~np.isin(records.split_index, gone))
    return _Chunk(records.take(keep), chunk.arrived_at)
