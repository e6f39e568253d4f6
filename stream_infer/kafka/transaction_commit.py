"""The commit of one transaction, carried out by a thread of its own while its owner does something else.

Rule: the client's calls are repeated for as long as it says ``retriable``, with the same arguments, to one deadline.
What an error means is for the owner to say.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from confluent_kafka import KafkaError, TopicPartition

from stream_infer.clock import Clock, Deadline
from stream_infer.kafka.client import ProducerClient
from stream_infer.kafka.errors import CLIENT_EXCEPTIONS, client_error

_CALL_S = 0.5
"""Longest single call of the client; the same call again goes on where the one before stopped."""
_OFFSETS_CALL_S = 5.0
"""The same for sending offsets, which begins from the start each time: longer than any broker that lives takes."""
_AGAIN_S = 0.02
_HUNG_AFTER_S = 1.0
"""No call has a timeout behind the deadline by more than a moment."""


class TransactionCommit:
    """A transaction's offsets and its end, on their way. Made by the owner, carried out by the thread `transaction`.

    ``ended`` is set when ``committed`` and ``error`` say how it ended; ``given_up`` asks for an early end.
    """

    def __init__(
        self,
        producer: ProducerClient,
        offsets: list[TopicPartition],
        membership: bytes,
        deadline: Deadline,
        clock: Clock,
    ) -> None:
        self._producer = producer
        self._offsets = offsets
        self._membership = membership
        self._deadline = deadline
        self._clock = clock
        self.hung_at = deadline.at + _HUNG_AFTER_S
        """When it is sure, in monotonic seconds, that a call of the client has failed to come back."""
        self.ended = threading.Event()
        self.given_up = threading.Event()
        self.committed = False
        self.error: KafkaError | None = None

    def fail(self, error: KafkaError | None) -> None:
        """It ends before it began."""
        self.error = error
        self.ended.set()

    def carry_out(self) -> None:
        """Send the offsets, then end the transaction."""
        try:
            self.error = self._send_offsets() or self._end()
            self.committed = self.error is None
        finally:
            self.ended.set()

    def _send_offsets(self) -> KafkaError | None:
        def send(timeout_s: float) -> None:
            self._producer.send_offsets_to_transaction(self._offsets, self._membership, timeout_s)

        return insist(send, self._deadline, self._clock, longest_s=_OFFSETS_CALL_S, stop=self.given_up.is_set)

    def _end(self) -> KafkaError | None:
        return insist(self._producer.commit_transaction, self._deadline, self._clock, stop=self.given_up.is_set)


def carry_out_all(commits: queue.SimpleQueue[TransactionCommit | None]) -> None:
    """The thread `transaction`. None ends it."""
    while _carry_out_next(commits):
        pass


def _carry_out_next(commits: queue.SimpleQueue[TransactionCommit | None]) -> bool:
    # In a function of its own, so that no commit is held, and with it an old producer, while the next is waited for.
    commit = commits.get()
    if commit is not None:
        commit.carry_out()
    return commit is not None


def _never() -> bool:
    return False


def insist(
    call: Callable[[float], object],
    deadline: Deadline,
    clock: Clock,
    *,
    longest_s: float = _CALL_S,
    stop: Callable[[], bool] = _never,
) -> KafkaError | None:
    """Make a call of the client again for as long as it says ``retriable``; the error that remains, or None.

    Args:
        call: takes its timeout in seconds.
        deadline: when to give up.
        clock: read between the calls.
        longest_s: longest timeout of one call, in seconds.
        stop: asked between the calls whether to give up early.
    """
    while True:
        timeout_s = min(longest_s, deadline.remaining(clock.monotonic()))
        try:
            # At least a moment: a call with no time at all does not even look.
            call(max(timeout_s, _AGAIN_S))
        except CLIENT_EXCEPTIONS as exception:
            error = client_error(exception)
        else:
            return None
        if not error.retriable() or deadline.passed(clock.monotonic()) or stop():
            return error
        clock.sleep(_AGAIN_S)


__all__ = ["TransactionCommit", "carry_out_all", "insist"]
