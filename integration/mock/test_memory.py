"""Whatever passes through the clients is given back: memory stays where it was."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import psutil

from integration.mock.rig import Event, Listener
from stream_infer.kafka.client import Outgoing
from stream_infer.kafka.native_producer import NativeProducer
from stream_infer.kafka.properties import Properties
from stream_infer.kafka.source import KafkaSource
from stream_infer.types import Binary, Records

ROUNDS = 20
VALUE_BYTES = 1000
ALLOWED_BYTES = 6_000_000
"""Growth that is no leak: allocators keep some. A leak of every message would be ten times as much or more."""


def growth(work: Callable[[], object]) -> int:
    """Bytes by which memory grew over `ROUNDS` rounds, after half as many to settle."""
    for _ in range(ROUNDS // 2):
        work()
    before = psutil.Process().memory_info().rss
    for _ in range(ROUNDS):
        work()
    return int(psutil.Process().memory_info().rss - before)


def test_reading_again_and_again_takes_no_more_memory(
    produce: Callable[[Sequence[Event]], str],
    open_source: Callable[..., tuple[KafkaSource, Listener]],
    read_all: Callable[..., Records | None],
) -> None:
    headers = [("trace", bytes(100)), ("null", None)]
    events: list[Event] = [(b"k%d" % i, bytes(VALUE_BYTES), i % 4, headers) for i in range(4000)]
    source, listener = open_source(produce(events), "memory")
    read_all(source)

    def read_once_more() -> None:
        source.rewind(dict.fromkeys(listener.owned, 0))
        # The splits have new generations, under which a listener hears nothing.
        listener.owned = list(source.positions())
        records = read_all(source)
        assert records is not None
        assert len(records) == len(events)

    assert growth(read_once_more) < ALLOWED_BYTES


def test_publishing_takes_no_more_memory(bootstrap_servers: str) -> None:
    def fail(*told: Any) -> None:
        raise AssertionError(told)

    count = 4000
    topic = f"memory-{uuid.uuid4().hex[:8]}"
    outgoing = Outgoing(
        Binary.from_values([bytes(VALUE_BYTES)] * count),
        Binary.from_values([b"k"] * count),
        np.full(count, -1, np.int32),
        np.full(count, 5000, np.int64),
    )
    properties: Properties = {
        "bootstrap.servers": bootstrap_servers,
        "delivery.report.only.error": True,
        "linger.ms": 0,
    }
    producer = NativeProducer(properties, on_error=lambda _error: None, on_failed=fail)

    def publish_once_more() -> None:
        assert producer.produce(topic, outgoing, np.arange(count)) == (count, None)
        some = np.arange(100)
        assert producer.produce(topic, outgoing, some, [("reason", b"malformed"), ("null", None)]) == (100, None)
        while producer.flush(1):
            pass

    assert growth(publish_once_more) < ALLOWED_BYTES
