"""The numbers of the line, and the batcher that they make.

Rule: values only; `stream_infer.app` takes them from the config, and nothing here knows of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from stream_infer.core.batching import Batcher
from stream_infer.core.flow import FlowLimits
from stream_infer.core.latency_goal import LatencyGoal
from stream_infer.core.retry import Backoff
from stream_infer.core.waiting import Linger, WaitPolicy


@dataclass(frozen=True, slots=True)
class Settings:
    """Numbers of the line. Times in seconds.

    ``slo_s``, where it is set, takes the place of ``linger_s``; ``publish_s`` of it is kept for what happens to an
    event after it was published. ``max_in_flight`` batches are scored or wait to be settled, ``parallel`` of them are
    scored at the same time. ``max_records`` ends the run after that many were polled (None: never);
    ``until_caught_up`` ends it at the end that stood there when it started.
    """

    max_batch_size: int
    max_batch_bytes: int
    linger_s: float
    max_in_flight: int
    flow: FlowLimits
    drain_timeout_s: float
    slo_s: float | None = None
    publish_s: float = 0.0
    parallel: int = 1
    max_records: int | None = None
    until_caught_up: bool = False
    backoff: Backoff = field(default_factory=Backoff)

    def batcher(self) -> Batcher:
        """A new one."""
        return Batcher(self.max_batch_size, self.max_batch_bytes, self._wait_policy())

    def _wait_policy(self) -> WaitPolicy:
        if self.slo_s is None:
            return Linger(self.linger_s)
        return LatencyGoal(self.slo_s, self.publish_s)
