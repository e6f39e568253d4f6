"""Dicts and tables: the same rules as for encoded events."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_infer.codecs import AvroDecoder, FixedSchema, JsonDecoder, decode_mappings, decode_table
from stream_infer.codecs.write import write_long
from stream_infer.projection import Feature, Projection
from stream_infer.testing import records
from stream_infer.types import Decoded, Status

Project = Callable[..., Projection]
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}


def names(decoded: Decoded) -> list[str]:
    return [Status(code).name for code in decoded.status.tolist()]


FIELDS: dict[str, Any] = {
    "amount": "double",
    "count": ["null", "long"],
    "kind": ["null", "string"],
    "geo": ["null", {"type": "record", "name": "Geo", "fields": [{"name": "lat", "type": "double"}]}],
    "at": MILLIS,
    "ok": "boolean",
}
FEATURES = (
    Feature("amount", "amount"),
    Feature("count", "count", offset=1.0),
    Feature("kind", "kind", categories=("a", "b")),
    Feature("lat", "geo.lat", scale=0.5),
    Feature("at", "at"),
    Feature("ok", "ok"),
)
EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "amount": st.floats(allow_nan=False, allow_infinity=False),
            "count": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
            "kind": st.one_of(st.none(), st.text(max_size=2)),
            "geo": st.one_of(st.none(), st.fixed_dictionaries({"lat": st.floats(-90, 90)})),
            "at": st.integers(0, 2**41),
            "ok": st.booleans(),
        }
    ),
    min_size=1,
    max_size=20,
)


@given(events=EVENTS)
@settings(max_examples=20, deadline=None)
def test_avro_json_and_dicts_give_the_same_cells(
    events: list[dict[str, Any]], project: Project, encode: Callable[[Any, Any], bytes]
) -> None:
    projection = project(FIELDS, FEATURES, ["count"])
    schema = projection.reader_schema
    as_dicts = decode_mappings(projection, events)
    avro = AvroDecoder(projection, FixedSchema(dict(schema)), max_event_bytes=10_000)
    as_avro = avro.decode(records([encode(schema, event) for event in events]))
    as_json = JsonDecoder(projection, max_event_bytes=10_000).decode(records([json.dumps(e).encode() for e in events]))
    for other in (as_avro, as_json):
        np.testing.assert_array_equal(other.inputs["X"], as_dicts.inputs["X"])
        assert other.status.tolist() == as_dicts.status.tolist()
    assert as_avro.carried[0].values.to_list() == as_dicts.carried[0].values.to_list()


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("double", np.float32(0.1), float(np.float32(0.1))),
        ("long", np.int64(7), 7.0),
        ("boolean", np.True_, 1.0),
        ("double", Decimal("1.5"), 1.5),
        (MILLIS, 1500, 1.5),
        (MILLIS, dt.datetime(1970, 1, 2, tzinfo=dt.UTC), 86400.0),
        (MILLIS, dt.datetime(1970, 1, 2), 86400.0),
        (MILLIS, pd.Timestamp("1970-01-02T00:00:00.500Z"), 86400.5),
        (MILLIS, pd.NaT, "MISSING_FEATURE"),
        ({"type": "int", "logicalType": "date"}, dt.date(1970, 1, 11), 10.0),
        ({"type": "int", "logicalType": "time-millis"}, dt.time(1, 0, 1), 3601.0),
        ("double", dt.date(1970, 1, 1), "WRONG_TYPE"),
        ("double", float("nan"), "MISSING_FEATURE"),
        ("double", float("inf"), "NOT_FINITE"),
        ("double", "1", "WRONG_TYPE"),
        ("double", object(), "WRONG_TYPE"),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, Decimal("1.25"), 1.25),
    ],
)
def test_pythons_own_types(type_: Any, value: Any, expected: Any, project: Project) -> None:
    projection = project({"f": type_}, [Feature("f", "f", missing="error")])
    for decoded in (
        decode_mappings(projection, [{"f": value}, {"f": value}]),
        decode_table(projection, {"f": [value, value]}),
    ):
        found = decoded.inputs["X"][1, 0] if names(decoded) == ["OK"] * 2 else names(decoded)[0]
        assert found == expected


def test_arrays_may_be_numpy(project: Project) -> None:
    projection = project({"p": {"type": "array", "items": "float"}}, [Feature("p", "p", length=3, format="array")])
    decoded = decode_mappings(projection, [{"p": np.arange(3)}, {"p": (1, None, 2.5)}])
    assert repr(decoded.inputs["X"].tolist()) == "[[0.0, 1.0, 2.0], [1.0, nan, 2.5]]"


def test_the_records_own_are_looked_up_by_their_names(project: Project) -> None:
    projection = project({"x": "int"}, [Feature("k", "$key", categories=("a",)), Feature("t", "$timestamp")])
    assert decode_mappings(projection, [{"$key": "a", "$timestamp": 1.5}]).inputs["X"].tolist() == [[0.0, 1.5]]
    assert repr(decode_mappings(projection, [{}]).inputs["X"].tolist()) == "[[nan, nan]]"


def test_carried_fields_are_encoded_or_faulted(project: Project) -> None:
    projection = project({"id": "long", "at": MILLIS, "note": ("string", "-")}, (), ["id", "at", "note"])
    rows: list[dict[str, Any]] = [
        {"id": 2**53 + 1, "at": dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)},
        {"id": "x", "at": 0},
        {"at": 0},
    ]
    decoded = decode_mappings(projection, rows)
    assert names(decoded) == ["OK", "WRONG_TYPE", "MISSING_FIELD"]
    assert [column.values[0] for column in decoded.carried] == [write_long(2**53 + 1), write_long(1000), b"\x02-"]
    assert decoded.details[1] == "carried field id: expected an integer, found text"


def test_a_table_is_read_by_columns(project: Project) -> None:
    projection = project(
        {**FIELDS, "note": ("string", "-")}, [*FEATURES, Feature("k", "$key", categories=("x",))], ["kind", "note"]
    )
    table: dict[str, Any] = {
        "amount": np.array([1.5, np.nan]),
        "kind": np.array(["b", None], dtype=object),
        "geo.lat": np.array([3.0, 4.0], np.float32),
        "at": np.array(["1970-01-01T00:00:02", "NaT"], "datetime64[ns]"),
        "ok": np.array([True, False]),
        "$key": ["x", "y"],
    }
    decoded = decode_table(projection, table)
    expected = [[1.5, np.nan, 1.0, 1.5, 2.0, 1.0, 0.0], [np.nan, np.nan, np.nan, 2.0, np.nan, 0.0, -1.0]]
    np.testing.assert_array_equal(decoded.inputs["X"], expected)
    assert [column.values.to_list() for column in decoded.carried] == [[b"\x02\x02b", b"\x00"], [b"\x02-"] * 2]


@pytest.mark.parametrize("columns", [{}, {"amount": [1.0], "kind": []}])
def test_a_table_with_uneven_columns_is_refused(columns: dict[str, list[Any]], project: Project) -> None:
    with pytest.raises(ValueError, match="one length"):
        decode_table(project(FIELDS, FEATURES), columns)
