"""The fates of records, read off a real broker's files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from integration.faults.log_dump import RecordFate, read_fates
from integration.local_kafka import LocalKafka
from integration.topics import Topics

TIMEOUT_S = 30.0
FORGED = b"x\nDumping /data/t-0/0.log\n| offset: 0 endTxnMarker: ABORT "


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker whose files are within reach, with segments so small that every log has several."""
    settings = {"log.segment.bytes": str(1 << 20)}
    with LocalKafka(tmp_path_factory.mktemp("kafka"), heap="256m", settings=settings) as running:
        yield running


def transactional(broker: LocalKafka, name: str) -> Producer:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": name, "linger.ms": 0})
    producer.init_transactions(TIMEOUT_S)
    producer.begin_transaction()
    return producer


def send(producer: Producer, topic: str, values: list[bytes | None], partition: int = 0) -> None:
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(TIMEOUT_S) == 0


def outcomes(fates: dict[tuple[int, int], RecordFate], partition: int = 0) -> list[tuple[int, str]]:
    return [(offset, fate.outcome) for (of, offset), fate in sorted(fates.items()) if of == partition]


def test_every_record_has_the_fate_that_its_transaction_met(broker: LocalKafka) -> None:
    topic = Topics(broker.bootstrap_servers).create(2)
    producer = transactional(broker, f"{topic}-a")
    send(producer, topic, [b"0", FORGED, None])
    send(producer, topic, [b"elsewhere"], partition=1)
    producer.commit_transaction(TIMEOUT_S)  # the marker takes offset 3
    producer.begin_transaction()
    send(producer, topic, [b"4", b"5"])
    producer.abort_transaction(TIMEOUT_S)  # 6
    send(Producer({"bootstrap.servers": broker.bootstrap_servers, "enable.idempotence": True}), topic, [b"7"])
    unfinished = transactional(broker, f"{topic}-b")
    send(unfinished, topic, [b"8"])

    fates = read_fates(broker.data_directory(), [topic])[topic]
    committed, aborted = [(n, "committed") for n in (0, 1, 2)], [(n, "aborted") for n in (4, 5)]
    assert outcomes(fates) == [*committed, *aborted, (7, "plain"), (8, "open")]
    assert outcomes(fates, partition=1) == [(0, "committed")]
    writers = [fates[0, offset].producer_id for offset in (0, 4, 7, 8)]
    assert writers[0] == writers[1] == fates[1, 0].producer_id
    assert len(set(writers[1:])) == 3
    assert min(writers) >= 0
    assert {fate.epoch for fate in fates.values()} == {0}


def test_what_a_dead_producer_left_open_is_aborted_by_its_successor(broker: LocalKafka) -> None:
    topic = Topics(broker.bootstrap_servers).create()
    first = transactional(broker, f"{topic}-x")
    send(first, topic, [b"0"])
    second = transactional(broker, f"{topic}-x")  # the marker takes offset 1, with a newer epoch
    send(second, topic, [b"2"])
    second.commit_transaction(TIMEOUT_S)

    fates = read_fates(broker.data_directory(), [topic])[topic]
    assert outcomes(fates) == [(0, "aborted"), (2, "committed")]
    assert fates[0, 0].producer_id == fates[0, 2].producer_id
    assert fates[0, 0].epoch < fates[0, 2].epoch


def test_a_transaction_may_span_segments(broker: LocalKafka) -> None:
    topics = Topics(broker.bootstrap_servers)
    topic, empty = topics.create(), topics.create()
    producer = transactional(broker, f"{topic}-long")
    for _ in range(4):
        send(producer, topic, [bytes(400_000)])
    producer.commit_transaction(TIMEOUT_S)

    directory = broker.data_directory()
    assert len(list(Path(directory, f"{topic}-0").glob("*.log"))) > 1
    fates = read_fates(directory, [topic, empty])
    assert outcomes(fates[topic]) == [(offset, "committed") for offset in range(4)]
    assert fates[empty] == {}


def test_a_topic_that_the_node_does_not_hold_is_named(broker: LocalKafka) -> None:
    with pytest.raises(FileNotFoundError, match="no partition of topic nowhere"):
        read_fates(broker.data_directory(), ["nowhere"])
