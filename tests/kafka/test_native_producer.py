"""The producer on librdkafka's C API, without any broker: what is queued, refused and purged."""

from __future__ import annotations

import ctypes
import gc
import logging
import threading
import weakref

import numpy as np
import pytest
from confluent_kafka import KafkaError, KafkaException

from stream_infer.clock import SystemClock
from stream_infer.kafka import librdkafka
from stream_infer.kafka.client import Outgoing
from stream_infer.kafka.client_log import LOGGER_NAME
from stream_infer.kafka.dead_letters import ClientHeaders
from stream_infer.kafka.native_producer import NativeProducer, _column
from stream_infer.kafka.properties import PropertyValue
from stream_infer.types import Binary

Failed = list[tuple[int, str, int]]


def outgoing(count: int, nbytes: int = 10) -> Outgoing:
    values = Binary.from_values([bytes(nbytes)] * count)
    keys = Binary.from_values([None if row % 2 else b"k%d" % row for row in range(count)])
    return Outgoing(values, keys, np.full(count, -1, np.int32), np.zeros(count, np.int64))


def everything(count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.arange(count, dtype=np.int64)


def make(failed: Failed | None = None, **more: PropertyValue) -> NativeProducer:
    def on_failed(error: KafkaError, topic: str, partition: int) -> None:
        if failed is not None:
            failed.append((error.code(), topic, partition))

    properties = {name.replace("_", "."): value for name, value in more.items()}
    return NativeProducer(properties, on_error=lambda _error: None, on_failed=on_failed)


def drain(producer: NativeProducer) -> None:
    deadline = SystemClock().monotonic() + 5
    while len(producer):
        assert SystemClock().monotonic() < deadline
        producer.poll(0.01)


def test_the_named_rows_are_queued() -> None:
    failed: Failed = []
    producer = make(failed)
    assert producer.produce("scored", outgoing(10), everything(10)[::-1].copy()) == (10, None)
    assert producer.produce("scored", outgoing(10), np.array([3, 3], np.int64)) == (2, None)
    assert len(producer) >= 12
    producer.purge()
    drain(producer)
    assert len(failed) == 12


def test_a_full_queue_says_how_many_were_taken() -> None:
    producer = make(queue_buffering_max_messages=5)
    taken, error = producer.produce("scored", outgoing(8), everything(8))
    assert taken == 5
    assert error is not None
    assert error.code() == KafkaError._QUEUE_FULL


@pytest.mark.parametrize("headers", [None, [("trace", b"\x00"), ("null", None), ("text", "text")]])
def test_a_message_that_is_too_large_stops_the_run_before_it(headers: ClientHeaders | None) -> None:
    producer = make(message_max_bytes=1000)
    large = outgoing(3, 2000)
    small = Binary.from_values([b"small", bytes(2000), b"small"])
    mixed = Outgoing(small, large.keys, large.partitions, large.timestamps_ms)
    taken, error = producer.produce("scored", mixed, everything(3), headers)
    assert taken == 1
    assert error is not None
    assert error.code() == KafkaError.MSG_SIZE_TOO_LARGE


def test_what_is_purged_is_told_with_its_topic() -> None:
    failed: Failed = []
    producer = make(failed, delivery_report_only_error=True)
    producer.produce("scored", outgoing(3), everything(3))
    producer.produce("dead", outgoing(1), everything(1), [("reason", b"malformed")])
    producer.purge()
    drain(producer)
    told = [(KafkaError._PURGE_QUEUE, "scored", -1)] * 3 + [(KafkaError._PURGE_QUEUE, "dead", -1)]
    assert sorted(failed) == sorted(told)


def test_what_a_callback_raises_comes_out_of_the_call_that_served_it() -> None:
    def break_down(_error: KafkaError, _topic: str, _partition: int) -> None:
        raise KeyboardInterrupt

    producer = NativeProducer({}, on_error=lambda _error: None, on_failed=break_down)
    producer.produce("scored", outgoing(3), everything(3))
    producer.purge()
    with pytest.raises(KeyboardInterrupt):
        drain(producer)
    # Once, and the others were served all the same.
    drain(producer)


def test_what_was_raised_first_comes_out() -> None:
    def break_down(_error: KafkaError, topic: str, _partition: int) -> None:
        raise LookupError(topic)

    producer = NativeProducer({}, on_error=lambda _error: None, on_failed=break_down)
    tell = producer._callbacks.by_name["dr_msg_cb"]
    for topic in ("first", "second"):
        message = librdkafka.Message(err=KafkaError._PURGE_QUEUE, rkt=producer._topic(topic))
        tell(producer._handle.address, ctypes.pointer(message), None)
    with pytest.raises(LookupError, match="first"):
        producer.poll(0)


def test_a_fatal_error_comes_out_with_its_own_code() -> None:
    producer = make()
    fail = librdkafka.library().rd_kafka_test_fatal_error
    fail(ctypes.c_void_p(producer._handle.address), KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, b"made up")
    with pytest.raises(KafkaException) as raised:
        producer.poll(1)
    error = raised.value.args[0]
    assert error.fatal()
    assert error.code() == KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_a_row_without_a_value_is_not_an_empty_one() -> None:
    _, offsets, present = _column(Binary.from_values([b"a", None, b""]))
    assert offsets.tolist() == [0, 1, 1, 1]
    assert present.tolist() == [True, False, True]
    assert _column(Binary.from_values([b"a", b""]))[2].tolist() == [True, True]


def test_a_header_without_a_value_is_not_an_empty_one() -> None:
    made = make()._new_headers([("null", None), ("empty", b"")])
    library = librdkafka.library()
    lengths = []
    for index in range(2):
        name, value, nbytes = ctypes.c_char_p(), ctypes.c_void_p(), ctypes.c_size_t()
        library.rd_kafka_header_get_all(made, index, *map(ctypes.byref, (name, value, nbytes)))
        lengths.append(None if value.value is None else nbytes.value)
    library.rd_kafka_headers_destroy(made)
    assert lengths == [None, 0]


def test_a_flush_gives_up_in_time_and_says_how_many_are_missing() -> None:
    producer = make()
    producer.produce("scored", outgoing(3), everything(3))
    assert producer.flush(0.01) >= 3


def test_a_transaction_without_an_id_is_an_error_of_the_clients() -> None:
    with pytest.raises(KafkaException) as raised:
        make().begin_transaction()
    assert raised.value.args[0].code() == KafkaError._NOT_CONFIGURED


def test_a_property_that_is_refused_leaves_nothing_behind() -> None:
    before = threading.active_count()
    with pytest.raises(KafkaException, match=r"no\.such"):
        make(no_such=True)
    assert threading.active_count() == before


def test_a_producer_ends_with_its_last_reference() -> None:
    """Whoever is stuck in a call holds one, so it cannot end under them."""
    gc.disable()
    try:
        producer = make()
        producer.produce("scored", outgoing(3), everything(3))
        handle = weakref.ref(producer._handle)
        producer._handle._end.atexit = False
        del producer
        assert handle() is None
    finally:
        gc.enable()


def test_log_lines_of_the_client_reach_the_logger_from_the_thread_that_polls(caplog: pytest.LogCaptureFixture) -> None:
    producer = make(debug="conf")
    with caplog.at_level(logging.DEBUG, LOGGER_NAME):
        producer.poll(0.05)
    assert caplog.records
    assert {record.threadName for record in caplog.records} == {threading.current_thread().name}
