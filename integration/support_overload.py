"""A service that cannot keep up, watched: memory, backlog, gate and membership, sample after sample.

Rule: what is told about memory and membership comes from outside the process (/proc and the broker); its own metrics
only say how far it got.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from confluent_kafka.admin import AdminClient

from integration import support_log
from integration.scenario import Scenario
from integration.slow_models import events
from integration.support_program import Metrics, Program
from integration.support_scores import check_order, check_places

CALL_SECONDS = 0.05
"""What one call of the slow model takes, however few events it scores."""
BATCH_EVENTS = 64
_ADMIN_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Sample:
    """The service at one moment, ``at_s`` seconds after watching began."""

    at_s: float
    resident_bytes: int
    settled: int
    backlog: int
    """Records produced and not settled yet."""
    member_id: str
    """How the group knows it; another one after it left or was thrown out."""
    metrics: Metrics


def send_backlog(scenario: Scenario, count: int, long_call_turns: int, long_call_at: int) -> None:
    """Produce ``count`` events round robin; event number ``long_call_at`` makes its call take so many turns more."""
    values = events(count)
    values[long_call_at] = events(1, first=long_call_at, turns=long_call_turns)[0]
    partitions = (np.arange(count) % scenario.partitions).tolist()
    support_log.produce(scenario.bootstrap_servers, scenario.source, values, partitions=partitions)


def watch(scenario: Scenario, program: Program, produced: int, seconds: float, every_s: float = 1.0) -> list[Sample]:
    """Take a sample every ``every_s`` seconds, for ``seconds``; the program must run all the while."""
    admin = AdminClient({"bootstrap.servers": scenario.bootstrap_servers})
    began = time.monotonic()
    samples: list[Sample] = []
    while (at_s := time.monotonic() - began) < seconds:
        assert program.running, f"{program.name} ended:\n{program.last_words()}"
        metrics = program.metrics()
        member = _member(admin, scenario.group_id)
        backlog = produced - metrics.settled
        samples.append(Sample(at_s, program.resident_bytes(), metrics.settled, backlog, member, metrics))
        time.sleep(max(0.0, began + len(samples) * every_s - time.monotonic()))
    return samples


def _member(admin: AdminClient, group_id: str) -> str:
    described = admin.describe_consumer_groups([group_id], request_timeout=_ADMIN_TIMEOUT_S)[group_id].result()
    assert len(described.members) == 1, f"the group has {len(described.members)} members"
    return str(described.members[0].member_id)


def check_membership(samples: Sequence[Sample], program: Program) -> None:
    """One member, with one assignment, from the first sample to the last."""
    assert len({sample.member_id for sample in samples}) == 1
    metrics = samples[-1].metrics
    kinds = {
        kind: metrics.value("stream_infer_rebalances_total", kind=kind) for kind in ("assigned", "revoked", "lost")
    }
    assert kinds == {"assigned": 1, "revoked": 0, "lost": 0}
    for word in ("partitions lost", "partitions revoked", "MAXPOLL", "the group was left"):
        assert word not in program.stderr


def peak_bytes(samples: Sequence[Sample], from_s: float, until_s: float) -> int:
    """Most resident memory seen between two moments."""
    return max(sample.resident_bytes for sample in samples if from_s <= sample.at_s < until_s)


def mean_call_seconds(sample: Sample) -> float:
    """Mean duration of the model's calls so far."""
    name = "stream_infer_batch_score_seconds"
    return sample.metrics.value(f"{name}_sum") / sample.metrics.value(f"{name}_count")


def calls_longer_than(sample: Sample, bucket: str) -> int:
    """Calls of the model above a bucket of the histogram, such as ``3.0`` (seconds)."""
    name = "stream_infer_batch_score_seconds"
    return int(sample.metrics.value(f"{name}_count") - sample.metrics.value(f"{name}_bucket", le=bucket))


def gate_seconds(sample: Sample, state: str) -> float:
    """How long the flow gate was ``hold`` or ``paused`` so far."""
    return sample.metrics.value("stream_infer_gate_held_seconds_total", state=state)


def check_scored_prefix(scenario: Scenario) -> int:
    """Once it has ended: exactly what is committed was scored, once each and in order; returns how many."""
    scored = scenario.scored()
    done = {(partition, offset) for partition, end in scenario.committed().items() for offset in range(end)}
    check_places(scored.input_places, done)
    assert len(scored) == len(done)
    check_order(scored)
    return len(done)


__all__ = [
    "BATCH_EVENTS",
    "CALL_SECONDS",
    "Sample",
    "calls_longer_than",
    "check_membership",
    "check_scored_prefix",
    "gate_seconds",
    "mean_call_seconds",
    "peak_bytes",
    "send_backlog",
    "watch",
]
