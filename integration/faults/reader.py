"""Who reads the output of a trial: a ``read_committed`` reader all along, and everything once more at the end.

Rule: what was visible once must stay visible, at its place and in its order; `LiveReader` is the witness. What became
of each record by the broker's own files comes from `integration.faults.log_dump`, never from a client.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from integration.faults.history import Output, TopicRole
from integration.faults.log_dump import RecordFate
from integration.faults.stage import QUIET
from integration.support_log import Log
from integration.topics import unique_name

_POLL_S = 0.1
_CHUNK = 5000
_REASON, _PARTITION, _OFFSET = (f"__stream_infer.errors.{name}" for name in ("reason", "partition", "offset"))


class LiveReader(threading.Thread):
    """Reads a topic from its beginning while it grows, seeing what is committed only.

    Args:
        bootstrap_servers: the brokers themselves.
        topic: what to read.
        partitions: how many it has.
    """

    def __init__(self, bootstrap_servers: str, topic: str, partitions: int) -> None:
        super().__init__(name="live-reader", daemon=True)
        self._over = threading.Event()
        self._seen: dict[int, list[int]] = {partition: [] for partition in range(partitions)}
        self._consumer = Consumer(
            {
                **QUIET,
                "bootstrap.servers": bootstrap_servers,
                "group.id": unique_name("live"),
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 100,
            }
        )
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])

    def run(self) -> None:
        """Read until `finish`. Errors are the weather of the trial: the client goes on by itself."""
        while not self._over.is_set():
            for message in self._consumer.consume(_CHUNK, _POLL_S):
                partition, offset = message.partition(), message.offset()
                if message.error() is None and partition is not None and offset is not None:
                    self._seen[partition].append(offset)

    @property
    def count(self) -> int:
        """Records seen so far."""
        return sum(map(len, self._seen.values()))

    def finish(self, expected: int, timeout_s: float) -> Mapping[int, Sequence[int]]:
        """Wait until ``expected`` records are seen, or for ``timeout_s``, and stop: offsets seen, by partition."""
        give_up = time.monotonic() + timeout_s
        while self.count < expected and time.monotonic() < give_up:
            time.sleep(_POLL_S)
        self.close()
        return self._seen

    def close(self) -> None:
        """Stop reading; may be called again."""
        self._over.set()
        if self.is_alive():
            self.join()
        with contextlib.suppress(RuntimeError):
            # Closed already.
            self._consumer.close()


def vanished(live: Mapping[int, Sequence[int]], log: Log) -> list[str]:
    """Where the live reader saw something else than a reader at the end, in words; at most one for a partition."""
    found: dict[int, list[int]] = {partition: [] for partition in live}
    for partition, offset in zip(log.partition.tolist(), log.offset.tolist(), strict=True):
        found[partition].append(offset)
    return [
        f"partition {partition}: {len(live[partition])} records seen live, {len(found[partition])} at the end"
        for partition in live
        if list(live[partition]) != found[partition]
    ]


class Origin(NamedTuple):
    """What an outcome says of its input."""

    partition: int
    offset: int
    number: int | None
    reason: str = ""


def outputs(
    role: TopicRole, everything: Log, visible: Log, fates: Mapping[tuple[int, int], RecordFate]
) -> tuple[Output, ...]:
    """Every record of an output topic.

    Args:
        role: what the topic is for.
        everything: as a ``read_uncommitted`` reader got it.
        visible: as a ``read_committed`` one did.
        fates: (partition, offset) -> what the broker's files say.
    """
    seen = visible.rows().keys()
    found = []
    for (partition, offset), row in everything.rows().items():
        origin = scored_origin(everything, row) if role == "scored" else dead_origin(everything, row)
        fate = fates[partition, offset]
        found.append(
            Output(
                role,
                partition,
                offset,
                origin.partition,
                origin.offset,
                origin.number,
                "",
                (partition, offset) in seen,
                fate.producer_id,
                fate.epoch,
                fate.outcome,
                origin.reason,
            )
        )
    return tuple(found)


def scored_origin(log: Log, row: int) -> Origin:
    """What a scored event (JSON) says of its input."""
    scored = json.loads(log.values[row] or b"{}")
    return Origin(scored["input_partition"], scored["input_offset"], scored["id"])


def dead_origin(log: Log, row: int) -> Origin:
    """What a dead letter's headers say of its input; its number is its key."""
    headers = {name: value for name, value in log.headers[row] if isinstance(value, bytes)}
    key = log.keys[row]
    return Origin(int(headers[_PARTITION]), int(headers[_OFFSET]), int(key) if key else None, headers[_REASON].decode())


class GroupOffsets:
    """Asks for the committed offsets of a group, without being a member.

    Args:
        bootstrap_servers: the brokers themselves.
        group_id: the group.
        topic: whose offsets.
        partitions: how many it has.
    """

    def __init__(self, bootstrap_servers: str, group_id: str, topic: str, partitions: int) -> None:
        self._places = [TopicPartition(topic, partition) for partition in range(partitions)]
        self._consumer = Consumer(
            {
                **QUIET,
                "bootstrap.servers": bootstrap_servers,
                "group.id": group_id,
                # Offsets of open transactions are no reason to wait for an answer.
                "isolation.level": "read_uncommitted",
                "enable.auto.commit": False,
            }
        )

    def now(self) -> dict[int, int]:
        """The committed offset of each partition that has one; none where nobody answers."""
        try:
            answers = self._consumer.committed(self._places, timeout=5)
        except KafkaException:
            return {}
        return {answer.partition: answer.offset for answer in answers if answer.offset >= 0}

    def close(self) -> None:
        """Close the client."""
        with contextlib.suppress(KafkaException):
            self._consumer.close()


__all__ = ["GroupOffsets", "LiveReader", "dead_origin", "outputs", "scored_origin", "vanished"]
