"""Schemas: what is refused before a byte is read, and what comes out in JSON form again."""

from __future__ import annotations

import json
from typing import Any

import fastavro
import pytest

from stream_infer.codecs.faults import SchemaRefused
from stream_infer.codecs.schema import MAX_NODES, NO_DEFAULT, parse_schema, type_json
from stream_infer.types import MAX_NESTING

EMPTY_RECORD = {"type": "record", "name": "Nothing", "fields": []}


def record(*fields: Any, name: str = "Event") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": f"f{i}", "type": t} for i, t in enumerate(fields)]}


def nested_arrays(levels: int) -> Any:
    schema: Any = "int"
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def doubling_records(levels: int) -> dict[str, Any]:
    """Short to write, endless to walk: each record holds the one below twice, and no byte is ever needed."""
    schema: Any = "null"
    for level in range(levels):
        schema = record(schema, schema if level == 0 else f"R{level - 1}", name=f"R{level}")
    assert isinstance(schema, dict)
    return schema


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (record("int", ["null", "Event"]), "contains itself"),
        ({"type": "array", "items": "null"}, "zero bytes"),
        ({"type": "array", "items": EMPTY_RECORD}, "zero bytes"),
        ({"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}, "zero bytes"),
        ({"type": "map", "values": "null"}, "zero bytes"),
        ({"type": "array", "items": record("null", EMPTY_RECORD)}, "zero bytes"),
        (nested_arrays(MAX_NESTING + 1), "deeper"),
        (doubling_records(20), f"more than {MAX_NODES}"),
        ("not json", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("17", "neither"),
        ('"varint"', "not defined"),
        (["int", ["null", "long"]], "union"),
        ([], "union"),
        ({"type": "record", "name": "R", "fields": "none"}, "list of fields"),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}] * 2}, "one name"),
        ({"type": "record", "name": "R", "fields": [{"type": "int"}]}, "no name"),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int", "aliases": "b"}]}, "aliases"),
        ({"type": "record", "fields": []}, "no name"),
        ({"type": "enum", "name": "E", "symbols": []}, "symbols"),
        ({"type": "fixed", "name": "F", "size": -1}, "size"),
        (record({"type": "fixed", "name": "F", "size": 1}, {"type": "fixed", "name": "F", "size": 2}), "twice"),
    ],
)
def test_a_schema_that_is_wrong_or_not_safe_is_refused(schema: Any, reason: str) -> None:
    with pytest.raises(SchemaRefused, match=reason):
        parse_schema(schema)


def test_the_deepest_allowed_schema_is_taken() -> None:
    assert parse_schema(nested_arrays(MAX_NESTING)).depth == MAX_NESTING


def test_names_are_resolved_in_their_namespace() -> None:
    geo = record("double", name="Geo")
    node = parse_schema({**record(geo, "Geo", "com.x.Geo", name="com.x.Event")})
    assert [field.node for field in node.fields] == [node.fields[0].node] * 3
    assert node.fields[0].node.name == "com.x.Geo"


def test_a_logical_type_that_does_not_fit_is_ignored() -> None:
    for schema in (
        {"type": "string", "logicalType": "timestamp-millis"},
        {"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 3},
        {"type": "bytes", "logicalType": "decimal", "precision": 1_000_000_000, "scale": 999_999_999},
        {"type": "long", "logicalType": "made-up"},
    ):
        assert parse_schema(schema).logical == ""


def test_json_form_spells_names_once_keeps_defaults_and_drops_aliases() -> None:
    enum = {"type": "enum", "name": "Kind", "symbols": ["a", "b"], "default": "a"}
    schema = {
        "type": "record",
        "name": "x.Event",
        "fields": [
            {"name": "kind", "type": enum, "aliases": ["sort"]},
            {"name": "again", "type": ["null", "x.Kind"], "default": None},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
            {"name": "tags", "type": {"type": "map", "values": {"type": "array", "items": "string"}}},
            {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 4}},
        ],
    }
    form = type_json(parse_schema(schema))
    assert isinstance(form, dict)
    assert form["fields"][0] == {"name": "kind", "type": {**enum, "name": "x.Kind"}}
    assert form["fields"][1] == {"name": "again", "type": ["null", "x.Kind"], "default": None}
    assert form["fields"][2:5] == schema["fields"][2:5]
    fastavro.parse_schema(json.loads(json.dumps(form)))
    assert type_json(parse_schema(form)) == form


def test_a_field_without_a_default_says_so() -> None:
    node = parse_schema(record("int"))
    assert node.fields[0].default is NO_DEFAULT
