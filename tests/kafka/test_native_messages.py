"""How messages of librdkafka become what a fetch gives, and that each of them is given back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError

from stream_infer.kafka import librdkafka
from stream_infer.kafka.client import Fetched, Report
from stream_infer.kafka.native_consumer import _Messages
from stream_infer.kernels import kafka_messages
from stream_infer.types import NO_TIMESTAMP, Split
from tests.kafka.fake_messages import FakeLibrary, Given

TOPICS = {7: b"payments", 9: b"refunds"}


class Names:
    """The functions that are not called by kernels."""

    def rd_kafka_topic_name(self, rkt: int) -> bytes:
        return TOPICS[rkt]

    def rd_kafka_message_errstr(self, message: int) -> bytes:
        return b"Broker: offset out of range"


Collect = Callable[..., tuple[Fetched, FakeLibrary]]


@pytest.fixture
def collect(monkeypatch: pytest.MonkeyPatch) -> Collect:
    """What a fetch makes of these messages."""

    def through_columns(*given: Given) -> tuple[Fetched, FakeLibrary]:
        fake = FakeLibrary(given)
        timestamp, headers, header = fake.functions.tolist()
        addresses = {
            "message_timestamp": timestamp,
            "message_headers": headers,
            "header_get_all": header,
            "message_destroy": fake.destroy,
        }
        monkeypatch.setattr(librdkafka, "library", Names)
        monkeypatch.setattr(librdkafka, "address_of", addresses.__getitem__)
        messages = _Messages()
        messages.reserve(len(given) + 5)
        messages._pointers[: len(given)] = fake.pointers
        try:
            return messages.collect(len(given)), fake
        finally:
            assert sorted(fake.destroyed) == list(range(len(given))), "every message is given back, once"

    return through_columns


def test_messages_become_columns(collect: Collect) -> None:
    given = [
        Given(b"one", b"k", (7, 3), 41, 1000, [(b"trace", b"\xff")]),
        Given(None, None, (9, 3), 42, NO_TIMESTAMP),
        Given(b"", b"", (7, 3), 43, 1001),
    ]
    fetched, _ = collect(*given)
    records = fetched.records
    assert records is not None
    assert records.values.to_list() == [b"one", None, b""]
    assert records.keys.to_list() == [b"k", None, b""]
    assert [records.split(row) for row in range(3)] == [Split("payments", 3), Split("refunds", 3), Split("payments", 3)]
    assert records.offset.tolist() == [41, 42, 43]
    assert records.timestamp_ms.tolist() == [1000, NO_TIMESTAMP, 1001]
    assert records.headers is not None
    assert [records.headers[row] for row in range(3)] == [[("trace", b"\xff")], [], []]
    assert fetched.reports == ()


def test_a_column_without_nulls_says_so(collect: Collect) -> None:
    records = collect(Given(b"v", b"k"), Given(b"", b""))[0].records
    assert records is not None
    assert records.values.valid is None
    assert records.keys.valid is None


def test_nothing_points_into_messages_that_are_gone(collect: Collect) -> None:
    fetched, fake = collect(Given(b"value", b"key", headers=[(b"name", b"text")]))
    for buffer in fake.buffers:
        buffer.raw = b"\xaa" * len(buffer)
    assert fetched.records is not None
    assert fetched.records.headers is not None
    assert (fetched.records.values[0], fetched.records.keys[0]) == (b"value", b"key")
    assert fetched.records.headers[0] == [("name", b"text")]


def test_errors_are_reports_and_the_rest_are_records(collect: Collect) -> None:
    gone = KafkaError._AUTO_OFFSET_RESET
    fetched, _ = collect(Given(b"a", place=(7, 0)), Given(b"", place=(9, 2), error=gone), Given(b"b", place=(7, 1)))
    assert fetched.records is not None
    assert fetched.records.values.to_list() == [b"a", b"b"]
    assert fetched.records.splits == (Split("payments", 0), Split("payments", 1))
    [report] = fetched.reports
    assert (report.error.code(), report.error.str()) == (gone, "Broker: offset out of range")
    assert report[1:] == ("refunds", 2)


def test_an_error_that_concerns_no_topic(collect: Collect) -> None:
    fetched, _ = collect(Given(None, place=(0, 0), error=KafkaError._MAX_POLL_EXCEEDED))
    assert fetched.records is None
    assert [report[1:] for report in fetched.reports] == [("", -1)]
    assert isinstance(fetched.reports[0], Report)


def test_messages_are_given_back_even_if_there_is_no_memory_for_columns(
    collect: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(kafka_messages, "measure", refuse)
    with pytest.raises(MemoryError):
        collect(Given(b"a"), Given(b"b"))
