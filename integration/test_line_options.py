"""What `stream-infer run` is asked for on its command line and in its config, on a real broker."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable

import numpy as np
import pytest

from integration import support_log
from integration.local_kafka import LocalKafka
from integration.proxy import Mode, TcpProxy
from integration.registry import LocalRegistry
from integration.scenario import Scenario, check_right
from integration.support_program import Program
from integration.support_scores import (
    check_every_input,
    check_keys_stay_together,
    check_order,
    check_places,
)
from integration.topics import Topics
from stream_infer.testing.payments import PaymentColumns, PaymentStream

MakeScenario = Callable[..., Scenario]
SLOW = {"batching.max_batch_size": 8}
"""Per-batch costs make the run last for seconds, so that something can happen in its middle."""
SIGTERM_TWICE = 128 + signal.SIGTERM


def payments_of(count: int) -> PaymentColumns:
    """The first payments of one stream."""
    return PaymentStream(seed=1).columns(count)


def check_stopped_cleanly(scenario: Scenario) -> int:
    """What was scored is exactly what is committed; how much that is."""
    scored, committed = scenario.scored(), scenario.committed()
    check_places(scored.input_places, {(p, offset) for p, end in committed.items() for offset in range(end)})
    assert len(scored) == sum(committed.values())
    return len(scored)


# ---------------------------------------------------------------------- how long to run


@pytest.mark.parametrize("encoding", ["json", "bare"])
def test_until_caught_up_ends_with_everything_scored(make_scenario: MakeScenario, encoding: str) -> None:
    scenario = make_scenario(events=encoding)
    payments = payments_of(2_000)
    scenario.produce_payments(payments)

    scenario.run_to_end()

    check_right(scenario, payments)
    check_keys_stay_together(scenario.scored())


def test_until_caught_up_on_an_empty_topic_ends_at_once(make_scenario: MakeScenario) -> None:
    scenario = make_scenario(events="json")

    scenario.run_to_end(timeout_s=30)

    assert len(scenario.scored()) == 0


def test_max_events_stops_after_so_many_and_the_next_run_goes_on_there(make_scenario: MakeScenario) -> None:
    scenario = make_scenario(events="json")
    payments = payments_of(2_000)
    scenario.produce_payments(payments)

    scenario.run("--max-events", "777").ended_well(60)

    assert check_stopped_cleanly(scenario) == 777
    scenario.run_to_end()
    check_right(scenario, payments)


def test_a_dry_run_publishes_and_commits_nothing(make_scenario: MakeScenario) -> None:
    scenario = make_scenario(events="json")
    scenario.produce_payments(payments_of(2_000))
    support_log.produce(scenario.bootstrap_servers, scenario.source, [b"{"])

    program = scenario.run_to_end("--dry-run")

    assert "settled=2001" in program.stderr
    assert scenario.committed() == {}
    assert [len(scenario.log(topic)) for topic in (scenario.sink, scenario.flagged, scenario.dead)] == [0, 0, 0]


# ---------------------------------------------------------------------- how to stop


def test_sigterm_drains_and_commits(make_scenario: MakeScenario) -> None:
    scenario = make_scenario(events="json", overrides=SLOW)
    payments = payments_of(30_000)
    scenario.produce_payments(payments)

    program = scenario.run()
    program.wait_settled(2_000, timeout_s=60)
    program.send(signal.SIGTERM)
    program.ended_well(timeout_s=20)

    assert 2_000 <= check_stopped_cleanly(scenario) < len(payments)
    scenario.run_to_end()
    check_right(scenario, payments)


def test_a_second_sigterm_ends_at_once(
    local_kafka: LocalKafka, kafka_proxy: TcpProxy, registry: LocalRegistry, tmp_path_factory: pytest.TempPathFactory
) -> None:
    topics = Topics(local_kafka.bootstrap_servers)
    behind_proxy = {"kafka.bootstrap_servers": kafka_proxy.address}
    directory = tmp_path_factory.mktemp("scenario")
    with Scenario(
        directory, local_kafka.bootstrap_servers, topics, registry, events="json", overrides=behind_proxy
    ) as scenario:
        scenario.produce_payments(payments_of(1_000))
        program = scenario.run()
        program.wait_settled(1_000, timeout_s=60)
        kafka_proxy.mode = Mode.BLACK_HOLE
        # Published, and never acknowledged: the drain cannot end.
        scenario.produce_payments(payments_of(1_000))

        program.send(signal.SIGTERM)
        with pytest.raises(TimeoutError):
            program.wait(timeout_s=2)
        program.send(signal.SIGTERM)

        assert program.wait(timeout_s=2) == SIGTERM_TWICE


# ---------------------------------------------------------------------- where to


def test_routes_send_flagged_events_to_a_further_topic(make_scenario: MakeScenario, topics: Topics) -> None:
    scenario = make_scenario(events="json")
    rest = topics.create(2, "not-flagged")
    routes = [{"when": "flagged", "topic": scenario.flagged}, {"when": "not_flagged", "topic": rest}]
    scenario.write_config({"sink.routes": routes})
    payments = payments_of(5_000)
    scenario.produce_payments(payments)

    scenario.run_to_end()

    check_right(scenario, payments)
    scored = scenario.scored()
    assert scored.flagged.any()
    for topic, flagged in ((scenario.flagged, True), (rest, False)):
        routed = scenario.scored(topic)
        assert (routed.flagged == flagged).all()
        assert np.array_equal(np.sort(routed.numbers), np.sort(scored.numbers[scored.flagged == flagged]))
        check_order(routed)


def test_sink_partition_input_keeps_the_number_of_the_partition(make_scenario: MakeScenario) -> None:
    scenario = make_scenario(events="json", overrides={"sink.partition": "input"})
    payments = payments_of(2_000)
    # Not where the keys belong.
    places = itertools.cycle(range(scenario.partitions))
    support_log.produce(
        scenario.bootstrap_servers, scenario.source, payments.to_json(), payments.keys(), partitions=places
    )

    scenario.run_to_end()

    check_right(scenario, payments)
    scored = scenario.scored()
    assert np.array_equal(scored.partition, scored.input_places[:, 0])


def test_the_output_keeps_key_and_timestamp(make_scenario: MakeScenario) -> None:
    scenario = make_scenario(events="json")
    payments = payments_of(500)
    hour_ago_ms = time.time_ns() // 1_000_000 - 3_600_000
    scenario.produce_payments(payments, timestamp_ms=hour_ago_ms)

    scenario.run_to_end()

    log, scored = scenario.log(scenario.sink), scenario.scored()
    assert (log.timestamp_ms == hour_ago_ms).all()
    assert scored.column("event_timestamp") == [hour_ago_ms] * len(payments)
    keys = payments.keys()
    assert scored.keys == [keys[number] for number in scored.numbers.tolist()]


# ---------------------------------------------------------------------- what is not scored


def test_tombstones_are_passed_over_and_counted(make_scenario: MakeScenario) -> None:
    scenario = make_scenario(events="json")
    payments = payments_of(900)
    values: list[bytes | None] = list(payments.to_json())
    for row in range(0, 1_000, 10):
        values.insert(row, None)
    support_log.produce(scenario.bootstrap_servers, scenario.source, values, [b"%d" % n for n in range(1_000)])

    program = scenario.run()
    program.wait_settled(1_000, timeout_s=60)
    metrics = program.metrics()
    program.stop()

    assert metrics.value("stream_infer_events_settled_total", outcome="passed_over") == 100
    assert np.array_equal(np.sort(scenario.scored().numbers), np.arange(900))
    assert scenario.committed() == scenario.input_ends()
    assert len(scenario.dead_letters()) == 0


def test_events_that_are_too_old_are_shed_and_counted(make_scenario: MakeScenario) -> None:
    shedding = {"flow.when_full": "shed", "flow.max_age_ms": 600_000}
    scenario = make_scenario(overrides=shedding)
    scenario.write_config({"sink.routes": [{"when": "not_flagged", "topic": scenario.flagged}]})
    payments, now_ms = payments_of(2_000), time.time_ns() // 1_000_000
    scenario.produce_payments(payments.slice(0, 1_000), timestamp_ms=now_ms - 3_600_000)
    scenario.produce_payments(payments.slice(1_000, 2_000))

    program = scenario.run()
    program.wait_settled(2_000, timeout_s=60)
    metrics = program.metrics()
    program.stop()

    scored = scenario.scored()
    check_every_input(scored, scenario.input_ends())
    shed = np.array([status == "shed" for status in scored.column("status")])
    assert np.array_equal(np.sort(scored.numbers[shed]), np.arange(1_000))
    assert np.isnan(scored.score[shed]).all()
    assert not np.isnan(scored.score[~shed]).any()
    assert not scored.flagged[shed].any()
    assert metrics.value("stream_infer_events_settled_total", outcome="shed") == 1_000
    assert metrics.value("stream_infer_events_settled_total", outcome="scored") == 1_000
    assert set(scenario.scored(scenario.flagged).column("status")) == {"scored"}


# ---------------------------------------------------------------------- several processes


def test_two_processes_share_a_group_through_join_and_leave(make_scenario: MakeScenario) -> None:
    scenario = make_scenario(events="json", overrides=SLOW)
    payments = payments_of(90_000)
    scenario.produce_payments(payments.slice(0, 30_000))

    first = scenario.run(name="first")
    first.wait_settled(2_000, timeout_s=60)
    second = scenario.run(name="second")
    second.wait_for(lambda: owned(second) == 2, 60, "half of the partitions")
    # However fast the machine is, there is work for both when the first one leaves.
    scenario.produce_payments(payments.slice(30_000, 60_000))
    shares = owned(first), owned(second)
    busy = scenario.committed() != scenario.input_ends()
    first.send(signal.SIGTERM)
    first.ended_well(timeout_s=30)
    second.wait_for(lambda: owned(second) == scenario.partitions, 30, "all partitions")
    scenario.produce_payments(payments.slice(60_000, 90_000))
    second.wait_for(lambda: scenario.committed() == scenario.input_ends(), 60, "the end of the input")
    second.send(signal.SIGTERM)
    second.ended_well(timeout_s=30)

    assert shares == (2, 2)
    assert busy, "everything was scored before the first one left"
    check_right(scenario, payments)


def owned(program: Program) -> int:
    """How many partitions it has."""
    return program.metrics().assigned_partitions
