"""The gate between the broker and the batcher: where backpressure lives.

Rule: capacity is asked for before records are polled. The gate has three states.

    OPEN    poll at most `room`
    HOLD    at the high watermark: stop consuming; the client's own bounded queue fills and stops fetching
    PAUSED  after ``pause_after_s`` of holding: tell the client to pause

Pausing comes late because it throws the client's prefetched messages away, which costs 0.5 to 1.4 s at
each resume. The gate reopens at the low watermark, so that it does not flutter.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class GateState(enum.StrEnum):
    """How much is let in."""

    OPEN = "open"
    HOLD = "hold"
    PAUSED = "paused"


class WhenFull(enum.StrEnum):
    """What happens to events that arrive faster than they can be scored."""

    BLOCK = "block"
    """They wait on the broker: lag grows, nothing is lost (while retention lasts)."""
    SHED = "shed"
    """Events older than ``max_age_ms`` leave unscored, with status ``shed``: published, counted, never silent."""


@dataclass(frozen=True, slots=True)
class FlowLimits:
    """Bounds on what lies between poll and settle.

    Args:
        max_records: high watermark in records.
        max_bytes: high watermark in bytes of values and keys.
        low_ratio: share of either at which the gate reopens, 0 to 1.
        pause_after_s: seconds of holding after which the client pauses.
    """

    max_records: int
    max_bytes: int
    low_ratio: float
    pause_after_s: float


class FlowGate:
    """Decides how many records may be polled now."""

    def __init__(self, limits: FlowLimits) -> None:
        self._limits = limits
        self._held_since = 0.0
        self.state = GateState.OPEN

    def update(self, records: int, nbytes: int, now: float) -> GateState | None:
        """Tell the gate what is buffered at ``now`` (seconds); returns the new state where it changed."""
        before = self.state
        if self.state is GateState.OPEN:
            if records >= self._limits.max_records or nbytes >= self._limits.max_bytes:
                self.state, self._held_since = GateState.HOLD, now
        elif self._below_low_watermark(records, nbytes):
            self.state = GateState.OPEN
        elif self.state is GateState.HOLD and now - self._held_since >= self._limits.pause_after_s:
            self.state = GateState.PAUSED
        return self.state if self.state is not before else None

    def room(self, records: int) -> int:
        """Records that may be polled now."""
        if self.state is not GateState.OPEN:
            return 0
        return max(0, self._limits.max_records - records)

    def unpaused(self, now: float) -> None:
        """The client fetches again by itself (a new assignment): a pause begins anew if the gate stays shut."""
        if self.state is GateState.PAUSED:
            self.state, self._held_since = GateState.HOLD, now

    def _below_low_watermark(self, records: int, nbytes: int) -> bool:
        low = self._limits.low_ratio
        return records <= self._limits.max_records * low and nbytes <= self._limits.max_bytes * low
