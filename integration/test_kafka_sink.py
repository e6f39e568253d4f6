"""The sink on a real broker: what arrives, in which order, and what happens when nothing does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import pytest
from confluent_kafka import Producer

from integration.brokers import Kafka
from integration.kafka_rig import CLOCK, Member, admin_of, messages_in
from integration.local_kafka import LocalKafka
from integration.mock.rig import scored_batch
from integration.proxy import Mode, TcpProxy
from integration.topics import Topics, unique_name
from stream_infer.clock import Deadline
from stream_infer.errors import FatalError, SinkUnavailable, TopicMissing
from stream_infer.kafka.dead_letters import PREFIX, ClientHeaders
from stream_infer.kafka.properties import producer_properties
from stream_infer.kafka.publisher import Outputs
from stream_infer.kafka.sink import KafkaSink
from stream_infer.types import Binary, Reject, ScoredBatch, Status

HOSTILE_HEADERS: ClientHeaders = [
    ("trace", b"\x00\xff\xfe"),
    ("empty", b""),
    ("null", None),
    ("trace", b"again"),
    ("ключ", b"utf-8"),
]

Open = Callable[..., KafkaSink]


@pytest.fixture
def open_sink() -> Iterator[Open]:
    """Starts sinks; closes them at the end."""
    opened: list[KafkaSink] = []

    def start(
        bootstrap_servers: str,
        topic: str,
        dead_letter_topic: str,
        *,
        client: Mapping[str, Any] | None = None,
        publish_timeout_s: float = 30,
    ) -> KafkaSink:
        sink = KafkaSink(
            producer_properties(
                bootstrap_servers, client or {}, client_id="tests", publish_timeout_s=publish_timeout_s
            ),
            admin_of(bootstrap_servers),
            outputs=Outputs(topic, dead_letter_topic, "fraud-scorer", max_unacknowledged=10_000),
            clock=CLOCK,
        )
        sink.start()
        opened.append(sink)
        return sink

    yield start
    for sink in opened:
        sink.close()


def flush(sink: KafkaSink, timeout_s: float = 30) -> None:
    deadline = Deadline.after(timeout_s, CLOCK.monotonic())
    sink.begin_flush()
    while not sink.flushed(0.1):
        assert not deadline.passed(CLOCK.monotonic()), "not acknowledged in time"


def values(bootstrap_servers: str, topic: str) -> list[bytes | None]:
    return [message.value() for message in messages_in(bootstrap_servers, topic)]


def test_a_dead_letter_is_the_original_byte_for_byte(kafka: Kafka, topics: Topics, open_sink: Open) -> None:
    source_topic, dead_topic = topics.create(1), topics.create(1)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    producer.produce(source_topic, bytes(range(256)), b"\xff\x00key", timestamp=123_456, headers=HOSTILE_HEADERS)
    producer.produce(source_topic, b"", None, timestamp=123_457)
    assert producer.flush(10) == 0
    member = Member(kafka.bootstrap_servers, source_topic, unique_name("group"))
    records = None
    while records is None:
        records = member.poll()
    member.source.close()

    scored = scored_batch([None, None])
    rejects = (Reject(0, Status.TRUNCATED, "ends in field amount"), Reject(1, Status.EMPTY, "no bytes"))
    sink = open_sink(kafka.bootstrap_servers, topics.create(1), dead_topic)
    sink.publish(ScoredBatch(records, scored.scored, scored.payload, rejects))
    flush(sink)

    first, second = messages_in(kafka.bootstrap_servers, dead_topic)
    assert (first.key(), first.value(), first.timestamp()[1]) == (b"\xff\x00key", bytes(range(256)), 123_456)
    assert (second.key(), second.value(), second.timestamp()[1]) == (None, b"", 123_457)
    headers = cast(ClientHeaders, first.headers())
    assert headers[: len(HOSTILE_HEADERS)] == HOSTILE_HEADERS
    ours = dict(headers[len(HOSTILE_HEADERS) :])
    assert ours.pop(PREFIX + "failed_at")
    assert ours == {
        PREFIX + "topic": source_topic.encode(),
        PREFIX + "partition": b"0",
        PREFIX + "offset": b"0",
        PREFIX + "timestamp": b"123456",
        PREFIX + "stage": b"decode",
        PREFIX + "reason": b"truncated",
        PREFIX + "message": b"ends in field amount",
        PREFIX + "group": b"fraud-scorer",
        PREFIX + "model.name": b"fraud",
        PREFIX + "model.version": b"7",
        PREFIX + "model.digest": b"ab" * 32,
        PREFIX + "attempts": b"1",
    }


def test_an_event_larger_than_the_client_writes_by_default_becomes_a_dead_letter(
    kafka: Kafka, topics: Topics, open_sink: Open
) -> None:
    roomy = {"max.message.bytes": "5000000"}
    dead_topic = topics.create(1, config=roomy)
    sink = open_sink(kafka.bootstrap_servers, topics.create(1), dead_topic)
    scored = scored_batch([None], rejects=[Reject(0, Status.OVERSIZE, "")])
    # Noise, or compression would make it small.
    value = np.random.default_rng(1).bytes(3_000_000)
    large = scored.records.slice(0, 1)
    object.__setattr__(large, "values", Binary.from_values([value]))
    sink.publish(ScoredBatch(large, scored.scored, scored.payload, scored.rejects))
    flush(sink)
    assert values(kafka.bootstrap_servers, dead_topic) == [value]


def test_an_output_that_the_topic_does_not_take_is_fatal_with_the_remedy(
    kafka: Kafka, topics: Topics, open_sink: Open
) -> None:
    topic = topics.create(1, config={"max.message.bytes": "1000"})
    sink = open_sink(kafka.bootstrap_servers, topic, topics.create(1))
    sink.publish(scored_batch([np.random.default_rng(1).bytes(5000)]))
    with pytest.raises(FatalError, match=rf"topic {topic}.*max\.message\.bytes"):
        flush(sink)


def test_missing_topics_are_all_named_at_the_start(kafka: Kafka, open_sink: Open) -> None:
    with pytest.raises(TopicMissing, match="no-output, no-letters"):
        open_sink(kafka.bootstrap_servers, "no-output", "no-letters")


def late_delivery(sink: KafkaSink, proxy: TcpProxy, wait_s: float) -> None:
    """Publish "old" into a network that holds it back, abandon it, publish "new", and let both through."""
    sink.publish(scored_batch([b"first"] * 5))
    flush(sink)
    proxy.mode = Mode.BLACK_HOLE
    sink.publish(scored_batch([b"old"] * 5))
    sink.begin_flush()
    assert not sink.flushed(0.5)
    sink.abandon()
    assert sink.flushed(0)
    sink.publish(scored_batch([b"new"] * 5))
    assert not sink.flushed(wait_s)
    proxy.mode = Mode.PASS
    flush(sink)
    sink.publish(scored_batch([b"last"] * 5))
    flush(sink)


@pytest.mark.parametrize("wait_s", [0.1, 3.0], ids=["connection-goes-on", "connection-given-up"])
def test_what_was_abandoned_never_arrives_behind_its_repetition(
    local_kafka: LocalKafka, kafka_proxy: TcpProxy, open_sink: Open, wait_s: float
) -> None:
    topics = Topics(local_kafka.bootstrap_servers)
    topic = topics.create(1)
    # With a socket timeout of 1 s the client gives the silent connection up; its bytes arrive all the same, later.
    sink = open_sink(kafka_proxy.address, topic, topics.create(1), client={"socket.timeout.ms": 1000})
    late_delivery(sink, kafka_proxy, wait_s)
    found = values(local_kafka.bootstrap_servers, topic)
    without_old = [value for value in found if value != b"old"]
    assert without_old == [b"first"] * 5 + [b"new"] * 5 + [b"last"] * 5
    if b"old" in found:
        assert found == [b"first"] * 5 + [b"old"] * 5 + without_old[5:]


def test_a_broker_that_comes_back_in_time_costs_nothing(
    start_kafka: Callable[..., LocalKafka], open_sink: Open
) -> None:
    broker = start_kafka(heap="256m")
    topics = Topics(broker.bootstrap_servers)
    topic = topics.create(1)
    sink = open_sink(broker.bootstrap_servers, topic, topics.create(1), publish_timeout_s=60)
    sink.publish(scored_batch([b"%d" % number for number in range(100)]))
    flush(sink)
    broker.kill_node()
    sink.publish(scored_batch([b"%d" % number for number in range(100, 200)]))
    assert not sink.flushed(0.5)
    broker.start_node()
    flush(sink, timeout_s=60)
    assert values(broker.bootstrap_servers, topic) == [b"%d" % number for number in range(200)]


def test_a_broker_that_stays_away_fails_the_flush_and_the_sink_goes_on_afterwards(
    start_kafka: Callable[..., LocalKafka], open_sink: Open
) -> None:
    broker = start_kafka(heap="256m")
    topics = Topics(broker.bootstrap_servers)
    topic = topics.create(1)
    sink = open_sink(broker.bootstrap_servers, topic, topics.create(1), publish_timeout_s=2)
    sink.publish(scored_batch([b"before"]))
    flush(sink)
    broker.kill_node()
    sink.publish(scored_batch([b"failed"]))
    with pytest.raises(SinkUnavailable, match=topic):
        flush(sink)
    assert sink.flushed(0)
    broker.start_node()
    publish_again(sink)
    assert values(broker.bootstrap_servers, topic)[-1] == b"again"


def publish_again(sink: KafkaSink) -> None:
    """Publish until it works, as the pipeline does."""
    deadline = Deadline.after(30, CLOCK.monotonic())
    while not deadline.passed(CLOCK.monotonic()):
        sink.publish(scored_batch([b"again"]))
        with contextlib.suppress(SinkUnavailable):
            flush(sink)
            return
    raise AssertionError("the broker is back and nothing was delivered")
