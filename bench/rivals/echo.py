"""The floor: bytes passed through by stream_infer's own client, nothing done to them.

Rule: as every rival: at least once, committed every second, keys and columns kept. Nobody who scores events can be
cheaper with this client, unless what he writes is smaller.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import numpy as np
from confluent_kafka import TopicPartition

from bench.rivals.contract import COMMIT_INTERVAL_S, Task
from stream_infer.kafka.client import Outgoing
from stream_infer.kafka.native_consumer import NativeConsumer
from stream_infer.kafka.native_producer import NativeProducer
from stream_infer.kafka.properties import consumer_properties, producer_properties
from stream_infer.types import Records

_BATCH = 1024
_WAIT_S = 0.05
_FLUSH_TIMEOUT_S = 30.0


class Echo:
    """Consume, produce; flush, then commit, every second."""

    def __init__(self, task: Task) -> None:
        consumer = consumer_properties(task.bootstrap, {}, client_id="echo", group_id=task.group)
        producer = producer_properties(task.bootstrap, {}, client_id="echo", publish_timeout_s=_FLUSH_TIMEOUT_S)
        self._task = task
        self._consumer = NativeConsumer(consumer, on_error=_ignore, on_commit=_ignore)
        self._producer = NativeProducer(producer, on_error=_ignore, on_failed=self._failed)
        self._owned: list[TopicPartition] = []
        self._failures: list[Any] = []
        self._stopped = False

    def stop(self, *_signal: object) -> None:
        """End after the batch at hand."""
        self._stopped = True

    def run(self) -> None:
        """Until `stop`.

        Raises:
            RuntimeError: an event was not delivered.
        """
        self._consumer.subscribe(
            [self._task.input], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )
        committed_at = time.monotonic()
        while not self._stopped:
            records = self._consumer.fetch(_BATCH, _WAIT_S).records
            if records is not None:
                self._pass_on(records)
            self._producer.poll(0)
            if time.monotonic() - committed_at > COMMIT_INTERVAL_S:
                self._checkpoint()
                committed_at = time.monotonic()
        self._checkpoint()
        self._consumer.close()

    def _pass_on(self, records: Records) -> None:
        outgoing = Outgoing(records.values, records.keys, np.full(len(records), -1, np.int32), records.timestamp_ms)
        rows = np.arange(len(records))
        while len(rows):
            taken, _ = self._producer.produce(self._task.output, outgoing, rows)
            rows = rows[taken:]
            if len(rows):
                self._producer.poll(_WAIT_S)

    def _checkpoint(self) -> None:
        if self._producer.flush(_FLUSH_TIMEOUT_S) or self._failures:
            raise RuntimeError(f"events were not delivered: {self._failures[:1]}")
        passed = [partition for partition in self._consumer.position(self._owned) if partition.offset >= 0]
        if passed:
            self._consumer.commit(passed)

    def _assigned(self, partitions: list[TopicPartition]) -> None:
        begins = [TopicPartition(partition.topic, partition.partition, 0) for partition in partitions]
        self._owned += begins
        self._consumer.incremental_assign(begins)

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        gone = {partition.partition for partition in partitions}
        self._owned = [partition for partition in self._owned if partition.partition not in gone]
        self._consumer.incremental_unassign(partitions)

    def _failed(self, error: Any, *_place: object) -> None:
        self._failures.append(error)


def _ignore(*_told: object) -> None:
    """Connections and commits that fail show in what comes out."""


def main() -> int:
    """Run until SIGTERM."""
    echo = Echo(Task.from_environment(os.environ))
    signal.signal(signal.SIGTERM, echo.stop)
    echo.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
