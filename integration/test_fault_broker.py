"""The broker goes away in the middle of a run and comes back: nothing is lost, and nobody has to do anything."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration import support_log
from integration.local_kafka import LocalKafka
from integration.scenario import Scenario
from integration.slow_models import events, turns_for, write_slow_bundle
from integration.support_program import Program
from integration.support_scores import check_every_input, check_order
from integration.topics import Topics

EVENTS = 8_000
PARTITIONS = 2


@pytest.fixture(scope="module")
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker that may be killed, frozen and restarted."""
    with LocalKafka(tmp_path_factory.mktemp("own-kafka"), heap="256m") as kafka:
        yield kafka


@pytest.fixture
def scenario(own_kafka: LocalKafka, tmp_path: Path) -> Iterator[Scenario]:
    """A service that takes some seconds for its input."""
    bundle = write_slow_bundle(tmp_path / "slow-1.bundle.jar", turns_for(0.02))
    client = {
        # A frozen broker is noticed within these, instead of within the ten seconds that are the default.
        "socket.timeout.ms": 2000,
        "consumer": {"session.timeout.ms": 4000, "heartbeat.interval.ms": 500},
    }
    overrides = {
        "kafka.client": client,
        "batching.max_batch_size": 64,
        "delivery.commit_interval_ms": 200,
        "timeouts.publish_seconds": 3,
        "timeouts.commit_seconds": 2,
        # Events have no key: without this a repeat may go to another partition, and there is no order to check.
        "sink.partition": "input",
        "sink.fields": ["id"],
    }
    topics = Topics(own_kafka.bootstrap_servers)
    with Scenario(
        tmp_path / "service",
        own_kafka.bootstrap_servers,
        topics,
        events="json",
        partitions=PARTITIONS,
        bundle=bundle,
        overrides=overrides,
    ) as made:
        places = [number % PARTITIONS for number in range(EVENTS)]
        support_log.produce(made.bootstrap_servers, made.source, events(EVENTS), partitions=places)
        yield made


def metric(program: Program, name: str) -> float:
    return program.metrics().value(f"stream_infer_{name}_total")


def check_recovery(scenario: Scenario, program: Program) -> None:
    """The same process goes on by itself, to the end and without a loss."""
    program.wait_ready(timeout_s=40)
    ends = scenario.input_ends()
    program.wait_for(lambda: scenario.committed() == ends, 60, "commit of everything")
    program.send(signal.SIGTERM)
    program.ended_well(timeout_s=20)
    scored = scenario.scored()
    repeats = check_every_input(scored, ends, exactly_once=False)
    check_order(scored, with_repeats=True)
    print(f"{repeats} of {len(scored)} answers are repeats")
    assert "Traceback" not in program.stderr


def test_a_killed_broker_comes_back(scenario: Scenario, own_kafka: LocalKafka) -> None:
    program = scenario.run()
    program.wait_settled(EVENTS // 4, timeout_s=30)

    own_kafka.kill_node()
    program.wait_for(lambda: program.get("/readyz")[0] == 503, 20, "being not ready")
    assert program.get("/livez")[0] == 200
    settled = program.metrics().settled
    own_kafka.start_node()

    assert settled < EVENTS
    check_recovery(scenario, program)
    assert "all brokers became unreachable" in program.stderr
    assert "brokers were reached again" in program.stderr


def test_a_frozen_broker_thaws(scenario: Scenario, own_kafka: LocalKafka) -> None:
    program = scenario.run()
    program.wait_settled(EVENTS // 4, timeout_s=30)

    own_kafka.pause_node()
    try:
        program.wait_for(lambda: metric(program, "checkpoint_failures") >= 1, 20, "failed checkpoint")
        assert program.get("/livez")[0] == 200
    finally:
        own_kafka.resume_node()

    check_recovery(scenario, program)


def test_a_service_started_before_its_broker_waits_for_it(scenario: Scenario, own_kafka: LocalKafka) -> None:
    own_kafka.kill_node()
    program = scenario.run()
    program.wait_for(lambda: "no broker answered yet" in program.stderr, 20, "a word on the broker")
    assert program.get("/readyz")[0] == 503
    own_kafka.start_node()

    check_recovery(scenario, program)


def test_an_end_without_a_broker_is_an_end_in_time(scenario: Scenario, own_kafka: LocalKafka) -> None:
    program = scenario.run("--drain-timeout-seconds", "2")
    program.wait_settled(EVENTS // 4, timeout_s=30)
    own_kafka.kill_node()
    program.wait_for(lambda: metric(program, "checkpoint_failures") >= 1, 20, "failed checkpoint")

    program.send(signal.SIGTERM)
    program.wait(timeout_s=10)
    own_kafka.start_node()

    assert "Traceback" not in program.stderr
    scenario.run_to_end()
    check_every_input(scenario.scored(), scenario.input_ends(), exactly_once=False)
