"""How long to wait before trying again, and for how long to go on.

Rule: bounded exponential backoff with jitter that the caller supplies, so that the decision stays pure. Trying
again never ends by itself: whoever retries asks `Retry.exhausted` whether it still may.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays of a retry.

    Args:
        first_s: delay after the first failure, in seconds.
        max_s: longest delay, in seconds. Below the group's poll interval by a wide margin.
        factor: growth from one delay to the next.
        budget_s: how long something may go on failing, in seconds from its first failure; infinity by default.
    """

    first_s: float = 0.1
    max_s: float = 5.0
    factor: float = 2.0
    budget_s: float = math.inf

    def delay(self, attempt: int, jitter: float) -> float:
        """Seconds to wait after failure number ``attempt`` (from 1).

        ``jitter`` in 0..1 takes up to half of it away, so that replicas do not come back in step.
        """
        full = min(self.max_s, self.first_s * self.factor ** min(attempt - 1, 64))
        return full * (1.0 - 0.5 * jitter)


class Retry:
    """One thing that may fail for now: whether it may be tried at ``now``, how often and for how long it has failed."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._ready_at = 0.0
        self._failing_since = math.inf
        self.attempts = 0

    def ready(self, now: float) -> bool:
        """True when the next try may be made."""
        return now >= self._ready_at

    def seconds_until_ready(self, now: float) -> float:
        """Seconds until the next try."""
        return max(0.0, self._ready_at - now)

    def failed(self, now: float, jitter: float) -> float:
        """Note a failure; returns the delay in seconds."""
        self.attempts += 1
        self._failing_since = min(self._failing_since, now)
        delay = self._backoff.delay(self.attempts, jitter)
        self._ready_at = now + delay
        return delay

    def succeeded(self) -> bool:
        """Note a success; True when it had failed before."""
        recovered = self.attempts > 0
        self.attempts, self._ready_at, self._failing_since = 0, 0.0, math.inf
        return recovered

    def seconds_failing(self, now: float) -> float:
        """Seconds since the first failure after the last success; 0 where there was none."""
        return max(0.0, now - self._failing_since)

    def exhausted(self, now: float) -> bool:
        """True where it has failed for longer than its budget, without a success in between."""
        return self.seconds_failing(now) > self._backoff.budget_s
