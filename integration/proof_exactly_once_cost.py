"""What exactly-once costs: the same backlog under both guarantees, in turns, in one run.

Each run is a group of its own over the same 300,000 payments on four partitions, with ``commit_interval_ms = 200``.
Throughput is taken between the first and the last settled event, so start-up does not count.
"""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Callable

import pytest

from integration.brokers import Kafka
from integration.registry import LocalRegistry
from integration.scenario import Scenario
from integration.support_scores import check_every_input
from integration.topics import Topics
from stream_infer.testing.payments import PaymentStream

PAYMENTS = 300_000
PARTITIONS = 4
ROUNDS = 4
MOST_COST = 0.35
GUARANTEES = ("at_least_once", "exactly_once")


def test_what_exactly_once_costs(  # noqa: D103
    make_scenario: Callable[..., Scenario],
    kafka: Kafka,
    topics: Topics,
    registry: LocalRegistry,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    producing = Scenario(tmp_path_factory.mktemp("backlog"), kafka.bootstrap_servers, topics, registry)
    producing.produce_payments(PaymentStream(seed=11).columns(PAYMENTS))

    rates: dict[str, list[float]] = {guarantee: [] for guarantee in GUARANTEES}
    for _ in range(ROUNDS):
        for guarantee in GUARANTEES:
            scenario = make_scenario(
                source=producing.source,
                partitions=PARTITIONS,
                overrides={"delivery.guarantee": guarantee, "delivery.commit_interval_ms": 200},
            )
            rates[guarantee].append(events_per_second(scenario, guarantee))
            check_every_input(scenario.scored(), scenario.input_ends())

    for guarantee, found in rates.items():
        print(f"{guarantee}: " + ", ".join(f"{rate:,.0f}" for rate in found) + " events/s")
    ratios = [exact / plain for plain, exact in zip(*rates.values(), strict=True)]
    cost = 1 - statistics.median(ratios)
    print(f"exactly once costs {cost:.1%} of the throughput (median of {ROUNDS} pairs; each: {ratios})")
    assert cost <= MOST_COST


def events_per_second(scenario: Scenario, described: str) -> float:
    """Run until everything is settled; then stop as an orchestrator would."""
    program = scenario.run(name=described)
    program.wait_ready()
    began, before = time.monotonic(), program.metrics().settled
    program.wait_settled(PAYMENTS, timeout_s=120)
    rate = (PAYMENTS - before) / (time.monotonic() - began)
    cpu_s = program.cpu_seconds()
    program.send(signal.SIGTERM)
    program.ended_well(timeout_s=30)
    print(f"\n{described}: {rate:,.0f} events/s, {cpu_s:.1f} s of processor time")
    return rate
