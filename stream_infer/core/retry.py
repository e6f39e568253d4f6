"""How long to wait before trying again.

Rule: bounded exponential backoff with full-range jitter that the caller supplies, so that the decision stays
pure. The wait never ends by itself in giving up: whoever has a budget asks `attempts`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays of a retry.

    Args:
        first_s: delay after the first failure, in seconds.
        max_s: longest delay, in seconds. Below the group's poll interval by a wide margin.
        factor: growth from one delay to the next.
    """

    first_s: float = 0.1
    max_s: float = 5.0
    factor: float = 2.0

    def delay(self, attempt: int, jitter: float) -> float:
        """Seconds to wait after failure number ``attempt`` (from 1).

        ``jitter`` in 0..1 takes up to half of it away, so that replicas do not come back in step.
        """
        full = min(self.max_s, self.first_s * self.factor ** min(attempt - 1, 64))
        return full * (1.0 - 0.5 * jitter)


class Retry:
    """One thing that may fail for now: whether it may be tried at ``now``, and how often it has failed."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._ready_at = 0.0
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
        delay = self._backoff.delay(self.attempts, jitter)
        self._ready_at = now + delay
        return delay

    def succeeded(self) -> bool:
        """Note a success; True when it had failed before."""
        recovered = self.attempts > 0
        self.attempts, self._ready_at = 0, 0.0
        return recovered
