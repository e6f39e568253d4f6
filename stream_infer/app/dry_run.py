"""A sink that publishes nothing, for ``run --dry-run``."""

from __future__ import annotations

from collections.abc import Sequence

from stream_infer.types import ScoredBatch, Status

_ROOM = 1 << 30


class DrySink:
    """Takes everything and keeps nothing; the instruments have seen what would have been published."""

    def start(self) -> None:
        """Nothing to connect to."""

    def room(self) -> int:
        """Always enough."""
        return _ROOM

    def publish(self, batch: ScoredBatch) -> Sequence[tuple[int, Status]]:
        """Take the batch."""
        return ()

    def begin_flush(self) -> None:
        """Nothing waits."""

    def flushed(self, wait_s: float) -> bool:
        """Nothing is ever open."""
        return True

    def abandon(self) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """Nothing to release."""
