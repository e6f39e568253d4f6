"""The pipeline's story in log lines: what an operator must know, and not more often than that.

Rule: one fact, one line; a fact that repeats is summed up and told at most once an interval. The clock is passed in,
and lines that are due come out with the main loop's turns. How a line looks is `stream_infer.observe.logs`'s matter.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import numpy.typing as npt

from stream_infer.clock import Clock
from stream_infer.observe.tally import scored_rows, tally
from stream_infer.ports import Instrument
from stream_infer.types import ScoredBatch, Split, Status

logger = logging.getLogger("stream_infer.observe")

SWEEP_SECONDS = 1.0
"""How often lines that were held back are looked at: often enough for people, too rare to cost anything."""


@dataclass(slots=True)
class _Pending:
    """Rejects of one reason that no line has told of yet, and the first of them as an example."""

    split: Split
    offset: int
    message: str
    count: int = 0


@dataclass(slots=True)
class _Outage:
    """A stage that is failing: since when, how often, and whether a line has told of it."""

    since: float
    told: bool
    attempts: int = 0


@dataclass(slots=True)
class _Totals:
    """Events since the start."""

    settled: int = 0
    flagged: int = 0
    rejected: int = 0
    shed: int = 0
    passed_over: int = 0


@dataclass(slots=True)
class _Gate:
    """What the gate is, what the last line said it is, and the changes in between."""

    state: str = "open"
    told: str = "open"
    changes: int = 0
    told_at: float = float("-inf")


class Throttle:
    """At most one line per key and interval."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._told_at: dict[str, float] = {}
        self._held_back: dict[str, int] = defaultdict(int)

    def ready(self, key: str, now: float) -> bool:
        """True where a line about ``key`` may be written."""
        return now - self._told_at.get(key, float("-inf")) >= self._interval_s

    def take(self, key: str, now: float) -> int | None:
        """Lines held back since the last one, when one may be written now; None (and one more held back) if not."""
        if not self.ready(key, now):
            self._held_back[key] += 1
            return None
        self._told_at[key] = now
        return self._held_back.pop(key, 0)


@dataclass(slots=True)
class _Progress:
    """Where the last progress line stood."""

    at: float
    settled: int = 0
    latency_max_s: float = 0.0
    lag: Mapping[Split, tuple[int, float | None]] = field(default_factory=dict)


class LogInstrument(Instrument):
    """Writes the log lines of a running pipeline to the logger ``stream_infer.observe``.

    `stage_timed_out` may be called from any thread, the rest from one.

    Args:
        clock: the time by which lines are limited.
        progress_interval_s: seconds between progress lines; none is written while nothing happens.
        repeat_interval_s: seconds between two lines about the same reject reason, failing stage or gate.
    """

    def __init__(self, clock: Clock, progress_interval_s: float = 10.0, repeat_interval_s: float = 10.0) -> None:
        self._clock = clock
        self._progress_interval_s = progress_interval_s
        self._repeat_interval_s = repeat_interval_s
        self._throttle = Throttle(repeat_interval_s)
        self._pending: dict[Status, _Pending] = {}
        self._outages: dict[str, _Outage] = {}
        self._totals = _Totals()
        self._gate = _Gate()
        self._began = self._sweep_at = clock.monotonic()
        self._progress = _Progress(self._began)
        self._polled = False

    def started(self, name: str) -> None:
        """Say that the pipeline runs; the clock of all rates starts here."""
        self._began = self._clock.monotonic()
        self._progress = _Progress(self._began)
        logger.info("pipeline started", extra={"service": name})

    def records_polled(self, count: int, nbytes: int) -> None:
        """Say once that records arrive."""
        if not self._polled:
            self._polled = True
            seconds = round(self._clock.monotonic() - self._began, 3)
            logger.info("first records arrived", extra={"records": count, "bytes": nbytes, "after_seconds": seconds})

    def batch_bisected(self, calls: int) -> None:
        """Say that the model failed on a batch."""
        held_back = self._throttle.take("bisected", self._clock.monotonic())
        if held_back is not None:
            logger.warning("model failed on a batch, which was bisected", extra={"calls": calls, "more": held_back})

    def batch_settled(self, batch: ScoredBatch, latency_seconds: npt.NDArray[np.float64]) -> None:
        """Count; tell of rejects."""
        counts = tally(batch, scored_rows(batch))
        self._totals.settled += counts.settled
        self._totals.flagged += counts.flagged
        self._totals.shed += counts.shed
        self._totals.passed_over += counts.passed_over
        if latency_seconds.size:
            self._progress.latency_max_s = max(self._progress.latency_max_s, float(latency_seconds.max()))
        if batch.rejects:
            self._totals.rejected += len(batch.rejects)
            self._hold_rejects(batch)
            self._tell_rejects(self._clock.monotonic())

    def _hold_rejects(self, batch: ScoredBatch) -> None:
        for reject in batch.rejects:
            pending = self._pending.get(reject.status)
            if pending is None:
                row = reject.row
                pending = _Pending(batch.records.split(row), int(batch.records.offset[row]), reject.message)
                self._pending[reject.status] = pending
            pending.count += 1

    def _tell_rejects(self, now: float, all_of_them: bool = False) -> None:
        for status in list(self._pending):
            if all_of_them or self._throttle.ready(status.reason, now):
                self._throttle.take(status.reason, now)
                _tell_reject(status, self._pending.pop(status))

    def checkpoint_failed(self, stage: str, reason: str) -> None:
        """Say that work is repeated."""
        held_back = self._throttle.take(f"checkpoint {stage}", self._clock.monotonic())
        if held_back is not None:
            extra = {"stage": stage, "reason": reason, "more": held_back}
            logger.warning("checkpoint failed", extra=extra)

    def stage_timed_out(self, stage: str, seconds: float) -> None:
        """Say which stage hangs."""
        logger.error("stage timed out", extra={"stage": stage, "timeout_seconds": round(seconds, 3)})

    def retry_scheduled(self, stage: str, attempt: int, delay_seconds: float, reason: str) -> None:
        """Say that something failed for now and when it is tried again."""
        now = self._clock.monotonic()
        outage = self._outages.setdefault(stage, _Outage(now, told=False))
        outage.attempts += 1
        held_back = self._throttle.take(f"retry {stage}", now)
        if held_back is None:
            return
        outage.told = True
        extra = {"stage": stage, "attempt": attempt, "delay_seconds": round(delay_seconds, 3), "reason": reason}
        logger.warning("retry scheduled", extra={**extra, "more": held_back})

    def retry_succeeded(self, stage: str) -> None:
        """Say that it works again, where a line told that it did not."""
        outage = self._outages.pop(stage, None)
        if outage is not None and outage.told:
            seconds = round(self._clock.monotonic() - outage.since, 3)
            logger.info(
                "retry succeeded", extra={"stage": stage, "attempts": outage.attempts, "after_seconds": seconds}
            )

    def gate_changed(self, state: str) -> None:
        """Tell the state, or, while it changes to and fro, how often it changed."""
        self._gate.state = state
        self._gate.changes += 1
        self._tell_gate(self._clock.monotonic())

    def _tell_gate(self, now: float) -> None:
        gate = self._gate
        if gate.changes == 0 or now - gate.told_at < self._repeat_interval_s:
            return
        extra = {"state": gate.state, "before": gate.told, "changes": gate.changes}
        logger.log(logging.WARNING if gate.state == "paused" else logging.INFO, "flow gate changed", extra=extra)
        self._gate = _Gate(gate.state, gate.state, 0, now)

    def splits_changed(self, kind: str, splits: Sequence[Split]) -> None:
        """Tell of the rebalance."""
        extra = {"partitions": format_splits(splits), "count": len(splits)}
        logger.log(logging.WARNING if kind == "lost" else logging.INFO, f"partitions {kind}", extra=extra)

    def crash_suspected(self, split: Split, offset: int, level: str) -> None:
        """Say it at once: this process may be the next to crash."""
        extra = {"topic": split.source, "partition": split.partition, "offset": offset, "level": level}
        logger.warning("crash suspected", extra=extra)

    def lag_observed(self, lag: Mapping[Split, tuple[int, float | None]]) -> None:
        """Keep it for the progress line."""
        self._progress.lag = lag

    def ticked(self, now: float) -> None:
        """Write the lines that are due."""
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_SECONDS
        self._tell_rejects(now)
        self._tell_gate(now)
        if now - self._progress.at >= self._progress_interval_s:
            self._tell_progress(now)

    def _tell_progress(self, now: float) -> None:
        last, totals = self._progress, self._totals
        settled = totals.settled - last.settled
        self._progress = _Progress(now, totals.settled, 0.0, last.lag)
        lag_records = sum(records for records, _ in last.lag.values())
        if not settled and not lag_records:
            return
        extra: dict[str, float | int | str] = {
            "events_per_second": round(settled / (now - last.at), 1),
            **_counts(totals),
            "gate": self._gate.state,
            "latency_max_seconds": round(last.latency_max_s, 3),
        }
        known = [seconds for _, seconds in last.lag.values() if seconds is not None]
        if last.lag:
            extra["lag_records"] = lag_records
        if known:
            extra["lag_seconds"] = round(max(known), 3)
        logger.info("progress", extra=extra)

    def stopped(self, reason: str) -> None:
        """Tell what was held back, then the end."""
        now = self._clock.monotonic()
        self._tell_rejects(now, all_of_them=True)
        seconds = round(now - self._began, 3)
        extra = {"reason": reason, "after_seconds": seconds, **_counts(self._totals)}
        logger.info("pipeline stopped", extra=extra)


def _tell_reject(status: Status, pending: _Pending) -> None:
    extra = {
        "reason": status.reason,
        "count": pending.count,
        "topic": pending.split.source,
        "partition": pending.split.partition,
        "offset": pending.offset,
        "detail": pending.message,
    }
    logger.warning("events rejected", extra=extra)


def _counts(totals: _Totals) -> dict[str, int]:
    """The totals that tell something: rare outcomes are left out while they are 0."""
    rare = {"rejected": totals.rejected, "shed": totals.shed, "passed_over": totals.passed_over}
    return {
        "settled": totals.settled,
        "flagged": totals.flagged,
        **{name: count for name, count in rare.items() if count},
    }


def format_splits(splits: Iterable[Split]) -> str:
    """Splits in short: ``payments[0-3,7] refunds[0]``."""
    ordered = sorted({(split.source, split.partition) for split in splits})
    return " ".join(
        f"{source}[{_ranges([partition for _, partition in group])}]"
        for source, group in groupby(ordered, key=lambda pair: pair[0])
    )


def _ranges(numbers: Sequence[int]) -> str:
    # Numbers in a row differ from their place by the same amount.
    runs = [[number for _, number in run] for _, run in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
