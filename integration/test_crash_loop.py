"""Events that kill whoever tries them, three replicas: at most three crashes in all, then everything else is scored."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from integration import support_log
from integration.faults.replicas import Replica
from integration.scenario import Scenario
from integration.slow_models import ENDLESS_BOXES, events, write_slow_bundle

EVENTS = 6_000
POISON = 2_345
PARTITIONS = 6
REPLICAS = 3
_PATIENCE_S = 90.0
_END_S = 30.0
KINDS: dict[str, dict[str, int]] = {
    # SIGFPE inside the model.
    "crash": {"crash": 1},
    # One node of the graph that cannot be stopped: the watchdog ends the process.
    "endless": {"boxes": ENDLESS_BOXES},
}


def run_until(replicas: Sequence[Replica], condition: Callable[[], bool]) -> None:
    """Start replicas again whenever they end, until ``condition`` holds; then end them in order."""
    give_up = time.monotonic() + _PATIENCE_S
    for replica in replicas:
        replica.want()
    while not condition():
        assert time.monotonic() < give_up, f"not within {_PATIENCE_S:.0f} s:\n{replicas[0].last_words()}"
        for replica in replicas:
            replica.tend()
        time.sleep(0.2)
    for replica in replicas:
        replica.retire()
    for replica in replicas:
        assert replica.ended_by(time.monotonic() + _END_S), replica.last_words()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_slow_bundle(tmp_path_factory.mktemp("models") / "slow-1.bundle.jar")


@pytest.mark.parametrize(
    ("kind", "guarantee"), [("crash", "at_least_once"), ("crash", "exactly_once"), ("endless", "exactly_once")]
)
def test_an_event_that_kills_is_set_aside_after_three_crashes(
    make_scenario: Callable[..., Scenario], bundle: Path, kind: str, guarantee: str
) -> None:
    scenario = make_scenario(events="json", partitions=PARTITIONS, bundle=bundle, overrides=_settings(guarantee))
    values: list[Any] = events(EVENTS)
    [values[POISON]] = events(1, POISON, **KINDS[kind])
    places = [number % PARTITIONS for number in range(EVENTS)]
    support_log.produce(scenario.bootstrap_servers, scenario.source, values, partitions=places)

    replicas = [Replica(f"replica-{number}", scenario.config) for number in range(REPLICAS)]
    ends = scenario.input_ends()
    try:
        run_until(replicas, lambda: scenario.committed() == ends)
    finally:
        for replica in replicas:
            replica.kill()

    crashes = [code for replica in replicas for code in replica.exit_codes[:-1]]
    print(f"\n{kind}, {guarantee}: exit codes {crashes}")
    expected = -signal.SIGFPE if kind == "crash" else 1
    assert 1 <= len(crashes) <= 3
    assert set(crashes) == {expected}
    assert [replica.exit_codes[-1] for replica in replicas] == [0] * REPLICAS
    dead = scenario.dead_letters()
    assert set(dead.values) == {values[POISON]}
    headers = dict(dead.headers[0])
    assert headers["__stream_infer.errors.reason"] == b"crashed"
    assert headers["__stream_infer.errors.stage"] == b"crash"
    if guarantee == "exactly_once":
        assert len(dead) == 1
    _check_the_others_are_scored(scenario, guarantee)


def _settings(guarantee: str) -> dict[str, Any]:
    return {
        "delivery.guarantee": guarantee,
        "delivery.commit_interval_ms": 200,
        "delivery.transaction_timeout_ms": 5000,
        "timeouts.score_seconds": 1.0,
        "sink.fields": ["id"],
        "sink.partition": "input",
        # Each replica chooses its own port.
        "observe.http": "127.0.0.1:0",
    }


def _check_the_others_are_scored(scenario: Scenario, guarantee: str) -> None:
    without_poison = {
        (partition, offset)
        for partition, end in scenario.input_ends().items()
        for offset in range(end)
        if (partition, offset) != (POISON % PARTITIONS, POISON // PARTITIONS)
    }
    scored = scenario.scored()
    places = list(zip(scored.column("input_partition"), scored.column("input_offset"), strict=True))
    assert set(places) == without_poison
    if guarantee == "exactly_once":
        assert len(places) == len(without_poison)
