"""What each probe concludes, as a table of situations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from stream_infer.observe.health import Check, Health
from stream_infer.testing.fakes import FakeClock, records
from stream_infer.types import Binary, ModelIdentity, ScoredBatch, ScoredColumns

Situation = Callable[[Health, FakeClock], None]
MODEL = ModelIdentity("fraud", "7", "ab" * 32, 0.5)
NO_ROWS = np.array([], np.uint8)
NOTHING = ScoredBatch(
    records([]),
    ScoredColumns(NO_ROWS.astype(np.float32), NO_ROWS.astype(np.bool_), NO_ROWS, NO_ROWS, (MODEL,)),
    Binary.from_values([]),
    (),
)


def new(health: Health, clock: FakeClock) -> None:
    """Just made."""


def loaded(health: Health, _clock: FakeClock) -> None:
    health.models_loaded(MODEL)


def running(health: Health, clock: FakeClock) -> None:
    loaded(health, clock)
    health.started("fraud-scorer")
    health.ticked(clock.monotonic())


def hung(health: Health, clock: FakeClock) -> None:
    running(health, clock)
    clock.advance(60.5)


def slow_start(health: Health, clock: FakeClock) -> None:
    loaded(health, clock)
    clock.advance(600)


def retry(health: Health, clock: FakeClock, seconds: int, stage: str = "poll") -> None:
    running(health, clock)
    for attempt in range(seconds):
        health.retry_scheduled(stage, attempt + 1, 1.0, "all brokers are down")
        clock.advance(1)
        health.ticked(clock.monotonic())


def outage_short(health: Health, clock: FakeClock) -> None:
    retry(health, clock, 9)


def outage_long(health: Health, clock: FakeClock) -> None:
    retry(health, clock, 11)


def outage_over(health: Health, clock: FakeClock) -> None:
    retry(health, clock, 100)
    health.retry_succeeded("poll")


def other_stage_recovers(health: Health, clock: FakeClock) -> None:
    retry(health, clock, 100)
    health.retry_succeeded("commit")


def retried_batch_dropped_and_a_later_one_settled(health: Health, clock: FakeClock) -> None:
    retry(health, clock, 100, "registry")
    health.batch_settled(NOTHING, np.array([]))


def settling_says_nothing_of_the_broker(health: Health, clock: FakeClock) -> None:
    retry(health, clock, 100, "publish")
    health.batch_settled(NOTHING, np.array([]))
    health.records_polled(1, 1)


def committing_proves_the_broker(health: Health, clock: FakeClock) -> None:
    retry(health, clock, 100, "publish")
    health.checkpoint_committed({}, 0.1)


def polling_proves_the_source(health: Health, clock: FakeClock) -> None:
    retry(health, clock, 100, "poll")
    health.records_polled(1, 1)


def paused(health: Health, clock: FakeClock) -> None:
    running(health, clock)
    health.gate_changed("paused")


def standby(health: Health, clock: FakeClock) -> None:
    running(health, clock)
    health.splits_changed("revoked", [])


def fatal(health: Health, clock: FakeClock) -> None:
    running(health, clock)
    health.failed("stage score is stuck")


def stopped(health: Health, clock: FakeClock) -> None:
    running(health, clock)
    health.stopped("signal")
    clock.advance(100)


@pytest.mark.parametrize(
    ("situation", "live", "ready", "started"),
    [
        (new, True, False, False),
        (loaded, True, False, False),
        (slow_start, True, False, False),
        (running, True, True, True),
        (hung, False, False, True),
        (outage_short, True, True, True),
        (outage_long, True, False, True),
        (outage_over, True, True, True),
        (other_stage_recovers, True, False, True),
        (retried_batch_dropped_and_a_later_one_settled, True, True, True),
        (settling_says_nothing_of_the_broker, True, False, True),
        (committing_proves_the_broker, True, True, True),
        (polling_proves_the_source, True, True, True),
        (paused, True, True, True),
        (standby, True, True, True),
        (fatal, False, False, True),
        (stopped, True, False, False),
    ],
)
def test_probes(clock: FakeClock, situation: Situation, live: bool, ready: bool, started: bool) -> None:
    health = Health("fraud-scorer", clock)
    situation(health, clock)
    assert (health.live().ok, health.ready().ok, health.startup().ok) == (live, ready, started)


def test_the_body_says_why(clock: FakeClock) -> None:
    health = Health("fraud-scorer", clock)
    outage_long(health, clock)
    clock.advance(0.5)
    assert health.ready().as_dict() == {
        "service": "fraud-scorer",
        "status": "failing",
        "checks": [
            {"check": "fatal", "ok": True, "message": "no fatal error"},
            {"check": "loop", "ok": True, "message": "the main loop turned 0.5 s ago (limit 60 s)"},
            {"check": "model", "ok": True, "message": "loaded: fraud 7"},
            {"check": "pipeline", "ok": True, "message": "running"},
            {
                "check": "circuit.poll",
                "ok": False,
                "message": "open: poll has been failing for 11.5 s (attempt 11, 888 s left before giving up): "
                "all brokers are down",
            },
        ],
    }


def test_a_closed_circuit_is_shown_and_the_budget_is_the_configs(clock: FakeClock) -> None:
    health = Health("fraud-scorer", clock, retry_budget_s=60.0)
    running(health, clock)
    assert health.ready().checks[-1] == Check("circuit", True, "closed: no stage is failing")
    health.retry_scheduled("registry", 1, 0.1, "no answer")
    clock.advance(20)
    health.retry_scheduled("registry", 7, 5.0, "no answer")
    assert "for 20.0 s (attempt 7, 40 s left before giving up): no answer" in health.ready().checks[-1].message
    clock.advance(50)
    assert "0 s left" in health.ready().checks[-1].message


def test_limits_can_be_set(clock: FakeClock) -> None:
    health = Health("fraud-scorer", clock, stall_after_s=5.0, unready_after_s=0.0)
    running(health, clock)
    health.retry_scheduled("commit", 1, 0.1, "refused")
    clock.advance(4)
    assert (health.live().ok, health.ready().ok) == (True, False)
    clock.advance(2)
    assert not health.live().ok


def test_an_outage_that_ended_starts_anew(clock: FakeClock) -> None:
    health = Health("fraud-scorer", clock)
    outage_over(health, clock)
    health.retry_scheduled("poll", 1, 1.0, "again")
    clock.advance(5)
    assert health.ready().ok
