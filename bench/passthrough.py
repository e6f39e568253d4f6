"""What the Kafka client itself costs: CPU per event of passing bytes through, from one topic to another.

Rule: every variant passes the same events through the same broker, one variant after the other within a round, so that
what the machine does meanwhile meets all of them. Values, keys and timestamps are kept, offsets are committed once a
second. Only ratios within a run mean something.

    python -m bench.passthrough --bootstrap localhost:9092

Variants: ``librdkafka`` and ``confluent`` are the two clients of `stream_infer.kafka.client`; ``plain`` is the loop
that confluent-kafka's documentation shows, with its best settings and no columns: the floor of what can be had with it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from stream_infer.clock import SystemClock
from stream_infer.kafka.admin import KafkaAdmin, TopicSpec
from stream_infer.kafka.client import ConsumerClient, Outgoing, ProducerClient
from stream_infer.kafka.confluent_client import ConfluentConsumer, ConfluentProducer
from stream_infer.kafka.native_consumer import NativeConsumer
from stream_infer.kafka.native_producer import NativeProducer
from stream_infer.kafka.properties import admin_properties, consumer_properties, producer_properties
from stream_infer.types import Records

_PARTITIONS = 4
_BATCH = 500
_COMMIT_INTERVAL_S = 1.0
_FULL_QUEUE_WAIT_S = 0.05
_TIMEOUT_S = 60.0


class Run:
    """One variant, once: ``passed`` events took ``cpu_s`` seconds of CPU and ``wall_s`` on the clock."""

    def __init__(self, bootstrap_servers: str, topics: tuple[str, str], count: int) -> None:
        self.source, self.target = topics
        self.count = count
        self.consumer_properties = consumer_properties(
            bootstrap_servers, {}, client_id="bench", group_id=f"bench-{uuid.uuid4().hex[:8]}"
        )
        self.producer_properties = producer_properties(bootstrap_servers, {}, client_id="bench", publish_timeout_s=30)
        self.cpu_s = self.wall_s = 0.0

    def partitions(self) -> list[TopicPartition]:
        """Where reading starts."""
        return [TopicPartition(self.source, partition, 0) for partition in range(_PARTITIONS)]

    def measure(self, step: Callable[[], int], checkpoint: Callable[[], None]) -> None:
        """Make steps, which return how many events they passed, until all are through.

        Raises:
            TimeoutError: events are missing.
        """
        passed = step()
        cpu_at, began_at = time.process_time(), time.monotonic()
        first, checkpoint_at = passed, began_at
        while passed < self.count:
            passed += step()
            now = time.monotonic()
            if now - checkpoint_at > _COMMIT_INTERVAL_S:
                checkpoint()
                checkpoint_at = now
            if now - began_at > _TIMEOUT_S:
                raise TimeoutError(f"{passed} of {self.count} events came through")
        checkpoint()
        self.cpu_s = (time.process_time() - cpu_at) / (passed - first)
        self.wall_s = (time.monotonic() - began_at) / (passed - first)


def _ignore(*_told: Any) -> None:
    """Nothing is expected to go wrong; what does shows in the count."""


def with_librdkafka(run: Run) -> None:
    """Through the clients on librdkafka's C API."""
    consumer = NativeConsumer(run.consumer_properties, on_error=_ignore, on_commit=_ignore)
    _pass_columns(run, consumer, NativeProducer(run.producer_properties, on_error=_ignore, on_failed=_ignore))


def with_confluent(run: Run) -> None:
    """Through the clients on confluent-kafka's classes."""
    consumer = ConfluentConsumer(run.consumer_properties, on_error=_ignore, on_commit=_ignore)
    _pass_columns(run, consumer, ConfluentProducer(run.producer_properties, on_error=_ignore, on_failed=_ignore))


def _pass_columns(run: Run, consumer: ConsumerClient, producer: ProducerClient) -> None:
    def step() -> int:
        records = consumer.fetch(_BATCH, 0.1).records
        if records is None:
            return 0
        _produce(producer, run.target, records)
        producer.poll(0)
        return len(records)

    def checkpoint() -> None:
        producer.flush(30)
        consumer.commit(consumer.position(run.partitions()))

    consumer.assign(run.partitions())
    run.measure(step, checkpoint)
    consumer.close()


def _produce(producer: ProducerClient, topic: str, records: Records) -> None:
    outgoing = Outgoing(records.values, records.keys, np.full(len(records), -1, np.int32), records.timestamp_ms)
    rows = np.arange(len(records))
    while len(rows):
        taken, _ = producer.produce(topic, outgoing, rows)
        rows = rows[taken:]
        if len(rows):
            producer.flush(_FULL_QUEUE_WAIT_S)


def plain(run: Run) -> None:
    """The usual loop over confluent-kafka's classes."""
    consumer, producer = Consumer(dict(run.consumer_properties)), Producer(dict(run.producer_properties))

    def produce(message: Any) -> None:
        timestamp_ms = message.timestamp()[1]
        producer.produce(run.target, message.value(), message.key(), timestamp=timestamp_ms)

    def step() -> int:
        messages = consumer.consume(_BATCH, 0.1)
        for message in messages:
            try:
                produce(message)
            except BufferError:
                producer.flush(_FULL_QUEUE_WAIT_S)
                produce(message)
        producer.poll(0)
        return len(messages)

    def checkpoint() -> None:
        producer.flush(30)
        consumer.commit(offsets=consumer.position(run.partitions()), asynchronous=True)

    consumer.assign(run.partitions())
    run.measure(step, checkpoint)
    consumer.close()


VARIANTS: Mapping[str, Callable[[Run], None]] = {
    "librdkafka": with_librdkafka,
    "confluent": with_confluent,
    "plain": plain,
}


def fill(bootstrap_servers: str, topic: str, count: int, value_bytes: int) -> None:
    """Write ``count`` different events with keys of eight bytes."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 20, "compression.type": "lz4"})
    noise = np.random.default_rng(5).bytes(count + value_bytes)
    for number in range(count):
        while True:
            try:
                producer.produce(topic, noise[number : number + value_bytes], b"%08d" % number)
            except BufferError:
                producer.poll(0.1)
            else:
                break
    if producer.flush(60):
        raise TimeoutError("the events could not be written")


def main() -> int:
    """Measure, and print a line a variant."""
    parser = argparse.ArgumentParser(prog="python -m bench.passthrough", description=__doc__.splitlines()[0])
    parser.add_argument("--bootstrap", required=True, help="host:port of a broker")
    parser.add_argument("--events", type=int, default=300_000, help="events a run")
    parser.add_argument("--value-bytes", type=int, default=89, help="size of a value")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    admin = KafkaAdmin(admin_properties(options.bootstrap, {}, client_id="bench"), SystemClock())
    name = f"bench-{uuid.uuid4().hex[:8]}"
    topics = (f"{name}-in", f"{name}-out")
    admin.create_topics([TopicSpec(topic, _PARTITIONS) for topic in topics])
    fill(options.bootstrap, topics[0], options.events, options.value_bytes)
    cpu_us: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for _ in range(options.rounds):
        for variant, pass_through in VARIANTS.items():
            run = Run(options.bootstrap, topics, options.events)
            pass_through(run)
            cpu_us[variant].append(1e6 * run.cpu_s)
            print(
                f"{variant:12s} {1e6 * run.cpu_s:6.2f} us of CPU an event, {1 / run.wall_s:9,.0f} events/s", flush=True
            )
    for variant, measured in cpu_us.items():
        ratios = [ours / floor for ours, floor in zip(measured, cpu_us["plain"], strict=True)]
        print(f"{variant:12s} median {statistics.median(measured):6.2f} us, {statistics.median(ratios):5.2f} of plain")
    return 0


if __name__ == "__main__":
    sys.exit(main())
