from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_infer.errors import FatalError
from stream_infer.kafka import librdkafka
from stream_infer.kafka.librdkafka import check, check_error, milliseconds, partition_list, read_partitions


class Other:
    """A library of another version."""

    def __init__(self, version: int) -> None:
        self.rd_kafka_version = lambda: version


@pytest.fixture
def opened_afresh() -> Iterator[None]:
    librdkafka.library.cache_clear()
    yield
    librdkafka.library.cache_clear()


@pytest.mark.usefixtures("opened_afresh")
@pytest.mark.parametrize("version", [0x020F00FF, 0x030000FF])
def test_a_version_that_nobody_looked_at_is_refused(monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    monkeypatch.setattr(librdkafka, "_opened", lambda: Other(version))
    said = f"librdkafka {version >> 24}.{version >> 16 & 255} is not known here: install the version of confluent-kafka"
    with pytest.raises(FatalError, match=said):
        librdkafka.library()


@pytest.mark.usefixtures("opened_afresh")
@pytest.mark.parametrize("error", [OSError("no such file"), AttributeError("undefined symbol: rd_kafka_produceva")])
def test_a_library_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def missing() -> Any:
        raise error

    monkeypatch.setattr(librdkafka, "_opened", missing)
    with pytest.raises(FatalError, match=f"not found in confluent-kafka .{error}.: install"):
        librdkafka.library()


def test_partitions_go_there_and_back() -> None:
    sent = [TopicPartition("payments", 3, 7, metadata="läuft"), TopicPartition("refunds", 0, -1001)]
    with partition_list(sent) as made:
        found = read_partitions(made)
    told = [(p.topic, p.partition, p.offset, p.metadata, p.error) for p in found]
    assert told == [("payments", 3, 7, "läuft", None), ("refunds", 0, -1001, "", None)]


def test_a_partitions_error_is_read() -> None:
    with partition_list([TopicPartition("payments", 3)]) as made:
        made.contents.elems[0].err = KafkaError.TOPIC_AUTHORIZATION_FAILED
        [found] = read_partitions(made)
    assert found.error is not None
    assert found.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_no_list_holds_no_partitions() -> None:
    assert read_partitions(None) == []


def test_a_code_is_raised_in_the_librarys_words() -> None:
    check(0)
    with pytest.raises(KafkaException, match="Local: Timed out"):
        check(KafkaError._TIMED_OUT)


def test_an_error_is_raised_with_its_flags() -> None:
    check_error(None)
    producer = librdkafka.new_client(librdkafka.PRODUCER, {}, {})
    with pytest.raises(KafkaException) as raised:
        check_error(librdkafka.library().rd_kafka_begin_transaction(producer))
    librdkafka.library().rd_kafka_destroy(producer)
    error = raised.value.args[0]
    assert error.code() == KafkaError._NOT_CONFIGURED
    assert not error.retriable()
    assert not error.txn_requires_abort()


class OneError:
    """The functions that read an ``rd_kafka_error_t``, which has one of the flags."""

    def __init__(self, flag: str) -> None:
        self.flag = flag
        self.destroyed: list[int] = []

    def rd_kafka_error_code(self, _address: int) -> int:
        return KafkaError._TIMED_OUT

    def rd_kafka_error_string(self, _address: int) -> bytes:
        return b"too late"

    def rd_kafka_error_is_fatal(self, _address: int) -> int:
        return self.flag == "fatal"

    def rd_kafka_error_is_retriable(self, _address: int) -> int:
        return self.flag == "retriable"

    def rd_kafka_error_txn_requires_abort(self, _address: int) -> int:
        return self.flag == "txn_requires_abort"

    def rd_kafka_error_destroy(self, address: int) -> None:
        self.destroyed.append(address)


@pytest.mark.parametrize("flag", ["fatal", "retriable", "txn_requires_abort"])
def test_each_flag_is_told_from_the_others(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = OneError(flag)
    monkeypatch.setattr(librdkafka, "library", lambda: known)
    error = librdkafka.take_error(17)
    flags = {"fatal": error.fatal(), "retriable": error.retriable(), "txn_requires_abort": error.txn_requires_abort()}
    assert [name for name, is_set in flags.items() if is_set] == [flag]
    assert (error.code(), error.str()) == (KafkaError._TIMED_OUT, "too late")
    assert known.destroyed == [17]


@pytest.mark.parametrize("settings", [{"no.such": "property"}, {"socket.timeout.ms": "soon"}])
def test_a_property_that_is_refused_is_named(settings: dict[str, str]) -> None:
    with pytest.raises(KafkaException, match=next(iter(settings))):
        librdkafka.new_client(librdkafka.PRODUCER, settings, {})


def test_properties_that_contradict_each_other_are_refused() -> None:
    settings = {"enable.idempotence": "true", "acks": "0"}
    with pytest.raises(KafkaException, match="acks"):
        librdkafka.new_client(librdkafka.PRODUCER, settings, {})


def test_timeouts_are_whole_milliseconds() -> None:
    assert [milliseconds(s) for s in (0.0, 0.0004, 0.25, -1.0, float("inf"))] == [0, 0, 250, 0, -1]
