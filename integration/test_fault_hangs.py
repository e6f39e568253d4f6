"""Each stage made to hang in turn, on a real broker: it ends at its own timeout, is named, and nothing is lost.

What "nothing is lost" means is the same for all: every input is answered, the answers to a partition stand in
order (a run may repeat what it had not committed), and in the end the committed offsets are the ends of the input.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration import support_log
from integration.local_kafka import LocalKafka
from integration.proxy import Mode, TcpProxy
from integration.registry import LocalRegistry
from integration.scenario import Scenario
from integration.slow_models import ENDLESS_BOXES, ENDLESS_TURNS, events, turns_for, write_slow_bundle
from integration.support_program import Program
from integration.support_requests import Api, RequestProxy
from integration.support_scores import check_every_input, check_order
from integration.topics import Topics
from stream_infer.testing.payments import PaymentStream
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA

MakeScenario = Callable[..., Scenario]
QUICK = {
    "batching.max_batch_size": 64,
    "delivery.commit_interval_ms": 100,
    # Events have no key: without this a repeat may go to another partition, and there is no order to check.
    "sink.partition": "input",
    "sink.fields": ["id"],
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """``slow`` takes as long as its events ask for, ``mended`` does not listen to them."""
    directory = tmp_path_factory.mktemp("models")
    return {
        "slow": write_slow_bundle(directory / "slow-1.bundle.jar"),
        "mended": write_slow_bundle(directory / "slow-2.bundle.jar", heeds_events=False),
    }


def send(scenario: Scenario, values: list[bytes]) -> None:
    """Produce ``values`` round robin over the partitions."""
    partitions = [number % scenario.partitions for number in range(len(values))]
    support_log.produce(scenario.bootstrap_servers, scenario.source, values, partitions=partitions)


def metric(program: Program, name: str, **labels: str) -> float:
    return program.metrics().value(f"stream_infer_{name}_total", **labels)


def wait_committed(scenario: Scenario, program: Program, timeout_s: float = 30.0) -> None:
    """Wait until everything that was produced is committed."""
    ends = scenario.input_ends()
    program.wait_for(lambda: scenario.committed() == ends, timeout_s, "commit of everything")


def end(program: Program) -> None:
    """Ask the program to end, which it must do in good order."""
    program.send(signal.SIGTERM)
    program.ended_well(timeout_s=20)


def check_nothing_lost(scenario: Scenario) -> None:
    ends = scenario.input_ends()
    scored = scenario.scored()
    check_every_input(scored, ends, exactly_once=False)
    check_order(scored, with_repeats=True)
    assert scenario.committed() == ends


# ------------------------------------------------------------------------------------------------ registry


def test_a_registry_that_hangs(
    make_scenario: MakeScenario, registry: LocalRegistry, tcp_proxy: Callable[..., TcpProxy]
) -> None:
    proxy = tcp_proxy(registry.address)
    through_proxy = {"url": registry.url_at(proxy.address), "auto_register": True}
    scenario = make_scenario(overrides={"schema_registry": through_proxy, "timeouts.registry_seconds": 1})
    payments = PaymentStream(seed=1)
    scenario.produce_payments(payments.columns(500))
    program = scenario.run()
    program.wait_settled(500, timeout_s=30)

    proxy.mode = Mode.BLACK_HOLE
    # One more field, whose value takes no byte: another schema, with an id that the service has not met.
    spare = {"name": "spare", "type": "null", "default": None}
    newer = scenario.prefix({**PAYMENT_SCHEMA, "fields": [*PAYMENT_SCHEMA["fields"], spare]})
    values = payments.columns(500)
    support_log.produce(scenario.bootstrap_servers, scenario.source, values.to_avro(newer), values.keys())
    program.wait_for(lambda: metric(program, "retries", stage="registry") >= 2, 20, "second retry of the registry")

    assert metric(program, "stage_timeouts", stage="registry") >= 2
    assert program.get("/livez")[0] == 200
    assert "stage=registry" in program.stderr
    proxy.mode = Mode.PASS
    program.wait_settled(1000, timeout_s=30)
    end(program)
    assert check_every_input(scenario.scored(), scenario.input_ends()) == 0
    check_nothing_lost(scenario)


# ------------------------------------------------------------------------------------------------ model


@pytest.mark.parametrize("workers", [0, 1])
def test_a_model_call_that_can_be_stopped_is_stopped_and_made_again(
    make_scenario: MakeScenario, models: dict[str, Path], workers: int
) -> None:
    overrides = {**QUICK, "scoring.workers": workers, "timeouts.score_seconds": 3}
    scenario = make_scenario(events="json", bundle=models["slow"], overrides=overrides)
    program = scenario.run()
    program.wait_ready()
    send(scenario, events(1, turns=turns_for(1.5)))
    program.wait_for(lambda: metric(program, "batches_dispatched") == 1, 20, "model call")

    # A batch counts as dispatched a moment before its call begins.
    time.sleep(0.3)
    # The call itself is quick enough; it is the machine that stands still.
    program.pause()
    time.sleep(3.2)
    program.resume()
    send(scenario, events(200, first=1))
    program.wait_settled(201, timeout_s=30)

    assert metric(program, "stage_timeouts", stage="score") == 1
    assert metric(program, "retries", stage="score") == 1
    assert "stage timed out" in program.stderr
    assert "stage=score" in program.stderr
    end(program)
    assert check_every_input(scenario.scored(), scenario.input_ends()) == 0
    check_nothing_lost(scenario)


@pytest.mark.parametrize(
    ("poison", "workers", "last_words"),
    [
        ({"turns": ENDLESS_TURNS}, 1, "Error: the model did not answer in 3 tries of one batch"),
        ({"boxes": ENDLESS_BOXES}, 0, "score did not end in time and could not be stopped; ending the process"),
        ({"boxes": ENDLESS_BOXES}, 1, "score did not end in time and could not be stopped; ending the process"),
    ],
    ids=["stopped-each-time", "unstoppable-inline", "unstoppable-worker"],
)
def test_a_model_call_that_never_ends_ends_the_process_and_a_restart_goes_on(
    make_scenario: MakeScenario, models: dict[str, Path], poison: dict[str, int], workers: int, last_words: str
) -> None:
    overrides = {**QUICK, "scoring.workers": workers, "timeouts.score_seconds": 1}
    scenario = make_scenario(events="json", bundle=models["slow"], overrides=overrides)
    send(scenario, events(400))
    program = scenario.run()
    wait_committed(scenario, program)
    before = scenario.committed()

    send(scenario, events(1, first=400, **poison) + events(399, first=401))
    program.wait_for(lambda: metric(program, "stage_timeouts", stage="score") >= 1, 20, "timeout of the model")
    assert program.wait(timeout_s=20) == 1
    assert "stage=score" in program.stderr
    assert last_words in program.stderr.splitlines()[-1]
    assert "Traceback" not in program.stderr
    assert scenario.committed()[0] == before[0], "committed past the event that was not scored"

    scenario.write_config({"model.bundle": str(models["mended"])})
    scenario.run_to_end()
    check_nothing_lost(scenario)


# ------------------------------------------------------------------------------------------------ publish, commit


@pytest.fixture
def request_proxy(local_kafka: LocalKafka) -> Iterator[RequestProxy]:
    """A proxy before `local_kafka` that can withhold requests of one kind."""
    port = int(local_kafka.advertised_address.rsplit(":", 1)[1])
    with contextlib.closing(RequestProxy(local_kafka.proxied_address, port)) as proxy:
        yield proxy


@pytest.fixture
def behind_proxy(
    local_kafka: LocalKafka, request_proxy: RequestProxy, models: dict[str, Path], tmp_path: Path
) -> Iterator[Scenario]:
    """A scenario whose service reaches the broker through `request_proxy`; the test itself goes straight to it."""
    client = {"socket.timeout.ms": 3000, "consumer": {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}}
    overrides: dict[str, Any] = {
        **QUICK,
        "kafka": {"bootstrap_servers": request_proxy.address, "client": client},
        "timeouts.publish_seconds": 2,
        "timeouts.commit_seconds": 2,
    }
    topics = Topics(local_kafka.bootstrap_servers)
    with Scenario(
        tmp_path / "service",
        local_kafka.bootstrap_servers,
        topics,
        events="json",
        bundle=models["mended"],
        overrides=overrides,
    ) as scenario:
        yield scenario
    topics.delete_all()


@pytest.mark.parametrize(("kind", "stage"), [(Api.PRODUCE, "publish"), (Api.OFFSET_COMMIT, "commit")])
def test_a_broker_that_leaves_requests_unanswered(
    behind_proxy: Scenario, request_proxy: RequestProxy, kind: Api, stage: str
) -> None:
    scenario = behind_proxy
    send(scenario, events(1000))
    program = scenario.run()
    wait_committed(scenario, program)
    before = scenario.committed()

    request_proxy.withhold(kind)
    send(scenario, events(1000, first=1000))
    program.wait_for(lambda: metric(program, "checkpoint_failures", stage=stage) >= 1, 20, "failed checkpoint")

    assert request_proxy.withheld_requests > 0
    assert scenario.committed() == before
    assert metric(program, "rebalances", kind="lost") == 0
    assert program.get("/livez")[0] == 200
    program.wait_for(lambda: f"stage={stage}" in program.stderr, 5, "log line")
    request_proxy.let_through()
    send(scenario, events(500, first=2000))
    wait_committed(scenario, program)
    end(program)
    check_nothing_lost(scenario)
