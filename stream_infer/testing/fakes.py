"""A clock, a source, a sink and an executor whose every fault is scripted.

Rule: these are verified fakes. What they promise is what `stream_infer.ports` says, the conformance checks run
over them as over the real ones, and time moves only when a test or a wait moves it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from stream_infer.clock import Deadline
from stream_infer.errors import CommitFailed, RetriableError, SinkUnavailable, StreamInferError
from stream_infer.ports import Instrument, SourceListener
from stream_infer.types import (
    Binary,
    HeaderRows,
    ModelIdentity,
    Records,
    Reject,
    ScoredBatch,
    ScoredColumns,
    Split,
    Status,
)
from stream_infer.work import WorkResult

T = TypeVar("T")
_SPLIT = Split("payments", 0)


class FakeClock:
    """Time that moves when told to. ``sleep`` advances it instead of waiting."""

    def __init__(self, now: float = 1000.0, wall_ms: int = 1_800_000_000_000) -> None:
        self._now = now
        self._wall_ms = float(wall_ms)

    def monotonic(self) -> float:
        """Seconds."""
        return self._now

    def wall_ms(self) -> int:
        """Milliseconds since the epoch."""
        return int(self._wall_ms)

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self._now += seconds
        self._wall_ms += seconds * 1000

    def sleep(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.advance(max(0.0, seconds))


def records(
    values: Sequence[bytes | None],
    *,
    split: Split = _SPLIT,
    first_offset: int = 0,
    timestamp_ms: int = 1_800_000_000_000,
    keys: Sequence[bytes | None] | None = None,
    headers: Sequence[Sequence[tuple[str, bytes | None]]] | None = None,
) -> Records:
    """Records of one split, with consecutive offsets and equal timestamps (received at that time as well)."""
    count = len(values)
    return Records(
        Binary.from_values(values),
        Binary.from_values(keys if keys is not None else [None] * count),
        (split,),
        np.zeros(count, np.int32),
        np.arange(first_offset, first_offset + count, dtype=np.int64),
        np.full(count, timestamp_ms, np.int64),
        timestamp_ms,
        HeaderRows(headers if headers is not None else [()] * count),
    )


def _nothing(offsets: Mapping[Split, int]) -> None:
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
        self._pending: dict[Split, int] | None = None
        self._ends: dict[int, int] = {}
        self.committed: dict[int, int] = {}
        self.commit_failures: deque[StreamInferError] = deque()
        self.unsent_commits: deque[StreamInferError] = deque()
        self.hang_commits = False
        self.paused = False
        self.closed = False
        self.on_commit: Callable[[Mapping[Split, int]], None] = _nothing

    def append(self, partition: int, *values: bytes | None) -> None:
        """Produce values to a partition."""
        self._logs[partition].values.extend(values)

    def script(self, action: Callable[[], None]) -> None:
        """Let ``action`` happen inside the next poll."""
        self._scripted.append(action)

    def start(self, listener: SourceListener) -> None:
        """Assign every partition."""
        self._listener = listener
        self._ends = {partition: len(log.values) for partition, log in self._logs.items()}
        self.assign(*self._logs)

    def assign(self, *partitions: int) -> None:
        """Assign partitions that are not owned, each from its committed offset."""
        splits = []
        for partition in partitions:
            log = self._logs[partition]
            self._generation += 1
            log.owned = Split(self._topic, partition, self._generation)
            log.position = self.committed.get(partition, 0)
            splits.append(log.owned)
        self._told().splits_assigned(splits)

    def revoke(self, *partitions: int) -> None:
        """Take partitions away; the listener may still commit."""
        self._take(partitions, self._told().splits_revoked)

    def lose(self, *partitions: int) -> None:
        """Take partitions away after the fact."""
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
        while self._scripted:
            self._scripted.popleft()()
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

    def begin_commit(self, offsets: Mapping[Split, int]) -> None:
        """Remember; `commit_done` carries it out."""
        self._check_owned(offsets)
        if self.unsent_commits:
            raise self.unsent_commits.popleft()
        self._pending = dict(offsets)

    def commit_done(self) -> bool:
        """Fail as scripted, or commit."""
        if self.hang_commits or self._pending is None:
            return False
        offsets, self._pending = self._pending, None
        self._commit(offsets)
        return True

    def commit_now(self, offsets: Mapping[Split, int], deadline: Deadline) -> None:
        """Fail as scripted, or commit."""
        self._check_owned(offsets)
        if self.hang_commits:
            self._clock.sleep(deadline.remaining(self._clock.monotonic()))
            raise CommitFailed("scripted to hang")
        self._commit(offsets)

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

    def _told(self) -> SourceListener:
        assert self._listener is not None, "start comes first"
        return self._listener

    def _take(self, partitions: Sequence[int], tell: Callable[[Sequence[Split]], None]) -> None:
        splits = [log.owned for p in partitions if (log := self._logs[p]).owned is not None]
        tell([split for split in splits if split is not None])
        for partition in partitions:
            self._logs[partition].owned = None

    def _check_owned(self, offsets: Mapping[Split, int]) -> None:
        owned = {log.owned for log in self._logs.values()}
        assert owned.issuperset(offsets), "what somebody else owns by now is not committed"

    def _commit(self, offsets: Mapping[Split, int]) -> None:
        if self.commit_failures:
            raise self.commit_failures.popleft()
        self.on_commit(offsets)
        for split, offset in offsets.items():
            if self._logs[split.partition].owned == split:
                self.committed[split.partition] = offset


@dataclass(frozen=True, slots=True)
class Published:
    """One event that the sink was given: a scored event (``reason`` None) or a dead letter."""

    split: Split
    offset: int
    payload: bytes | None
    reason: str | None


class FakeSink:
    """Keeps what was published; acknowledges at the next flush unless told otherwise.

    ``failures`` holds errors for the next flushes; ``hang`` leaves everything unacknowledged; ``capacity`` is the
    most it takes unacknowledged.
    """

    def __init__(self, clock: FakeClock, capacity: int = 100_000) -> None:
        self._clock = clock
        self._capacity = capacity
        self.pending: list[Published] = []
        self.acknowledged: list[Published] = []
        self.failures: deque[SinkUnavailable] = deque()
        self.hang = False
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

    def close(self) -> None:
        """Be closed."""
        self.closed = True


class ManualExecutor:
    """Runs work when the test says so, in any order. Waiting lets time pass."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.waiting: list[tuple[Future[Any], Callable[..., Any], tuple[object, ...]]] = []

    def submit(self, work: Callable[..., T], /, *args: object) -> Future[T]:
        """Keep the work until `finish`."""
        future: Future[T] = Future()
        self.waiting.append((future, work, args))
        return future

    def finish(self, index: int = 0) -> None:
        """Run one piece of waiting work."""
        future, work, args = self.waiting.pop(index)
        try:
            future.set_result(work(*args))
        except StreamInferError as error:
            future.set_exception(error)

    def wait(self, future: Future[T], seconds: float) -> None:
        """Let the time pass in which nothing finishes."""
        self._clock.sleep(seconds)


def fake_work(failures: deque[RetriableError] | None = None) -> Callable[[Records], WorkResult]:
    """Work whose outcome stands in the event: ``b"bad..."`` is rejected, None is passed over, all else scores 0.5.

    ``failures`` holds errors for the next calls.
    """

    def work(batch: Records) -> WorkResult:
        if failures:
            raise failures.popleft()
        values = batch.values.to_list()
        status = np.array([_fake_status(value) for value in values], np.uint8)
        scored = ScoredColumns(
            np.where(status == Status.OK, np.float32(0.5), np.float32(np.nan)),
            np.zeros(len(values), np.bool_),
            status,
            np.zeros(len(values), np.uint8),
            (ModelIdentity("fake", "1", "0" * 64, 0.9),),
        )
        payload = Binary.from_values([v if s == Status.OK else None for v, s in zip(values, status, strict=True)])
        rejects = tuple(
            Reject(row, Status.MALFORMED, "scripted") for row in np.flatnonzero(status == Status.MALFORMED).tolist()
        )
        return WorkResult(ScoredBatch(batch, scored, payload, rejects), 0.0, 0.0, 0.0)

    return work


def _fake_status(value: bytes | None) -> Status:
    if value is None:
        return Status.TOMBSTONE
    return Status.MALFORMED if value.startswith(b"bad") else Status.OK


class RecordingInstrument(Instrument):
    """Keeps every fact it is told, as (name, arguments)."""

    def __init__(self) -> None:
        self.facts: list[tuple[str, tuple[Any, ...]]] = []

    def named(self, name: str) -> list[tuple[Any, ...]]:
        """The arguments of every fact of that name."""
        return [arguments for fact, arguments in self.facts if fact == name]


def _keep(name: str) -> Callable[..., None]:
    def method(self: RecordingInstrument, *args: Any) -> None:
        self.facts.append((name, args))

    method.__name__ = name
    return method


for _name in [name for name in vars(Instrument) if not name.startswith("_")]:
    setattr(RecordingInstrument, _name, _keep(_name))
