"""A producer on librdkafka's C API: messages are produced from the output's own buffers by a kernel.

Rule: librdkafka copies the bytes of a message when it takes it, so nothing has to outlive a call. Every message goes
through ``rd_kafka_produceva``, called by its address from the kernel: ``rd_kafka_produce_batch`` takes neither
timestamps nor headers.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from confluent_kafka import KafkaError, TopicPartition

from stream_infer.kafka import librdkafka
from stream_infer.kafka.client import OnError, OnFailed, Outgoing
from stream_infer.kafka.dead_letters import ClientHeaders
from stream_infer.kafka.librdkafka import Address, check, check_error, milliseconds, partition_list
from stream_infer.kafka.native import Callbacks, Handle
from stream_infer.kafka.native_headers import NAME_ERRORS
from stream_infer.kafka.properties import Properties
from stream_infer.kernels import kafka_messages as kernels
from stream_infer.types import Binary, BoolArray, Int64Array

_RKT, _FLAGS, _HEADERS = 4, 5, 6
"""Rows of the units that describe a message, behind those that the kernel fills."""
_WORDS = 9
"""Size of a ``rd_kafka_vu_t`` in words."""
_NOTHING = Binary(np.zeros(0, np.uint8), np.zeros(1, np.int64))
_NO_EVENTS = Outgoing(_NOTHING, _NOTHING, np.zeros(0, np.int32), np.zeros(0, np.int64))


class NativeProducer:
    """A `stream_infer.kafka.client.ProducerClient` on librdkafka's C API.

    Args:
        properties: of `producer_properties`.
        on_error: told of connections.
        on_failed: told of messages that are not delivered.

    Raises:
        KafkaException: the properties are refused.
    """

    def __init__(self, properties: Properties, *, on_error: OnError, on_failed: OnFailed) -> None:
        self._library = librdkafka.library()
        self._callbacks = Callbacks(on_error)
        self._callbacks.add("dr_msg_cb", librdkafka.DELIVERY_CB, _Deliveries(on_failed))
        self._handle = Handle(librdkafka.PRODUCER, properties, self._callbacks)
        self._produceva = librdkafka.address_of("produceva")
        self._topics: dict[str, Address] = {}
        self._units = _new_units()
        # Compiles, or loads, the kernel before the first event waits for it.
        self._produce(_NO_EVENTS, np.zeros(0, np.int64), _HEADERS)

    def __len__(self) -> int:
        return int(self._library.rd_kafka_outq_len(self._handle.address))

    # ------------------------------------------------------------------ messages

    def produce(
        self, topic: str, outgoing: Outgoing, rows: Int64Array, headers: ClientHeaders | None = None
    ) -> tuple[int, KafkaError | None]:
        """Queue the named rows, up to the first that is refused."""
        self._units[_RKT, 1] = self._topic(topic)
        if headers is None:
            return self._produce(outgoing, rows, _HEADERS)
        taken = 0
        for row in rows:
            # A list of headers belongs to the message that takes it.
            made = self._new_headers(headers)
            self._units[_HEADERS, 1] = made
            _, error = self._produce(outgoing, np.array([row], np.int64), _HEADERS + 1)
            if error is not None:
                self._library.rd_kafka_headers_destroy(made)
                return taken, error
            taken += 1
        return taken, None

    def _produce(self, outgoing: Outgoing, rows: Int64Array, units: int) -> tuple[int, KafkaError | None]:
        taken, error = kernels.produce(
            rows,
            self._handle.address,
            self._produceva,
            self._units,
            int(self._units.ctypes.data),
            units,
            *_column(outgoing.values),
            *_column(outgoing.keys),
            outgoing.partitions,
            outgoing.timestamps_ms,
        )
        return taken, librdkafka.take_error(int(error)) if error else None

    def _topic(self, name: str) -> Address:
        known = self._topics.get(name)
        if known is None:
            made = self._library.rd_kafka_topic_new(self._handle.address, name.encode(), None)
            if not made:
                check(self._library.rd_kafka_last_error())
            known = self._topics[name] = self._handle.owns(made, self._library.rd_kafka_topic_destroy)
        return known

    def _new_headers(self, headers: ClientHeaders) -> Address:
        made: Address = self._library.rd_kafka_headers_new(len(headers))
        for name, value in headers:
            text, content = name.encode(errors=NAME_ERRORS), value.encode() if isinstance(value, str) else value
            length = -1 if content is None else len(content)
            check(self._library.rd_kafka_header_add(made, text, len(text), content, length))
        return made

    # ------------------------------------------------------------------ deliveries

    def poll(self, wait_s: float) -> None:
        """Hear of deliveries."""
        self._library.rd_kafka_poll(self._handle.address, milliseconds(wait_s))
        self._callbacks.raise_kept()

    def flush(self, wait_s: float) -> int:
        """Send what is queued and wait for acknowledgements."""
        # The code says no more than the number that is left.
        self._library.rd_kafka_flush(self._handle.address, milliseconds(wait_s))
        self._callbacks.raise_kept()
        return len(self)

    def purge(self) -> None:
        """Drop everything that is not acknowledged."""
        check(self._library.rd_kafka_purge(self._handle.address, librdkafka.PURGE_QUEUE_AND_INFLIGHT))

    # ------------------------------------------------------------------ transactions

    def init_transactions(self, timeout_s: float) -> None:
        """Take the transactional id."""
        self._call(self._library.rd_kafka_init_transactions, milliseconds(timeout_s))

    def begin_transaction(self) -> None:
        """Begin one."""
        self._call(self._library.rd_kafka_begin_transaction)

    def send_offsets_to_transaction(
        self, offsets: Sequence[TopicPartition], membership: bytes, timeout_s: float
    ) -> None:
        """Make a consumer's offsets part of it."""
        library = self._library
        member = ctypes.c_void_p()
        check_error(library.rd_kafka_consumer_group_metadata_read(ctypes.byref(member), membership, len(membership)))
        try:
            with partition_list(offsets) as sent:
                self._call(library.rd_kafka_send_offsets_to_transaction, sent, member, milliseconds(timeout_s))
        finally:
            library.rd_kafka_consumer_group_metadata_destroy(member)

    def commit_transaction(self, timeout_s: float) -> None:
        """Commit it."""
        self._call(self._library.rd_kafka_commit_transaction, milliseconds(timeout_s))

    def abort_transaction(self, timeout_s: float) -> None:
        """Abort it."""
        self._call(self._library.rd_kafka_abort_transaction, milliseconds(timeout_s))

    def _call(self, function: Any, *arguments: Any) -> None:
        check_error(function(self._handle.address, *arguments))
        self._callbacks.raise_kept()


class _Deliveries:
    """Tells of messages that were not delivered."""

    def __init__(self, on_failed: OnFailed) -> None:
        self._on_failed = on_failed
        self._library = librdkafka.library()

    def __call__(self, _client: Address, message: Any, _opaque: object) -> None:
        found = message.contents
        if found.err:
            topic = self._library.rd_kafka_topic_name(found.rkt).decode()
            self._on_failed(librdkafka.error_of(found.err), topic, found.partition)


def _new_units() -> npt.NDArray[np.uint64]:
    units = np.zeros((_HEADERS + 1, _WORDS), np.uint64)
    kinds = {
        kernels.UNIT_PARTITION: librdkafka.VTYPE_PARTITION,
        kernels.UNIT_TIMESTAMP: librdkafka.VTYPE_TIMESTAMP,
        kernels.UNIT_VALUE: librdkafka.VTYPE_VALUE,
        kernels.UNIT_KEY: librdkafka.VTYPE_KEY,
        _RKT: librdkafka.VTYPE_RKT,
        _FLAGS: librdkafka.VTYPE_MSGFLAGS,
        _HEADERS: librdkafka.VTYPE_HEADERS,
    }
    units[list(kinds), 0] = list(kinds.values())
    units[_FLAGS, 1] = librdkafka.COPY
    return units


def _column(column: Binary) -> tuple[Address, Int64Array, BoolArray]:
    """A column as the kernel takes it. Its bytes stay where they are."""
    present = np.ones(len(column), np.bool_) if column.valid is None else np.ascontiguousarray(column.valid)
    return int(column.data.ctypes.data), np.ascontiguousarray(column.offsets), present


__all__ = ["NativeProducer"]
