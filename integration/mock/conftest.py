"""One mock cluster for all tests of this room, and sources on it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence

import pytest
from confluent_kafka import Producer

from integration.mock.rig import Event, Listener
from stream_infer.clock import SystemClock
from stream_infer.kafka.admin import KafkaAdmin
from stream_infer.kafka.client_log import client_logger
from stream_infer.kafka.mock import MockCluster
from stream_infer.kafka.properties import admin_properties, consumer_properties
from stream_infer.kafka.source import KafkaSource
from stream_infer.types import Records

QUICK_CLIENT = {"consumer": {"session.timeout.ms": 1500, "heartbeat.interval.ms": 200}}
"""A member that left is missed for ``session.timeout.ms`` by the mock cluster."""


@pytest.fixture(scope="session")
def bootstrap_servers() -> Iterator[str]:
    with MockCluster({}) as cluster:
        yield cluster.bootstrap_servers


@pytest.fixture(scope="session")
def admin(bootstrap_servers: str) -> KafkaAdmin:
    return KafkaAdmin(admin_properties(bootstrap_servers, {}, client_id="tests"), SystemClock(), timeout_s=5)


@pytest.fixture(scope="session")
def produce(bootstrap_servers: str) -> Iterator[Callable[[Sequence[Event]], str]]:
    """Write events to a new topic (four partitions); gives its name. Timestamps count up from 1000."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 0}, logger=client_logger())

    def write(events: Sequence[Event]) -> str:
        topic = f"events-{uuid.uuid4().hex[:8]}"
        for number, (key, value, partition, headers) in enumerate(events):
            producer.produce(topic, value, key, partition, timestamp=1000 + number, headers=list(headers))
        assert producer.flush(10) == 0
        return topic

    yield write
    producer.close()


@pytest.fixture
def open_source(bootstrap_servers: str, admin: KafkaAdmin) -> Iterator[Callable[..., tuple[KafkaSource, Listener]]]:
    """Starts sources; closes them at the end."""
    opened: list[KafkaSource] = []

    def start(topic: str, group_id: str, **options: str) -> tuple[KafkaSource, Listener]:
        properties = consumer_properties(bootstrap_servers, QUICK_CLIENT, client_id="tests", group_id=group_id)
        settings: dict[str, str] = {"start": "earliest", "on_data_loss": "fail"} | options
        source = KafkaSource(properties, admin, topics=[topic], clock=SystemClock(), **settings)  # type: ignore[arg-type]  # literals
        listener = Listener()
        source.start(listener)
        opened.append(source)
        return source, listener

    yield start
    for source in opened:
        source.close()


@pytest.fixture
def read_all() -> Callable[[KafkaSource], Records | None]:
    """Polls until the source has caught up; gives everything in one."""

    def read(source: KafkaSource, at_once: int = 512) -> Records | None:
        parts: list[Records] = []
        for _ in range(1000):
            records = source.poll(at_once, 0.05)
            if records is not None:
                parts.append(records)
            if source.caught_up():
                return Records.concat(parts) if parts else None
        raise AssertionError("the source never caught up")

    return read
