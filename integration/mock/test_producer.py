"""The plain producer: everything arrives, and nothing fails in silence."""

from __future__ import annotations

import pytest

from stream_infer.errors import SinkUnavailable
from stream_infer.kafka.mock import MockCluster
from stream_infer.kafka.producer import EventProducer


def test_what_is_sent_is_acknowledged() -> None:
    with MockCluster({"payments": 2}) as cluster:
        producer = EventProducer(cluster.bootstrap_servers, "payments")
        for number in range(100):
            producer.send(b"key", str(number).encode(), timestamp_ms=1_800_000_000_000)
        producer.serve()
        producer.flush(timeout_s=10)


def test_an_event_that_is_not_delivered_is_an_error() -> None:
    with MockCluster({"payments": 1}) as cluster:
        address = cluster.bootstrap_servers
    producer = EventProducer(address, "payments", publish_timeout_s=0.2)
    producer.send(b"key", b"value", timestamp_ms=1_800_000_000_000)
    with pytest.raises(SinkUnavailable, match="producing topic payments failed"):
        producer.flush(timeout_s=10)
