"""300,000 payments on four partitions: each scored exactly once, bit for bit right, in order."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

from integration.brokers import Kafka
from integration.registry import LocalRegistry
from integration.scenario import DEMO_BUNDLE, Encoding, Scenario
from integration.support_scores import (
    BoolArray,
    Float32Array,
    Oracle,
    check_every_input,
    check_keys_stay_together,
    check_order,
    check_scores,
)
from integration.topics import Topics
from stream_infer.testing.payments import PaymentStream

PAYMENTS = 300_000
PARTITIONS = 4


class Backlog(NamedTuple):
    """Payments on a topic, the id they are framed with, and what they must score."""

    topic: str
    schema_id: int
    scores: Float32Array
    flags: BoolArray


@pytest.fixture(scope="module")
def backlog(kafka: Kafka, topics: Topics, registry: LocalRegistry, tmp_path_factory: pytest.TempPathFactory) -> Backlog:
    """Produced once: every run reads it with a group of its own."""
    payments = PaymentStream(seed=11).columns(PAYMENTS)
    producing = Scenario(tmp_path_factory.mktemp("backlog"), kafka.bootstrap_servers, topics, registry)
    producing.produce_payments(payments)
    oracle = Oracle.open(DEMO_BUNDLE)
    scores = oracle.scores(oracle.matrix(payments))
    return Backlog(producing.source, producing.add_schema(), scores, oracle.flags(scores))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("schemas", ["registry", "files"])
def test_every_payment_is_scored_once_right_and_in_order(
    make_scenario: Callable[..., Scenario], backlog: Backlog, schemas: Encoding, workers: int
) -> None:
    scenario = make_scenario(
        events=schemas, source=backlog.topic, partitions=PARTITIONS, overrides={"scoring.workers": workers}
    )
    scenario.add_schema(schema_id=backlog.schema_id)

    score_all(scenario, f"{schemas}, workers = {workers}")

    scored = scenario.scored()
    assert len(scored) == PAYMENTS
    check_every_input(scored, scenario.input_ends())
    check_scores(scored, backlog.scores, backlog.flags)
    check_order(scored)
    check_keys_stay_together(scored)
    assert len(scenario.dead_letters()) == 0
    assert scenario.committed() == scenario.input_ends()


def score_all(scenario: Scenario, described: str) -> None:
    """Run until everything is settled, and print what that took. Then stop as an orchestrator would."""
    program = scenario.run()
    program.wait_ready()
    began, cpu_before_s, settled_before = time.monotonic(), program.cpu_seconds(), program.metrics().settled
    program.wait_settled(PAYMENTS, timeout_s=120)
    seconds, cpu_s = time.monotonic() - began, program.cpu_seconds() - cpu_before_s
    count = PAYMENTS - settled_before
    print(f"\n{described}: {count / seconds:,.0f} events/s, {cpu_s / count * 1e6:.1f} us of processor time each")
    program.send(signal.SIGTERM)
    program.ended_well(timeout_s=30)
