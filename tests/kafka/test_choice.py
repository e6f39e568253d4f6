from __future__ import annotations

import logging
from typing import Any

import pytest

from stream_infer.kafka import choice, librdkafka
from stream_infer.kafka.choice import CLIENT_VARIABLE, open_consumer, open_producer, why_confluent
from stream_infer.kafka.confluent_client import ConfluentConsumer, ConfluentProducer
from stream_infer.kafka.native_consumer import NativeConsumer
from stream_infer.kafka.native_producer import NativeProducer
from stream_infer.kafka.properties import Properties

PLAIN: Properties = {"client.id": "tests", "group.id": "tests"}


def ignore(*_told: Any) -> None:
    """Nobody listens."""


def open_both(properties: Properties) -> tuple[type, type]:
    consumer = open_consumer(properties, on_error=ignore, on_commit=ignore)
    producer = open_producer({"client.id": "tests"}, on_error=ignore, on_failed=ignore)
    consumer.close()
    return type(consumer), type(producer)


def test_librdkafkas_own_interface_is_the_choice() -> None:
    assert why_confluent(PLAIN) == ""
    assert open_both(PLAIN) == (NativeConsumer, NativeProducer)


def test_the_environment_can_ask_for_the_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    choice._say_once.cache_clear()
    monkeypatch.setenv(CLIENT_VARIABLE, "confluent")
    with caplog.at_level(logging.INFO, "stream_infer.kafka"):
        assert open_both(PLAIN) == (ConfluentConsumer, ConfluentProducer)
    [said] = caplog.records
    assert vars(said)["reason"] == "STREAM_INFER_KAFKA_CLIENT says so"


@pytest.mark.parametrize("name", ["sasl.mechanism", "sasl.mechanisms"])
def test_tokens_are_for_confluent_kafka(name: str) -> None:
    assert "OAUTHBEARER" in why_confluent({name: "oauthbearer"})
    assert not why_confluent({name: "SCRAM-SHA-512"})


@pytest.mark.parametrize("version", [0x020F00FF, 0x030000FF])
def test_a_version_that_nobody_looked_at_is_not_used(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    class Other:
        def rd_kafka_version(self) -> int:
            return version

    monkeypatch.setattr(librdkafka, "library", Other)
    assert why_confluent(PLAIN) == f"librdkafka {version >> 24}.{version >> 16 & 255} is not known"


@pytest.mark.parametrize("error", [OSError("no such file"), AttributeError("undefined symbol: rd_kafka_produceva")])
def test_a_library_that_is_not_there_is_no_error(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def missing() -> Any:
        raise error

    monkeypatch.setattr(librdkafka, "library", missing)
    assert str(error) in why_confluent(PLAIN)
