"""Events that kill whoever tries them, three replicas: at most three crashes in all, then everything else is scored."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from integration import support_log
from integration.scenario import Scenario
from integration.slow_models import ENDLESS_BOXES, events, write_slow_bundle
from integration.support_program import Program

EVENTS = 6_000
POISON = 2_345
PARTITIONS = 6
REPLICAS = 3
_PATIENCE_S = 90.0
KINDS: dict[str, dict[str, int]] = {
    # SIGFPE inside the model.
    "crash": {"crash": 1},
    # One node of the graph that cannot be stopped: the watchdog ends the process.
    "endless": {"boxes": ENDLESS_BOXES},
}


class Replicas:
    """Programs of one scenario, each started again whenever it ends, as an orchestrator would."""

    def __init__(self, scenario: Scenario, count: int) -> None:
        self._scenario = scenario
        self._running = [scenario.run(name=f"replica-{number}") for number in range(count)]
        self.exit_codes: list[int] = []

    def watch_until(self, condition: Callable[[], bool]) -> None:
        give_up = time.monotonic() + _PATIENCE_S
        while not condition():
            assert time.monotonic() < give_up, f"not within {_PATIENCE_S:.0f} s:\n{self._running[0].last_words()}"
            self._running = [self._alive(program) for program in self._running]
            time.sleep(0.2)

    def _alive(self, program: Program) -> Program:
        if program.running:
            return program
        self.exit_codes.append(program.wait(1.0))
        return self._scenario.run()

    def stop(self) -> None:
        for program in self._running:
            program.send(signal.SIGTERM)
        for program in self._running:
            program.ended_well(30.0)


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

    replicas = Replicas(scenario, REPLICAS)
    ends = scenario.input_ends()
    replicas.watch_until(lambda: scenario.committed() == ends)
    replicas.stop()

    print(f"\n{kind}, {guarantee}: exit codes {replicas.exit_codes}")
    expected = -signal.SIGFPE if kind == "crash" else 1
    assert 1 <= len(replicas.exit_codes) <= 3
    assert set(replicas.exit_codes) == {expected}
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
