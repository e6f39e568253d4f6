"""One batch: decode, infer, decide, encode, and what leaves as a reject."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from stream_infer.testing import FakeClock, records
from stream_infer.types import Binary, BoolArray, Decoded, ModelIdentity, Records, ScoredColumns, Status
from stream_infer.work import Work

NOW_MS = 1_800_000_000_000
MODEL = ModelIdentity("m", "1", "0" * 64, 0.9)


class Parts:
    """A scorer and an encoder that score 0.5 and write the row number; row 2 cannot be encoded."""

    identity = MODEL

    def __init__(self) -> None:
        self.shed: BoolArray | None = None
        self.watching = False
        self.watched_infer = False

    def decode(self, batch: Records) -> Decoded:
        status = np.zeros(len(batch), np.uint8)
        status[0] = Status.TRUNCATED
        return Decoded({}, status, (), {0: "ends early"})

    def infer(self, decoded: Decoded, shed: BoolArray | None = None) -> ScoredColumns:
        self.shed, self.watched_infer = shed, self.watching
        count = len(decoded)
        return ScoredColumns(
            np.full(count, 0.5, np.float32),
            np.zeros(count, np.bool_),
            decoded.status,
            np.zeros(count, np.uint8),
            (MODEL,),
            details=decoded.details,
        )

    def encode(self, batch: Records, scored: ScoredColumns, scored_at_ms: int) -> tuple[Binary, Mapping[int, str]]:
        payload = [None if status else str(row).encode() for row, status in enumerate(scored.status.tolist())]
        return Binary.from_values(payload), {2: "too wide"} if len(batch) > 2 else {}

    @contextmanager
    def watch(self) -> Iterator[None]:
        self.watching = True
        yield
        self.watching = False


def test_bad_rows_leave_as_rejects_in_row_order_and_are_not_published() -> None:
    parts = Parts()
    result = Work(parts, parts, FakeClock(wall_ms=NOW_MS)).score(records([b"a", b"b", b"c"]))
    rejects = [(reject.row, reject.status, reject.message) for reject in result.batch.rejects]
    assert rejects == [(0, Status.TRUNCATED, "ends early"), (2, Status.ENCODE_FAILED, "too wide")]
    assert result.batch.payload.to_list() == [None, b"1", None]


def test_nothing_is_shed_unless_an_age_is_set() -> None:
    parts = Parts()
    Work(parts, parts, FakeClock(wall_ms=NOW_MS)).score(records([b"a"], timestamp_ms=NOW_MS - 60_000))
    assert parts.shed is None


def test_events_older_than_the_age_are_shed() -> None:
    parts = Parts()
    work = Work(parts, parts, FakeClock(wall_ms=NOW_MS), max_age_ms=5_000)
    work.score(
        Records.concat([records([b"a"], timestamp_ms=NOW_MS - 5_001), records([b"b"], timestamp_ms=NOW_MS - 5_000)])
    )
    assert parts.shed is not None
    assert parts.shed.tolist() == [True, False]


def test_the_model_call_and_nothing_else_is_watched() -> None:
    parts = Parts()
    Work(parts, parts, FakeClock(wall_ms=NOW_MS), watch=parts.watch).score(records([b"a", b"b", b"c"]))
    assert parts.watched_infer
    assert not parts.watching


def test_what_is_condemned_is_rejected_without_being_looked_at() -> None:
    result = Work(NoParts(), NoParts(), FakeClock(wall_ms=NOW_MS)).condemn(records([b"a", None]))
    assert [(reject.row, reject.status) for reject in result.batch.rejects] == [
        (0, Status.CRASHED),
        (1, Status.CRASHED),
    ]
    assert result.batch.payload.to_list() == [None, None]
    assert result.batch.scored.models == (MODEL,)


class NoParts(Parts):
    """Parts that must not be used."""

    def decode(self, batch: Records) -> Decoded:
        raise AssertionError("decoded")

    def encode(self, batch: Records, scored: ScoredColumns, scored_at_ms: int) -> tuple[Binary, Mapping[int, str]]:
        raise AssertionError("encoded")
