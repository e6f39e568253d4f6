"""The output schema: derived, valid, and as published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fastavro
import pytest

from stream_infer.codecs import output_schema
from stream_infer.codecs.schema import parse_schema
from stream_infer.errors import ConfigError, ModelLoadError

PUBLISHED = Path(__file__).parents[2] / "schemas" / "scored_event.avsc"
GEO = {"type": "record", "name": "Geo", "namespace": "x", "fields": [{"name": "lat", "type": "double"}]}


def reader(*fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "Payment", "fields": list(fields)}


def test_the_published_schema_is_the_fixed_part() -> None:
    derived = json.dumps(output_schema(reader(), ()).avro, indent=2) + "\n"
    assert PUBLISHED.read_text() == derived, f"write the derived schema to {PUBLISHED.name}"


def test_carried_fields_keep_types_and_defaults_and_lose_aliases() -> None:
    schema = reader(
        {"name": "id", "type": "long", "aliases": ["key"]},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    )
    fields = output_schema(schema, ("note", "at", "id")).avro["fields"]
    assert fields[-3:] == [
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "id", "type": "long"},
    ]


def test_a_named_type_is_spelt_out_once_wherever_it_was_defined() -> None:
    schema = reader(
        {"name": "a", "type": GEO}, {"name": "b", "type": "x.Geo"}, {"name": "c", "type": ["null", "x.Geo"]}
    )
    output = output_schema(schema, ("b", "c"))
    assert [field["type"] for field in output.avro["fields"][-2:]] == [
        {"type": "record", "name": "x.Geo", "fields": GEO["fields"]},
        ["null", "x.Geo"],
    ]
    for multi_class in (False, True):
        text = output_schema(schema, ("b", "c"), multi_class).text
        fastavro.parse_schema(json.loads(text))
        parse_schema(text)


def test_a_multi_class_model_adds_its_fields_before_the_carried_ones() -> None:
    names = [f["name"] for f in output_schema(reader({"name": "id", "type": "int"}), ("id",), True).avro["fields"]]
    assert names[-3:] == ["predicted_class", "probabilities", "id"]


def test_every_collision_is_reported_at_once() -> None:
    schema = reader(*({"name": name, "type": "int"} for name in ("score", "input_offset", "id", "probabilities")))
    with pytest.raises(ConfigError) as caught:
        output_schema(schema, ("score", "id", "input_offset", "id"))
    assert [problem.path for problem in caught.value.problems] == ["sink.fields"] * 3
    assert "id is named twice" in str(caught.value)
    output_schema(schema, ("probabilities",))
    with pytest.raises(ConfigError, match="probabilities"):
        output_schema(schema, ("probabilities",), multi_class=True)


def test_a_field_that_does_not_exist_is_reported() -> None:
    with pytest.raises(ConfigError, match=r"sink.fields: the input schema has no field a"):
        output_schema(reader({"name": "id", "type": "int"}), ("a",))


def test_a_type_must_not_bear_the_name_of_ours() -> None:
    enum = {"type": "enum", "name": "stream_infer.ScoredStatus", "symbols": ["x"]}
    with pytest.raises(ConfigError, match="ScoredStatus"):
        output_schema(reader({"name": "status_of", "type": enum}), ("status_of",))


def test_a_reader_schema_that_is_no_record_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="no record"):
        output_schema({"type": "array", "items": "int"}, ())
