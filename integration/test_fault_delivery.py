"""A delivery that fails for good, under at-least-once: nothing is committed past it, and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from integration import support_log
from integration.brokers import Kafka
from integration.scenario import Scenario
from integration.support_program import Program
from integration.support_scores import check_places
from stream_infer.testing.payments import PaymentStream

PAYMENTS = 4_000
TIMEOUT_S = 30.0
TOO_SMALL_BYTES = 100
"""Less than any batch of scored events, more than the 78 bytes of a transaction's marker: where the marker does not fit
either, the broker can never end the transaction."""
SETTINGS = {
    "batching.max_batch_size": 64,
    "delivery.commit_interval_ms": 100,
    "timeouts.publish_seconds": 4.0,
    "sink.partition": "input",
}


@pytest.fixture
def admin(kafka: Kafka) -> AdminClient:
    return AdminClient({"bootstrap.servers": kafka.bootstrap_servers})


@pytest.fixture
def scenario(make_scenario: Callable[..., Scenario]) -> Scenario:
    made = make_scenario(events="json", overrides=SETTINGS)
    made.produce_payments(PaymentStream(seed=3).columns(PAYMENTS))
    return made


def metric(program: Program, name: str) -> float:
    return program.metrics().value(f"stream_infer_{name}_total")


def answered_from(scenario: Scenario, begin: dict[int, int]) -> None:
    """Every input from these offsets on has an answer."""
    places = scenario.scored().input_places
    since = [begin.get(partition, 0) <= offset for partition, offset in places.tolist()]
    expected = {
        (partition, offset)
        for partition, end in scenario.input_ends().items()
        for offset in range(begin.get(partition, 0), end)
    }
    check_places(places[since], expected)


def test_a_topic_that_is_deleted_while_it_is_written_to(scenario: Scenario, admin: AdminClient) -> None:
    program = scenario.run("--max-events", str(PAYMENTS // 2))
    program.ended_well(timeout_s=60)
    before = scenario.committed()
    admin.delete_topics([scenario.sink], operation_timeout=TIMEOUT_S)[scenario.sink].result(TIMEOUT_S)

    # Started while the topic is there, so that it fails at work and not at the start.
    _create(admin, scenario.sink, scenario.partitions)
    program = scenario.run("--set", "batching.max_batch_size=1", "--set", "timeouts.publish_seconds=2")
    program.wait_settled(50, timeout_s=30)
    admin.delete_topics([scenario.sink], operation_timeout=TIMEOUT_S)[scenario.sink].result(TIMEOUT_S)
    program.wait_for(lambda: not program.running or metric(program, "checkpoint_failures") > 0, 60, "failure")
    committed = scenario.committed()
    assert committed != scenario.input_ends()
    program.kill()

    _create(admin, scenario.sink, scenario.partitions)
    scenario.run_to_end()
    assert all(committed.get(partition, 0) >= offset for partition, offset in before.items())
    answered_from(scenario, committed)
    assert scenario.committed() == scenario.input_ends()


def _create(admin: AdminClient, topic: str, partitions: int) -> None:
    admin.create_topics([NewTopic(topic, partitions)], operation_timeout=TIMEOUT_S)[topic].result(TIMEOUT_S)


def test_an_event_that_is_too_large_for_its_topic(scenario: Scenario, admin: AdminClient) -> None:
    _limit(admin, scenario.sink, TOO_SMALL_BYTES)

    program = scenario.run()
    assert program.wait(60) == 1
    assert "larger than the topic takes; raise its max.message.bytes" in program.stderr
    assert "Traceback" not in program.stderr
    assert set(scenario.committed().values()) <= {0}, "nothing was committed past what was not delivered"
    assert len(scenario.scored()) == 0

    _limit(admin, scenario.sink, 1_000_000)
    scenario.run_to_end()
    answered_from(scenario, {})


def _limit(admin: AdminClient, topic: str, nbytes: int) -> None:
    entry = ConfigEntry("max.message.bytes", str(nbytes), incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(TIMEOUT_S)


def test_the_same_under_exactly_once(make_scenario: Callable[..., Scenario], admin: AdminClient) -> None:
    scenario = make_scenario(events="json", overrides={**SETTINGS, "delivery.guarantee": "exactly_once"})
    scenario.produce_payments(PaymentStream(seed=3).columns(PAYMENTS))
    _limit(admin, scenario.sink, TOO_SMALL_BYTES)
    program = scenario.run()
    assert program.wait(60) == 1
    assert "larger than the topic takes" in program.stderr
    assert set(scenario.committed().values()) <= {0}

    _limit(admin, scenario.sink, 1_000_000)
    scenario.run_to_end()
    assert len(support_log.read(scenario.bootstrap_servers, scenario.sink)) == PAYMENTS
