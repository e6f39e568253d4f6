"""librdkafka's C API, as much of it as a consumer and a producer need: the one binding.

Rule: nothing but declarations, and the few steps that C asks of every caller (lists of partitions are made and
destroyed, errors are read and destroyed). The library is the one inside confluent-kafka: its extension module is linked
against it, so every public function is found through that module, wherever the wheel keeps the library.

Only what is documented in ``rdkafka.h`` is used, and the layout of its public structs. A library that lacks a function,
or is of a version that was not looked at, is refused (`library`).
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int32, c_int64, c_size_t, c_ssize_t, c_void_p
from typing import Any, TypeAlias

from confluent_kafka import KafkaError, KafkaException, TopicPartition, cimpl

from stream_infer.errors import FatalError

OLDEST, NEWEST = (2, 16), (3, 0)
"""Versions that are used: from the first up to, not including, the second."""

PRODUCER, CONSUMER = 0, 1
ASSIGN_PARTITIONS, REVOKE_PARTITIONS = KafkaError._ASSIGN_PARTITIONS, KafkaError._REVOKE_PARTITIONS
COPY = 2
"""``RD_KAFKA_MSG_F_COPY``: a message's bytes are copied when it is produced."""
PURGE_QUEUE_AND_INFLIGHT = 1 | 2
NO_CONSUMER_CLOSE = 8
"""``RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE``: the group is left by ``rd_kafka_consumer_close`` or not at all."""
VTYPE_RKT, VTYPE_PARTITION, VTYPE_VALUE, VTYPE_KEY = 2, 3, 4, 5
VTYPE_MSGFLAGS, VTYPE_TIMESTAMP, VTYPE_HEADERS = 7, 8, 10
"""Kinds of ``rd_kafka_vu_t``, in the order of ``rd_kafka_vtype_t``."""

_REMEDY = "install the version of confluent-kafka that stream_infer asks for, from its wheel"
_TEXT_BYTES = 512
Library: TypeAlias = Any
"""A ``ctypes.CDLL`` whose functions have their prototypes."""
Address: TypeAlias = int
"""Of something in librdkafka; 0 for nothing."""


class Message(Structure):
    """``rd_kafka_message_t``."""

    _fields_ = (
        ("err", c_int),
        ("rkt", c_void_p),
        ("partition", c_int32),
        ("payload", c_void_p),
        ("len", c_size_t),
        ("key", c_void_p),
        ("key_len", c_size_t),
        ("offset", c_int64),
        ("_private", c_void_p),
    )


class _Partition(Structure):
    """``rd_kafka_topic_partition_t``."""

    _fields_ = (
        ("topic", c_char_p),
        ("partition", c_int32),
        ("offset", c_int64),
        ("metadata", c_void_p),
        ("metadata_size", c_size_t),
        ("opaque", c_void_p),
        ("err", c_int),
        ("_private", c_void_p),
    )


class PartitionList(Structure):
    """``rd_kafka_topic_partition_list_t``."""

    _fields_ = (("cnt", c_int), ("size", c_int), ("elems", POINTER(_Partition)))


REBALANCE_CB = CFUNCTYPE(None, c_void_p, c_int, POINTER(PartitionList), c_void_p)
COMMIT_CB = CFUNCTYPE(None, c_void_p, c_int, POINTER(PartitionList), c_void_p)
DELIVERY_CB = CFUNCTYPE(None, c_void_p, POINTER(Message), c_void_p)
ERROR_CB = CFUNCTYPE(None, c_void_p, c_int, c_char_p, c_void_p)
LOG_CB = CFUNCTYPE(None, c_void_p, c_int, c_char_p, c_char_p)

_LIST = POINTER(PartitionList)
_PROTOTYPES: dict[str, tuple[Any, ...]] = {
    # What it returns, then what it takes.
    "version": (c_int,),
    "err2str": (c_char_p, c_int),
    "last_error": (c_int,),
    "fatal_error": (c_int, c_void_p, c_char_p, c_size_t),
    "error_code": (c_int, c_void_p),
    "error_string": (c_char_p, c_void_p),
    "error_is_fatal": (c_int, c_void_p),
    "error_is_retriable": (c_int, c_void_p),
    "error_txn_requires_abort": (c_int, c_void_p),
    "error_destroy": (None, c_void_p),
    "mem_malloc": (c_void_p, c_void_p, c_size_t),
    "mem_free": (None, c_void_p, c_void_p),
    "conf_new": (c_void_p,),
    "conf_destroy": (None, c_void_p),
    "conf_set": (c_int, c_void_p, c_char_p, c_char_p, c_char_p, c_size_t),
    "conf_enable_sasl_queue": (None, c_void_p, c_int),
    "conf_set_error_cb": (None, c_void_p, ERROR_CB),
    "conf_set_log_cb": (None, c_void_p, LOG_CB),
    "conf_set_rebalance_cb": (None, c_void_p, REBALANCE_CB),
    "conf_set_offset_commit_cb": (None, c_void_p, COMMIT_CB),
    "conf_set_dr_msg_cb": (None, c_void_p, DELIVERY_CB),
    "new": (c_void_p, c_int, c_void_p, c_char_p, c_size_t),
    "sasl_background_callbacks_enable": (c_void_p, c_void_p),
    "name": (c_char_p, c_void_p),
    "set_log_queue": (c_int, c_void_p, c_void_p),
    "destroy": (None, c_void_p),
    "destroy_flags": (None, c_void_p, c_int),
    "poll": (c_int, c_void_p, c_int),
    "topic_new": (c_void_p, c_void_p, c_char_p, c_void_p),
    "topic_name": (c_char_p, c_void_p),
    "topic_destroy": (None, c_void_p),
    "metadata": (c_int, c_void_p, c_int, c_void_p, POINTER(c_void_p), c_int),
    "metadata_destroy": (None, c_void_p),
    "topic_partition_list_new": (_LIST, c_int),
    "topic_partition_list_add": (POINTER(_Partition), _LIST, c_char_p, c_int32),
    "topic_partition_list_destroy": (None, _LIST),
    # Consumer
    "poll_set_consumer": (c_int, c_void_p),
    "queue_get_consumer": (c_void_p, c_void_p),
    "queue_destroy": (None, c_void_p),
    "consume_batch_queue": (c_ssize_t, c_void_p, c_int, c_void_p, c_size_t),
    "message_destroy": (None, c_void_p),
    "message_errstr": (c_char_p, c_void_p),
    "message_timestamp": (c_int64, c_void_p, c_void_p),
    "message_headers": (c_int, c_void_p, c_void_p),
    "header_get_all": (c_int, c_void_p, c_size_t, c_void_p, c_void_p, c_void_p),
    "subscribe": (c_int, c_void_p, _LIST),
    "rebalance_protocol": (c_char_p, c_void_p),
    "assignment_lost": (c_int, c_void_p),
    "assign": (c_int, c_void_p, _LIST),
    "incremental_assign": (c_void_p, c_void_p, _LIST),
    "incremental_unassign": (c_void_p, c_void_p, _LIST),
    "seek_partitions": (c_void_p, c_void_p, _LIST, c_int),
    "pause_partitions": (c_int, c_void_p, _LIST),
    "resume_partitions": (c_int, c_void_p, _LIST),
    "position": (c_int, c_void_p, _LIST),
    "committed": (c_int, c_void_p, _LIST, c_int),
    "commit": (c_int, c_void_p, _LIST, c_int),
    "get_watermark_offsets": (c_int, c_void_p, c_char_p, c_int32, POINTER(c_int64), POINTER(c_int64)),
    "consumer_group_metadata": (c_void_p, c_void_p),
    "consumer_group_metadata_write": (c_void_p, c_void_p, POINTER(c_void_p), POINTER(c_size_t)),
    "consumer_group_metadata_read": (c_void_p, POINTER(c_void_p), c_char_p, c_size_t),
    "consumer_group_metadata_destroy": (None, c_void_p),
    "consumer_close": (c_int, c_void_p),
    # Producer
    "produceva": (c_void_p, c_void_p, c_void_p, c_size_t),
    "headers_new": (c_void_p, c_size_t),
    "headers_destroy": (None, c_void_p),
    "header_add": (c_int, c_void_p, c_char_p, c_ssize_t, c_char_p, c_ssize_t),
    "outq_len": (c_int, c_void_p),
    "flush": (c_int, c_void_p, c_int),
    "purge": (c_int, c_void_p, c_int),
    "init_transactions": (c_void_p, c_void_p, c_int),
    "begin_transaction": (c_void_p, c_void_p),
    "send_offsets_to_transaction": (c_void_p, c_void_p, _LIST, c_void_p, c_int),
    "commit_transaction": (c_void_p, c_void_p, c_int),
    "abort_transaction": (c_void_p, c_void_p, c_int),
}


# ------------------------------------------------------------------ the library


@functools.cache
def library() -> Library:
    """The library, with the prototypes of all functions that are used.

    Raises:
        FatalError: it is not there, lacks a function, or is of another version; or this is no machine for it.
    """
    if sys.byteorder != "little" or ctypes.sizeof(c_void_p) != 8:
        raise FatalError("the Kafka client needs a machine of 64 bits, little endian: this is none")
    try:
        opened = _opened()
    except (OSError, AttributeError) as error:
        raise FatalError(f"librdkafka was not found in confluent-kafka ({error}): {_REMEDY}") from error
    version = opened.rd_kafka_version() >> 24, opened.rd_kafka_version() >> 16 & 0xFF
    if not OLDEST <= version < NEWEST:
        raise FatalError(f"librdkafka {version[0]}.{version[1]} is not known here: {_REMEDY}")
    return opened


def _opened() -> Library:
    opened = ctypes.CDLL(cimpl.__file__)
    for name, (result, *arguments) in _PROTOTYPES.items():
        function = getattr(opened, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    return opened


def address_of(name: str) -> Address:
    """Where a function is, for kernels that call it."""
    return ctypes.cast(getattr(library(), f"rd_kafka_{name}"), c_void_p).value or 0


def milliseconds(seconds: float) -> int:
    """A timeout as librdkafka wants it; -1 for no end."""
    return -1 if seconds == float("inf") else max(0, int(seconds * 1000))


# ------------------------------------------------------------------ errors


def error_of(code: int, reason: bytes | None = None) -> KafkaError:
    """A code of librdkafka's, with its own words for it where ``reason`` has none."""
    return KafkaError(code, None if reason is None else reason.decode(errors="replace"))


def check(code: int) -> None:
    """Raise what a call reports by a code.

    Raises:
        KafkaException: the code is not 0.
    """
    if code:
        raise KafkaException(error_of(code))


def check_error(address: Address | None) -> None:
    """Raise what a call reports by an ``rd_kafka_error_t``, which is destroyed.

    Raises:
        KafkaException: there is one.
    """
    if address:
        raise KafkaException(take_error(address))


def take_error(address: Address) -> KafkaError:
    """An ``rd_kafka_error_t`` with its three flags. It is destroyed."""
    known = library()
    error = KafkaError(
        known.rd_kafka_error_code(address),
        known.rd_kafka_error_string(address).decode(errors="replace"),
        bool(known.rd_kafka_error_is_fatal(address)),
        bool(known.rd_kafka_error_is_retriable(address)),
        bool(known.rd_kafka_error_txn_requires_abort(address)),
    )
    known.rd_kafka_error_destroy(address)
    return error


def fatal_error(client: Address) -> KafkaError:
    """Why this client has ended."""
    text = ctypes.create_string_buffer(_TEXT_BYTES)
    code = library().rd_kafka_fatal_error(client, text, _TEXT_BYTES)
    return KafkaError(code, text.value.decode(errors="replace"), fatal=True)


# ------------------------------------------------------------------ partitions


class AnsweredPartition(TopicPartition):
    """A partition with the error that a broker has for it."""

    error: KafkaError | None = None
    """Of the class, and so of every partition that is given none. In the base only C can set it."""


@contextmanager
def partition_list(partitions: Sequence[TopicPartition]) -> Iterator[Any]:
    """These partitions as a list of librdkafka's, for the block."""
    known = library()
    made = known.rd_kafka_topic_partition_list_new(len(partitions))
    try:
        for partition in partitions:
            _add(known, made, partition)
        yield made
    finally:
        known.rd_kafka_topic_partition_list_destroy(made)


def _add(known: Library, target: Any, partition: TopicPartition) -> None:
    element = known.rd_kafka_topic_partition_list_add(target, partition.topic.encode(), partition.partition).contents
    element.offset = partition.offset
    if partition.metadata:
        note = partition.metadata.encode()
        # The list frees it, so it has to come from the same allocator.
        element.metadata = known.rd_kafka_mem_malloc(None, len(note))
        ctypes.memmove(element.metadata, note, len(note))
        element.metadata_size = len(note)


def read_partitions(found: Any) -> list[TopicPartition]:
    """A list of librdkafka's in confluent-kafka's words. It stays as it is."""
    return [_read(found.contents.elems[row]) for row in range(found.contents.cnt)] if found else []


def _read(element: Any) -> TopicPartition:
    note = ctypes.string_at(element.metadata, element.metadata_size) if element.metadata else b""
    topic, text = element.topic.decode(), note.decode(errors="replace")
    partition = AnsweredPartition(topic, element.partition, element.offset, metadata=text)
    if element.err:
        partition.error = error_of(element.err)
    return partition


# ------------------------------------------------------------------ settings


def new_client(kind: int, settings: dict[str, str], callbacks: dict[str, Any]) -> Address:
    """A new client.

    Args:
        kind: `PRODUCER` or `CONSUMER`.
        settings: librdkafka's properties.
        callbacks: by the name behind ``rd_kafka_conf_set_``. The caller keeps them for as long as the client.

    Raises:
        KafkaException: it refuses them, or cannot be made.
    """
    known = library()
    conf = known.rd_kafka_conf_new()
    text = ctypes.create_string_buffer(_TEXT_BYTES)
    for name, value in settings.items():
        if known.rd_kafka_conf_set(conf, name.encode(), value.encode(), text, _TEXT_BYTES):
            known.rd_kafka_conf_destroy(conf)
            raise KafkaException(error_of(KafkaError._INVALID_ARG, text.value))
    for name, callback in callbacks.items():
        getattr(known, f"rd_kafka_conf_set_{name}")(conf, callback)
    tokens = _fetches_tokens(settings)
    known.rd_kafka_conf_enable_sasl_queue(conf, int(tokens))
    made: Address | None = known.rd_kafka_new(kind, conf, text, _TEXT_BYTES)
    if not made:
        known.rd_kafka_conf_destroy(conf)
        raise KafkaException(error_of(known.rd_kafka_last_error(), text.value))
    if tokens:
        # librdkafka's own thread gets them: a connection must not wait for somebody to poll.
        check_error(known.rd_kafka_sasl_background_callbacks_enable(made))
    return made


def _fetches_tokens(settings: Mapping[str, str]) -> bool:
    """Whether connections need tokens, which librdkafka makes or fetches by itself."""
    return any(settings.get(name, "").upper() == "OAUTHBEARER" for name in ("sasl.mechanism", "sasl.mechanisms"))


__all__ = [
    "ASSIGN_PARTITIONS",
    "COMMIT_CB",
    "CONSUMER",
    "COPY",
    "DELIVERY_CB",
    "ERROR_CB",
    "LOG_CB",
    "NO_CONSUMER_CLOSE",
    "PRODUCER",
    "PURGE_QUEUE_AND_INFLIGHT",
    "REBALANCE_CB",
    "REVOKE_PARTITIONS",
    "VTYPE_HEADERS",
    "VTYPE_KEY",
    "VTYPE_MSGFLAGS",
    "VTYPE_PARTITION",
    "VTYPE_RKT",
    "VTYPE_TIMESTAMP",
    "VTYPE_VALUE",
    "Address",
    "AnsweredPartition",
    "Message",
    "PartitionList",
    "address_of",
    "check",
    "check_error",
    "error_of",
    "fatal_error",
    "library",
    "milliseconds",
    "new_client",
    "partition_list",
    "read_partitions",
    "take_error",
]
