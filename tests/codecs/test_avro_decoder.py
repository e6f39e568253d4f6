"""Avro events to columns: statuses, evolution, carried fields."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from stream_infer.codecs import AvroDecoder, FixedSchema, FramedSchemas
from stream_infer.codecs.write import write_long
from stream_infer.errors import ConfigError, ModelLoadError
from stream_infer.projection import Feature, ModelInput, Projection
from stream_infer.testing import records
from stream_infer.types import Decoded, Status

Encode = Callable[[Any, Any], bytes]
Project = Callable[..., Projection]
SchemaOf = Callable[[Any], dict[str, Any]]
MAX_BYTES = 1000


def decode(projection: Projection, schema: Any, values: Sequence[bytes | None], **more: Any) -> Decoded:
    return AvroDecoder(projection, FixedSchema(schema), max_event_bytes=MAX_BYTES).decode(records(values, **more))


def names(decoded: Decoded) -> list[str]:
    return [Status(code).name for code in decoded.status.tolist()]


def test_every_bad_event_gets_its_status_and_costs_no_neighbour(
    encode: Encode, project: Project, schema_of: SchemaOf
) -> None:
    fields = {"id": "string", "amount": "double", "note": ["null", "string"]}
    schema = schema_of(fields)
    projection = project(fields, [Feature("amount", "amount", missing="error")], ["id"])
    good = encode(schema, {"id": "a", "amount": 1.5, "note": None})
    head, tail = write_long(1) + b"a", struct.pack("<d", 1.5)
    bad = {
        None: "TOMBSTONE",
        b"": "EMPTY",
        b"\x00" * (MAX_BYTES + 1): "OVERSIZE",
        good[:-1]: "TRUNCATED",
        good + b"\x00": "TRAILING_BYTES",
        head + tail + b"\x04": "MALFORMED",
        head + tail + b"\x01": "MALFORMED",
        write_long(1) + b"\xff" + tail + b"\x00": "INVALID_UTF8",
        head + tail + b"\x02" + write_long(1) + b"\xff": "INVALID_UTF8",
        head + struct.pack("<d", float("nan")) + b"\x00": "MISSING_FEATURE",
        head + struct.pack("<d", float("inf")) + b"\x00": "NOT_FINITE",
    }
    values = [part for event in bad for part in (good, event)] + [good]
    decoded = decode(projection, schema, values)
    assert names(decoded)[1::2] == list(bad.values())
    assert names(decoded)[::2] == ["OK"] * (len(bad) + 1)
    assert decoded.inputs["X"][::2, 0].tolist() == [1.5] * (len(bad) + 1)
    assert decoded.carried[0].values.to_list() == [write_long(1) + b"a", b""] * len(bad) + [write_long(1) + b"a"]
    assert decoded.details[7] == "note: the value ends before the event does"
    assert decoded.details[11] == "note: a union index is out of range"
    assert 1 not in decoded.details


def test_no_records_give_empty_columns(project: Project, schema_of: SchemaOf) -> None:
    fields = {"id": "string", "amount": "double"}
    decoded = decode(project(fields, [Feature("a", "amount")], ["id"]), schema_of(fields), [])
    assert decoded.inputs["X"].shape == (0, 1)
    assert len(decoded) == len(decoded.carried[0].values) == 0


def test_inputs_are_as_the_model_wants_them(encode: Encode, schema_of: SchemaOf) -> None:
    schema = schema_of({"n": "long", "x": "float", "s": "string"})
    inputs = (
        ModelInput("A", "float32", (Feature("x", "x"), Feature("n", "n"))),
        ModelInput("B", "int64", (Feature("n", "n"),)),
        ModelInput("C", "string", (Feature("s", "s"),)),
    )
    value = {"n": 2**53 + 1, "x": 0.25, "s": "grün"}
    decoded = decode(Projection(inputs, ("n",), schema), schema, [encode(schema, value)] * 2)
    assert decoded.inputs["A"].dtype == np.float32
    assert decoded.inputs["A"].flags.c_contiguous
    assert decoded.inputs["A"].shape == (2, 2)
    assert decoded.inputs["B"].tolist() == [[2**53 + 1]] * 2
    assert decoded.inputs["C"].tolist() == [["grün"]] * 2
    assert decoded.carried[0].values.to_list() == [write_long(2**53 + 1)] * 2


@pytest.mark.parametrize(
    ("type_", "value", "expected"),
    [
        ("boolean", True, 1.0),
        ("int", -3, -3.0),
        ("float", 0.1, float(np.float32(0.1))),
        ({"type": "long", "logicalType": "timestamp-millis"}, 1_760_000_000_123, 1_760_000_000_123 / 1e3),
        ({"type": "long", "logicalType": "timestamp-micros"}, 1_760_000_000_123_456, 1_760_000_000_123_456 / 1e6),
        (
            {"type": "long", "logicalType": "timestamp-nanos"},
            1_760_000_000_123_456_789,
            1_760_000_000_123_456_789 / 1e9,
        ),
        ({"type": "long", "logicalType": "local-timestamp-millis"}, -1500, -1.5),
        ({"type": "int", "logicalType": "time-millis"}, 1500, 1.5),
        ({"type": "long", "logicalType": "time-micros"}, 1_500_000, 1.5),
        ({"type": "int", "logicalType": "date"}, 20_000, 20_000.0),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2},
            Decimal("-1234567890123456.78"),
            -1234567890123456.78,
        ),
        (
            {"type": "fixed", "name": "D", "size": 8, "logicalType": "decimal", "precision": 9, "scale": 1},
            Decimal("0.1"),
            0.1,
        ),
        (["null", {"type": "long", "logicalType": "timestamp-millis"}], 2500, 2.5),
        ("string", "5", "WRONG_TYPE"),
        ("bytes", b"5", "WRONG_TYPE"),
        ({"type": "fixed", "name": "F", "size": 1}, b"5", "WRONG_TYPE"),
        ({"type": "enum", "name": "E", "symbols": ["a"]}, "a", "WRONG_TYPE"),
        ({"type": "array", "items": "int"}, [1], "WRONG_TYPE"),
        (["null", "int", "string"], "x", "WRONG_TYPE"),
        (["null", "int", "string"], 5, 5.0),
    ],
)
def test_one_meaning_per_type(
    type_: Any, value: Any, expected: Any, encode: Encode, project: Project, schema_of: SchemaOf
) -> None:
    schema = schema_of({"f": type_})
    decoded = decode(project({"f": type_}, [Feature("f", "f")]), schema, [encode(schema, {"f": value})])
    assert (decoded.inputs["X"][0, 0] if names(decoded) == ["OK"] else names(decoded)[0]) == expected


def test_a_decimal_beyond_a_double_is_out_of_range(project: Project, schema_of: SchemaOf) -> None:
    fields = {"f": {"type": "bytes", "logicalType": "decimal", "precision": 500, "scale": 0}}
    digits = (10**400).to_bytes(200, "big")
    decoded = decode(project(fields, [Feature("f", "f")]), schema_of(fields), [write_long(200) + digits])
    assert names(decoded) == ["OUT_OF_RANGE"]


def test_nested_nullable_paths(encode: Encode, project: Project, schema_of: SchemaOf) -> None:
    geo = {"type": "record", "name": "Geo", "fields": [{"name": "lat", "type": ["null", "double"]}]}
    site = {"type": "record", "name": "Site", "fields": [{"name": "geo", "type": ["null", geo, "string"]}]}
    schema = schema_of({"site": ["null", site], "after": "int"})
    projection = project(
        {"site": ["null", site], "after": "int"}, [Feature("lat", "site.geo.lat"), Feature("after", "after")], ["site"]
    )
    events = [None, {"geo": None}, {"geo": {"lat": None}}, {"geo": {"lat": 48.5}}, {"geo": "unknown"}]
    decoded = decode(projection, schema, [encode(schema, {"site": event, "after": 7}) for event in events])
    assert repr(decoded.inputs["X"][:, 0].tolist()[:4]) == "[nan, nan, nan, 48.5]"
    assert decoded.inputs["X"][:4, 1].tolist() == [7.0] * 4
    assert names(decoded) == ["OK"] * 4 + ["WRONG_TYPE"]
    assert decoded.details[4] == "feature lat (field site.geo.lat): expected a record on the way, found string"
    assert decoded.carried[0].values[3] == b"\x02\x02\x02" + struct.pack("<d", 48.5)


def test_a_producer_may_evolve_its_schema(encode: Encode, project: Project, schema_of: SchemaOf) -> None:
    ours = {
        "id": "long",
        "amount": "double",
        "channel": ("string", "web"),
        "geo": (
            ["null", {"type": "record", "name": "Geo", "fields": [{"name": "lat", "type": "double"}]}],
            None,
        ),
        "count": ("int", 3),
    }
    projection = project(
        ours,
        [Feature("amount", "amount"), Feature("lat", "geo.lat"), Feature("count", "count", missing="error")],
        ["channel", "id", "geo"],
    )
    projection.reader_schema["fields"][1]["aliases"] = ["sum"]
    theirs = schema_of(
        {"extra": {"type": "map", "values": "string"}, "id": "int", "sum": "float", "channel": ["null", "string"]}
    )
    older = schema_of({"amount": "long", "id": "long"})
    sources = {1: theirs, 2: older}
    decoder = AvroDecoder(projection, FramedSchemas(Schemas(sources)), max_event_bytes=MAX_BYTES)
    values = [
        framed(1, encode(theirs, {"extra": {"a": "b"}, "id": -1, "sum": 0.5, "channel": "app"})),
        framed(2, encode(older, {"amount": 9, "id": 2**40})),
        framed(1, encode(theirs, {"extra": {}, "id": -1, "sum": 0.5, "channel": None})),
    ]
    decoded = decoder.decode(records(values))
    assert repr(decoded.inputs["X"][:2].tolist()) == "[[0.5, nan, 3.0], [9.0, nan, 3.0]]"
    assert names(decoded) == ["OK", "OK", "WRONG_TYPE"]
    assert decoded.details[2] == "carried field channel: expected string, found null"
    assert decoded.carried[0].values.to_list()[:2] == [b"\x06app", b"\x06web"]
    assert decoded.carried[1].values.to_list()[:2] == [write_long(-1), write_long(2**40)]
    assert decoded.carried[2].values.to_list()[:2] == [b"\x00", b"\x00"]


class Schemas:
    """Schemas by id."""

    def __init__(self, by_id: dict[int, Any]) -> None:
        self.schemas = by_id

    def by_id(self, schema_id: int) -> str | None:
        return json.dumps(self.schemas[schema_id]) if schema_id in self.schemas else None

    def by_guid(self, guid: str) -> str | None:
        raise AssertionError(guid)

    def register(self, subject: str, schema: str) -> int:
        raise AssertionError(subject + schema)


def framed(schema_id: int, payload: bytes) -> bytes:
    return struct.pack(">bI", 0, schema_id) + payload


def test_a_missing_field_counts_by_policy_or_default(encode: Encode, project: Project, schema_of: SchemaOf) -> None:
    old = schema_of({"other": "int"})
    value = encode(old, {"other": 1})
    assert names(decode(project({"f": "int"}, [Feature("f", "f", missing="error")]), old, [value])) == [
        "MISSING_FEATURE"
    ]
    decoded = decode(project({"f": "int"}, (), ["f"]), old, [value])
    assert names(decoded) == ["MISSING_FIELD"]
    assert "carried field f" in decoded.details[0]


def test_a_default_is_read_as_its_type(encode: Encode, project: Project, schema_of: SchemaOf) -> None:
    old = schema_of({"other": "int"})
    fields = {
        "price": ({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}, "\x01\x00"),
        "at": ({"type": "long", "logicalType": "timestamp-millis"}, 1500),
        "geo": (
            {"type": "record", "name": "Geo", "fields": [{"name": "lat", "type": "double", "default": 2.0}]},
            {},
        ),
    }
    features = [Feature("p", "price"), Feature("t", "at"), Feature("l", "geo.lat")]
    decoded = decode(project(fields, features, list(fields)), old, [encode(old, {"other": 1})])
    assert decoded.inputs["X"].tolist() == [[2.56, 1.5, 2.0]]
    assert [column.values[0] for column in decoded.carried] == [
        b"\x04\x01\x00",
        write_long(1500),
        struct.pack("<d", 2.0),
    ]


def test_units_are_the_writers_and_the_meaning_is_the_readers(
    encode: Encode, project: Project, schema_of: SchemaOf
) -> None:
    millis = {"type": "long", "logicalType": "timestamp-millis"}
    micros = {"type": "long", "logicalType": "timestamp-micros"}
    cases: list[tuple[Any, Any, Any, float]] = [
        (millis, micros, 1_500_000, 1.5),
        (millis, "long", 1500, 1.5),
        ("long", millis, 1500, 1500.0),
    ]
    for ours, theirs, value, expected in cases:
        schema = schema_of({"f": theirs})
        decoded = decode(project({"f": ours}, [Feature("f", "f")]), schema, [encode(schema, {"f": value})])
        assert decoded.inputs["X"][0, 0] == expected


def test_a_carried_unit_that_changed_is_rejected_not_misread(
    encode: Encode, project: Project, schema_of: SchemaOf
) -> None:
    schema = schema_of({"f": {"type": "long", "logicalType": "timestamp-micros"}})
    projection = project({"f": {"type": "long", "logicalType": "timestamp-millis"}}, (), ["f"])
    decoded = decode(projection, schema, [encode(schema, {"f": 5})])
    assert names(decoded) == ["WRONG_TYPE"]
    assert "timestamp-micros" in decoded.details[0]


def test_enums_are_text_and_fall_back_to_the_readers_default(
    encode: Encode, project: Project, schema_of: SchemaOf
) -> None:
    theirs = schema_of({"kind": {"type": "enum", "name": "Kind", "symbols": ["x", "b", "a"]}})
    values = [encode(theirs, {"kind": symbol}) for symbol in "abx"]
    feature = Feature("kind", "kind", categories=("a", "b"), unseen=-1)
    ours = {"type": "enum", "name": "Kind", "symbols": ["a", "b"]}
    strict = decode(project({"kind": ours}, [feature], ["kind"]), theirs, values)
    assert names(strict) == ["OK", "OK", "WRONG_TYPE"]
    assert strict.inputs["X"][:, 0].tolist()[:2] == [0.0, 1.0]
    assert strict.carried[0].values.to_list() == [b"\x00", b"\x02", b""]
    lenient = decode(project({"kind": ours | {"default": "b"}}, [feature], ["kind"]), theirs, values)
    assert lenient.inputs["X"][:, 0].tolist() == [0.0, 1.0, 1.0]
    assert lenient.carried[0].values.to_list() == [b"\x00", b"\x02", b"\x02"]


def test_text_may_be_written_as_bytes(encode: Encode, project: Project, schema_of: SchemaOf) -> None:
    theirs = schema_of({"s": "bytes"})
    projection = project({"s": "string"}, [Feature("s", "s")], ["s"], "string")
    decoded = decode(projection, theirs, [encode(theirs, {"s": "ü".encode()}), encode(theirs, {"s": b"\xff"})])
    assert decoded.inputs["X"][0, 0] == "ü"
    assert names(decoded) == ["OK", "INVALID_UTF8"]


def test_long_arrays_fill_many_cells(encode: Encode, project: Project, schema_of: SchemaOf) -> None:
    fields = {"pixels": {"type": "array", "items": "float"}, "text": "string"}
    features = [Feature("p", "pixels", length=784, format="array"), Feature("t", "text", length=2, format="csv")]
    value = encode(schema_of(fields), {"pixels": [i / 2 for i in range(784)], "text": "1,2"})
    decoder = AvroDecoder(project(fields, features), FixedSchema(schema_of(fields)), max_event_bytes=10_000)
    cells = decoder.decode(records([value])).inputs["X"]
    assert cells.shape == (1, 786)
    assert cells[0, :784].tolist() == [i / 2 for i in range(784)]
    assert cells[0, 784:].tolist() == [1.0, 2.0]


def test_the_records_own_key_timestamp_and_headers(encode: Encode, project: Project, schema_of: SchemaOf) -> None:
    fields = {"x": "int"}
    value = encode(schema_of(fields), {"x": 1})
    features = [
        Feature("key", "$key", categories=("card-ä",), unseen=-1),
        Feature("at", "$timestamp"),
        Feature("source", "$headers.source", categories=("old", "new")),
    ]
    decoded = decode(
        project(fields, features),
        schema_of(fields),
        [value] * 3,
        keys=["card-ä".encode(), b"\xff", None],
        headers=[[("source", b"old"), ("source", b"new")], [("other", b"new")], [("source", None)]],
        timestamp_ms=1500,
    )
    assert repr(decoded.inputs["X"].tolist()) == "[[0.0, 1.5, 1.0], [-1.0, 1.5, nan], [nan, 1.5, nan]]"
    keys = project(fields, [Feature("key", "$key")], (), "string")
    decoded = decode(keys, schema_of(fields), [value] * 2, keys=[b"k", b"\xff"])
    assert decoded.inputs["X"][0, 0] == "k"
    assert names(decoded) == ["OK", "INVALID_UTF8"]


def test_without_a_timestamp_the_feature_is_missing(encode: Encode, project: Project, schema_of: SchemaOf) -> None:
    value = encode(schema_of({"x": "int"}), {"x": 1})
    decoded = decode(
        project({"x": "int"}, [Feature("at", "$timestamp", missing="error")]),
        schema_of({"x": "int"}),
        [value],
        timestamp_ms=-1,
    )
    assert names(decoded) == ["MISSING_FEATURE"]


def test_the_first_feature_in_the_list_names_the_reason(encode: Encode, project: Project, schema_of: SchemaOf) -> None:
    schema = schema_of({"a": "string", "b": ["null", "int"]})
    features = [Feature("b", "b", missing="error"), Feature("a", "a")]
    decoded = decode(
        project({"a": "string", "b": ["null", "int"]}, features, ["a"]), schema, [encode(schema, {"a": "x", "b": None})]
    )
    assert names(decoded) == ["MISSING_FEATURE"]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("amont", "did you mean amount"),
        ("amount.value", "amount is no record"),
        ("geo", "leads to a record"),
        ("tags", "record or a map"),
        ("$offset", r"\$key, \$timestamp or \$headers.NAME"),
        ("$headers.", r"\$headers.NAME"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(path: str, words: str, project: Project) -> None:
    geo = {"type": "record", "name": "Geo", "fields": [{"name": "lat", "type": "double"}]}
    fields = {"amount": "double", "geo": ["null", geo], "tags": {"type": "map", "values": "int"}}
    with pytest.raises(ModelLoadError, match=words):
        AvroDecoder(project(fields, [Feature("f", path)]), FixedSchema('"int"'), max_event_bytes=1)


def test_a_reader_schema_that_cannot_be_used_is_refused(project: Project) -> None:
    for schema, words in (
        ({"type": "array", "items": "int"}, "no record"),
        (project({"f": ("int", "x")}).reader_schema, "default of field f"),
    ):
        projection = Projection((ModelInput("X", "float32", (Feature("f", "f"),)),), (), schema)
        with pytest.raises(ModelLoadError, match=words):
            AvroDecoder(projection, FixedSchema('"int"'), max_event_bytes=1)


def test_a_carried_field_that_does_not_exist_is_a_config_error(project: Project) -> None:
    with pytest.raises(ConfigError, match=r"sink.fields: .* no field b"):
        AvroDecoder(project({"a": "int"}, (), ["b"]), FixedSchema('"int"'), max_event_bytes=1)


def test_a_writer_of_no_records_is_refused_event_by_event(project: Project) -> None:
    decoded = decode(project({"a": "int"}, [Feature("a", "a")]), '"int"', [b"\x02", b""])
    assert names(decoded) == ["SCHEMA_REFUSED", "EMPTY"]
