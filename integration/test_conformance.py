"""The Kafka source and sink keep the promises that the fakes are checked against, on the real broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from integration.brokers import Kafka
from integration.topics import Topics, unique_name
from stream_infer.clock import SystemClock
from stream_infer.kafka.admin import KafkaAdmin
from stream_infer.kafka.properties import Transaction, admin_properties, consumer_properties, producer_properties
from stream_infer.kafka.publisher import Outputs
from stream_infer.kafka.sink import KafkaSink
from stream_infer.kafka.source import KafkaSource
from stream_infer.kafka.transactions import TransactionalKafkaSink
from stream_infer.testing import FakeWork, records
from stream_infer.testing.conformance import Ownership, check_sink, check_source, check_transactional_sink

PROTOCOLS: list[Mapping[str, Any]] = [
    {},
    {"partition.assignment.strategy": "range"},
    {"group.protocol": "consumer"},
]


def admin(kafka: Kafka, clock: SystemClock) -> KafkaAdmin:
    return KafkaAdmin(admin_properties(kafka.bootstrap_servers, {}, client_id="conformance"), clock)


def produce(kafka: Kafka, topic: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for number in range(count):
        producer.produce(topic, str(number).encode(), partition=number % 2)
    assert producer.flush(30) == 0


def values_in(kafka: Kafka, topic: str, partitions: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": unique_name("reader")})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    values = []
    while messages := consumer.consume(100, 1.0):
        values += [message.value() or b"" for message in messages if message.error() is None]
    consumer.close()
    return values


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=["cooperative", "range", "kip848"])
def test_the_kafka_source_conforms(kafka: Kafka, topics: Topics, protocol: Mapping[str, Any]) -> None:
    topic = topics.create(partitions=2)
    produce(kafka, topic, 50)
    clock = SystemClock()
    properties = consumer_properties(
        kafka.bootstrap_servers, protocol, client_id="conformance", group_id=unique_name("conformance")
    )
    source = KafkaSource(
        properties, admin(kafka, clock), topics=[topic], start="earliest", on_data_loss="fail", clock=clock
    )
    check_source(source, clock, 50)


def test_the_kafka_sink_conforms(kafka: Kafka, topics: Topics) -> None:
    scored, dead = topics.create(partitions=2), topics.create()
    clock = SystemClock()
    sink = KafkaSink(
        producer_properties(kafka.bootstrap_servers, {}, client_id="conformance", publish_timeout_s=30),
        admin(kafka, clock),
        outputs=Outputs(topic=scored, dead_letter_topic=dead, group_id="conformance", max_unacknowledged=1000),
        clock=clock,
    )
    batch = FakeWork().score(records([b"one", b"bad", b"two", None], timestamp_ms=clock.wall_ms())).batch
    check_sink(sink, clock, batch, lambda: values_in(kafka, scored, 2))
    assert values_in(kafka, dead, 1)[:1] == [b"bad"]


def test_the_transactional_kafka_sink_conforms(kafka: Kafka, topics: Topics) -> None:
    source_topic, scored, dead = topics.create(), topics.create(partitions=2), topics.create()
    clock, group = SystemClock(), unique_name("conformance")
    source = KafkaSource(
        consumer_properties(kafka.bootstrap_servers, {}, client_id="conformance", group_id=group),
        admin(kafka, clock),
        topics=[source_topic],
        start="earliest",
        on_data_loss="fail",
        clock=clock,
    )
    ownership = Ownership()
    source.start(ownership)
    while not ownership.owned:
        source.poll(0, 0.1)
    transaction = Transaction(unique_name("conformance"), 10_000)
    sink = TransactionalKafkaSink(
        producer_properties(
            kafka.bootstrap_servers, {}, client_id="conformance", publish_timeout_s=10, transaction=transaction
        ),
        admin(kafka, clock),
        outputs=Outputs(scored, dead, group, max_unacknowledged=1000),
        stable_name=False,
        commit_timeout_s=10,
        clock=clock,
    )
    batch = FakeWork().score(records([b"one", b"bad", b"two", None], timestamp_ms=clock.wall_ms())).batch
    check_transactional_sink(sink, source, clock, batch, lambda: values_in(kafka, scored, 2))
    source.close()
    assert values_in(kafka, dead, 1) == [b"bad"] * 2
