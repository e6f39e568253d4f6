from __future__ import annotations

import numpy as np
import pytest

from stream_infer.kafka.dead_letters import (
    ATTEMPTS_HEADER,
    CONNECT_PREFIX,
    PREFIX,
    SPRING_PREFIX,
    STREAMS_PREFIX,
    HeaderStyle,
    ReadHeaders,
    Verdict,
    dead_letter_headers,
    original_headers,
    read_verdict,
)
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
STYLES: tuple[HeaderStyle, ...] = ("native", "connect", "streams", "spring")
REJECT = Reject(0, Status.TRUNCATED, "the value ends inside field amount")
ALWAYS = {PREFIX + "reason": b"truncated", PREFIX + "stage": b"decode", PREFIX + "failed_at": b"99"}


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


def headers_of(scored: ScoredBatch, style: HeaderStyle = "native") -> dict[str, str | bytes | None]:
    return dict(dead_letter_headers(scored, REJECT, group_id="g", failed_at_ms=99, style=style))


def as_read(
    scored: ScoredBatch, style: HeaderStyle = "native", reject: Reject = REJECT
) -> list[tuple[str, bytes | None]]:
    """The headers as a reader gets them."""
    written = dead_letter_headers(scored, reject, group_id="g", failed_at_ms=99, style=style)
    return [(name, value.encode() if isinstance(value, str) else value) for name, value in written]


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


@pytest.mark.parametrize("style", STYLES)
def test_no_header_holds_any_of_the_payload(style: HeaderStyle) -> None:
    assert not any(SECRET in value for value in headers_of(batch(), style).values() if isinstance(value, bytes))


# ------------------------------------------------------------------ styles


def test_the_style_of_connect() -> None:
    assert headers_of(batch(), "connect") == {
        CONNECT_PREFIX + "topic": b"payments",
        CONNECT_PREFIX + "partition": b"3",
        CONNECT_PREFIX + "offset": b"1042",
        CONNECT_PREFIX + "connector.name": b"g",
        CONNECT_PREFIX + "task.id": b"0",
        CONNECT_PREFIX + "stage": b"VALUE_CONVERTER",
        CONNECT_PREFIX + "class.name": b"stream_infer.codecs",
        CONNECT_PREFIX + "exception.class.name": b"stream_infer.types.Status.TRUNCATED",
        CONNECT_PREFIX + "exception.message": b"the value ends inside field amount",
        **ALWAYS,
        PREFIX + "attempts": b"1",
    }


def test_the_style_of_streams() -> None:
    assert headers_of(batch(), "streams") == {
        STREAMS_PREFIX + "exception": b"stream_infer.types.Status.TRUNCATED",
        STREAMS_PREFIX + "message": b"the value ends inside field amount",
        STREAMS_PREFIX + "topic": b"payments",
        STREAMS_PREFIX + "partition": b"3",
        STREAMS_PREFIX + "offset": b"1042",
        **ALWAYS,
        PREFIX + "attempts": b"1",
    }


def test_the_style_of_spring_has_binary_numbers() -> None:
    assert headers_of(batch(), "spring") == {
        SPRING_PREFIX + "original-topic": b"payments",
        SPRING_PREFIX + "original-consumer-group": b"g",
        SPRING_PREFIX + "original-partition": b"\x00\x00\x00\x03",
        SPRING_PREFIX + "original-offset": b"\x00\x00\x00\x00\x00\x00\x04\x12",
        SPRING_PREFIX + "original-timestamp": b"\x00\x00\x00\x00\x00\x00\x04\xd2",
        SPRING_PREFIX + "exception-fqcn": b"stream_infer.types.Status.TRUNCATED",
        SPRING_PREFIX + "exception-message": b"the value ends inside field amount",
        **ALWAYS,
        PREFIX + "attempts": b"1",
    }
    assert SPRING_PREFIX + "original-timestamp" not in headers_of(batch(timestamp_ms=NO_TIMESTAMP), "spring")


@pytest.mark.parametrize("style", STYLES)
def test_an_event_that_crashes_is_said_to_in_every_style(style: HeaderStyle) -> None:
    said = read_verdict(as_read(batch(), style, Reject(0, Status.CRASHED, "killed three processes")))
    assert (said.reason, said.stage, said.message) == ("crashed", "crash", "killed three processes")


# ------------------------------------------------------------------ attempts


@pytest.mark.parametrize("style", STYLES)
def test_an_event_that_was_sent_back_is_counted_and_loses_the_header(style: HeaderStyle) -> None:
    before = HeaderRows([[("trace", b"1"), (ATTEMPTS_HEADER, b"2")]])
    found = as_read(batch(headers=before), style)
    assert dict(found)[PREFIX + "attempts"] == b"3"
    assert ATTEMPTS_HEADER not in dict(found)
    assert found[0] == ("trace", b"1")


@pytest.mark.parametrize("forged", [b"", b"-1", b"many", b"9" * 30, None])
def test_a_forged_number_of_attempts_counts_as_none(forged: bytes | None) -> None:
    found = as_read(batch(headers=HeaderRows([[(ATTEMPTS_HEADER, forged)]])))
    assert dict(found)[PREFIX + "attempts"] == b"1"


# ------------------------------------------------------------------ read


@pytest.mark.parametrize("style", STYLES)
def test_what_was_written_is_read_back(style: HeaderStyle) -> None:
    said = read_verdict(as_read(batch(), style))
    assert (said.style, said.topic, said.partition, said.offset) == (style, "payments", 3, 1042)
    assert (said.reason, said.stage, said.message) == ("truncated", "decode", "the value ends inside field amount")
    assert (said.failed_at_ms, said.attempts) == (99, 1)
    assert said.timestamp_ms == (1234 if style in ("native", "spring") else None)
    assert said.group == ("" if style == "streams" else "g")
    assert said.model == ("fraud 7" if style == "native" else "")


@pytest.mark.parametrize("first", STYLES)
@pytest.mark.parametrize("second", STYLES)
def test_who_rejected_an_event_last_is_believed(first: HeaderStyle, second: HeaderStyle) -> None:
    """A dead letter that somebody fed back by other means still has its old headers."""
    rejected = HeaderRows([as_read(batch(), first, Reject(0, Status.EMPTY, "first"))])
    said = read_verdict(as_read(batch(headers=rejected), second))
    assert (said.style, said.reason, said.message) == (second, "truncated", REJECT.message)


def test_the_dead_letters_of_other_tools() -> None:
    spring = [
        (SPRING_PREFIX + "original-topic", b"orders"),
        (SPRING_PREFIX + "original-partition", b"\x00\x00\x00\x02"),
        (SPRING_PREFIX + "original-offset", b"77"),
        (SPRING_PREFIX + "exception-fqcn", b"org.example.Broken"),
        (SPRING_PREFIX + "exception-stacktrace", b"..."),
    ]
    said = read_verdict(spring)
    assert (said.style, said.topic, said.partition, said.offset) == ("spring", "orders", 2, 77)
    assert (said.reason, said.stage, said.failed_at_ms, said.attempts) == ("org.example.Broken", "", None, 1)
    assert read_verdict([(CONNECT_PREFIX + "stage", b"TASK_PUT")]).stage == "TASK_PUT"
    assert read_verdict([("why", b"who knows")]) == Verdict()
    assert read_verdict([]) == Verdict()


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (b"0", 0),
        (b"1042", 1042),
        (b"12345678", 12345678),
        (str(2**63 - 1).encode(), 2**63 - 1),
        (str(2**63).encode(), None),
        ((5).to_bytes(4, "big"), 5),
        ((2**62).to_bytes(8, "big"), 2**62),
        (b"\xff" * 8, None),
        (b"\x00" * 3, None),
        (b"4.5", None),
        ("٣".encode(), None),
        (b"", None),
        (None, None),
    ],
)
def test_numbers_come_as_digits_or_as_bytes(value: bytes | None, number: int | None) -> None:
    headers: ReadHeaders = [(SPRING_PREFIX + "original-topic", b"t"), (SPRING_PREFIX + "original-offset", value)]
    assert read_verdict(headers).offset == number


@pytest.mark.parametrize("style", STYLES)
def test_what_was_added_is_taken_off_again(style: HeaderStyle) -> None:
    original = [("trace", b"\xff\x00"), ("null", None), ("trace", b""), ("__stream", b"")]
    rejected = as_read(batch(headers=HeaderRows([[*original, (ATTEMPTS_HEADER, b"1")]])), style)
    assert original_headers([*rejected, (ATTEMPTS_HEADER, b"1")]) == original
