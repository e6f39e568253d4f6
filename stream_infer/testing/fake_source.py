"""Partitions in memory as a `stream_infer.ports.Source`, with scripted rebalances and failures."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from stream_infer.clock import Deadline
from stream_infer.errors import CommitFailed, SourceUnavailable, StreamInferError
from stream_infer.ports import SourceListener
from stream_infer.testing.fakes import FakeClock, records
from stream_infer.types import Commit, Records, Split, Start


def _nothing(commits: Mapping[Split, Commit]) -> None:
    """Nobody watches the commits."""


@dataclass(frozen=True, slots=True)
class _Position:
    next_offset: int
    end_offset: int


@dataclass(slots=True)
class _Log:
    values: list[bytes | None] = field(default_factory=list)
    position: int = 0
    owned: Split | None = None


class FakeSource:
    """Partitions in memory, with scripted rebalances and failures.

    Args:
        clock: gives ``received_ms``; a poll that finds nothing lets its timeout pass on a `FakeClock`.
        partitions: how many partitions the topic ``payments`` has. All are assigned at `start`.

    ``script(callable)`` queues something that happens inside the next poll (``source.revoke(0)``, or raising an
    error). ``commit_failures`` holds errors that answer the next commits, ``unsent_commits`` those that keep them
    from being sent at all; ``hang_commits`` leaves them unanswered.
    """

    def __init__(self, clock: FakeClock, partitions: int = 2, topic: str = "payments") -> None:
        self._clock = clock
        self._topic = topic
        self._logs = {partition: _Log() for partition in range(partitions)}
        self._listener: SourceListener | None = None
        self._generation = 0
        self._scripted: deque[Callable[[], None]] = deque()
        self._scripted_at_commit: deque[Callable[[], None]] = deque()
        self._pending: dict[Split, Commit] | None = None
        self._ends: dict[int, int] = {}
        self.commits: dict[int, Commit] = {}
        self.commit_failures: deque[StreamInferError] = deque()
        self.unsent_commits: deque[StreamInferError] = deque()
        self.lookup_failures: deque[SourceUnavailable] = deque()
        self.hang_commits = False
        self._serving = False
        self.expelled = False
        self.paused = False
        self.closed = False
        self.on_commit: Callable[[Mapping[Split, Commit]], None] = _nothing
        self._epoch = 1

    def append(self, partition: int, *values: bytes | None) -> None:
        """Produce values to a partition."""
        self._logs[partition].values.extend(values)

    def script(self, action: Callable[[], None]) -> None:
        """Let ``action`` happen inside the next poll."""
        self._scripted.append(action)

    def script_at_commit(self, action: Callable[[], None]) -> None:
        """Let ``action`` happen inside the next call that commits, which serves the client as a poll does."""
        self._scripted_at_commit.append(action)

    def scripted_no_more(self) -> None:
        """Forget what was to happen in the next polls."""
        self._scripted.clear()
        self._scripted_at_commit.clear()

    def start(self, listener: SourceListener) -> None:
        """Assign every partition. Again for the next process, when the one before has died."""
        self._listener = listener
        self._epoch += 1
        self._pending = None
        self.paused = False
        self._ends = {partition: len(log.values) for partition, log in self._logs.items()}
        self.assign(*self._logs)

    def assign(self, *partitions: int) -> None:
        """Assign partitions that are not owned, each from its committed offset."""
        starts = {}
        for partition in partitions:
            log = self._logs[partition]
            self._generation += 1
            log.owned = Split(self._topic, partition, self._generation)
            offset, note = self.commits.get(partition, Commit(0))
            log.position = offset
            starts[log.owned] = Start(offset, len(log.values), note)
        self._told().splits_assigned(starts)

    def revoke(self, *partitions: int) -> None:
        """Take partitions away; the listener may still commit."""
        self._take(partitions, self._told().splits_revoked)

    def lose(self, *partitions: int) -> None:
        """Take partitions away after the fact."""
        self._epoch += 1
        self._take(partitions, self._told().splits_lost)

    def delete(self, partition: int, count: int) -> None:
        """Let retention delete the next ``count`` records of an owned partition before they are read."""
        log = self._logs[partition]
        assert log.owned is not None, "only what is owned can be missed"
        log.position += count
        self._told().records_lost(log.owned, count)

    def owned(self) -> list[int]:
        """Partitions that are owned."""
        return [partition for partition, log in self._logs.items() if log.owned is not None]

    def poll(self, max_records: int, timeout_s: float) -> Records | None:
        """Serve what is scripted, then read round the partitions."""
        self._serve(self._scripted)
        parts = []
        left = 0 if self.paused else max_records
        for log in self._logs.values():
            if left > 0 and log.owned is not None and log.position < len(log.values):
                taken = log.values[log.position : log.position + left]
                parts.append(
                    records(taken, split=log.owned, first_offset=log.position, timestamp_ms=self._clock.wall_ms())
                )
                log.position += len(taken)
                left -= len(taken)
        if not parts:
            self._clock.sleep(timeout_s)
            return None
        return Records.concat(parts)

    def pause(self) -> None:
        """Give nothing until resumed."""
        self.paused = True

    def resume(self) -> None:
        """Give records again."""
        self.paused = False

    def rewind(self, offsets: Mapping[Split, int]) -> Mapping[Split, Split]:
        """Move back, under new generations."""
        renamed = {}
        for split, offset in offsets.items():
            log = self._logs[split.partition]
            if log.owned == split:
                self._generation += 1
                log.owned = renamed[split] = split._replace(generation=self._generation)
                log.position = offset
        return renamed

    def begin_commit(self, commits: Mapping[Split, Commit]) -> None:
        """Remember; `commit_done` carries it out."""
        self._check_owned(commits)
        if self.unsent_commits:
            raise self.unsent_commits.popleft()
        self._pending = dict(commits)

    def commit_done(self) -> bool:
        """Serve what is scripted, then fail as scripted, or commit."""
        self._serve(self._scripted_at_commit)
        if self.hang_commits:
            return False
        if self._pending is None:
            return True
        commits, self._pending = self._pending, None
        self._commit(commits)
        return True

    def commit_now(self, commits: Mapping[Split, Commit], deadline: Deadline) -> None:
        """Fail as scripted, or commit."""
        self._serve(self._scripted_at_commit)
        commits = {split: commit for split, commit in commits.items() if self._logs[split.partition].owned == split}
        if self.hang_commits:
            self._clock.sleep(deadline.remaining(self._clock.monotonic()))
            raise CommitFailed("scripted to hang")
        self._commit(commits)

    def committed(self, splits: Collection[Split]) -> Mapping[Split, int]:
        """What is committed for those that are owned."""
        if self.lookup_failures:
            raise self.lookup_failures.popleft()
        owned = {log.owned for log in self._logs.values()}
        return {s: self.commits[s.partition].offset for s in splits if s in owned and s.partition in self.commits}

    def membership(self) -> bytes:
        """The epoch of the group, which `commit_in_transaction` compares."""
        if self.expelled:
            raise CommitFailed("scripted to be no member")
        return str(self._epoch).encode()

    def commit_in_transaction(self, commits: Mapping[Split, Commit], membership: bytes) -> bool:
        """What the broker does with the offsets of a transaction: False where the membership is a past one."""
        if membership != str(self._epoch).encode():
            return False
        self.on_commit(commits)
        self.commits |= {split.partition: commit for split, commit in commits.items()}
        return True

    def caught_up(self) -> bool:
        """True when all that stood there at `start` was polled."""
        return all(log.position >= self._ends[p] for p, log in self._logs.items() if log.owned is not None)

    def positions(self) -> Mapping[Split, _Position]:
        """Exact here."""
        return {
            log.owned: _Position(log.position, len(log.values)) for log in self._logs.values() if log.owned is not None
        }

    def close(self) -> None:
        """Give everything up."""
        self.closed = True

    def _serve(self, scripted: deque[Callable[[], None]]) -> None:
        """Every call that waits for a client may bring a rebalance; but not within one."""
        if self._serving:
            return
        self._serving = True
        try:
            while scripted:
                scripted.popleft()()
        finally:
            self._serving = False

    def _told(self) -> SourceListener:
        assert self._listener is not None, "start comes first"
        return self._listener

    def _take(self, partitions: Sequence[int], tell: Callable[[Sequence[Split]], None]) -> None:
        splits = [log.owned for p in partitions if (log := self._logs[p]).owned is not None]
        tell([split for split in splits if split is not None])
        self._epoch += 1
        for partition in partitions:
            self._logs[partition].owned = None

    def _check_owned(self, commits: Mapping[Split, Commit]) -> None:
        owned = {log.owned for log in self._logs.values()}
        assert owned.issuperset(commits), "what somebody else owns by now is not committed"

    def _commit(self, commits: Mapping[Split, Commit]) -> None:
        if self.commit_failures:
            raise self.commit_failures.popleft()
        self.on_commit(commits)
        for split, commit in commits.items():
            if self._logs[split.partition].owned == split:
                self.commits[split.partition] = commit
