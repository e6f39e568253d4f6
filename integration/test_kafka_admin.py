"""Questions to a real cluster, and topics made on it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition

from integration.brokers import Kafka
from integration.kafka_rig import CLOCK, admin_of, fill
from integration.local_kafka import LocalKafka
from integration.processes import free_port
from integration.proxy import Mode, TcpProxy
from integration.topics import Topics, unique_name
from stream_infer.clock import Deadline
from stream_infer.errors import FatalError, SourceUnavailable, TopicMissing
from stream_infer.kafka.admin import TopicInfo, TopicSpec


def test_topics_are_created_once_and_described(kafka: Kafka, topics: Topics) -> None:
    existing, new = topics.create(3), unique_name("new")
    admin = admin_of(kafka.bootstrap_servers)
    specs = [TopicSpec(existing, 5), TopicSpec(new, 2, 1, {"retention.ms": "3600000"})]
    assert admin.create_topics(specs) == (new,)
    assert admin.create_topics(specs) == ()
    deadline = Deadline.after(10, CLOCK.monotonic())
    # The controller has made it; the broker that is asked hears of it a moment later.
    while new not in (found := admin.topics([existing, new, "no-such-topic"])):
        assert not deadline.passed(CLOCK.monotonic()), found
    assert found == {existing: TopicInfo(existing, 3, 1), new: TopicInfo(new, 2, 1)}
    assert admin.topic_settings([new])[new]["retention.ms"] == "3600000"


def test_every_missing_topic_is_named(kafka: Kafka, topics: Topics) -> None:
    with pytest.raises(TopicMissing, match=r"no-a, no-b .*topics create"):
        admin_of(kafka.bootstrap_servers).require_topics(["no-a", topics.create(1), "no-b"])


def test_looking_for_a_topic_does_not_create_it(start_kafka: Callable[..., LocalKafka]) -> None:
    broker = start_kafka(heap="256m", settings={"auto.create.topics.enable": "true"})
    admin = admin_of(broker.bootstrap_servers)
    for _ in range(2):
        with pytest.raises(TopicMissing):
            admin.require_topics(["typo"])


def test_a_topic_that_cannot_be_created_is_named(kafka: Kafka) -> None:
    topic = unique_name("too-safe")
    with pytest.raises(FatalError, match=topic):
        admin_of(kafka.bootstrap_servers).create_topics([TopicSpec(topic, 1, replication_factor=99)])


def test_the_bounds_of_a_log(kafka: Kafka, topics: Topics) -> None:
    topic = topics.create(2)
    fill(kafka.bootstrap_servers, topic, 7, 2)
    admin = admin_of(kafka.bootstrap_servers)
    partitions = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
    assert admin.beginnings(partitions) == {(topic, 0): 0, (topic, 1): 0}
    assert admin.ends(partitions) == {(topic, 0): 4, (topic, 1): 3}
    assert admin.ends([]) == {}


def test_an_address_where_nobody_listens_is_named(kafka: Kafka) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(SourceUnavailable, match=rf"{address}.*kafka\.bootstrap_servers"):
        admin_of(address).wait_ready(1.5)
    admin_of(kafka.bootstrap_servers).wait_ready(1.5)


def test_a_broker_that_comes_up_late_is_waited_for(local_kafka: LocalKafka, kafka_proxy: TcpProxy) -> None:
    assert local_kafka.bootstrap_servers
    kafka_proxy.mode = Mode.RESET
    admin = admin_of(kafka_proxy.address)
    with pytest.raises(SourceUnavailable):
        admin.wait_ready(1.5)
    kafka_proxy.mode = Mode.PASS
    admin.wait_ready(20)


def test_a_broker_that_accepts_and_never_answers_is_given_up(kafka_proxy: TcpProxy) -> None:
    kafka_proxy.mode = Mode.BLACK_HOLE
    began = CLOCK.monotonic()
    with pytest.raises(SourceUnavailable, match=kafka_proxy.address):
        admin_of(kafka_proxy.address).wait_ready(1.5)
    assert CLOCK.monotonic() - began < 4


def test_a_group_that_nobody_has_used_may_be_asked_for(kafka: Kafka) -> None:
    admin_of(kafka.bootstrap_servers).check_group(unique_name("group"))
