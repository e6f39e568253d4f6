"""The test components themselves: what other tests build on must be known to work."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from integration import brokers
from integration.artifacts import ComponentUnavailable
from integration.brokers import Kafka, LocalKafka
from integration.local_kafka import broker_answers
from integration.proxy import Mode, TcpProxy
from integration.registry import LocalRegistry
from integration.topics import Topics, unique_name

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = '{"type": "record", "name": "Ping", "fields": [{"name": "id", "type": "long"}]}'


def produce(properties: dict[str, str], topic: str, values: list[bytes], timeout_s: float = 30.0) -> list[KafkaError]:
    """Send ``values``; the errors of those that did not arrive in ``timeout_s``."""
    errors: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            errors.append(error)

    producer = Producer({**properties, "acks": "all", "message.timeout.ms": int(timeout_s * 1000)})
    for value in values:
        producer.produce(topic, value, on_delivery=delivered)
    producer.flush(timeout_s + 5)
    return errors


def consume(properties: dict[str, str], topic: str, count: int, timeout_s: float = 30.0) -> list[bytes]:
    """The first ``count`` values of a topic, or what arrived in ``timeout_s``."""
    group = {"group.id": unique_name("group"), "auto.offset.reset": "earliest"}
    consumer = Consumer({**properties, **group})
    consumer.subscribe([topic])
    values: list[bytes] = []
    give_up = time.monotonic() + timeout_s
    with contextlib.closing(consumer):
        while len(values) < count and time.monotonic() < give_up:
            arrived = consumer.consume(count - len(values), 0.2)
            values += [message.value() or b"" for message in arrived if not message.error()]
    return values


def plain(address: str) -> dict[str, str]:
    return {"bootstrap.servers": address}


def test_what_is_produced_is_consumed(kafka: Kafka, topics: Topics) -> None:
    topic = topics.create(partitions=4)
    sent = [b"%d" % number for number in range(100)]

    assert produce(plain(kafka.bootstrap_servers), topic, sent) == []

    assert sorted(consume(plain(kafka.bootstrap_servers), topic, 100)) == sorted(sent)


def test_data_outlives_a_killed_broker(start_kafka: Callable[..., LocalKafka]) -> None:
    kafka = start_kafka(heap="256m")
    topic = Topics(kafka.bootstrap_servers).create()
    assert produce(plain(kafka.bootstrap_servers), topic, [b"before"]) == []

    kafka.kill_node()
    assert not broker_answers(kafka.bootstrap_servers)
    kafka.start_node()

    assert produce(plain(kafka.bootstrap_servers), topic, [b"after"]) == []
    assert consume(plain(kafka.bootstrap_servers), topic, 2) == [b"before", b"after"]


def test_a_secured_broker_lets_in_its_users_only(secured_kafka: LocalKafka) -> None:
    topic = Topics(secured_kafka.bootstrap_servers).create()

    assert produce(secured_kafka.client_properties("admin"), topic, [b"1"]) == []

    with pytest.raises(KafkaException, match="_AUTHENTICATION"):
        first_error(secured_kafka.client_properties("admin", password="wrong"))
    with pytest.raises(KafkaException, match=r"_SSL|certificate"):
        first_error({**secured_kafka.client_properties("admin"), "ssl.ca.location": ""})


def first_error(properties: dict[str, str]) -> None:
    """Raise the first error the client reports on its way to the broker."""
    reported: list[KafkaError] = []
    producer = Producer({**properties, "error_cb": reported.append})
    give_up = time.monotonic() + 20
    while not reported and time.monotonic() < give_up:
        producer.poll(0.1)
    if reported:
        raise KafkaException(reported[0])


def test_a_secured_broker_allows_nothing_without_an_acl(secured_kafka: LocalKafka) -> None:
    topic = Topics(secured_kafka.bootstrap_servers).create()

    errors = produce(secured_kafka.client_properties("alice"), topic, [b"1"])

    assert [error.name() for error in errors] == ["TOPIC_AUTHORIZATION_FAILED"]


def test_a_secured_broker_takes_oauth_tokens(secured_kafka: LocalKafka) -> None:
    topic = Topics(secured_kafka.bootstrap_servers).create()
    oauth = {
        "sasl.mechanism": "OAUTHBEARER",
        "enable.sasl.oauthbearer.unsecure.jwt": "true",
        "sasl.oauthbearer.config": "principal=admin",
    }
    password_free = {
        key: value
        for key, value in secured_kafka.client_properties("admin").items()
        if key not in ("sasl.username", "sasl.password")
    }

    assert produce({**password_free, **oauth}, topic, [b"1"]) == []


def test_the_registry_gives_back_what_was_registered(registry: LocalRegistry) -> None:
    with SchemaRegistryClient({"url": registry.url}) as client:
        schema_id = client.register_schema(unique_name("subject"), Schema(SCHEMA, "AVRO"))
        returned = client.get_schema(schema_id).schema_str

    assert returned is not None
    assert json.loads(returned) == json.loads(SCHEMA)


def test_a_client_behind_a_black_hole_waits_and_goes_on(kafka_proxy: TcpProxy, local_kafka: LocalKafka) -> None:
    topic = Topics(local_kafka.bootstrap_servers).create()
    assert produce(plain(kafka_proxy.address), topic, [b"1"]) == []

    kafka_proxy.mode = Mode.BLACK_HOLE
    errors = produce(plain(kafka_proxy.address), topic, [b"2"], timeout_s=2)
    assert [error.name() for error in errors] == ["_MSG_TIMED_OUT"]

    kafka_proxy.mode = Mode.PASS
    assert produce(plain(kafka_proxy.address), topic, [b"3"]) == []
    assert consume(plain(kafka_proxy.address), topic, 2) == [b"1", b"3"]


def test_a_reset_connection_is_an_error_at_once(kafka_proxy: TcpProxy) -> None:
    kafka_proxy.mode = Mode.RESET

    with pytest.raises(KafkaException, match=r"_TRANSPORT|_ALL_BROKERS_DOWN"):
        first_error(plain(kafka_proxy.address))


def test_without_any_broker_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(brokers.GIVEN_ADDRESS, raising=False)
    monkeypatch.setattr(brokers, "docker_answers", lambda: False)
    monkeypatch.setenv("STREAM_INFER_CACHE", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda name: None if name == "mvn" else f"/usr/bin/{name}")

    with pytest.raises(
        ComponentUnavailable, match=r"(?s)STREAM_INFER_TEST_KAFKA=host:port.*Maven \(mvn\) was not found"
    ):
        brokers.choose_kafka()


def test_ctrl_c_stops_the_broker_of_make_kafka() -> None:
    command = [sys.executable, "-m", "integration.brokers", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        address = program.stdout.readline().rpartition(" ")[2].strip()
        assert broker_answers(address)
        os.kill(program.pid, signal.SIGINT)
        assert program.wait(30) == 0
    assert not broker_answers(address)


def test_a_broker_does_not_outlive_whoever_started_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "integration.brokers", "--port", "0"]
    # SIGKILL leaves its files behind, too.
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        address = program.stdout.readline().rpartition(" ")[2].strip()
        program.kill()
    give_up = time.monotonic() + 30
    while broker_answers(address) and time.monotonic() < give_up:
        time.sleep(0.1)
    assert not broker_answers(address)
