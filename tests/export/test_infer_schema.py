"""The Avro schema of events that came without one."""

from __future__ import annotations

import datetime
import decimal
from typing import Any

import pytest

from stream_infer.export.infer_schema import fit_event, infer_schema


def field_type(values: list[Any]) -> Any:
    schema = infer_schema([{"x": value} for value in values])
    return schema["fields"][0]["type"] if schema["fields"] else None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False], "boolean"),
        ([1, 2], "long"),
        ([1, 2.5], "double"),
        ([2**63], "double"),
        (["a"], "string"),
        ([1, None], ["null", "long"]),
        ([[1], [2.5]], {"type": "array", "items": "double"}),
        ([[1, None]], {"type": "array", "items": ["null", "long"]}),
        ([datetime.datetime(2020, 1, 1)], {"type": "long", "logicalType": "timestamp-millis"}),
        ([datetime.date(2020, 1, 1)], {"type": "int", "logicalType": "date"}),
        ([decimal.Decimal("1.5")], "double"),
        ([b"x"], "bytes"),
        ([None, None], None),
        ([[], []], None),
        (["a", 1], None),
        ([True, 1], None),
        ([{}], None),
        ([datetime.time(1)], None),
    ],
)
def test_types(values: list[Any], expected: Any) -> None:
    assert field_type(values) == expected


def test_objects_are_records_and_absent_fields_are_nullable() -> None:
    schema = infer_schema([{"geo": {"lat": 1.5}}, {"geo": {"lat": 2.5, "lon": 1}}, {"other-name": 1}])
    (geo,) = schema["fields"]
    assert geo["default"] is None
    null, record = geo["type"]
    assert null == "null"
    assert record["fields"] == [
        {"name": "lat", "type": "double"},
        {"name": "lon", "type": ["null", "long"], "default": None},
    ]


def test_values_are_stored_as_their_type_says() -> None:
    moment = datetime.datetime(2020, 1, 1, 12, tzinfo=datetime.UTC)
    events = [
        {"n": 1, "d": 1, "geo": {"lat": 1}, "at": moment, "day": moment.date(), "list": [1]},
        {"n": 2, "d": 2.5, "at": moment.replace(tzinfo=None), "day": moment.date(), "list": []},
    ]
    schema = infer_schema(events)
    assert fit_event(events[0], schema) == {
        "n": 1,
        "d": 1.0,
        "geo": {"lat": 1},
        "at": 1_577_880_000_000,
        "day": 18_262,
        "list": [1],
    }
    assert fit_event(events[1], schema)["geo"] is None
    assert fit_event(events[1], schema)["at"] == 1_577_880_000_000
