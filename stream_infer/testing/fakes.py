"""A clock, work, an executor and an instrument for tests; `fake_source` and `fake_sinks` have the edges.

Rule: these are verified fakes. What they promise is what `stream_infer.ports` says, the conformance checks run
over them as over the real ones, and time moves only when a test or a wait moves it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import numpy as np

from stream_infer.errors import RetriableError, StreamInferError
from stream_infer.ports import Instrument
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
    UInt8Array,
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


class FakeWork:
    """Work whose outcome stands in the event: ``b"bad..."`` is rejected, None is passed over, all else scores 0.5.

    ``b"kill"`` raises `Killed`, as a process that dies would. ``failures`` holds errors for the next calls.
    """

    def __init__(self, failures: deque[RetriableError] | None = None) -> None:
        self.failures = failures if failures is not None else deque()
        self.sizes: list[int] = []

    def score(self, batch: Records) -> WorkResult:
        """Do as the events say."""
        self.sizes.append(len(batch))
        if self.failures:
            raise self.failures.popleft()
        values = batch.values.to_list()
        if b"kill" in values:
            raise Killed
        status = np.array([_fake_status(value) for value in values], np.uint8)
        return _fake_result(batch, status, Status.MALFORMED)

    def condemn(self, batch: Records) -> WorkResult:
        """Reject every event."""
        return _fake_result(batch, np.full(len(batch), Status.CRASHED, np.uint8), Status.CRASHED)


class Killed(BaseException):
    """The process is dead: nothing catches it but the test."""


def _fake_result(batch: Records, status: UInt8Array, rejected: Status) -> WorkResult:
    scored = ScoredColumns(
        np.where(status == Status.OK, np.float32(0.5), np.float32(np.nan)),
        np.zeros(len(status), np.bool_),
        status,
        np.zeros(len(status), np.uint8),
        (ModelIdentity("fake", "1", "0" * 64, 0.9),),
    )
    values = batch.values.to_list()
    payload = Binary.from_values([v if s == Status.OK else None for v, s in zip(values, status, strict=True)])
    rejects = tuple(Reject(row, rejected, "scripted") for row in np.flatnonzero(status == rejected).tolist())
    return WorkResult(ScoredBatch(batch, scored, payload, rejects), 0.0, 0.0, 0.0)


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
