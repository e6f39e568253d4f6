"""JSON events to columns: what is refused, what fields mean, what is carried."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from stream_infer.codecs import JsonDecoder
from stream_infer.projection import Feature, Projection
from stream_infer.testing import records
from stream_infer.types import MAX_NESTING, Decoded, Status

Project = Callable[..., Projection]
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}


def decode(projection: Projection, values: Sequence[bytes | None], **more: Any) -> Decoded:
    return JsonDecoder(projection, max_event_bytes=20_000).decode(records(values, **more))


def names(decoded: Decoded) -> list[str]:
    return [Status(code).name for code in decoded.status.tolist()]


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (None, "TOMBSTONE"),
        (b"", "EMPTY"),
        (b"x" * 20_001, "OVERSIZE"),
        (b'{"a": 1', "TRUNCATED"),
        (b'{"a": tru', "TRUNCATED"),
        (b'{"other": "\xc3\xa9", "a": -', "TRUNCATED"),
        (b'{"a": 1.', "TRUNCATED"),
        (b'{"a": 1e', "TRUNCATED"),
        (b'{"a": 1e+', "TRUNCATED"),
        (b'{"a": -}', "MALFORMED"),
        (b'{"other": "abc', "TRUNCATED"),
        (b'{"other": "abc\xc3', "TRUNCATED"),
        (b"  ", "TRUNCATED"),
        (b'{"a": 1} {', "TRAILING_BYTES"),
        (b'{"a" 1}', "MALFORMED"),
        (b'{"a": 01}', "MALFORMED"),
        (b'{"a": 1,}', "MALFORMED"),
        (b'{"other": "\\q"}', "MALFORMED"),
        (b'{"other": "\\ud800"}', "MALFORMED"),
        (b'\xef\xbb\xbf{"a": 1}', "MALFORMED"),
        (b"amount=5", "MALFORMED"),
        (b'{"other": "\xff"}', "INVALID_UTF8"),
        (b'{"\xff": 1}', "INVALID_UTF8"),
        (b'{"a": "\xed\xa0\x80"}', "INVALID_UTF8"),
        (b"[1]", "WRONG_TYPE"),
        (b"null", "WRONG_TYPE"),
        (b'"text"', "WRONG_TYPE"),
        (b'{"other": NaN}', "NOT_FINITE"),
        (b'{"a": -Infinity}', "NOT_FINITE"),
        (b'{"a": 1e400}', "NOT_FINITE"),
        (b'{"a": 9223372036854775808}', "OUT_OF_RANGE"),
        (b'{"a": ' + b"9" * 5000 + b"}", "OUT_OF_RANGE"),
        (b'{"a": "1"}', "WRONG_TYPE"),
        (b'{"a": [1]}', "WRONG_TYPE"),
        (b'{"a": null}', "MISSING_FEATURE"),
        (b"{}", "MISSING_FEATURE"),
        (b'{"other": ' + b"[" * 64 + b"]" * 64 + b"}", "TOO_DEEP"),
        (b'{"other": ' + b'{"a":' * 15_00, "TOO_DEEP"),
        (b'{"other": ' + b"9" * 5000 + b', "a": 1}', "OK"),
        (b'{"other": 1e400, "a": 1}', "OK"),
        (b'{"other": ' + b"[" * 63 + b"]" * 63 + b', "a": 1}', "OK"),
        (b'{"other": "' + b'[{\\"' * 200 + b'", "a": 1}', "OK"),
        (b'{"other": [' + b"[],{}," * 200 + b'1], "a": 1}', "OK"),
        (b'\n{"\\u0061": true}\t', "OK"),
    ],
)
def test_every_bad_event_gets_its_status_and_costs_no_neighbour(
    value: bytes | None, status: str, project: Project
) -> None:
    projection = project({"a": "long"}, [Feature("a", "a", missing="error")])
    good = b'{"a": 7, "other": {}}'
    decoded = decode(projection, [good, value, good])
    assert names(decoded) == ["OK", status, "OK"]
    assert decoded.inputs["X"][::2, 0].tolist() == [7.0, 7.0]


def test_nesting_is_counted_to_the_limit() -> None:
    assert MAX_NESTING == 64, "the events above are written for it"


def test_the_last_of_repeated_keys_counts(project: Project) -> None:
    decoded = decode(project({"a": "long"}, [Feature("a", "a")], ["a"]), [b'{"a": 1, "a": 2}'])
    assert decoded.inputs["X"].tolist() == [[2.0]]
    assert decoded.carried[0].values.to_list() == [b"2"]


@pytest.mark.parametrize(
    ("type_", "text", "expected"),
    [
        ("boolean", "true", 1.0),
        ("long", "9007199254740993", 9007199254740992.0),
        ("long", "2.5", 2.5),
        (MILLIS, "1500", 1.5),
        (MILLIS, "1500.5", 1.5005),
        (["null", MILLIS], "null", "MISSING_FEATURE"),
        ({"type": "long", "logicalType": "timestamp-micros"}, "1500000", 1.5),
        ({"type": "int", "logicalType": "time-millis"}, "1500", 1.5),
        ({"type": "int", "logicalType": "date"}, "20000", 20000.0),
        (DECIMAL, "12.34", 12.34),
        (DECIMAL, '"12.34"', 12.34),
        (DECIMAL, '"1e400"', "NOT_FINITE"),
        (DECIMAL, '"1e99999999999999999999"', "OUT_OF_RANGE"),
        (DECIMAL, '"12,34"', "WRONG_TYPE"),
        (DECIMAL, '"NaN"', "WRONG_TYPE"),
        ("string", '"1"', "WRONG_TYPE"),
        (MILLIS, '"2025-01-01"', "WRONG_TYPE"),
    ],
)
def test_the_readers_schema_says_what_a_value_means(type_: Any, text: str, expected: Any, project: Project) -> None:
    decoded = decode(project({"f": type_}, [Feature("f", "f", missing="error")]), [b'{"f": %s}' % text.encode()])
    assert (decoded.inputs["X"][0, 0] if names(decoded) == ["OK"] else names(decoded)[0]) == expected


def test_integers_reach_an_int64_input_exactly(project: Project) -> None:
    decoded = decode(project({"n": "long"}, [Feature("n", "n")], (), "int64"), [b'{"n": 9007199254740993}'])
    assert decoded.inputs["X"].tolist() == [[2**53 + 1]]


def test_nested_paths_defaults_and_aliases(project: Project) -> None:
    geo = {"type": "record", "name": "Geo", "fields": [{"name": "lat", "type": "double", "aliases": ["latitude"]}]}
    projection = project(
        {"geo": ["null", geo], "channel": ("string", "web")},
        [Feature("lat", "geo.lat"), Feature("c", "channel", categories=("web", "app"))],
        ["channel"],
    )
    projection.reader_schema["fields"][1]["aliases"] = ["way"]
    decoded = decode(
        projection,
        [b'{"geo": {"lat": 1.5}}', b'{"geo": {"latitude": 2.5}, "way": "app"}', b'{"geo": null}', b"{}", b'{"geo": 5}'],
    )
    assert repr(decoded.inputs["X"].tolist()[:4]) == "[[1.5, 0.0], [2.5, 1.0], [nan, 0.0], [nan, 0.0]]"
    assert names(decoded) == ["OK"] * 4 + ["WRONG_TYPE"]
    assert decoded.details[4] == "feature lat (field geo.lat): expected a record, found an integer"
    assert decoded.carried[0].values.to_list() == [b'"web"', b'"app"', b'"web"', b'"web"', b""]


@pytest.mark.parametrize(
    ("type_", "text", "status"),
    [
        ("long", "9007199254740993", "OK"),
        ("long", "5.0", "OK"),
        ("long", "5.5", "WRONG_TYPE"),
        ("long", "9223372036854775808", "OUT_OF_RANGE"),
        ("long", "true", "WRONG_TYPE"),
        ("int", "2147483648", "OUT_OF_RANGE"),
        ("boolean", "false", "OK"),
        ("boolean", "1", "WRONG_TYPE"),
        ("null", "0", "WRONG_TYPE"),
        ("double", "1e400", "NOT_FINITE"),
        ("double", "5", "OK"),
        ("double", "null", "WRONG_TYPE"),
        (["null", "double"], "null", "OK"),
        ("float", "1e39", "OUT_OF_RANGE"),
        ("string", '"text"', "OK"),
        ("string", "5", "WRONG_TYPE"),
        ("bytes", '"AAE="', "OK"),
        ("bytes", '"?"', "WRONG_TYPE"),
        (DECIMAL, '"12.34"', "OK"),
        (DECIMAL, "12.34", "OK"),
        (DECIMAL, "12.345", "OUT_OF_RANGE"),
        (DECIMAL, '"1e99999999999999999999"', "OUT_OF_RANGE"),
        (DECIMAL, "1e99999999999999999999", "OUT_OF_RANGE"),
        (DECIMAL, '"x"', "WRONG_TYPE"),
        ({"type": "enum", "name": "E", "symbols": ["a"]}, '"a"', "OK"),
        ({"type": "enum", "name": "E", "symbols": ["a"]}, '"b"', "WRONG_TYPE"),
        ({"type": "array", "items": "int"}, "[1, 2]", "OK"),
        ({"type": "array", "items": "int"}, '[1, "2"]', "WRONG_TYPE"),
        ({"type": "map", "values": "int"}, '{"a": 1}', "OK"),
        ({"type": "map", "values": "int"}, "[]", "WRONG_TYPE"),
    ],
)
def test_a_carried_field_keeps_its_text_and_must_fit_its_type(
    type_: Any, text: str, status: str, project: Project
) -> None:
    decoded = decode(project({"f": type_}, (), ["f"]), [b'{"f": %s }' % text.encode()])
    assert names(decoded) == [status]
    assert decoded.carried[0].encoding == "json"
    assert decoded.carried[0].values.to_list() == [text.encode() if status == "OK" else b""]


def test_a_carried_field_that_is_absent_is_missing_or_its_default(project: Project) -> None:
    assert names(decode(project({"f": "int"}, (), ["f"]), [b"{}"])) == ["MISSING_FIELD"]
    fields = {"f": (DECIMAL, "\x01\x00"), "g": (["null", "int"], None), "b": ("bytes", "\x00\x01")}
    decoded = decode(project(fields, (), list(fields)), [b"{}"])
    assert [json.loads(column.values[0] or b"") for column in decoded.carried] == ["2.56", None, "AAE="]


def test_details_name_no_value(project: Project) -> None:
    decoded = decode(project({"f": "int"}, [Feature("amount", "f")], ["f"]), [b'{"f": "secret"}', b'{"secret'])
    assert decoded.details == {
        0: "feature amount (field f): expected a number, found text",
        1: "the value ends before the event does",
    }
