"""How long a batch that is not full waits for more events: what the batcher asks, and the simplest answer.

Rule: a wait is counted from the first event of a batch and bounded then and there; nothing that comes later prolongs
it. A policy is told numbers and answers with numbers; time is passed in.

There are two policies: `Linger` here, which waits for a fixed time, and `stream_infer.core.latency_goal.LatencyGoal`,
which finds out for how long waiting pays.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

from stream_infer.core.cost_model import BatchCost
from stream_infer.types import Records


class Trigger(enum.StrEnum):
    """Why a batch was closed."""

    SIZE = "size"
    BYTES = "bytes"
    LINGER = "linger"
    SLO = "slo"
    """With a goal for latency: more would not come soon enough to be worth it, or the budget is used up."""
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch that is not full. Times in seconds on the monotonic clock.

    Args:
        count: its events, at least 1.
        began_at: when the first of them arrived.
        leave_by: the earliest `WaitPolicy.leave_by` of them.
        left_at: when the batch before this one left; minus infinity for the first.
    """

    count: int
    began_at: float
    leave_by: float
    left_at: float


@dataclass(frozen=True, slots=True)
class Learned:
    """What a policy has found out: the cost of a batch, and how long a fresh event waits for others (seconds)."""

    cost: BatchCost
    wait_s: float


class WaitPolicy(Protocol):
    """Decides when a batch that is not full leaves."""

    @property
    def trigger(self) -> Trigger:
        """Why a batch leaves that this policy lets go."""
        ...

    def leave_by(self, records: Records, now: float) -> float:
        """The last moment at which records that arrived at ``now`` (seconds) should leave."""
        ...

    def due_at(self, waiting: Waiting, idle: bool) -> float:
        """When the batch is due; ``idle`` says that whatever leaves is scored at once. Infinity: not before it is."""
        ...

    def batch_limit(self, max_batch_size: int) -> int:
        """Events in a batch at most, 1 to ``max_batch_size``."""
        ...

    def began(self, since_last_s: float) -> None:
        """A batch has got its first events, ``since_last_s`` seconds after the one before it left (infinity: none)."""
        ...

    def scored(self, count: int, seconds: float) -> None:
        """A batch of ``count`` events took ``seconds`` to score and publish."""
        ...

    def learned(self) -> Learned | None:
        """What was found out so far; None for nothing."""
        ...


class Linger:
    """The first event of a batch waits ``linger_s`` seconds for more, whatever goes on. Learns nothing."""

    trigger = Trigger.LINGER

    def __init__(self, linger_s: float) -> None:
        self._linger_s = linger_s

    def leave_by(self, records: Records, now: float) -> float:
        """``linger_s`` after the arrival."""
        return now + self._linger_s

    def due_at(self, waiting: Waiting, idle: bool) -> float:
        """When the first event has waited that long."""
        return waiting.leave_by

    def batch_limit(self, max_batch_size: int) -> int:
        """As configured."""
        return max_batch_size

    def began(self, since_last_s: float) -> None:
        """Of no interest."""

    def scored(self, count: int, seconds: float) -> None:
        """Of no interest."""

    def learned(self) -> None:
        """Nothing."""
