"""Scored columns to bytes, against fastavro and the json module."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import fastavro
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_infer.codecs import AvroDecoder, AvroEncoder, FixedSchema, JsonDecoder, JsonEncoder, output_schema
from stream_infer.codecs.scored_encoder import ScoredEncoder
from stream_infer.projection import Projection
from stream_infer.testing import records
from stream_infer.types import Binary, Column, Decoded, ModelIdentity, Records, ScoredColumns, Split, Status

Encode = Callable[[Any, Any], bytes]
Project = Callable[..., Projection]
MODEL = ModelIdentity("fraud-ü", "7", "ab" * 32, 0.92)
SCORED_AT = 1_760_000_000_999
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}
GEO = {"type": "record", "name": "Geo", "fields": [{"name": "lat", "type": "double"}, {"name": "raw", "type": "bytes"}]}
FIELDS: dict[str, Any] = {
    "id": "long",
    "name": "string",
    "price": DECIMAL,
    "geo": ["null", GEO],
    "tags": {"type": "map", "values": {"type": "array", "items": "float"}},
    "at": {"type": "long", "logicalType": "timestamp-micros"},
    "kind": {"type": "enum", "name": "Kind", "symbols": ["a", "b"]},
}


def scored_of(decoded: Decoded, **changes: Any) -> ScoredColumns:
    count = len(decoded)
    columns = {
        "score": np.linspace(0.1, 0.95, count).astype(np.float32),
        "flagged": np.arange(count) % 2 == 1,
        "status": decoded.status,
        "model_index": np.zeros(count, np.uint8),
        "models": (MODEL,),
        "carried": decoded.carried,
    }
    return ScoredColumns(**(columns | changes))


def fixed_part(recs: Records, scored: ScoredColumns, row: int) -> dict[str, Any]:
    shed = scored.status[row] == Status.SHED
    model = scored.models[scored.model_index[row]]
    stamp = int(recs.timestamp_ms[row])
    return {
        "score": None if shed else float(scored.score[row]),
        "flagged": bool(scored.flagged[row]),
        "status": "shed" if shed else "scored",
        "threshold": model.threshold,
        "model_name": model.name,
        "model_version": model.version,
        "model_digest": model.digest,
        "input_topic": recs.split(row).source,
        "input_partition": recs.split(row).partition,
        "input_offset": int(recs.offset[row]),
        "event_timestamp": None if stamp == -1 else stamp,
        "scored_at": SCORED_AT,
    }


def raw_types(schema: Any) -> Any:
    """A schema without logical types of time, which fastavro would turn into datetimes."""
    if isinstance(schema, dict):
        logical = schema.get("logicalType", "decimal")
        return {k: raw_types(v) for k, v in schema.items() if k != "logicalType" or logical == "decimal"}
    return [raw_types(item) for item in schema] if isinstance(schema, list) else schema


VALUES = st.fixed_dictionaries(
    {
        "id": st.integers(-(2**63), 2**63 - 1),
        "name": st.text(max_size=8),
        "price": st.decimals(min_value=-(10**17), max_value=10**17, places=2),
        "geo": st.one_of(st.none(), st.fixed_dictionaries({"lat": st.floats(-90, 90), "raw": st.binary(max_size=3)})),
        "tags": st.dictionaries(st.text(max_size=2), st.lists(st.floats(-5, 5, width=32), max_size=2), max_size=2),
        "at": st.integers(0, 2**60),
        "kind": st.sampled_from("ab"),
    }
)


def as_json(value: dict[str, Any]) -> dict[str, Any]:
    """An event as a JSON producer would write it."""
    return json.loads(msgspec.json.encode(value))  # type: ignore[no-any-return]


@given(values=st.lists(VALUES, min_size=1, max_size=4))
@settings(max_examples=20, deadline=None)
def test_every_way_from_event_to_output(values: list[dict[str, Any]], project: Project, encode: Encode) -> None:
    projection = project(FIELDS, (), list(FIELDS))
    output = output_schema(projection.reader_schema, projection.carried)
    plain = raw_types(projection.reader_schema)
    avro = records([encode(plain, value) for value in values])
    text = records([msgspec.json.encode(value) for value in values])
    from_avro = AvroDecoder(projection, FixedSchema(dict(projection.reader_schema)), max_event_bytes=9999).decode(avro)
    from_json = JsonDecoder(projection, max_event_bytes=9999).decode(text)
    for recs, decoded in ((avro, from_avro), (text, from_json)):
        scored = scored_of(decoded)
        payload, failures = AvroEncoder(output, b"\x00\x00\x00\x00\x07").encode(recs, scored, SCORED_AT)
        expected = [fixed_part(recs, scored, row) | value for row, value in enumerate(values)]
        assert failures == {}
        assert payload.to_list() == [b"\0\0\0\0\7" + encode(raw_types(output.avro), event) for event in expected]
        payload, failures = JsonEncoder(output).encode(recs, scored, SCORED_AT)
        assert failures == {}
        assert [json.loads(event or b"") for event in payload.to_list()] == list(map(as_json, expected))


def simple(project: Project, values: list[bytes | None], **more: Any) -> tuple[Records, Decoded, Any]:
    projection = project({"id": "long"}, (), ["id"])
    recs = records(values, **more)
    decoded = JsonDecoder(projection, max_event_bytes=99).decode(recs)
    return recs, decoded, output_schema(projection.reader_schema, projection.carried)


@pytest.mark.parametrize("make", [AvroEncoder, JsonEncoder])
def test_rejects_and_tombstones_have_no_payload(make: Callable[..., ScoredEncoder], project: Project) -> None:
    recs, decoded, output = simple(project, [b'{"id": 1}', None, b"{", b'{"id": 2}'])
    payload, failures = make(output).encode(recs, scored_of(decoded), SCORED_AT)
    assert [event is None for event in payload.to_list()] == [False, True, True, False]
    assert failures == {}


@pytest.mark.parametrize("make", [AvroEncoder, JsonEncoder])
@pytest.mark.parametrize("multi_class", [False, True])
def test_no_rows_at_all(make: Callable[..., ScoredEncoder], multi_class: bool, project: Project) -> None:
    projection = project({"id": "long"}, (), ["id"])
    output = output_schema(projection.reader_schema, projection.carried, multi_class=multi_class)
    for values in ([], [None]):
        recs = records(values)
        decoded = JsonDecoder(projection, max_event_bytes=99).decode(recs)
        classes = {"probabilities": np.zeros((len(values), 2), np.float32), "classes": ("a", "b")}
        scored = scored_of(decoded, **(classes if multi_class else {}))
        payload, failures = make(output).encode(recs, scored, SCORED_AT)
        assert (payload.to_list(), failures) == (values, {})


def test_shed_events_have_no_score(project: Project, encode: Encode) -> None:
    recs, decoded, output = simple(project, [b'{"id": 1}', b'{"id": 2}'], timestamp_ms=-1)
    scored = scored_of(
        decoded, status=np.array([Status.SHED, Status.OK], np.uint8), score=np.array([np.nan, 0.5], np.float32)
    )
    expected = [fixed_part(recs, scored, row) | {"id": row + 1} for row in range(2)]
    assert expected[0]["score"] is expected[0]["event_timestamp"] is None
    payload, _ = AvroEncoder(output).encode(recs, scored, SCORED_AT)
    assert payload.to_list() == [encode(raw_types(output.avro), event) for event in expected]
    payload, _ = JsonEncoder(output).encode(recs, scored, SCORED_AT)
    assert [json.loads(event or b"") for event in payload.to_list()] == expected


def test_several_models_and_splits(project: Project, encode: Encode) -> None:
    recs, decoded, output = simple(project, [b'{"id": 1}', b'{"id": 2}'])
    other, _, _ = simple(project, [b'{"id": 1}', b'{"id": 2}'], split=Split("ä", 9), first_offset=2**40)
    both = Records.concat([recs.slice(0, 1), other.slice(1, 2)])
    canary = ModelIdentity("canary", "8", "cd" * 32, 0.5)
    scored = scored_of(decoded, models=(MODEL, canary), model_index=np.array([1, 0], np.uint8))
    payload, _ = AvroEncoder(output).encode(both, scored, SCORED_AT)
    expected = [fixed_part(both, scored, row) | {"id": row + 1} for row in range(2)]
    assert expected[1]["input_topic"] == "ä"
    assert expected[0]["model_name"] == "canary"
    assert payload.to_list() == [encode(raw_types(output.avro), event) for event in expected]


def test_multi_class(project: Project, encode: Encode) -> None:
    projection = project({"id": "long"}, (), ["id"])
    recs = records([b'{"id": 1}', b'{"id": 2}'])
    decoded = JsonDecoder(projection, max_event_bytes=99).decode(recs)
    output = output_schema(projection.reader_schema, ("id",), multi_class=True)
    probabilities = np.array([[0.25, 0.5, 0.25], [0.1, 0.2, 0.7]], np.float32)
    scored = scored_of(
        decoded,
        probabilities=probabilities,
        classes=("a", "b", 'c"'),
        status=np.array([Status.OK, Status.SHED], np.uint8),
        score=np.array([0.5, np.nan], np.float32),
    )
    more: list[dict[str, Any]] = [
        {"predicted_class": "b", "probabilities": [0.25, 0.5, 0.25]},
        {"predicted_class": None, "probabilities": None},
    ]
    expected = [fixed_part(recs, scored, row) | more[row] | {"id": row + 1} for row in range(2)]
    payload, _ = AvroEncoder(output).encode(recs, scored, SCORED_AT)
    assert payload.to_list() == [encode(raw_types(output.avro), event) for event in expected]
    payload, _ = JsonEncoder(output).encode(recs, scored, SCORED_AT)
    assert [json.loads(event or b"") for event in payload.to_list()] == expected
    with pytest.raises(ValueError, match="multi-class"):
        AvroEncoder(output).encode(recs, scored_of(decoded), SCORED_AT)


def test_the_score_in_json_is_the_exact_float32(project: Project) -> None:
    recs, decoded, output = simple(project, [b'{"id": 1}'])
    score = np.array([0.1], np.float32)
    payload, _ = JsonEncoder(output).encode(recs, scored_of(decoded, score=score), SCORED_AT)
    assert json.loads(payload[0] or b"")["score"] == float(score[0])


@pytest.mark.parametrize("make", [AvroEncoder, JsonEncoder])
def test_a_row_that_cannot_be_encoded_is_named_and_costs_no_neighbour(
    make: Callable[..., ScoredEncoder], project: Project
) -> None:
    recs, decoded, output = simple(project, [b'{"id": 1}', b'{"id": 2}', b'{"id": 3}'])
    source, good, bad = ("json", b"5", b'"x"') if make is AvroEncoder else ("avro", b"\x0a", b"")
    column = Column("id", "long", source, Binary.from_values([good, bad, good]))
    payload, failures = make(output).encode(recs, scored_of(decoded, carried=(column,)), SCORED_AT)
    assert [event is None for event in payload.to_list()] == [False, True, False]
    assert list(failures) == [1]
    assert failures[1].startswith("carried field id: ")


def test_a_column_of_another_type_is_transcoded(project: Project) -> None:
    recs, decoded, _ = simple(project, [b'{"id": 1}'])
    output = output_schema(project({"id": ["null", "double"]}, ()).reader_schema, ("id",))
    column = Column("id", "int", "avro", Binary.from_values([b"\x0a"]))
    payload, _ = JsonEncoder(output).encode(recs, scored_of(decoded, carried=(column,)), SCORED_AT)
    assert json.loads(payload[0] or b"")["id"] == 5.0
    payload, _ = AvroEncoder(output).encode(recs, scored_of(decoded, carried=(column,)), SCORED_AT)
    assert (payload[0] or b"").endswith(b"\x02\x00\x00\x00\x00\x00\x00\x14\x40")


def test_a_carried_column_that_is_not_there_is_a_bug(project: Project) -> None:
    recs, decoded, output = simple(project, [b'{"id": 1}'])
    with pytest.raises(ValueError, match="lack the carried field id"):
        JsonEncoder(output).encode(recs, scored_of(decoded, carried=()), SCORED_AT)


@pytest.mark.parametrize(
    ("type_", "value", "text"),
    [
        (DECIMAL, Decimal("-0.05"), b'"-0.05"'),
        (DECIMAL, Decimal("123456789012345678.90"), b'"123456789012345678.90"'),
        ({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 0}, Decimal(7), b'"7"'),
        ("bytes", b"\x00\x01", b'"AAE="'),
        ("double", float("nan"), b"null"),
        ("double", float("-inf"), b"null"),
        ("long", 2**53 + 1, b"9007199254740993"),
        ({"type": "int", "logicalType": "date"}, 20000, b"20000"),
    ],
)
def test_how_json_spells_what_avro_holds(type_: Any, value: Any, text: bytes, project: Project, encode: Encode) -> None:
    projection = project({"f": type_}, (), ["f"])
    schema = dict(projection.reader_schema)
    recs = records([encode(raw_types(schema), {"f": value})])
    decoded = AvroDecoder(projection, FixedSchema(schema), max_event_bytes=99).decode(recs)
    payload, _ = JsonEncoder(output_schema(schema, ("f",))).encode(recs, scored_of(decoded), SCORED_AT)
    assert (payload[0] or b"").endswith(b',"f":' + text + b"}")


def test_an_absurdly_long_decimal_is_named_not_spelt(project: Project) -> None:
    projection = project({"f": DECIMAL}, (), ["f"])
    recs = records([b"\x80\x20" + b"\x7f" * 2048])
    decoded = AvroDecoder(projection, FixedSchema(dict(projection.reader_schema)), max_event_bytes=9999).decode(recs)
    payload, failures = JsonEncoder(output_schema(projection.reader_schema, ("f",))).encode(
        recs, scored_of(decoded), SCORED_AT
    )
    assert payload.to_list() == [None]
    assert "decimal" in failures[0]


def test_the_output_is_readable_by_a_schema_aware_consumer(project: Project) -> None:
    recs, decoded, output = simple(project, [b'{"id": 1}'])
    payload, _ = AvroEncoder(output).encode(recs, scored_of(decoded), SCORED_AT)
    event = fastavro.schemaless_reader(io.BytesIO(payload[0] or b""), fastavro.parse_schema(output.avro), None)
    assert isinstance(event, dict)
    assert event["scored_at"].timestamp() == SCORED_AT / 1e3
