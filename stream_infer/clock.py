"""Time, as an argument.

Rule: durations come from the monotonic clock, moments from the wall clock, and only edges read either.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
    """Where the pipeline reads the time."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since the epoch."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait. A fake clock advances instead."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def sleep(self, seconds: float) -> None:
        """Block this thread for ``seconds``."""
        time.sleep(max(0.0, seconds))


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock (seconds) that several steps share."""

    at: float

    @classmethod
    def after(cls, seconds: float, now: float) -> Deadline:
        """The moment ``seconds`` after ``now``."""
        return cls(now + seconds)

    def remaining(self, now: float) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - now)

    def passed(self, now: float) -> bool:
        """True once the moment is reached."""
        return now >= self.at


NEVER = Deadline(float("inf"))
