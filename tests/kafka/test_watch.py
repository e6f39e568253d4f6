from __future__ import annotations

import logging

import pytest
from confluent_kafka import KafkaError

from stream_infer.errors import NotAuthorized
from stream_infer.kafka.watch import ConnectionWatch

REFUSED = KafkaError(KafkaError._AUTHENTICATION, "wrong password")
TRANSPORT = KafkaError(KafkaError._TRANSPORT, "Connection refused")
DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")


def test_a_refusal_before_the_first_contact_is_final() -> None:
    watch = ConnectionWatch("b:9092")
    watch(REFUSED)
    refusal = watch.refusal()
    assert isinstance(refusal, NotAuthorized)
    assert "b:9092" in str(refusal)


def test_a_refusal_after_the_first_contact_is_bad_weather() -> None:
    watch = ConnectionWatch("b:9092")
    watch.answered()
    watch(REFUSED)
    assert watch.refusal() is None


def test_a_fatal_error_ends_the_process_at_any_time() -> None:
    watch = ConnectionWatch("b:9092")
    watch.answered()
    watch(KafkaError(KafkaError._FENCED, "fenced", fatal=True))
    assert watch.refusal() is not None


def test_an_outage_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    watch = ConnectionWatch("b:9092")
    with caplog.at_level(logging.INFO, "stream_infer.kafka"):
        for error in (TRANSPORT, DOWN, TRANSPORT, DOWN):
            watch(error)
            watch.silent()
        assert watch.down
        watch.answered()
        watch.answered()
    assert not watch.down
    assert [record.getMessage() for record in caplog.records] == [
        "all brokers became unreachable",
        "brokers were reached again",
    ]


def test_old_news_of_an_outage_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    watch = ConnectionWatch("b:9092")
    with caplog.at_level(logging.INFO, "stream_infer.kafka"):
        watch(DOWN)
        watch.answered()
    assert caplog.records == []


def test_messages_that_were_fetched_before_an_outage_are_no_sign_of_life() -> None:
    watch = ConnectionWatch("b:9092")
    watch(DOWN)
    watch.received()
    assert watch.down
    watch.silent()
    watch.received()
    assert not watch.down, "they came after a question that nobody answered"


def test_the_reason_quotes_the_last_error() -> None:
    watch = ConnectionWatch("b:9092")
    watch(TRANSPORT)
    watch(DOWN)
    assert watch.reason() == "no broker answers at b:9092: Connection refused (_TRANSPORT)"
