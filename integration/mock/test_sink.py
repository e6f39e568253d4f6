"""The sink against librdkafka's mock cluster."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from integration.mock.rig import scored_batch
from stream_infer.clock import SystemClock
from stream_infer.errors import FatalError, SinkUnavailable, TopicMissing
from stream_infer.kafka.admin import KafkaAdmin
from stream_infer.kafka.dead_letters import PREFIX
from stream_infer.kafka.mock import MockCluster
from stream_infer.kafka.properties import admin_properties, producer_properties
from stream_infer.kafka.publisher import Outputs, Route
from stream_infer.kafka.sink import KafkaSink
from stream_infer.types import (
    Records,
    Reject,
    ScoredBatch,
    Split,
    Status,
)

Read = Callable[[str], list[Message]]

PARTITIONS = 4
"""Of a topic that the mock cluster makes by itself."""

JAVA_PARTITIONS = {b"k0": 1, b"k1": 1, b"k2": 1, b"k3": 0, b"k4": 0, b"k5": 0, b"k6": 1, b"k7": 0}
"""``(murmur2(key) & 0x7fffffff) % 4``, computed apart from any client."""


class Harness:
    """A sink on topics of its own."""

    def __init__(self, bootstrap_servers: str, admin: KafkaAdmin, **options: Any) -> None:
        run = uuid.uuid4().hex[:8]
        self.topic, self.flagged, self.calm, self.dead = (
            f"{kind}-{run}" for kind in ("out", "flagged", "calm", "dead")
        )
        client = options.pop("client", {})
        timeout_s = options.pop("publish_timeout_s", 5)
        settings: dict[str, Any] = {"max_unacknowledged": 1000} | options
        routes = (Route("flagged", self.flagged), Route("not_flagged", self.calm))
        self.sink = KafkaSink(
            producer_properties(bootstrap_servers, client, client_id="tests", publish_timeout_s=timeout_s),
            admin,
            outputs=Outputs(self.topic, self.dead, "g", routes, **settings),
            clock=SystemClock(),
        )

    @property
    def topics(self) -> list[str]:
        return [self.topic, self.flagged, self.calm, self.dead]

    def flush(self) -> None:
        self.sink.begin_flush()
        while not self.sink.flushed(0.1):
            pass


@pytest.fixture
def harness(bootstrap_servers: str, admin: KafkaAdmin) -> Iterator[Callable[..., Harness]]:
    opened: list[Harness] = []

    def make(**options: Any) -> Harness:
        made = Harness(bootstrap_servers, admin, **options)
        create(bootstrap_servers, made)
        made.sink.start()
        opened.append(made)
        return made

    yield make
    for made in opened:
        made.sink.close()


@pytest.fixture(scope="module")
def running(bootstrap_servers: str, admin: KafkaAdmin) -> Iterator[Harness]:
    made = Harness(bootstrap_servers, admin)
    create(bootstrap_servers, made)
    made.sink.start()
    yield made
    made.sink.close()


@pytest.fixture
def usual(running: Harness, read: Read) -> Harness:
    """A sink with the usual settings, and nothing unread: a new idempotent producer takes half a second to start."""
    for topic in running.topics:
        read(topic)
    return running


def create(bootstrap_servers: str, made: Harness) -> None:
    """The mock makes a topic of four partitions when a producer asks for it."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap_servers, "group.id": "create", "allow.auto.create.topics": True}
    )
    for topic in made.topics:
        consumer.list_topics(topic, timeout=5)
    consumer.close()


@pytest.fixture(scope="module")
def read(bootstrap_servers: str) -> Read:
    """The messages of a topic that were not read before, by partition and offset."""
    settings = {
        "bootstrap.servers": bootstrap_servers,
        "group.id": "read",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 10,
    }
    starts: dict[tuple[str, int], int] = {}

    def read_topic(topic: str) -> list[Message]:
        consumer = Consumer(settings)
        consumer.assign([TopicPartition(topic, n, starts.get((topic, n), 0)) for n in range(PARTITIONS)])
        found: list[Message] = []
        open_partitions = PARTITIONS
        while open_partitions:
            for message in consumer.consume(100, 0.02):
                error = message.error()
                if error is None:
                    found.append(message)
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    open_partitions -= 1
        for message in found:
            starts[topic, message.partition() or 0] = (message.offset() or 0) + 1
        consumer.close()
        return sorted(found, key=lambda message: (message.partition(), message.offset()))

    return read_topic


def publish_and_flush(made: Harness, scored: ScoredBatch) -> None:
    made.sink.publish(scored)
    made.flush()


def by_key(messages: Sequence[Message]) -> dict[bytes | None, Message]:
    return {message.key(): message for message in messages}


def test_a_scored_event_keeps_key_and_timestamp(usual: Harness, read: Read) -> None:
    assert usual.sink.publish(scored_batch([b"a", None, b"c"])) == []
    usual.flush()
    found = by_key(read(usual.topic))
    assert {key: message.value() for key, message in found.items()} == {b"k0": b"a", b"k2": b"c"}
    assert found[b"k2"].timestamp()[1] == 5002
    assert found[b"k2"].headers() is None


def test_keys_are_partitioned_as_java_does(usual: Harness, read: Read) -> None:
    usual.sink.publish(scored_batch([b"x"] * 8))
    usual.flush()
    assert {message.key(): message.partition() for message in read(usual.topic)} == JAVA_PARTITIONS


def test_the_partition_of_the_input_is_kept_where_asked_for(harness: Callable[..., Harness], read: Read) -> None:
    made = harness(partition="input")
    made.sink.publish(scored_batch([b"x"] * 6))
    made.flush()
    assert {message.key(): message.partition() for message in read(made.topic)} == {
        b"k%d" % row: row % 2 for row in range(6)
    }


def test_routes_take_scored_events_by_decision_and_no_shed_ones(usual: Harness, read: Read) -> None:
    status = [Status.OK, Status.OK, Status.SHED]
    usual.sink.publish(scored_batch([b"a", b"b", b"shed"], flagged=[1], status=status))
    usual.flush()
    assert len(read(usual.topic)) == 3
    assert [message.value() for message in read(usual.flagged)] == [b"b"]
    assert [message.value() for message in read(usual.calm)] == [b"a"]


def test_a_reject_becomes_a_dead_letter_with_the_original_bytes(usual: Harness, read: Read) -> None:
    usual.sink.publish(scored_batch([b"a", None], rejects=[Reject(1, Status.MALFORMED, "bad union index")]))
    usual.flush()
    [dead] = read(usual.dead)
    assert (dead.key(), dead.value(), dead.timestamp()[1]) == (b"k1", b"in1", 5001)
    headers = dict(dead.headers() or ())
    assert headers["row"] == b"1"
    assert headers[PREFIX + "reason"] == b"malformed"
    assert headers[PREFIX + "offset"] == b"1"


def test_an_output_that_is_too_large_becomes_a_dead_letter(harness: Callable[..., Harness], read: Read) -> None:
    made = harness(client={"producer": {"message.max.bytes": 2000}})
    refused = made.sink.publish(scored_batch([b"a", b"x" * 2000]))
    made.flush()
    assert refused == [(1, Status.OUTPUT_TOO_LARGE)]
    assert [message.value() for message in read(made.topic)] == [b"a"]
    [dead] = read(made.dead)
    assert dead.value() == b"in1"
    assert dict(dead.headers() or ())[PREFIX + "reason"] == b"output_too_large"


def test_room_counts_what_is_not_acknowledged(harness: Callable[..., Harness]) -> None:
    made = harness(max_unacknowledged=100, client={"linger.ms": 4000})
    assert made.sink.room() == 33
    made.sink.publish(scored_batch([b"x"] * 10))
    assert made.sink.room() == 26
    made.flush()
    assert made.sink.room() == 33


def test_a_partition_that_the_output_lacks_is_named(harness: Callable[..., Harness]) -> None:
    made = harness(partition="input")
    scored = scored_batch([b"x"])
    moved = Records(
        scored.records.values,
        scored.records.keys,
        (Split("payments", 7, 1),),
        np.zeros(1, np.int32),
        scored.records.offset,
        scored.records.timestamp_ms,
        0,
    )
    with pytest.raises(FatalError, match=r"partition 7.*sink\.partition"):
        publish_and_flush(made, ScoredBatch(moved, scored.scored, scored.payload, ()))


def test_a_missing_topic_is_named_at_the_start(bootstrap_servers: str) -> None:
    # The mock cluster cannot describe a topic, so that question always takes its whole timeout.
    hasty = KafkaAdmin(admin_properties(bootstrap_servers, {}, client_id="tests"), SystemClock(), timeout_s=0.1)
    made = Harness(bootstrap_servers, hasty)
    with pytest.raises(TopicMissing, match=made.dead):
        made.sink.start()


def test_abandoned_messages_are_never_sent(harness: Callable[..., Harness], read: Read) -> None:
    made = harness(client={"linger.ms": 4000})
    made.sink.publish(scored_batch([b"abandoned"] * 10))
    producer = made.sink._publisher.producer
    made.sink.abandon()
    assert made.sink._publisher.producer is producer, "a new producer would let late requests of the old one in"
    assert made.sink.room() == 333
    made.sink.publish(scored_batch([b"later"] * 10))
    made.flush()
    assert {message.value() for message in read(made.topic)} == {b"later"}


def test_a_failed_delivery_is_raised_once_and_empties_the_sink() -> None:
    with MockCluster({}) as cluster:
        admin = KafkaAdmin(admin_properties(cluster.bootstrap_servers, {}, client_id="tests"), SystemClock())
        made = Harness(cluster.bootstrap_servers, admin, publish_timeout_s=1.0)
        create(cluster.bootstrap_servers, made)
        made.sink.start()
        made.sink.publish(scored_batch([b"delivered"]))
        made.flush()
    made.sink.publish(scored_batch([b"x"] * 3))
    with pytest.raises(SinkUnavailable, match=made.topic):
        made.flush()
    assert made.sink.flushed(0)
    assert made.sink.room() == 333
    made.sink.close()
