"""Everything that the client does through librdkafka's C API, some thousand times: for a memory checker to watch.

Rule: run as a process of its own by `integration.proof_valgrind`, against a broker that is told on the command line. It
checks what comes back, so that a run that did nothing cannot pass.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Sequence

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from stream_infer.kafka.client import Outgoing
from stream_infer.kafka.native_consumer import NativeConsumer
from stream_infer.kafka.native_producer import NativeProducer
from stream_infer.kafka.properties import Properties
from stream_infer.types import Binary, Records

EVENTS = 1500
PARTITIONS = 4
"""Of a topic that the mock cluster makes when it is asked for."""
_TIMEOUT_S = 300.0


def publish(bootstrap_servers: str, topic: str) -> None:
    """Values and keys of every kind, with and without headers; then some that are dropped."""
    properties: Properties = {"bootstrap.servers": bootstrap_servers, "linger.ms": 5}
    producer = NativeProducer(properties, on_error=_ignore, on_failed=_ignore)
    outgoing = Outgoing(
        Binary.from_values([None if row % 7 == 0 else bytes(row % 300) for row in range(EVENTS)]),
        Binary.from_values([None if row % 5 == 0 else b"key-%d" % row for row in range(EVENTS)]),
        np.arange(EVENTS, dtype=np.int32) % PARTITIONS,
        np.arange(EVENTS, dtype=np.int64) + 1000,
    )
    plain, with_headers = np.arange(EVENTS - 100), np.arange(EVENTS - 100, EVENTS)
    assert producer.produce(topic, outgoing, plain) == (len(plain), None)
    assert producer.produce(topic, outgoing, with_headers, [("reason", b"bad"), ("none", None)]) == (100, None)
    deadline = time.monotonic() + _TIMEOUT_S
    while producer.flush(1.0):
        assert time.monotonic() < deadline, "not acknowledged"
    producer.produce(f"{topic}-dropped", outgoing, plain[:50])
    producer.purge()
    producer.poll(0.1)


def consume(bootstrap_servers: str, topic: str) -> None:
    """Join a group, read, look at headers, pause, resume, seek, commit, ask; leave."""
    group_id = f"group-{uuid.uuid4().hex[:8]}"
    properties: Properties = {
        "bootstrap.servers": bootstrap_servers,
        "group.id": group_id,
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "partition.assignment.strategy": "cooperative-sticky",
    }
    owned: list[TopicPartition] = []
    answers: list[object] = []
    consumer = NativeConsumer(properties, on_error=_ignore, on_commit=lambda *answer: answers.append(answer))

    def assigned(partitions: list[TopicPartition]) -> None:
        begins = [TopicPartition(one.topic, one.partition, OFFSET_BEGINNING) for one in partitions]
        owned.extend(begins)
        consumer.incremental_assign(begins)

    consumer.subscribe([topic], on_assign=assigned, on_revoke=consumer.incremental_unassign, on_lost=_ignore)
    records = _read(consumer, EVENTS)
    assert sum(value is None for value in records.values.to_list()) == len(range(0, EVENTS, 7))
    assert records.headers is not None
    assert records.headers.present().sum() == 100
    assert sum(len(records.headers[row]) for row in range(len(records))) == 200
    consumer.pause(owned)
    consumer.resume(owned)
    for partition in owned:
        consumer.seek(TopicPartition(topic, partition.partition, 0))
    _read(consumer, EVENTS)
    consumer.commit([TopicPartition(topic, one.partition, 10, metadata="note") for one in owned])
    deadline = time.monotonic() + _TIMEOUT_S
    while not answers:
        assert time.monotonic() < deadline, "no answer to a commit"
        consumer.fetch(10, 0.1)
    assert {one.offset for one in consumer.committed(owned, 30.0)} == {10}
    assert all(one.offset > 0 for one in consumer.position(owned))
    assert all(consumer.cached_end(topic, one.partition) > 0 for one in owned)
    assert group_id.encode() in consumer.consumer_group_metadata()
    consumer.probe(topic, 30.0)
    consumer.close()


def _read(consumer: NativeConsumer, count: int) -> Records:
    parts: list[Records] = []
    deadline = time.monotonic() + _TIMEOUT_S
    while sum(map(len, parts)) < count:
        assert time.monotonic() < deadline, "not everything came"
        records = consumer.fetch(512, 0.2).records
        if records is not None:
            parts.append(records)
    return Records.concat(parts)


def _ignore(*_told: object) -> None:
    """What goes wrong shows in what comes back."""


def main(arguments: Sequence[str]) -> int:
    """Twice: what the first run leaves behind by design, the second does not add to."""
    for _ in range(2):
        topic = f"workout-{uuid.uuid4().hex[:8]}"
        publish(arguments[0], topic)
        consume(arguments[0], topic)
    print(f"{2 * EVENTS} events went there and back")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
