"""A model too slow for its input: the group membership holds and memory stays flat (five minutes: proof_slow_model)."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from integration.scenario import Scenario
from integration.slow_models import turns_for, write_slow_bundle
from integration.support_overload import (
    BATCH_EVENTS,
    CALL_SECONDS,
    calls_longer_than,
    check_membership,
    check_scored_prefix,
    gate_seconds,
    mean_call_seconds,
    peak_bytes,
    send_backlog,
    watch,
)

BACKLOG = 50_000
WATCHED_S = 20.0
SETTLING_S = 5.0
"""Buffers, caches and threads come into being in the first seconds."""
GROWTH_BYTES = 15 << 20
MAX_POLL_INTERVAL_MS = 3000


def test_a_slow_model_costs_neither_membership_nor_memory(
    make_scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    bundle = write_slow_bundle(tmp_path / "slow-1.bundle.jar", turns_for(CALL_SECONDS))
    consumer = {
        "max.poll.interval.ms": MAX_POLL_INTERVAL_MS,
        "session.timeout.ms": MAX_POLL_INTERVAL_MS,
        "heartbeat.interval.ms": 500,
    }
    scenario = make_scenario(
        events="json",
        bundle=bundle,
        overrides={
            "kafka.client": {"consumer": consumer},
            "batching.max_batch_size": BATCH_EVENTS,
            "scoring.workers": 1,
            # Full after a second and slow to empty, so that the gate is shut long enough to pause, again and again.
            "flow": {"max_buffered_records": 1024, "pause_after_ms": 300},
            "sink.fields": ["id"],
        },
    )
    # One call longer than the poll interval, after some seconds; by so much that it holds on a machine that was
    # only half as quick when its turns were counted.
    send_backlog(scenario, BACKLOG, turns_for(2.4 * MAX_POLL_INTERVAL_MS / 1000), long_call_at=4000)
    program = scenario.run()
    program.wait_settled(1, timeout_s=30)

    samples = watch(scenario, program, BACKLOG, WATCHED_S, every_s=0.25)
    last = samples[-1]
    program.send(signal.SIGTERM)
    program.ended_well(timeout_s=30)

    growth = peak_bytes(samples, SETTLING_S, WATCHED_S) - peak_bytes(samples, 0, SETTLING_S)
    print(
        f"{last.settled} events in {WATCHED_S:.0f} s, {mean_call_seconds(last) * 1000:.0f} ms a call, RSS {growth:+,} B"
    )
    check_membership(samples, program)
    assert calls_longer_than(last, "3.0") == 1
    assert gate_seconds(last, "hold") > 0
    assert gate_seconds(last, "paused") > 0
    assert growth <= GROWTH_BYTES
    assert check_scored_prefix(scenario) >= last.settled
