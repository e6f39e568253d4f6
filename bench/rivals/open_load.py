"""A load that does not wait for its subject, and how long after an event its score was written.

Rule: both topics have ``LogAppendTime``, so the broker's one clock stamps events and scores when they are written, and
no subject can be kind to itself. Every event is sent when it is due, whether or not the subject keeps up.

Keys decide the partition, and all who are compared keep key and order: what is n-th in a partition of the output
answers what is n-th in that partition of the input. Only times are looked at here; that scores are right is shown by
`bench.rivals.runner`.
"""

from __future__ import annotations

import math
import time

import numpy as np
from confluent_kafka import KafkaError, TopicPartition

from bench.rivals.events import Events
from integration import support_log
from integration.topics import unique_name
from stream_infer.kafka.client import Outgoing
from stream_infer.kafka.native_consumer import NativeConsumer
from stream_infer.kafka.native_producer import NativeProducer
from stream_infer.kafka.properties import consumer_properties, producer_properties
from stream_infer.types import Binary, Float64Array, Int64Array

APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
"""Config of both topics."""
_TICK_S = 0.001
_TIMEOUT_S = 60.0
_READ_AT_ONCE = 20_000


def send(bootstrap_servers: str, topic: str, events: Events, due_s: Float64Array) -> float:
    """Send an event for each time, from the first on and again from the first when they are through.

    Args:
        bootstrap_servers: the broker.
        topic: where to.
        events: with keys.
        due_s: when, in seconds from now; ascending.

    Returns by how many seconds the sender itself was late at the worst.

    Raises:
        RuntimeError: the broker does not take them.
    """
    failed: list[KafkaError] = []
    # With the client's own linger: a request for each tick would keep a small broker busy with nothing else.
    properties = producer_properties(bootstrap_servers, {}, client_id="load", publish_timeout_s=_TIMEOUT_S)
    producer = NativeProducer(
        {**properties, "queue.buffering.max.messages": 10_000_000},
        on_error=lambda _error: None,
        on_failed=lambda error, *_place: failed.append(error),
    )
    count = len(events.values)
    outgoing = Outgoing(
        Binary.from_values(events.values),
        Binary.from_values(events.keys),
        np.full(count, -1, np.int32),
        np.zeros(count, np.int64),
    )
    began, sent, late_s = time.monotonic(), 0, 0.0
    while sent < len(due_s):
        now = time.monotonic() - began
        due = int(np.searchsorted(due_s, now, side="right"))
        if due > sent:
            late_s = max(late_s, now - due_s[sent])
            taken, error = producer.produce(topic, outgoing, np.arange(sent, due) % count)
            if error is not None:
                raise RuntimeError(f"the load could not be sent: {error}")
            sent += taken
        producer.poll(0)
        time.sleep(_TICK_S)
    if producer.flush(_TIMEOUT_S) or failed:
        raise RuntimeError(f"the load was not taken: {failed[:1]}")
    return late_s


def append_times_ms(bootstrap_servers: str, topic: str) -> dict[int, Int64Array]:
    """When each record of a partition was written, by partition, in the order of offsets.

    Raises:
        TimeoutError: the topic is not read in a minute.
    """
    ends = support_log.ends(bootstrap_servers, topic)
    properties = consumer_properties(bootstrap_servers, {}, client_id="reader", group_id=unique_name("reader"))
    consumer = NativeConsumer(properties, on_error=lambda _error: None, on_commit=lambda *_answer: None)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
    found: dict[int, list[Int64Array]] = {partition: [] for partition in ends}
    give_up = time.monotonic() + _TIMEOUT_S
    missing = sum(ends.values())
    while missing > 0:
        if time.monotonic() > give_up:
            raise TimeoutError(f"topic {topic} was not read in {_TIMEOUT_S:.0f} s")
        records = consumer.fetch(_READ_AT_ONCE, 0.2).records
        if records is None:
            continue
        for place, split in enumerate(records.splits):
            found[split.partition].append(records.timestamp_ms[records.split_index == place])
        missing -= len(records)
    consumer.close()
    return {partition: np.concatenate(parts) if parts else np.zeros(0, np.int64) for partition, parts in found.items()}


def waits_ms(bootstrap_servers: str, source: str, target: str, warm_up_s: float) -> tuple[Int64Array, Int64Array]:
    """When events were written, and how long after that their scores were; int64 ``[n]`` each, in milliseconds.

    In the order in which they were written. Events of the first ``warm_up_s`` are left out.

    Raises:
        RuntimeError: a partition has not as many scores as events.
    """
    sent, answered = (append_times_ms(bootstrap_servers, topic) for topic in (source, target))
    if any(len(sent[partition]) != len(answered[partition]) for partition in sent):
        raise RuntimeError(f"{target} does not answer {source} event by event")
    at_ms = np.concatenate([sent[partition] for partition in sent])
    waits = np.concatenate([answered[partition] for partition in sent]) - at_ms
    # The very first came alone, to see whether the subject is there; the load began with the second.
    began_ms = np.sort(at_ms)[1] if len(at_ms) > 1 else math.inf
    kept = at_ms >= began_ms + 1000 * warm_up_s
    order = np.argsort(at_ms[kept], kind="stable")
    return at_ms[kept][order], waits[kept][order]
