"""A workload of the comparison without Kafka: the work on a batch as the service composes it, and its records.

Rule: records lie in columns before anybody looks at the clock, as the Kafka client on librdkafka's C interface makes
them: no Python object for an event.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from bench.kernel_decode import OneSchema
from bench.rivals.contract import OUTPUT_FRAME
from bench.rivals.workloads import Prepared
from stream_infer.bundle import ModelBundle
from stream_infer.clock import Deadline, SystemClock
from stream_infer.codecs import AvroDecoder, AvroEncoder, FramedSchemas, OutputSchema, output_schema
from stream_infer.ports import SourceListener, SplitPosition
from stream_infer.scoring import Scorer, open_model
from stream_infer.types import Binary, Commit, Records, Split, Start
from stream_infer.work import Work

MAX_EVENT_BYTES = 1 << 20
_SPLIT = Split("events", 0)


def output_of(made: Prepared) -> OutputSchema:
    """The scored event that stream_infer writes in the comparison: the fixed fields and the event's id."""
    return output_schema(ModelBundle.load(made.bundle).input_schema, [made.workload.id_field])


def open_work(made: Prepared, max_batch_size: int) -> Work:
    """From framed Avro to framed Avro, composed as `stream_infer.app` does for ``type = "avro"`` on both sides."""
    bundle = ModelBundle.load(made.bundle)
    schemas = FramedSchemas(OneSchema(json.loads(made.schema.read_text())))
    projection = bundle.projection([made.workload.id_field])
    decoder = AvroDecoder(projection, schemas, max_event_bytes=MAX_EVENT_BYTES)
    runtime = open_model(bundle, warm_up_sizes=(1, max_batch_size))
    return Work(Scorer(bundle, decoder, runtime), AvroEncoder(output_of(made), OUTPUT_FRAME), SystemClock())


def as_records(values: Sequence[bytes], keys: Sequence[bytes]) -> Records:
    """Records of one split, without headers; their timestamps are their offsets."""
    numbers = np.arange(len(values))
    columns = Binary.from_values(values), Binary.from_values(keys)
    return Records(*columns, (_SPLIT,), np.zeros(len(values), np.int32), numbers, numbers, 0)


class MemorySource:
    """A `stream_infer.ports.Source` of one split, whose records are there from the start. Commits are taken at once."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._next = 0
        self.committed_to = 0

    def start(self, listener: SourceListener) -> None:
        """Assign the split."""
        listener.splits_assigned({_SPLIT: Start(0, len(self._records))})

    def poll(self, max_records: int, timeout_s: float) -> Records | None:
        """The next records, as many as are asked for; nothing is copied."""
        start, self._next = self._next, min(self._next + max_records, len(self._records))
        return self._records.slice(start, self._next) if self._next > start else None

    def pause(self) -> None:
        """Nothing is fetched ahead."""

    def resume(self) -> None:
        """Nothing was paused."""

    def rewind(self, offsets: Mapping[Split, int]) -> Mapping[Split, Split]:
        """Never asked for."""
        raise NotImplementedError

    def begin_commit(self, commits: Mapping[Split, Commit]) -> None:
        """Keep the offset."""
        self.committed_to = commits[_SPLIT].offset

    def commit_done(self) -> bool:
        """True."""
        return True

    def commit_now(self, commits: Mapping[Split, Commit], deadline: Deadline) -> None:
        """Keep the offset."""
        self.begin_commit(commits)

    def committed(self, splits: Collection[Split]) -> Mapping[Split, int]:
        """What was committed last."""
        return dict.fromkeys(splits, self.committed_to)

    def membership(self) -> bytes:
        """Nobody else is in the group."""
        return b""

    def caught_up(self) -> bool:
        """True when every record was polled."""
        return self._next == len(self._records)

    def positions(self) -> Mapping[Split, SplitPosition]:
        """Nobody watches the lag."""
        return {}

    def close(self) -> None:
        """Nothing to release."""


__all__ = ["MAX_EVENT_BYTES", "MemorySource", "as_records", "open_work", "output_of"]
