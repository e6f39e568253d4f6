"""From timings to figures, and from figures to the knee.

Rule: pure. Times and seeds come in as numbers, and the same numbers give the same verdict.

An event is late from the moment at which it was *due*, not from that at which the line took it: a line that falls
behind cannot hide it by asking for less (coordinated omission).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream_infer.types import Float64Array, Int64Array

GROWTH_LIMIT = 0.01
"""Seconds by which latency may rise in each second of steady load. What is beyond the line's capacity piles up: a load
of 2 % too much makes latency rise by 20 ms a second."""
PRECISION = 0.05
"""The knee is not looked for more closely than this share of the throughput: a second run would move it by as much."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """What a line does when there is always more. Times are of the processor, `cores` seconds of it in a second."""

    events_per_s: float
    cpu_us_per_event: float
    decode_us_per_event: float
    score_us_per_event: float
    encode_us_per_event: float
    rest_us_per_event: float
    cores: float
    events_per_batch: float


@dataclass(frozen=True, slots=True)
class Latency:
    """What a line does under a load that does not wait for it. ``ok``: within the goal, and no backlog grows."""

    share_of_throughput: float
    offered_per_s: float
    events: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    events_per_batch: float
    cpu_us_per_event: float
    backlog_grows: bool
    ok: bool


@dataclass(frozen=True, slots=True)
class Timings:
    """One run of a line: ``counts[i]`` events were done at ``done_s[i]``, which began at 0. CPU in seconds.

    ``stage_cpu_s`` is that of decoding, scoring and encoding.
    """

    counts: Int64Array
    done_s: Float64Array
    seconds: float
    cpu_s: float
    stage_cpu_s: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def events(self) -> int:
        """How many were done."""
        return int(self.counts.sum())

    @property
    def events_per_batch(self) -> float:
        """Mean events in a batch."""
        return self.events / max(1, len(self.counts))


def poisson_s(rate_per_s: float, seconds: float, seed: int) -> Float64Array:
    """When events are due, in seconds from 0: they know nothing of each other. At least one, ascending."""
    count = max(1, round(rate_per_s * seconds))
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate_per_s, count))


def throughput(timings: Timings) -> Throughput:
    """Figures of a run with a backlog."""
    us_per_event = 1e6 / max(1, timings.events)
    decode, score, encode = (seconds * us_per_event for seconds in timings.stage_cpu_s)
    cpu = timings.cpu_s * us_per_event
    return Throughput(
        events_per_s=timings.events / timings.seconds,
        cpu_us_per_event=cpu,
        decode_us_per_event=decode,
        score_us_per_event=score,
        encode_us_per_event=encode,
        rest_us_per_event=max(0.0, cpu - decode - score - encode),
        cores=timings.cpu_s / timings.seconds,
        events_per_batch=timings.events_per_batch,
    )


def latency(
    due_s: Float64Array, timings: Timings, offered_per_s: float, capacity_per_s: float, goal_ms: float
) -> Latency:
    """Figures of a run with a load: events done in the order in which they were due.

    What was not done at the end of the run counts with the time for which it had waited by then.
    """
    waits = latencies_s(due_s, timings)
    p50, p95, p99, worst = (float(value) * 1000 for value in np.percentile(waits, (50, 95, 99, 100)))
    grows = growth(due_s, waits) > GROWTH_LIMIT
    return Latency(
        share_of_throughput=offered_per_s / capacity_per_s,
        offered_per_s=offered_per_s,
        events=len(waits),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=worst,
        events_per_batch=timings.events_per_batch,
        cpu_us_per_event=timings.cpu_s * 1e6 / max(1, timings.events),
        backlog_grows=grows,
        ok=p99 <= goal_ms and not grows,
    )


def latencies_s(due_s: Float64Array, timings: Timings) -> Float64Array:
    """Seconds from due to done of each event that was due by the end of the run, float64 ``[n]``."""
    done_s = np.repeat(timings.done_s, timings.counts)
    waiting = due_s[len(done_s) :]
    unfinished_s = timings.seconds - waiting[waiting < timings.seconds]
    return np.concatenate([done_s - due_s[: len(done_s)], unfinished_s])


def growth(due_s: Float64Array, waits_s: Float64Array) -> float:
    """Seconds by which the usual latency rises in a second, from the second quarter of the load to the last.

    By medians, so that a pause of the machine is no trend; the first quarter may be a line that is still learning.
    """
    count = len(waits_s)
    if count < 8:
        return 0.0
    middle, last = slice(count // 4, count // 2), slice(count - count // 4, count)
    apart_s = float(np.median(due_s[:count][last]) - np.median(due_s[:count][middle]))
    return float(np.median(waits_s[last]) - np.median(waits_s[middle])) / apart_s


def knee(tried: Mapping[float, bool], capacity_per_s: float) -> float | None:
    """The highest rate that was ok, in events a second and never above the throughput. None where none was."""
    good = [rate for rate, ok in tried.items() if ok]
    return min(max(good), capacity_per_s) if good else None


def next_rate(tried: Mapping[float, bool], capacity_per_s: float) -> float | None:
    """The rate to try next, half-way between the knee and the lowest rate above that was not ok.

    None where that is near enough, or where the lowest rate already failed: below it nobody asked.
    """
    best = knee(tried, capacity_per_s)
    if best is None:
        return None
    above = min((rate for rate, ok in tried.items() if not ok and rate > best), default=capacity_per_s)
    return (best + above) / 2 if above - best > PRECISION * capacity_per_s else None
