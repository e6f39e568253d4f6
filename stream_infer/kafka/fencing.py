"""Who shut a transactional producer out: an accident, or a rival.

Rule: a name is given up only to a rival that is sure. A producer is also shut out when its own transaction became too
old, and by a predecessor that was thought dead; then it takes its name back.
"""

from __future__ import annotations

from confluent_kafka import KafkaError

FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})
"""What a producer hears that was shut out."""
_RIVAL_WITHIN_S = 60.0
"""A rival takes the name back as soon as it notices, which is with its next transaction."""


class Fencing:
    """Tells a rival from an accident, where a producer was shut out.

    Args:
        stable_name: False where nobody else can have the name.
        transaction_timeout_s: age in seconds at which a broker ends a transaction, and shuts its producer out.
    """

    def __init__(self, stable_name: bool, transaction_timeout_s: float) -> None:
        self._stable_name = stable_name
        self._transaction_timeout_s = transaction_timeout_s
        self._began_at = float("inf")
        self._shut_out_at = float("-inf")

    def transaction_began(self, now: float) -> None:
        """A transaction begins at ``now``, in monotonic seconds."""
        self._began_at = now

    def by_a_rival(self, now: float) -> bool:
        """The producer was shut out; True where that must have been a rival."""
        if not self._stable_name or now - self._began_at >= self._transaction_timeout_s:
            return False
        before, self._shut_out_at = self._shut_out_at, now
        return now - before < _RIVAL_WITHIN_S


__all__ = ["FENCED", "Fencing"]
