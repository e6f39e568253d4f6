"""`make proof-slow-model`: five minutes of overload cost neither the group membership nor memory.

The model takes 50 ms a call, a call scores 64 events at most, the poll interval is 10 s, and more than 500,000 events
wait all the while. One call in between takes 8 s. All limits of the flow gate are the defaults.
"""

from __future__ import annotations

import datetime
import os
import signal
from collections.abc import Callable
from pathlib import Path

from integration.scenario import Scenario
from integration.slow_models import turns_for, write_slow_bundle
from integration.support_overload import (
    BATCH_EVENTS,
    CALL_SECONDS,
    Sample,
    calls_longer_than,
    check_membership,
    check_scored_prefix,
    gate_seconds,
    mean_call_seconds,
    peak_bytes,
    send_backlog,
    watch,
)

PRODUCED = 1_000_000
BACKLOG = 500_000
LONG_CALL_S = 8.0
LONG_CALL_AT = 80_000
"""Scored in the second minute, unless the machine is slow; at that number of events one call takes 8 s."""
MINUTE_S = 60.0
WATCHED_S = 5 * MINUTE_S
GROWTH_BYTES = 10 << 20
CONSUMER = {"max.poll.interval.ms": 10_000, "session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}


def test_five_minutes_of_overload(make_scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    """One member and one assignment, and memory as flat as after the first minute."""
    bundle = write_slow_bundle(tmp_path / "slow-1.bundle.jar", turns_for(CALL_SECONDS))
    scenario = make_scenario(
        events="json",
        bundle=bundle,
        overrides={
            "kafka.client": {"consumer": CONSUMER},
            "batching.max_batch_size": BATCH_EVENTS,
            "scoring.workers": 1,
            "sink.fields": ["id"],
        },
    )
    send_backlog(scenario, PRODUCED, turns_for(LONG_CALL_S), LONG_CALL_AT)
    program = scenario.run()
    program.wait_settled(1, timeout_s=60)

    samples = watch(scenario, program, PRODUCED, WATCHED_S)
    program.send(signal.SIGTERM)
    program.ended_well(timeout_s=60)

    report(samples)
    check_membership(samples, program)
    assert samples[-1].backlog >= BACKLOG
    assert mean_call_seconds(samples[-1]) >= CALL_SECONDS * 0.8
    assert calls_longer_than(samples[-1], "3.0") == 1
    assert peak_bytes(samples, MINUTE_S, WATCHED_S) - peak_bytes(samples, 0, MINUTE_S) <= GROWTH_BYTES
    check_scored_prefix(scenario)


def report(samples: list[Sample]) -> None:
    """Print the figures."""
    last = samples[-1]
    print(f"\n{datetime.date.today().isoformat()}, {os.cpu_count()} cores")
    print(f"{last.settled:,} events scored, {last.backlog:,} left; {mean_call_seconds(last) * 1000:.1f} ms a call")
    for minute in range(int(WATCHED_S / MINUTE_S)):
        peak = peak_bytes(samples, minute * MINUTE_S, (minute + 1) * MINUTE_S)
        print(f"minute {minute + 1}: at most {peak / (1 << 20):.1f} MiB resident")
    print(f"gate: hold {gate_seconds(last, 'hold'):.0f} s, paused {gate_seconds(last, 'paused'):.0f} s; no rebalance")
