"""The shape of Kafka's own test of transactions: numbered events, a copier that is bounced, a reader all the while.

The copier is the service. Whenever another seventh of the input has become visible, every replica is bounced: three
times hard (SIGKILL), then three times cleanly (SIGTERM). A `read_committed` reader, concurrent and once more at the
end, must get the same set of events, none of them twice, in the order of their partition.
"""

from __future__ import annotations

import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from integration.faults.campaign import run_trial
from integration.faults.plan import Plan, TrialKey, make_plan
from integration.faults.report import line
from integration.faults.stage import Stage
from integration.faults.trial import Trial

EVENTS = 100_000
EVENTS_PER_S = 12_000
BOUNCES = [signal.SIGKILL] * 3 + [signal.SIGTERM] * 3
PROGRESS = EVENTS // (len(BOUNCES) + 1)
TRANSACTION_TIMEOUT_MS = 10_000
TIMEOUT_S = 60.0


@pytest.fixture
def plan() -> Plan:
    drawn = make_plan(TrialKey("exactly_once", "cooperative-sticky", 1))
    return replace(
        drawn,
        replicas=2,
        static_members=True,
        workers=0,
        # After three hard bounces events are tried one at a time, as many as the dead replica had in a batch.
        max_batch_size=128,
        commit_interval_ms=200,
        events_per_s=EVENTS_PER_S,
        max_events=EVENTS,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        faults=(),
    )


def seen(trial: Trial, enough: int) -> bool:
    return trial.live.count >= enough


def bounce(trial: Trial) -> None:
    """Bounce every replica at each seventh of the way, then wait for the rest of the input to be sent."""
    for turn, number in enumerate(BOUNCES, start=1):
        enough = PROGRESS * turn
        assert trial.wait(partial(seen, trial, enough), TIMEOUT_S), f"{trial.live.count} of {enough} were visible"
        for replica in trial.replicas:
            # The other replica alone may have come this far while this one was being started again.
            assert trial.wait(partial(replica.signal, number), TIMEOUT_S), "a replica did not come back"
    assert trial.wait(lambda: trial.feeder.acknowledged == EVENTS, TIMEOUT_S), "the input was not acknowledged"


def test_a_bounced_copier_copies_each_event_once(plan: Plan, stage: Stage, tmp_path: Path) -> None:
    result = run_trial(plan, stage, tmp_path, storm=bounce)
    print(line(result))
    words = (tmp_path / "words.txt").read_text()
    assert result.ok, f"{line(result)}\n{words}"
    assert result.events == EVENTS
    assert result.repeats == 0
