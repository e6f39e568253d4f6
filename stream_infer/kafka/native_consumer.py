"""A consumer on librdkafka's C API: messages are gathered into columns by a kernel, without an object for any of them.

Rule: a message lives from the call that gives it to the end of `NativeConsumer.fetch`. Value, key and headers are
copied there, all at once, and every message is given back before anybody sees a byte of it: nothing that is handed out
refers to librdkafka's memory. (Keeping the messages instead would keep whole fetch responses alive.) Headers cost
nothing where there are none.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from confluent_kafka import TopicPartition

from stream_infer.kafka import librdkafka
from stream_infer.kafka.client import Fetched, OnCommit, OnError, OnPartitions, Report
from stream_infer.kafka.librdkafka import Address, check, check_error, milliseconds, partition_list, read_partitions
from stream_infer.kafka.native import Callbacks, Handle
from stream_infer.kafka.native_headers import CopiedHeaders
from stream_infer.kafka.properties import Properties
from stream_infer.kernels import kafka_messages as kernels
from stream_infer.types import Binary, BoolArray, Records, Split

_COOPERATIVE = b"COOPERATIVE"
_METADATA_OF_ONE_TOPIC = 0


class NativeConsumer:
    """A `stream_infer.kafka.client.ConsumerClient` on librdkafka's C API.

    Args:
        properties: of `consumer_properties`.
        on_error: told of connections.
        on_commit: told how commits end.

    Raises:
        KafkaException: the properties are refused.
    """

    def __init__(self, properties: Properties, *, on_error: OnError, on_commit: OnCommit) -> None:
        self._library = librdkafka.library()
        self._callbacks = Callbacks(on_error)
        self._callbacks.add("rebalance_cb", librdkafka.REBALANCE_CB, self._rebalanced)
        self._callbacks.add("offset_commit_cb", librdkafka.COMMIT_CB, _Commits(on_commit))
        self._handle = Handle(librdkafka.CONSUMER, properties, self._callbacks)
        check(self._library.rd_kafka_poll_set_consumer(self._handle.address))
        queue = self._library.rd_kafka_queue_get_consumer(self._handle.address)
        self._queue = self._handle.owns(queue, self._library.rd_kafka_queue_destroy)
        self._messages = _Messages()
        self._assigned = False

    # ------------------------------------------------------------------ the group

    def subscribe(
        self, topics: Sequence[str], *, on_assign: OnPartitions, on_revoke: OnPartitions, on_lost: OnPartitions
    ) -> None:
        """Join the group."""
        self._on_assign, self._on_revoke, self._on_lost = on_assign, on_revoke, on_lost
        with partition_list([TopicPartition(topic) for topic in topics]) as wanted:
            check(self._library.rd_kafka_subscribe(self._handle.address, wanted))

    def _rebalanced(self, client: Address, code: int, partitions: Any, _opaque: object) -> None:
        found = read_partitions(partitions)
        cooperative = self._library.rd_kafka_rebalance_protocol(client) == _COOPERATIVE
        self._assigned = False
        try:
            if code == librdkafka.ASSIGN_PARTITIONS:
                self._on_assign(found)
            elif self._library.rd_kafka_assignment_lost(client):
                self._on_lost(found)
            else:
                self._on_revoke(found)
        finally:
            # Whatever went wrong above: without an answer the group waits for this member.
            if code != librdkafka.ASSIGN_PARTITIONS:
                self._unassign(partitions if cooperative else None)
            elif not self._assigned:
                self._accept(partitions, cooperative)

    def _unassign(self, partitions: Any) -> None:
        if partitions is None:
            check(self._library.rd_kafka_assign(self._handle.address, None))
        else:
            check_error(self._library.rd_kafka_incremental_unassign(self._handle.address, partitions))

    def _accept(self, partitions: Any, cooperative: bool) -> None:
        if cooperative:
            check_error(self._library.rd_kafka_incremental_assign(self._handle.address, partitions))
        else:
            check(self._library.rd_kafka_assign(self._handle.address, partitions))

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch these, and nothing else."""
        self._assigned = True
        with partition_list(partitions) as wanted:
            self._accept(wanted, cooperative=False)

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch these, too."""
        self._assigned = True
        with partition_list(partitions) as wanted:
            self._accept(wanted, cooperative=True)

    def incremental_unassign(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch these no longer."""
        with partition_list(partitions) as gone:
            self._unassign(gone)

    def consumer_group_metadata(self) -> bytes:
        """Who this is in the group."""
        library = self._library
        metadata = library.rd_kafka_consumer_group_metadata(self._handle.address)
        text, length = ctypes.c_void_p(), ctypes.c_size_t()
        try:
            write = library.rd_kafka_consumer_group_metadata_write
            check_error(write(metadata, ctypes.byref(text), ctypes.byref(length)))
        finally:
            library.rd_kafka_consumer_group_metadata_destroy(metadata)
        written = ctypes.string_at(text, length.value)
        library.rd_kafka_mem_free(None, text)
        return written

    def close(self) -> None:
        """Leave the group. A second time there is nothing to do."""
        if not self._handle.alive:
            return
        # The code says how leaving went, which nobody waits for.
        self._library.rd_kafka_consumer_close(self._handle.address)
        self._handle.destroy()
        self._callbacks.raise_kept()

    # ------------------------------------------------------------------ messages

    def fetch(self, max_messages: int, wait_s: float) -> Fetched:
        """At most ``max_messages``: wait for the first, then take what is there."""
        self._callbacks.raise_kept()
        fetched = self._fetch(max_messages, milliseconds(wait_s))
        if fetched.records is None and not fetched.reports:
            self._callbacks.raise_kept()
        # Else what a callback raised waits for the next call: what came is not to be lost.
        return fetched

    def _fetch(self, max_messages: int, wait_ms: int) -> Fetched:
        messages = self._messages
        messages.reserve(max_messages)
        count = self._consume(0, max_messages, 0)
        if not count and wait_ms:
            # The client waits its whole timeout for the last message that is asked for, so this is one.
            count = self._consume(0, 1, wait_ms)
            count += self._consume(1, max_messages - 1, 0) if count else 0
        return messages.collect(count) if count else Fetched()

    def _consume(self, begin: int, count: int, wait_ms: int) -> int:
        if not count:
            return 0
        target = self._messages.address(begin)
        found: int = self._library.rd_kafka_consume_batch_queue(self._queue, wait_ms, target, count)
        if found < 0:
            check(self._library.rd_kafka_last_error())
        return max(found, 0)

    # ------------------------------------------------------------------ positions

    def seek(self, partition: TopicPartition) -> None:
        """Go on at its offset."""
        with partition_list([partition]) as wanted:
            check_error(self._library.rd_kafka_seek_partitions(self._handle.address, wanted, -1))
            check(wanted.contents.elems[0].err)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        """Stop fetching these for a while."""
        with partition_list(partitions) as wanted:
            check(self._library.rd_kafka_pause_partitions(self._handle.address, wanted))

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        """Fetch these again."""
        with partition_list(partitions) as wanted:
            check(self._library.rd_kafka_resume_partitions(self._handle.address, wanted))

    def position(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        """The next offset to be given out of each."""
        with partition_list(partitions) as asked:
            check(self._library.rd_kafka_position(self._handle.address, asked))
            return read_partitions(asked)

    def cached_end(self, topic: str, partition: int) -> int:
        """The end of the partition as of the last fetch."""
        begin, end = ctypes.c_int64(), ctypes.c_int64()
        ask = self._library.rd_kafka_get_watermark_offsets
        check(ask(self._handle.address, topic.encode(), partition, ctypes.byref(begin), ctypes.byref(end)))
        return end.value

    def committed(self, partitions: Sequence[TopicPartition], timeout_s: float) -> list[TopicPartition]:
        """What the group has."""
        with partition_list(partitions) as asked:
            check(self._library.rd_kafka_committed(self._handle.address, asked, milliseconds(timeout_s)))
            return read_partitions(asked)

    def commit(self, partitions: Sequence[TopicPartition]) -> None:
        """Send offsets."""
        with partition_list(partitions) as offsets:
            check(self._library.rd_kafka_commit(self._handle.address, offsets, 1))

    def probe(self, topic: str, timeout_s: float) -> None:
        """Ask any broker about the topic."""
        library = self._library
        rkt = library.rd_kafka_topic_new(self._handle.address, topic.encode(), None)
        found = ctypes.c_void_p()
        wait_ms = milliseconds(timeout_s)
        try:
            check(
                library.rd_kafka_metadata(
                    self._handle.address, _METADATA_OF_ONE_TOPIC, rkt, ctypes.byref(found), wait_ms
                )
            )
        finally:
            library.rd_kafka_topic_destroy(rkt)
        library.rd_kafka_metadata_destroy(found)


class _Commits:
    """Tells how commits ended."""

    def __init__(self, on_commit: OnCommit) -> None:
        self._on_commit = on_commit

    def __call__(self, _client: Address, code: int, partitions: Any, _opaque: object) -> None:
        self._on_commit(librdkafka.error_of(code) if code else None, read_partitions(partitions))


class _Messages:
    """Room for the addresses of messages, and the way from them to columns."""

    def __init__(self) -> None:
        self._library = librdkafka.library()
        names = {
            kernels.TIMESTAMP_OF: "message_timestamp",
            kernels.HEADERS_OF: "message_headers",
            kernels.HEADER_AT: "header_get_all",
        }
        self._functions = np.array([librdkafka.address_of(names[row]) for row in range(3)], np.uint64)
        self._destroy = librdkafka.address_of("message_destroy")
        self._scratch = np.zeros(4, np.uint64)
        self._pointers = np.zeros(0, np.uint64)
        # Compiles, or loads, the kernels: before the group is joined, not while it waits for a poll.
        self.collect(0)

    def reserve(self, count: int) -> None:
        """Have room for ``count``."""
        if len(self._pointers) < count:
            self._pointers = np.zeros(count, np.uint64)

    def address(self, row: int) -> Address:
        """Where the address of message ``row`` goes."""
        return int(self._pointers.ctypes.data) + 8 * row

    def collect(self, count: int) -> Fetched:
        """The first ``count`` messages as columns. All are destroyed."""
        pointers = self._pointers[:count]
        try:
            failed = np.empty(count, np.bool_)
            if not kernels.find_errors(pointers, failed):
                return Fetched(self._columns(pointers))
            good = pointers[~failed]
            reports = [self._report(address) for address in pointers[failed].tolist()]
            return Fetched(self._columns(good) if len(good) else None, reports)
        finally:
            kernels.destroy(pointers, self._destroy)

    def _columns(self, pointers: Any) -> Records:
        count = len(pointers)
        places, place_of = np.empty((count, 2), np.uint64), np.empty(count, np.int32)
        numbers, ends = np.empty((2, count), np.int64), np.empty((3, count + 1), np.int64)
        present = np.empty((2, count), np.bool_)
        calls = (self._functions, self._scratch, int(self._scratch.ctypes.data))
        met = kernels.measure(pointers, *calls, places, place_of, numbers, ends, present)
        values, keys, headers = (np.empty(size, np.uint8) for size in ends[:, count].tolist())
        kernels.gather(pointers, *calls, ends, int(values.ctypes.data), int(keys.ctypes.data), headers)
        return Records(
            values=Binary(values, ends[0], _nulls(present[0])),
            keys=Binary(keys, ends[1], _nulls(present[1])),
            splits=self._splits(places[:met].tolist()),
            split_index=place_of,
            offset=numbers[0],
            # Where a message has no timestamp the client gives -1, which is NO_TIMESTAMP.
            timestamp_ms=numbers[1],
            received_ms=0,
            headers=CopiedHeaders(Binary(headers, ends[2])),
        )

    def _splits(self, places: list[list[int]]) -> tuple[Split, ...]:
        names = {rkt: self._library.rd_kafka_topic_name(rkt).decode() for rkt in {rkt for rkt, _ in places}}
        return tuple(Split(names[rkt], partition) for rkt, partition in places)

    def _report(self, address: Address) -> Report:
        message = librdkafka.Message.from_address(address)
        error = librdkafka.error_of(message.err, self._library.rd_kafka_message_errstr(address))
        if not message.rkt:
            return Report(error, "", -1)
        return Report(error, self._library.rd_kafka_topic_name(message.rkt).decode(), message.partition)


def _nulls(present: BoolArray) -> BoolArray | None:
    return None if present.all() else present


__all__ = ["NativeConsumer"]
