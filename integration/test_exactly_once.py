"""Exactly once by the whole program, in good weather: what a reader of committed events gets, and where lag ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from integration.scenario import Scenario, check_right
from integration.topics import unique_name
from stream_infer.testing.payments import PaymentStream

PAYMENTS = 20_000
SETTINGS = {"delivery.guarantee": "exactly_once", "delivery.commit_interval_ms": 200}


@pytest.mark.parametrize("workers", [0, 2])
def test_every_payment_is_scored_once_and_right(make_scenario: Callable[..., Scenario], workers: int) -> None:
    scenario = make_scenario(overrides={**SETTINGS, "scoring.workers": workers})
    payments = PaymentStream(seed=21).columns(PAYMENTS)
    scenario.produce_payments(payments)
    scenario.run_to_end()

    check_right(scenario, payments)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_topic_that_is_written_in_transactions_is_read_to_its_very_end(
    make_scenario: Callable[..., Scenario], guarantee: str
) -> None:
    """Its last records are an aborted event and a control record, which nobody is ever given."""
    scenario = make_scenario(events="json", partitions=1, overrides={**SETTINGS, "delivery.guarantee": guarantee})
    program = scenario.run()
    program.wait_ready()
    events = PaymentStream(seed=22).columns(10).to_json()
    producer = Producer({"bootstrap.servers": scenario.bootstrap_servers, "transactional.id": unique_name("writer")})
    producer.init_transactions()
    for kept in (events, events, None):
        producer.begin_transaction()
        for event in kept or events:
            producer.produce(scenario.source, event, partition=0)
        producer.flush()
        producer.commit_transaction() if kept else producer.abort_transaction()

    [end] = scenario.input_ends().values()
    assert end == 33, "thirty events and three control records"
    program.wait_for(lambda: scenario.committed() == {0: end}, 20, "commit of the very end")
    lag = ("stream_infer_consumer_lag_records", {"topic": scenario.source, "partition": "0"})
    program.wait_for(lambda: program.metrics().value(lag[0], **lag[1]) == 0, 20, "lag of 0")
    assert len(scenario.scored()) == 20
