"""Where the events of a measured line come from: memory.

Rule: it costs next to nothing. The sample is laid out once, as the native client lays out what it fetches, and a poll
gives a view of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

from stream_infer.bench.sample import Events
from stream_infer.clock import Clock, Deadline
from stream_infer.ports import SourceListener, SplitPosition
from stream_infer.types import (
    Binary,
    Commit,
    Float64Array,
    HeaderRows,
    Int64Array,
    Records,
    Split,
    Start,
)

_SPLIT = Split("events", 0)
_EARLY_S = 1e-6
"""An event may come this much early: after a wait for it, rounding must not say that it is not due yet."""


class Tape:
    """Events in a circle: any run of up to ``longest`` of them is a view.

    Args:
        events: at least one.
        longest: the most that is asked for at once.
    """

    def __init__(self, events: Events, longest: int) -> None:
        self.count = len(events.values)
        rows = [row % self.count for row in range(self.count + longest)]
        self._values = Binary.from_values([events.values[row] for row in rows])
        self._keys = Binary.from_values([events.envelopes[row].key for row in rows])
        headers = [events.envelopes[row].headers for row in rows]
        self._headers = HeaderRows(headers) if any(headers) else None
        self._splits = np.zeros(longest, np.int32)

    def records(self, first: int, timestamp_ms: Int64Array, received_ms: int) -> Records:
        """Records from offset ``first`` on, as many as there are timestamps (milliseconds since the epoch)."""
        count, start = len(timestamp_ms), first % self.count
        return Records(
            values=self._values.slice(start, start + count),
            keys=self._keys.slice(start, start + count),
            splits=(_SPLIT,),
            split_index=self._splits[:count],
            offset=np.arange(first, first + count),
            timestamp_ms=timestamp_ms,
            received_ms=received_ms,
            headers=None if self._headers is None else self._headers.slice(start, start + count),
        )


class _At(NamedTuple):
    next_offset: int
    end_offset: int


class TapeSource:
    """A `stream_infer.ports.Source` of one split, which is owned for good. Commits cost nothing and are forgotten.

    Args:
        tape: the events.
        clock: time.
        due_s: when events are due, ascending, in seconds after ``began_at``; None: there is always one more.
    """

    def __init__(self, tape: Tape, clock: Clock, due_s: Float64Array | None) -> None:
        self._tape = tape
        self._clock = clock
        self._due_s = due_s
        self._next = 0
        self.began_at = 0.0
        """When `start` was called, monotonic."""
        self._began_ms = 0.0

    def start(self, listener: SourceListener) -> None:
        """Own the split; the load begins."""
        listener.splits_assigned({_SPLIT: Start(0, -1)})
        self.began_at, self._began_ms = self._clock.monotonic(), float(self._clock.wall_ms())

    def poll(self, max_records: int, timeout_s: float) -> Records | None:
        """What is due, after a wait for the first."""
        count = self._due(max_records)
        if not count and max_records and timeout_s > 0.0:
            self._clock.sleep(min(timeout_s, self._until_next_s()))
            count = self._due(max_records)
        if not count:
            return None
        now_ms = self._clock.wall_ms()
        first, self._next = self._next, self._next + count
        return self._tape.records(first, self._timestamps_ms(first, count, now_ms), now_ms)

    def _due(self, at_most: int) -> int:
        if self._due_s is None:
            return at_most
        passed_s = self._clock.monotonic() - self.began_at + _EARLY_S
        return min(at_most, int(np.searchsorted(self._due_s, passed_s, side="right")) - self._next)

    def _until_next_s(self) -> float:
        if self._due_s is None or self._next >= len(self._due_s):
            return float("inf")
        return max(0.0, self.began_at + float(self._due_s[self._next]) - self._clock.monotonic())

    def _timestamps_ms(self, first: int, count: int, now_ms: int) -> Int64Array:
        """An event bears the time at which it was due, so that it is late for whoever looks at its age."""
        if self._due_s is None:
            return np.full(count, now_ms)
        return (self._began_ms + 1000 * self._due_s[first : first + count]).astype(np.int64)

    def caught_up(self) -> bool:
        """True when everything that is ever due was given."""
        return self._due_s is not None and self._next >= len(self._due_s)

    def positions(self) -> Mapping[Split, SplitPosition]:
        """The next offset; the end is unknown."""
        return {_SPLIT: _At(self._next, -1)}

    def pause(self) -> None:
        """Nothing is fetched ahead."""

    def resume(self) -> None:
        """Nothing is fetched ahead."""

    def begin_commit(self, commits: Mapping[Split, Commit]) -> None:
        """Committed at once."""

    def commit_done(self) -> bool:
        """True."""
        return True

    def commit_now(self, commits: Mapping[Split, Commit], deadline: Deadline) -> None:
        """Committed at once."""

    def committed(self, splits: Collection[Split]) -> Mapping[Split, int]:
        """Nothing is kept."""
        return {}

    def rewind(self, offsets: Mapping[Split, int]) -> Mapping[Split, Split]:
        """Nobody asks: no delivery fails here."""
        raise NotImplementedError

    def membership(self) -> bytes:
        """No group."""
        return b""

    def close(self) -> None:
        """Nothing to release."""
