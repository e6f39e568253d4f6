from __future__ import annotations

import numpy as np

from stream_infer.kafka.dead_letters import PREFIX, dead_letter_headers
from stream_infer.types import (
    NO_TIMESTAMP,
    Binary,
    HeaderRows,
    ModelIdentity,
    Records,
    Reject,
    ScoredBatch,
    ScoredColumns,
    Split,
    Status,
)

SECRET = b"4111-1111-1111-1111"


def batch(timestamp_ms: int = 1234, headers: HeaderRows | None = None) -> ScoredBatch:
    records = Records(
        values=Binary.from_values([SECRET]),
        keys=Binary.from_values([b"key"]),
        splits=(Split("payments", 3, 9),),
        split_index=np.zeros(1, np.int32),
        offset=np.array([1042], np.int64),
        timestamp_ms=np.array([timestamp_ms], np.int64),
        received_ms=0,
        headers=headers,
    )
    scored = ScoredColumns(
        score=np.full(1, np.nan, np.float32),
        flagged=np.zeros(1, np.bool_),
        status=np.array([Status.TRUNCATED], np.uint8),
        model_index=np.zeros(1, np.uint8),
        models=(ModelIdentity("fraud", "7", "ab" * 32, 0.9),),
    )
    return ScoredBatch(records, scored, Binary.from_values([None]), ())


def headers_of(scored: ScoredBatch) -> dict[str, str | bytes | None]:
    reject = Reject(0, Status.TRUNCATED, "the value ends inside field amount")
    return dict(dead_letter_headers(scored, reject, group_id="g", failed_at_ms=99))


def test_a_dead_letter_says_where_what_and_who() -> None:
    assert headers_of(batch()) == {
        PREFIX + "topic": b"payments",
        PREFIX + "partition": b"3",
        PREFIX + "offset": b"1042",
        PREFIX + "timestamp": b"1234",
        PREFIX + "stage": b"decode",
        PREFIX + "reason": b"truncated",
        PREFIX + "message": b"the value ends inside field amount",
        PREFIX + "group": b"g",
        PREFIX + "model.name": b"fraud",
        PREFIX + "model.version": b"7",
        PREFIX + "model.digest": b"ab" * 32,
        PREFIX + "failed_at": b"99",
        PREFIX + "attempts": b"1",
    }


def test_the_original_headers_come_first_and_unchanged() -> None:
    original = [("trace", b"\xff\x00"), ("null", None), ("trace", b"")]
    reject = Reject(0, Status.EMPTY, "")
    found = dead_letter_headers(batch(headers=HeaderRows([original])), reject, group_id="g", failed_at_ms=0)
    assert found[:3] == original
    assert all(name.startswith(PREFIX) for name, _ in found[3:])


def test_a_record_without_a_timestamp_has_no_timestamp_header() -> None:
    assert PREFIX + "timestamp" not in headers_of(batch(timestamp_ms=NO_TIMESTAMP))


def test_no_header_holds_any_of_the_payload() -> None:
    assert not any(SECRET in value for value in headers_of(batch()).values() if isinstance(value, bytes))
