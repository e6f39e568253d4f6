"""What limits a line, and which settings would serve it better: sentences from figures.

Rule: pure, and nothing is advised that was not measured in this very run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from stream_infer.bench.figures import Latency, Throughput

CHEAPER = 0.10
"""Less processor time per event than this share is not worth another setting: the next run may say otherwise."""
FASTER = 0.15
"""The same for events a second, which other programs on the machine disturb more."""
_BUSY_CORES = 0.85
_STAGES = {
    "decode": "decoding the events",
    "score": "the model",
    "encode": "encoding the scored events",
    "rest": "the work around each batch (batching, bookkeeping, metrics)",
}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A setting and the measurement that speaks for it."""

    section: str
    key: str
    value: int
    reason: str


def fixed_us_per_batch(small: Throughput, large: Throughput) -> float | None:
    """What a batch costs before its first event, from two sizes of batch. None where they are too much alike."""
    if large.events_per_batch < 1.5 * small.events_per_batch:
        return None
    apart = 1 / small.events_per_batch - 1 / large.events_per_batch
    return max(0.0, (small.cpu_us_per_event - large.cpu_us_per_event) / apart)


def limit(found: Throughput, workers: int, fixed_us: float | None) -> str:
    """What keeps the throughput from being higher, in a sentence or two."""
    costs = {name: getattr(found, f"{name}_us_per_event") for name in _STAGES}
    stage = max(costs, key=lambda name: costs[name])
    total_us = max(found.cpu_us_per_event, 1e-9)
    fixed_share = (fixed_us or 0.0) / found.events_per_batch / total_us
    if fixed_share > costs[stage] / total_us:
        cause = f"The fixed cost of a batch: {fixed_share:.0%} of the CPU, whatever is in it."
    else:
        cause = f"{_STAGES[stage][0].upper()}{_STAGES[stage][1:]}: {costs[stage] / total_us:.0%} of the CPU."
    return f"{cause} {_cores(found.cores, workers)}"


def _cores(cores: float, workers: int) -> str:
    """How much of the machine was used, and what that means."""
    if cores < _BUSY_CORES:
        return f"The process got only {cores:.2f} of a core: other programs used the machine, or the model waits."
    if workers < 2:
        return "One thread does the work, and its core is busy."
    if cores < _BUSY_CORES * workers:
        return f"{workers} workers used {cores:.1f} cores: they wait for Python's lock, or for free cores."
    return f"{workers} workers used {cores:.1f} cores."


def larger_batches(now: Throughput, then: Throughput, size: int) -> Suggestion | None:
    """``batching.max_batch_size = size``, where that is cheaper."""
    saved = 1 - then.cpu_us_per_event / now.cpu_us_per_event
    if saved < CHEAPER:
        return None
    reason = (
        f"{saved:.0%} less CPU per event with a backlog ({now.cpu_us_per_event:.2f} -> {then.cpu_us_per_event:.2f} us)"
    )
    return Suggestion("batching", "max_batch_size", size, reason)


def other_workers(now: Throughput, then: Throughput, workers: int) -> Suggestion | None:
    """``scoring.workers``, where more of them are faster or none is as fast."""
    gained = then.events_per_s / now.events_per_s - 1
    if gained < (FASTER if workers else 0.0):
        return None
    reason = f"{now.events_per_s:,.0f} -> {then.events_per_s:,.0f} events/s with a backlog"
    return Suggestion("scoring", "workers", workers, reason)


def goal_to_try(now: Latency, publish_ms: float) -> int:
    """A goal for latency that asks for no more than there is: the 99th percentile, and publishing on top."""
    return math.ceil(now.p99_ms + publish_ms)


def goal_instead_of_linger(now: Latency, then: Latency, slo_ms: int) -> Suggestion | None:
    """``batching.slo_ms``, where it saves processor time or latency and costs none of the other."""
    cheaper = then.cpu_us_per_event <= (1 - CHEAPER) * now.cpu_us_per_event and then.p99_ms <= 1.05 * now.p99_ms
    quicker = then.p99_ms <= (1 - FASTER) * now.p99_ms and then.cpu_us_per_event <= 1.05 * now.cpu_us_per_event
    if not (cheaper or quicker) or then.backlog_grows:
        return None
    reason = (
        f"at {now.offered_per_s:,.0f} events/s p99 {now.p99_ms:.1f} -> {then.p99_ms:.1f} ms, "
        f"CPU {now.cpu_us_per_event:.2f} -> {then.cpu_us_per_event:.2f} us per event"
    )
    return Suggestion("batching", "slo_ms", slo_ms, reason)


def attainable_goal(lowest: Latency, slo_ms: float, publish_ms: float) -> Suggestion | None:
    """A goal that can be kept, where the configured one was missed at the lowest rate already."""
    if lowest.backlog_grows:
        return None
    reason = (
        f"{slo_ms:g} was missed at {lowest.offered_per_s:,.0f} events/s: p99 {lowest.p99_ms:.1f} ms before publishing"
    )
    return Suggestion("batching", "slo_ms", goal_to_try(lowest, publish_ms), reason)
