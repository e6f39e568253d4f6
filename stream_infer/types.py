"""The values that travel along the line: columns, never one object per event.

Rule: everything here is data. No I/O, no clock, no decision. A batch is a struct of arrays, row ``i``
of every column speaks of the same event, and a bad event is a number in a status column.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

UInt8Array: TypeAlias = npt.NDArray[np.uint8]
Int32Array: TypeAlias = npt.NDArray[np.int32]
Int64Array: TypeAlias = npt.NDArray[np.int64]
Float32Array: TypeAlias = npt.NDArray[np.float32]
Float64Array: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
HeaderList: TypeAlias = Sequence[tuple[str, bytes | None]]

NO_TIMESTAMP = -1
"""The value of ``Provenance.timestamp_ms`` where the source gave no timestamp."""


class Status(enum.IntEnum):
    """How one event stands. Stored as uint8 in status columns.

    ``OK`` may be scored. ``TOMBSTONE`` and ``SHED`` are no errors: the first is passed over and counted,
    the second is published unscored. Every other member is a reject, and its lower-case name is the
    ``reason`` of the dead letter, of the metric label and of the log line.
    """

    OK = 0
    TOMBSTONE = 1
    SHED = 2

    EMPTY = 16
    """A value of zero bytes."""
    OVERSIZE = 17
    """Longer than ``source.max_event_bytes``."""
    BAD_MAGIC = 18
    """The first byte is not the framing's magic byte."""
    UNKNOWN_SCHEMA = 19
    """The schema id or GUID is not known to the registry or the schema files."""
    SCHEMA_REFUSED = 20
    """The writer's schema may exhaust or crash a decoder (recursive, zero-byte items), or does not fit."""
    TRUNCATED = 21
    """The value ends before the event does."""
    TRAILING_BYTES = 22
    """Bytes are left after the event."""
    MALFORMED = 23
    """Not a valid encoding (bad JSON, a union or enum index out of range, an overlong varint, ...)."""
    INVALID_UTF8 = 24
    """Text that is not UTF-8."""
    TOO_DEEP = 25
    """Nested deeper than ``MAX_NESTING``."""
    WRONG_TYPE = 26
    """A field holds another type than the feature list or the output schema needs."""
    MISSING_FIELD = 27
    """A field that is carried to the output is absent and has no default."""
    MISSING_FEATURE = 28
    """A feature with ``missing = "error"`` is absent, null or NaN."""
    UNSEEN_CATEGORY = 29
    """A category with ``unseen = "error"`` that the model does not know."""
    NOT_FINITE = 30
    """NaN or Infinity where the encoding forbids it (JSON), or an infinite feature value."""
    OUT_OF_RANGE = 31
    """A number that does not fit the model input's dtype."""
    MODEL_FAILED = 32
    """The model refuses this event (found by bisecting the batch)."""
    MODEL_OUTPUT = 33
    """The model's score for this event is NaN or infinite."""
    ENCODE_FAILED = 34
    """The scored event cannot be encoded."""
    OUTPUT_TOO_LARGE = 35
    """The scored event is larger than the sink takes."""
    CRASHED = 36
    """Whoever tried this event died of it, repeatedly (`stream_infer.core.crashes`). It is not decoded again."""

    @property
    def is_reject(self) -> bool:
        """True where the event becomes a dead letter."""
        return self >= FIRST_REJECT

    @property
    def reason(self) -> str:
        """The reason as it is written everywhere: the lower-case name."""
        return self.name.lower()

    @property
    def stage(self) -> str:
        """Where the event failed: ``decode``, ``infer``, ``encode``, or ``crash`` where nobody lived to say."""
        if self is Status.CRASHED:
            return "crash"
        if self in (Status.MODEL_FAILED, Status.MODEL_OUTPUT):
            return "infer"
        if self in (Status.ENCODE_FAILED, Status.OUTPUT_TOO_LARGE):
            return "encode"
        return "decode"


FIRST_REJECT = 16
MAX_NESTING = 64
"""Deepest nesting of an event that is decoded (levels). Real schemas stay below 10."""


class Split(NamedTuple):
    """One ordered stream of events: a partition of a topic, or a file.

    ``generation`` counts assignments of the same partition to this process, so that a result which was
    computed before a rebalance or a rewind names a split that nobody owns any more.
    """

    source: str
    """Topic or file name."""
    partition: int
    """Partition number; 0 for a file."""
    generation: int = 0


class Start(NamedTuple):
    """Where reading begins on a split that was just assigned."""

    offset: int
    """First offset to read."""
    end_offset: int
    """End of the split at that moment; -1 where unknown."""
    note: str = ""
    """The note of the commit that says so; empty where nothing is committed."""


class Commit(NamedTuple):
    """What is committed for a split."""

    offset: int
    """Next offset to read."""
    note: str = ""
    """A word to whoever reads on from here (`stream_infer.core.crashes`). Kafka: the offset's metadata."""


@dataclass(frozen=True, slots=True)
class Binary:
    """A column of byte strings in Arrow's binary layout.

    ``data`` is uint8; ``offsets`` is int64 of length n + 1, ascending, and may start above 0;
    ``valid`` is bool ``[n]``, or None when no value is null. The bytes of a null value mean nothing.
    """

    data: UInt8Array
    offsets: Int64Array
    valid: BoolArray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> bytes | None:
        if self.valid is not None and not self.valid[row]:
            return None
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes()

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return int(self.offsets[-1] - self.offsets[0])

    @property
    def lengths(self) -> Int64Array:
        """Length in bytes of each value, int64 ``[n]``."""
        return np.diff(self.offsets)

    @classmethod
    def from_values(cls, values: Sequence[bytes | None]) -> Binary:
        """Join values into one column. The bytes are copied once."""
        nulls = any(value is None for value in values)
        present = [value or b"" for value in values] if nulls else values
        offsets = np.zeros(len(values) + 1, np.int64)
        np.cumsum([len(value) for value in present], out=offsets[1:])  # type: ignore[arg-type]
        data = np.frombuffer(b"".join(present), np.uint8)  # type: ignore[arg-type]
        valid = np.array([value is not None for value in values], np.bool_) if nulls else None
        return cls(data, offsets, valid)

    def to_list(self) -> list[bytes | None]:
        """All values as Python objects (used where a client wants objects)."""
        start = int(self.offsets[0])
        joined = self.data[start : int(self.offsets[-1])].tobytes()
        ends = (self.offsets - start).tolist()
        values: list[bytes | None] = [joined[a:b] for a, b in itertools.pairwise(ends)]
        if self.valid is not None:
            for row in np.flatnonzero(~self.valid).tolist():
                values[row] = None
        return values

    def slice(self, start: int, stop: int) -> Binary:
        """Rows ``start`` to ``stop`` without copying a byte."""
        valid = None if self.valid is None else self.valid[start:stop]
        return Binary(self.data, self.offsets[start : stop + 1], valid)

    def take(self, rows: Sequence[int] | Int64Array) -> Binary:
        """The named rows, copied."""
        return Binary.from_values([self[int(row)] for row in rows])

    @staticmethod
    def concat(parts: Sequence[Binary]) -> Binary:
        """All rows of all parts, in order. One part is returned as it is."""
        if len(parts) == 1:
            return parts[0]
        data = np.concatenate([part.data[part.offsets[0] : part.offsets[-1]] for part in parts])
        offsets = np.zeros(sum(map(len, parts)) + 1, np.int64)
        np.cumsum(np.concatenate([part.lengths for part in parts]), out=offsets[1:])
        if all(part.valid is None for part in parts):
            return Binary(data, offsets)
        valid = np.concatenate([np.ones(len(part), np.bool_) if part.valid is None else part.valid for part in parts])
        return Binary(data, offsets, valid)


class Headers(Protocol):
    """Headers of a run of records, read only when somebody asks (dead letters, ``$headers.NAME``)."""

    def __getitem__(self, row: int) -> HeaderList: ...

    def present(self) -> BoolArray:
        """Which records have headers, bool ``[n]``: most have none, and this is quicker than to ask for them."""
        ...

    def slice(self, start: int, stop: int) -> Headers:
        """Rows ``start`` to ``stop``."""
        ...

    def take(self, rows: Int64Array) -> Headers:
        """The named rows."""
        ...

    def concat(self, others: Sequence[Headers]) -> Headers:
        """These rows followed by those of the others."""
        ...


@dataclass(frozen=True, slots=True)
class HeaderRows:
    """Headers held as plain lists: for fakes, files and tests."""

    rows: Sequence[HeaderList]

    def __getitem__(self, row: int) -> HeaderList:
        return self.rows[row]

    def present(self) -> BoolArray:
        """Which records have headers, bool ``[n]``."""
        return np.fromiter(map(bool, self.rows), np.bool_, len(self.rows))

    def slice(self, start: int, stop: int) -> HeaderRows:
        """Rows ``start`` to ``stop``."""
        return HeaderRows(self.rows[start:stop])

    def take(self, rows: Int64Array) -> HeaderRows:
        """The named rows."""
        return HeaderRows([self.rows[int(row)] for row in rows])

    def concat(self, others: Sequence[Headers]) -> HeaderRows:
        """These rows followed by those of the others (all must be ``HeaderRows``)."""
        rows = list(self.rows)
        for other in others:
            assert isinstance(other, HeaderRows), "headers of one source are of one kind"
            rows.extend(other.rows)
        return HeaderRows(rows)


@dataclass(frozen=True, slots=True)
class Records:
    """A run of raw events and where they came from. All columns have n rows.

    ``splits`` is the table that ``split_index`` points into. ``timestamp_ms`` is milliseconds since the
    epoch as the source tells it (``NO_TIMESTAMP`` for none), ``received_ms`` the wall-clock time of
    arrival, one number for the run: it stands in where a timestamp is absent or not plausible.
    """

    values: Binary
    keys: Binary
    splits: tuple[Split, ...]
    split_index: Int32Array
    offset: Int64Array
    timestamp_ms: Int64Array
    received_ms: int
    headers: Headers | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def nbytes(self) -> int:
        """Bytes of all values and keys."""
        return self.values.nbytes + self.keys.nbytes

    def split(self, row: int) -> Split:
        """The split of one row."""
        return self.splits[int(self.split_index[row])]

    def slice(self, start: int, stop: int) -> Records:
        """Rows ``start`` to ``stop``; values are not copied."""
        return Records(
            self.values.slice(start, stop),
            self.keys.slice(start, stop),
            self.splits,
            self.split_index[start:stop],
            self.offset[start:stop],
            self.timestamp_ms[start:stop],
            self.received_ms,
            None if self.headers is None else self.headers.slice(start, stop),
        )

    def take(self, rows: Int64Array) -> Records:
        """The named rows, copied."""
        return Records(
            self.values.take(rows),
            self.keys.take(rows),
            self.splits,
            self.split_index[rows],
            self.offset[rows],
            self.timestamp_ms[rows],
            self.received_ms,
            None if self.headers is None else self.headers.take(rows),
        )

    @staticmethod
    def concat(parts: Sequence[Records]) -> Records:
        """All rows of all parts, in order. ``received_ms`` is that of the first (the oldest)."""
        if len(parts) == 1:
            return parts[0]
        table: dict[Split, int] = {}
        indices = []
        for part in parts:
            local = np.array([table.setdefault(split, len(table)) for split in part.splits], np.int32)
            indices.append(local[part.split_index])
        headers = [part.headers for part in parts if part.headers is not None]
        assert len(headers) in (0, len(parts)), "either all parts have headers or none"
        return Records(
            Binary.concat([part.values for part in parts]),
            Binary.concat([part.keys for part in parts]),
            tuple(table),
            np.concatenate(indices),
            np.concatenate([part.offset for part in parts]),
            np.concatenate([part.timestamp_ms for part in parts]),
            parts[0].received_ms,
            headers[0].concat(headers[1:]) if headers else None,
        )

    def first_offsets(self) -> dict[Split, int]:
        """Lowest offset of each split present."""
        return {split: int(offsets.min()) for split, offsets in self._offsets_by_split()}

    def next_offsets(self) -> dict[Split, int]:
        """Offset after the last record of each split present: what a commit of these records says."""
        return {split: int(offsets.max()) + 1 for split, offsets in self._offsets_by_split()}

    def _offsets_by_split(self) -> Iterator[tuple[Split, Int64Array]]:
        counts = np.bincount(self.split_index, minlength=len(self.splits)).tolist()
        for place, count in enumerate(counts):
            if count == len(self):
                yield self.splits[place], self.offset
            elif count:
                yield self.splits[place], self.offset[self.split_index == place]


AvroType: TypeAlias = str | dict[str, Any] | list[Any]
"""An Avro type in its JSON form, named types spelt out at their first use."""


@dataclass(frozen=True, slots=True)
class Column:
    """A field of the input on its way to the output.

    ``values`` holds each value encoded on its own: ``encoding = "avro"`` is the Avro binary encoding of
    ``type``, ``"json"`` is JSON text. An encoder copies the bytes where it writes that encoding of that
    type, and transcodes otherwise. Rows whose status is not OK hold zero bytes.
    """

    name: str
    type: AvroType
    encoding: str
    values: Binary


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a decoder makes of n records.

    ``inputs`` maps a model input's name to an array with n rows (float32 ``[n, F]`` C-contiguous with NaN
    for missing, int64 ``[n, F]``, or an object array of str ``[n, F]``). ``status`` is uint8 ``[n]``
    (see `Status`); the cells of a row that is not OK mean nothing. ``details`` says more of some rejected
    rows, by row: a sentence without any value of the event.
    """

    inputs: Mapping[str, npt.NDArray[Any]]
    status: UInt8Array
    carried: tuple[Column, ...]
    details: Mapping[int, str]

    def __len__(self) -> int:
        return len(self.status)


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """What a scored event, a metric and a report call a model by."""

    name: str
    version: str
    digest: str
    """SHA-256 of ``bundle.json``, 64 hexadecimal digits."""
    threshold: float
    """The threshold in force: the config's, else the bundle's."""


@dataclass(frozen=True, slots=True)
class ScoredColumns:
    """n scored events.

    ``score`` float32 ``[n]`` (NaN where the status is not OK), ``flagged`` bool ``[n]``, ``status`` uint8
    ``[n]``, ``model_index`` uint8 ``[n]`` into ``models``, ``probabilities`` float32 ``[n, k]`` for a
    multi-class model (else None) with ``classes`` naming its columns, ``carried`` and ``details`` as in
    `Decoded`.
    """

    score: Float32Array
    flagged: BoolArray
    status: UInt8Array
    model_index: UInt8Array
    models: tuple[ModelIdentity, ...]
    carried: tuple[Column, ...] = ()
    details: Mapping[int, str] = None  # type: ignore[assignment]
    probabilities: Float32Array | None = None
    classes: tuple[str, ...] = ()
    model_calls: int = 1

    def __post_init__(self) -> None:
        if self.details is None:
            object.__setattr__(self, "details", {})

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True, slots=True)
class Reject:
    """One event that could not be scored: the row in its batch, why, and a sentence without payload."""

    row: int
    status: Status
    message: str


@dataclass(frozen=True, slots=True)
class ScoredBatch:
    """A batch ready for the sink.

    ``payload`` holds the encoded scored event of every row whose status is OK or SHED; other rows are
    null. ``rejects`` lists the rows that become dead letters. A row that is in neither is passed over.
    """

    records: Records
    scored: ScoredColumns
    payload: Binary
    rejects: tuple[Reject, ...]

    def only(self, keep: BoolArray) -> ScoredBatch:
        """The same batch with every other row neither published nor rejected (bool ``[n]``)."""
        valid = keep if self.payload.valid is None else self.payload.valid & keep
        payload = Binary(self.payload.data, self.payload.offsets, valid)
        return ScoredBatch(self.records, self.scored, payload, tuple(r for r in self.rejects if keep[r.row]))
