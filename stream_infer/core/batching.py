"""When records become a batch: by size, by bytes, or because they have waited long enough.

Rule: how long is long enough is decided by a `stream_infer.core.waiting.WaitPolicy`, and only for a batch that is not
full: a full one is due at once. Order of arrival is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from stream_infer.core.waiting import Learned, Trigger, Waiting, WaitPolicy
from stream_infer.types import Records, Split

LEAST_NAP_S = 0.001
"""Waking up to look costs as much as a batch: not more than a thousand times a second."""


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
    leave_by: float


class Batcher:
    """Collects polled records and hands out batches.

    Args:
        max_batch_size: records in a batch at most.
        max_batch_bytes: bytes of values and keys in a batch at most; a single larger record goes alone.
        policy: how long a batch that is not full waits for more; may keep batches smaller.
    """

    def __init__(self, max_batch_size: int, max_batch_bytes: int, policy: WaitPolicy) -> None:
        self._max_size = max_batch_size
        self._max_bytes = max_batch_bytes
        self._policy = policy
        self._chunks: deque[_Chunk] = deque()
        self._count = 0
        self._nbytes = 0
        self._leave_by = float("inf")
        self._left_at = float("-inf")

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes that wait here."""
        return self._nbytes

    def add(self, records: Records, now: float) -> None:
        """Take records that arrived at ``now`` (seconds)."""
        if not len(records):
            return
        if not self._chunks:
            self._policy.began(now - self._left_at)
        leave_by = self._policy.leave_by(records, now)
        self._chunks.append(_Chunk(records, now, leave_by))
        self._leave_by = min(self._leave_by, leave_by)
        self._count += len(records)
        self._nbytes += records.nbytes

    def scored(self, count: int, seconds: float) -> None:
        """A batch of ``count`` records took ``seconds`` to score and publish: what the policy may learn from."""
        self._policy.scored(count, seconds)

    def learned(self) -> Learned | None:
        """What the policy has found out."""
        return self._policy.learned()

    def missing(self) -> int:
        """Records that the next batch still takes; a full batch's worth when one is already complete."""
        return self._max_size - self._count % self._max_size

    def seconds_until_due(self, now: float, *, idle: bool = True) -> float:
        """Seconds until `take` would give a batch if nothing else came; infinity when that is never.

        ``idle`` says that a batch which leaves now is scored at once.
        """
        if not self._chunks:
            return float("inf")
        if self._full():
            return 0.0
        waiting = Waiting(self._count, self._chunks[0].arrived_at, self._leave_by, self._left_at)
        return max(0.0, self._policy.due_at(waiting, idle) - now)

    def seconds_to_nap(self, now: float) -> float:
        """Seconds for which nobody need look: until the batch is due, or full if records go on coming as they did.

        Not below `LEAST_NAP_S`, unless it is due earlier; infinity when nothing waits.
        """
        until_due = self.seconds_until_due(now)
        if until_due <= 0.0 or not self._chunks:
            return until_due
        seconds_each = (now - self._left_at) / self._count
        return min(until_due, max(LEAST_NAP_S, (self._limit() - self._count) * seconds_each))

    def take(
        self, now: float, *, drain: bool = False, alone: Collection[Split] = (), idle: bool = True
    ) -> Batch | None:
        """The next batch, if one is due at ``now``; with ``drain`` whatever is there.

        A record of a split in ``alone`` is a batch of its own. When the batch is due does not change by that. ``idle``
        is as for `seconds_until_due`.
        """
        trigger = self._trigger(now, drain, idle)
        if trigger is None:
            return None
        arrived_at = self._chunks[0].arrived_at
        batch = Batch(Records.concat(list(self._take_parts(alone))), trigger, now - arrived_at)
        self._left_at = now
        self._find_leave_by()
        return batch

    def drop(self, splits: Collection[Split]) -> int:
        """Forget the records of these splits; returns how many."""
        before = self._count
        kept = deque(_without(chunk, splits) for chunk in self._chunks)
        self._chunks = deque(chunk for chunk in kept if len(chunk.records))
        self._count = sum(len(chunk.records) for chunk in self._chunks)
        self._nbytes = sum(chunk.records.nbytes for chunk in self._chunks)
        self._find_leave_by()
        return before - self._count

    def clear(self) -> None:
        """Forget everything."""
        self._chunks.clear()
        self._count = self._nbytes = 0
        self._find_leave_by()

    def waiting(self) -> Iterator[Records]:
        """What waits here, oldest first."""
        return (chunk.records for chunk in self._chunks)

    def _limit(self) -> int:
        return self._policy.batch_limit(self._max_size)

    def _find_leave_by(self) -> None:
        self._leave_by = min((chunk.leave_by for chunk in self._chunks), default=float("inf"))

    def _full(self) -> bool:
        return self._count >= self._limit() or self._nbytes >= self._max_bytes

    def _trigger(self, now: float, drain: bool, idle: bool) -> Trigger | None:
        if not self._chunks:
            return None
        if self._count >= self._limit():
            return Trigger.SIZE
        if self._nbytes >= self._max_bytes:
            return Trigger.BYTES
        if drain:
            return Trigger.DRAIN
        # The same subtraction as in `seconds_until_due`: whoever waits for 0 must find a batch.
        return self._policy.trigger if self.seconds_until_due(now, idle=idle) <= 0.0 else None

    def _take_parts(self, alone: Collection[Split]) -> Iterator[Records]:
        count_left, bytes_left, first = self._limit(), self._max_bytes, True
        while self._chunks and count_left > 0:
            chunk = self._chunks.popleft()
            taken = min(count_left, _rows_within(chunk.records, bytes_left, at_least=int(first)))
            together = _rows_before(chunk.records, alone)
            if together < taken:
                # The record that must be alone is the batch if it comes first, and ends the batch otherwise.
                taken, count_left = max(together, int(first)), 0
            if taken < len(chunk.records):
                rest = chunk.records.slice(taken, len(chunk.records))
                self._chunks.appendleft(_Chunk(rest, chunk.arrived_at, chunk.leave_by))
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
    return _Chunk(records.take(keep), chunk.arrived_at, chunk.leave_by)
