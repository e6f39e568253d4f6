"""What the broker's own files say of each record: who wrote it, and how its transaction ended.

Rule: no Kafka client is asked. Kafka's tool `DumpLogSegments` goes through the segment files on disk, and a record's
fate is read off what it prints, so that neither a reader's filter nor a producer's word can flatter the service.

The files are only read, and may belong to a running broker; take a node that was in sync when writing ended. The tool
prints batches, the records in them, and the markers that end transactions, in the order of the log:

    baseOffset: 4 lastOffset: 5 ... producerId: 7 producerEpoch: 0 ... isTransactional: true isControl: false ...
    | offset: 4 CreateTime: ...
    | offset: 6 CreateTime: ... endTxnMarker: COMMIT coordinatorEpoch: 0

A marker ends all that its producer id has open in the partition, whatever the epoch: a broker that aborts for a
producer which is gone writes the marker with a newer one. Payloads are not printed (``--deep-iteration`` instead of
``--print-data-log``): one with a line break in it could forge a line.
"""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from integration import artifacts
from integration.faults.history import Outcome

_TOOL = "org.apache.kafka.tools.DumpLogSegments"
_TIMEOUT_S = 120.0
_FILE = re.compile(r"Dumping (?:.*/)?(?P<topic>[^/]+)-(?P<partition>\d+)/\d+\.log$")
_BATCH = re.compile(
    r"baseOffset: \d+ .*\bproducerId: (?P<producer_id>-?\d+) producerEpoch: (?P<epoch>-?\d+)"
    r" .*\bisTransactional: (?P<transactional>true|false) isControl: (?P<control>true|false) .*\bisvalid: true$"
)
_RECORD = re.compile(r"\| offset: (?P<offset>\d+) .*?(?:\bendTxnMarker: (?P<marker>COMMIT|ABORT) .*)?$")
_ENDED: Mapping[str, Outcome] = {"COMMIT": "committed", "ABORT": "aborted"}

Place = tuple[int, int]
"""Partition and offset."""


class RecordFate(NamedTuple):
    """What became of one record."""

    producer_id: int
    """-1: its producer is not even idempotent."""
    epoch: int
    outcome: Outcome


def read_fates(data_directory: Path, topics: Sequence[str]) -> dict[str, dict[Place, RecordFate]]:
    """The fate of every record of some topics, by topic and place. One call of the tool (below a second) for all.

    Args:
        data_directory: of a node (``log.dirs``), as `integration.local_kafka.LocalKafka.data_directory` gives it.
        topics: each must have at least one partition on that node; partitions that it has not are left out.

    Raises:
        ComponentUnavailable: no Java, or the tool is not to be had.
        FileNotFoundError: the node holds nothing of a topic.
        RuntimeError: the tool failed, or printed what is not understood.
    """
    segments = [segment for topic in topics for segment in _segments(data_directory, topic)]
    fates = parse_dump(_dump(segments).splitlines())
    return {topic: fates.get(topic, {}) for topic in topics}


def parse_dump(lines: Iterable[str]) -> dict[str, dict[Place, RecordFate]]:
    """The fates that the tool's lines tell, by topic and place. Segments of a partition must come in order.

    Raises:
        RuntimeError: a line says what is not understood; a damaged batch, for one.
    """
    logs: defaultdict[tuple[str, int], _PartitionLog] = defaultdict(_PartitionLog)
    current: _PartitionLog | None = None
    for line in lines:
        file = _FILE.match(line)
        if file is not None:
            current = logs[file["topic"], int(file["partition"])]
        elif current is not None:
            current.read(line)
    fates: defaultdict[str, dict[Place, RecordFate]] = defaultdict(dict)
    for (topic, partition), log in logs.items():
        fates[topic] |= {(partition, offset): fate for offset, fate in log.fates.items()}
    return dict(fates)


class _PartitionLog:
    """Follows one partition's log, line by line."""

    def __init__(self) -> None:
        self.fates: dict[int, RecordFate] = {}
        """By offset; what is open when the log ends stays ``open``."""
        self._open: defaultdict[int, list[int]] = defaultdict(list)
        """Offsets of the open transaction of each producer id."""
        self._producer_id = self._epoch = -1
        self._transactional = self._control = False

    def read(self, line: str) -> None:
        """Take in the next line."""
        if line.startswith("| "):
            self._record(line)
        elif line.startswith("baseOffset: "):
            self._batch(line)
        elif line and not line.startswith("Log starting offset: "):
            raise RuntimeError(f"{_TOOL} printed a line that is not understood: {line}")

    def _batch(self, line: str) -> None:
        found = _matched(_BATCH, line)
        self._producer_id, self._epoch = int(found["producer_id"]), int(found["epoch"])
        self._transactional, self._control = found["transactional"] == "true", found["control"] == "true"

    def _record(self, line: str) -> None:
        found = _matched(_RECORD, line)
        if self._control:
            self._end(_ENDED[found["marker"]])
            return
        offset = int(found["offset"])
        if self._transactional:
            self._open[self._producer_id].append(offset)
        self.fates[offset] = RecordFate(self._producer_id, self._epoch, "open" if self._transactional else "plain")

    def _end(self, outcome: Outcome) -> None:
        for offset in self._open.pop(self._producer_id, ()):
            self.fates[offset] = self.fates[offset]._replace(outcome=outcome)


def _matched(pattern: re.Pattern[str], line: str) -> re.Match[str]:
    found = pattern.match(line)
    if found is None:
        raise RuntimeError(f"{_TOOL} printed a line that is not understood: {line}")
    return found


def _segments(data_directory: Path, topic: str) -> Iterator[Path]:
    """Segment files of a topic, partition after partition, each in the order of its offsets."""
    partitions = [path for path in data_directory.glob(f"{topic}-*") if path.name[len(topic) + 1 :].isdecimal()]
    if not partitions:
        raise FileNotFoundError(f"{data_directory} holds no partition of topic {topic}")
    for partition in sorted(partitions):
        yield from sorted(partition.glob("*.log"))


def _dump(segments: Sequence[Path]) -> str:
    jars = f"{artifacts.kafka_jars()}/*:{artifacts.kafka_tool_jars()}/*"
    java = str(artifacts.find_java(artifacts.KAFKA_JAVA))
    command = [java, "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", jars, _TOOL]
    command += ["--deep-iteration", "--files", ",".join(map(str, segments))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"{_TOOL} ended with code {done.returncode}:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    return done.stdout


__all__ = ["Place", "RecordFate", "parse_dump", "read_fates"]
