from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream_infer.kafka.properties import (
    MANAGED,
    Transaction,
    admin_properties,
    client_problems,
    consumer_properties,
    exactly_once_problems,
    flatten,
    producer_properties,
)

ADDRESS = "127.0.0.1:9092"


def consumer(client: dict[str, Any]) -> dict[str, Any]:
    return consumer_properties(ADDRESS, client, client_id="svc", group_id="g")


def producer(client: dict[str, Any], publish_timeout_s: float = 30) -> dict[str, Any]:
    return producer_properties(ADDRESS, client, client_id="svc", publish_timeout_s=publish_timeout_s)


def test_a_consumer_commits_nothing_by_itself_and_never_jumps() -> None:
    properties = consumer({})
    assert properties["enable.auto.commit"] is False
    assert properties["enable.auto.offset.store"] is False
    assert properties["auto.offset.reset"] == "error"
    assert properties["isolation.level"] == "read_committed"
    assert properties["partition.assignment.strategy"] == "cooperative-sticky"
    assert properties["group.id"] == "g"


def test_a_producer_is_idempotent_and_reports_failures_only() -> None:
    properties = producer({}, publish_timeout_s=2.5)
    assert properties["enable.idempotence"] is True
    assert properties["acks"] == "all"
    assert properties["delivery.report.only.error"] is True
    assert properties["partitioner"] == "murmur2_random"
    assert properties["delivery.timeout.ms"] == 2500


@pytest.mark.parametrize(("publish_timeout_s", "delivery_timeout_ms"), [(5, 5000), (30, 15_000)])
def test_no_delivery_outlives_its_transaction(publish_timeout_s: float, delivery_timeout_ms: int) -> None:
    properties = producer_properties(
        ADDRESS, {}, client_id="svc", publish_timeout_s=publish_timeout_s, transaction=Transaction("svc-g-0", 15_000)
    )
    assert properties["transactional.id"] == "svc-g-0"
    assert properties["transaction.timeout.ms"] == 15_000
    assert properties["delivery.timeout.ms"] == delivery_timeout_ms
    assert "transactional.id" not in producer({})


def test_a_transactional_producer_remembers_its_brokers_and_soon_tries_them_again() -> None:
    transaction = Transaction("svc-g-0", 15_000)
    properties = producer_properties(ADDRESS, {}, client_id="svc", publish_timeout_s=30, transaction=transaction)
    assert properties["metadata.recovery.strategy"] == "none"
    assert properties["reconnect.backoff.max.ms"] == 1000
    assert not {"metadata.recovery.strategy", "reconnect.backoff.max.ms"} & set(producer({}))
    slower = {"producer": {"reconnect.backoff.max.ms": 5000}}
    properties = producer_properties(ADDRESS, slower, client_id="svc", publish_timeout_s=30, transaction=transaction)
    assert properties["reconnect.backoff.max.ms"] == 5000


@pytest.mark.parametrize(
    ("client", "path"),
    [
        ({"isolation.level": "read_uncommitted"}, "kafka.client.isolation.level"),
        ({"isolation": {"level": "READ_UNCOMMITTED"}}, "kafka.client.isolation.level"),
        ({"consumer": {"isolation.level": "read_uncommitted"}}, "kafka.client.consumer.isolation.level"),
    ],
)
def test_exactly_once_reads_nothing_that_is_not_committed(client: dict[str, Any], path: str) -> None:
    [problem] = exactly_once_problems(client)
    assert problem.path == path
    assert "transaction" in problem.message


@pytest.mark.parametrize(
    "client", [{}, {"isolation.level": "read_committed"}, {"consumer": {"isolation.level": "READ_COMMITTED"}}]
)
def test_exactly_once_has_no_other_problem(client: dict[str, Any]) -> None:
    assert exactly_once_problems(client) == []


def test_the_user_overrides_defaults_for_every_client_or_for_one() -> None:
    client = {"socket.timeout.ms": 7, "consumer": {"fetch.wait.max.ms": 9}, "producer": {"socket.timeout.ms": 8}}
    assert consumer(client)["socket.timeout.ms"] == 7
    assert consumer(client)["fetch.wait.max.ms"] == 9
    assert producer(client)["socket.timeout.ms"] == 8
    assert "fetch.wait.max.ms" not in producer(client)
    assert admin_properties(ADDRESS, client, client_id="svc")["socket.timeout.ms"] == 7


def test_unquoted_dotted_keys_of_toml_mean_the_same_as_quoted_ones() -> None:
    assert flatten({"sasl": {"username": "u"}, "a.b": 1}) == {"sasl.username": "u", "a.b": 1}
    assert consumer({"consumer": {"fetch": {"min": {"bytes": 5}}}})["fetch.min.bytes"] == 5


def test_the_new_group_protocol_leaves_assignment_to_the_broker() -> None:
    assert "partition.assignment.strategy" not in consumer({"group.protocol": "consumer"})


def test_a_strategy_set_beside_the_new_group_protocol_is_not_dropped_in_silence() -> None:
    client = {"group.protocol": "consumer", "partition.assignment.strategy": "range"}
    assert consumer(client)["partition.assignment.strategy"] == "range"
    assert client_problems(client)


@pytest.mark.parametrize("name", sorted(MANAGED))
def test_a_managed_property_names_the_key_that_governs_it(name: str) -> None:
    [problem] = client_problems({"producer": {name: "1"}})
    assert problem.path == f"kafka.client.producer.{name}"
    assert MANAGED[name] in problem.hint


def test_every_managed_property_is_reported_at_once() -> None:
    problems = client_problems({"acks": "1", "group.id": "x", "consumer": {"auto.offset.reset": "latest"}})
    assert [problem.path.removeprefix("kafka.client.") for problem in problems] == [
        "acks",
        "group.id",
        "consumer.auto.offset.reset",
    ]


@pytest.mark.parametrize("name", ["error_cb", "oauth_cb", "on_delivery", "logger", "plugin.library.paths"])
def test_code_cannot_be_set_in_a_file(name: str) -> None:
    [problem] = client_problems({name: "x"})
    assert problem.path == f"kafka.client.{name}"


def test_good_properties_have_no_problem() -> None:
    login = {"mechanism": "SCRAM-SHA-512", "username": "u", "password": "p"}
    assert client_problems({"security.protocol": "SASL_PLAINTEXT", "sasl": login, "linger.ms": 1}) == []


def test_properties_that_do_not_go_together_are_a_problem() -> None:
    [problem] = client_problems({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512"})
    assert "sasl.username" in problem.message


def test_every_unknown_property_is_reported_once() -> None:
    problems = client_problems({"compresion.type": "lz4", "fetch.wait": 1})
    assert sorted(problem.path for problem in problems) == ["kafka.client.compresion.type", "kafka.client.fetch.wait"]


def test_a_problem_of_one_client_names_its_table() -> None:
    [problem] = client_problems({"consumer": {"isolation.level": "sloppy"}})
    assert problem.path == "kafka.client.consumer.isolation.level"


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    client = {"security.protocol": "SSL", "ssl.ca.location": str(tmp_path / "none.pem")}
    [problem] = client_problems(client)
    assert problem.path == "kafka.client.ssl.ca.location"


def test_a_secret_is_not_quoted() -> None:
    [problem] = client_problems({"security.protocol": "SSL", "ssl.key.pem": "hunter2"})
    assert problem.path == "kafka.client.ssl.key.pem"
    assert "hunter2" not in str(problem)
