"""Sinks in memory, one for each guarantee, whose every failure is scripted."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stream_infer.clock import Deadline
from stream_infer.errors import SinkUnavailable, StreamInferError
from stream_infer.testing.fake_source import FakeSource
from stream_infer.testing.fakes import FakeClock
from stream_infer.types import Commit, ScoredBatch, Split, Status


@dataclass(frozen=True, slots=True)
class Published:
    """One event that the sink was given: a scored event (``reason`` None) or a dead letter."""

    split: Split
    offset: int
    payload: bytes | None
    reason: str | None


class _FakePublisher:
    """What the two sinks share: a bounded list of what was published and is not safe yet."""

    def __init__(self, clock: FakeClock, capacity: int) -> None:
        self._clock = clock
        self._capacity = capacity
        self.pending: list[Published] = []
        self.started = self.closed = False

    def start(self) -> None:
        """Be ready."""
        self.started = True

    def room(self) -> int:
        """What is left of the capacity."""
        return self._capacity - len(self.pending)

    def publish(self, batch: ScoredBatch) -> Sequence[tuple[int, Status]]:
        """Take every payload and every reject."""
        assert self.room() >= len(batch.records), "capacity is asked for before a publish"
        reasons = {reject.row: reject.status.reason for reject in batch.rejects}
        for row in range(len(batch.records)):
            payload = batch.payload[row]
            if payload is not None or row in reasons:
                self.pending.append(
                    Published(batch.records.split(row), int(batch.records.offset[row]), payload, reasons.get(row))
                )
        return ()

    def close(self) -> None:
        """Be closed."""
        self.closed = True


class FakeSink(_FakePublisher):
    """Keeps what was published; acknowledges at the next flush unless told otherwise.

    ``failures`` holds errors for the next flushes; ``hang`` leaves everything unacknowledged; ``capacity`` is the
    most it takes unacknowledged.
    """

    def __init__(self, clock: FakeClock, capacity: int = 100_000) -> None:
        super().__init__(clock, capacity)
        self.acknowledged: list[Published] = []
        self.failures: deque[StreamInferError] = deque()
        self.hang = False

    def begin_flush(self) -> None:
        """Nothing to hurry."""

    def flushed(self, wait_s: float) -> bool:
        """Acknowledge all, or fail as scripted."""
        if self.hang:
            self._clock.sleep(wait_s)
            return False
        if self.failures:
            self.pending.clear()
            raise self.failures.popleft()
        self.acknowledged += self.pending
        self.pending = []
        return True

    def abandon(self) -> None:
        """Forget what is pending."""
        self.pending.clear()


class FakeTransactionalSink(_FakePublisher):
    """Transactions in memory, with the offsets of a `FakeSource`, fenced by its membership.

    ``visible`` is what a reader of committed events sees. ``failures`` answer the next commits: a pair of the error
    and whether the transaction was committed all the same, which nobody is told. ``hang`` leaves a commit unanswered,
    ``abort_failures`` answer the next aborts.
    """

    def __init__(self, clock: FakeClock, source: FakeSource, capacity: int = 100_000) -> None:
        super().__init__(clock, capacity)
        self._source = source
        self._under_way: tuple[Mapping[Split, Commit], bytes] | None = None
        self._broken = False
        self.visible: list[Published] = []
        self.aborted: list[Published] = []
        self.failures: deque[tuple[StreamInferError, bool]] = deque()
        self.abort_failures: deque[StreamInferError] = deque()
        self.hang = False

    def publish(self, batch: ScoredBatch) -> Sequence[tuple[int, Status]]:
        """Add to the open transaction."""
        assert self._under_way is None, "nothing is published while a transaction is being committed"
        assert not self._broken, "a failed transaction is aborted first"
        return super().publish(batch)

    def begin_commit(self, commits: Mapping[Split, Commit], membership: bytes) -> None:
        """Remember; `commit_done` carries it out."""
        assert self._under_way is None, "one transaction at a time"
        assert not self._broken, "a failed transaction is aborted first"
        self._under_way = (dict(commits), membership)

    def commit_done(self, wait_s: float = 0.0) -> bool:
        """Commit, fail as scripted, or hang."""
        assert self._under_way is not None, "begin_commit comes first"
        if self.hang:
            self._clock.sleep(wait_s)
            return False
        (commits, membership), self._under_way = self._under_way, None
        failure, happened = self.failures.popleft() if self.failures else (None, True)
        taken = happened and self._source.commit_in_transaction(commits, membership)
        if taken:
            self.visible += self.pending
            self.pending = []
        if failure is not None or not taken:
            self._broken = True
            raise failure or SinkUnavailable("the group has moved on")
        return True

    def abort(self, deadline: Deadline) -> None:
        """Fail as scripted, or forget what is pending."""
        if self.abort_failures:
            raise self.abort_failures.popleft()
        self._broken, self._under_way = False, None
        self.aborted += self.pending
        self.pending = []
