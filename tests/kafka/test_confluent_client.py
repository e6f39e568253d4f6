"""What confluent-kafka's messages become. The clients themselves are shown on brokers: see integration/."""

from __future__ import annotations

import numpy as np
from confluent_kafka import Message

from stream_infer.kafka.confluent_client import MessageHeaders, to_records
from stream_infer.types import NO_TIMESTAMP, Split


def message(partition: int, offset: int, value: bytes | None = b"v", topic: str = "payments") -> Message:
    return Message(
        topic=topic,
        partition=partition,
        offset=offset,
        key=b"k%d" % offset,
        value=value,
        headers=[("n", b"%d" % offset)],
        timestamp=(1, 1000 + offset),
    )


def test_columns_keep_the_order_of_the_client() -> None:
    records = to_records([message(1, 7), message(0, 2, None), message(1, 8, b"")])
    assert [records.split(row) for row in range(3)] == [
        Split("payments", 1),
        Split("payments", 0),
        Split("payments", 1),
    ]
    assert records.offset.tolist() == [7, 2, 8]
    assert records.timestamp_ms.tolist() == [1007, 1002, 1008]
    assert records.values.to_list() == [b"v", None, b""]
    assert records.keys.to_list() == [b"k7", b"k2", b"k8"]
    assert records.split_index.dtype == np.dtype(np.int32)
    assert records.offset.dtype == np.dtype(np.int64)


def test_partitions_of_different_topics_are_different_splits() -> None:
    assert to_records([message(1, 7), message(1, 7, topic="refunds")]).splits == (
        Split("payments", 1),
        Split("refunds", 1),
    )


def test_a_message_without_a_timestamp_says_so() -> None:
    bare = Message(topic="payments", partition=0, offset=1, value=b"v", timestamp=(0, -1))
    assert to_records([bare]).timestamp_ms.tolist() == [NO_TIMESTAMP]


def test_headers_follow_their_rows() -> None:
    headers = to_records([message(0, 1), message(0, 2), message(0, 3)]).headers
    assert headers is not None
    assert headers.slice(1, 3)[0] == [("n", b"2")]
    assert headers.take(np.array([2, 0]))[0] == [("n", b"3")]
    assert headers.slice(0, 1).concat([headers.slice(2, 3)])[1] == [("n", b"3")]


def test_a_message_without_headers_has_an_empty_list() -> None:
    assert MessageHeaders([Message(topic="payments", partition=0, offset=1)])[0] == []
