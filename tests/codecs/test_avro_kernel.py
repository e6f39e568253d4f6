"""The decode kernel against the walker: it is sure of what is good, and what it is sure of is equal to the last bit."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_infer.codecs import AvroDecoder, FixedSchema, FramedSchemas
from stream_infer.codecs.columnar import ColumnPlan
from stream_infer.codecs.layout import Layout
from stream_infer.codecs.schema import parse_schema
from stream_infer.codecs.write import write_long
from stream_infer.projection import Feature, ModelInput, Projection
from stream_infer.testing import records
from stream_infer.types import Status
from tests.codecs.kernel_cases import assert_equal, by_kernel, kernels_as_python, projections, walked
from tests.codecs.test_avro_decoder import Schemas
from tests.codecs.test_avro_generated import Names, damage, encode, evolved, typed_record

MAX_BYTES = 10_000
Encode = Callable[[Any, Any], bytes]
Project = Callable[..., Projection]
SchemaOf = Callable[[Any], dict[str, Any]]


@pytest.fixture
def as_plain_python() -> Iterator[None]:
    with kernels_as_python():
        yield


@st.composite
def batches(draw: st.DrawFn) -> tuple[Any, Projection, list[bytes]]:
    """A writer's schema, what is wanted of its events, and some of them, good and damaged."""
    schema, values = typed_record(draw, Names(), 0)
    good = [encode(schema, draw(values)) for _ in range(draw(st.integers(1, 4)))]
    bad = [draw(st.one_of(damage(value), st.binary(max_size=30))) for value in good]
    return schema, draw(projections(schema)), [value for value in good + bad if value]


@st.composite
def evolved_batches(draw: st.DrawFn) -> tuple[Any, Projection, list[bytes]]:
    schema, value, reader = draw(evolved())
    return schema, draw(projections(reader)), [value, draw(damage(value)) or value]


def assert_sure_means_right(case: tuple[Any, Projection, list[bytes]]) -> None:
    schema, projection, values = case
    expected = walked(projection, schema, values)
    _, done = by_kernel(projection, schema, values)
    assert not (done & (expected.status != Status.OK)).any(), "the kernel is sure of an event that is bad"
    decoder = AvroDecoder(projection, FixedSchema(schema), max_event_bytes=MAX_BYTES)
    assert_equal(decoder.decode(records(values)), expected)
    if not has_union_of_records(schema):
        assert (done | (expected.status != Status.OK)).all(), "the kernel is not sure of an event that is good"


def has_union_of_records(schema: Any) -> bool:
    """True where some union has several records: the kernel walks the first of them only."""
    if isinstance(schema, list):
        kinds = [part["type"] for part in schema if isinstance(part, dict)]
        return kinds.count("record") > 1 or any(map(has_union_of_records, schema))
    if isinstance(schema, dict):
        return any(has_union_of_records(entry["type"]) for entry in schema.get("fields", ()))
    return False


@settings(max_examples=200, deadline=None)
@given(batches())
def test_what_the_kernel_is_sure_of_is_what_the_walker_says(case: tuple[Any, Projection, list[bytes]]) -> None:
    assert_sure_means_right(case)


@settings(max_examples=100, deadline=None)
@given(evolved_batches())
def test_events_of_evolved_schemas_are_the_walkers(case: tuple[Any, Projection, list[bytes]]) -> None:
    assert_sure_means_right(case)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=st.one_of(batches(), evolved_batches()))
@pytest.mark.usefixtures("as_plain_python")
def test_plain_python_never_leaves_an_array(case: tuple[Any, Projection, list[bytes]]) -> None:
    assert_sure_means_right(case)


def payments_like() -> dict[str, Any]:
    geo = {"type": "record", "name": "Geo", "fields": [{"name": "lat", "type": "double"}]}
    fields = {
        "id": "string",
        "kind": {"type": "enum", "name": "Kind", "symbols": ["x", "y"]},
        "n": ["long", "null"],
        "geo": ["null", geo],
        "tags": {"type": "map", "values": {"type": "array", "items": ["null", "string"]}},
        "f": "float",
    }
    return {"type": "record", "name": "E", "fields": [{"name": name, "type": type_} for name, type_ in fields.items()]}


EVENT = {
    "id": "ä" * 10,
    "kind": "y",
    "n": 2**53 + 1,
    "geo": {"lat": 1.5},
    "tags": {"k": ["v", None], "": []},
    "f": 0.1,
}


@pytest.mark.parametrize("python", [False, True])
def test_no_cut_and_no_flipped_bit_misleads_the_kernel(
    python: bool, encode: Encode, request: pytest.FixtureRequest
) -> None:
    if python:
        request.getfixturevalue("as_plain_python")
    schema = payments_like()
    good = encode(schema, EVENT)
    cuts = [good[:cut] for cut in range(1, len(good) + 1)]
    flips = [
        good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :]
        for at in range(len(good))
        for bit in range(0, 8, 3 if python else 1)
    ]
    found = [
        Feature("id", "id", categories=("ä" * 10,)),
        Feature("kind", "kind", categories=("x", "y"), unseen="error"),
        Feature("n", "n"),
        Feature("lat", "geo.lat", missing="error"),
        Feature("f", "f", offset=-1.0, scale=3.0),
    ]
    projection = Projection((ModelInput("X", "float32", tuple(found)),), ("id", "tags"), schema)
    assert_sure_means_right((schema, projection, cuts + flips))


# ---------------------------------------------------------------------- what is covered

DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
ENUM = {"type": "enum", "name": "E", "symbols": ["a", "b"]}
WORD = {"categories": ("a", "b")}
RECORD = {"type": "record", "name": "R", "fields": [{"name": "g", "type": ["null", "int"]}]}

COVERED: list[tuple[Any, Any, dict[str, Any], str]] = [
    ("boolean", True, {}, "float32"),
    ("int", -(2**31), {}, "float32"),
    ("long", 2**63 - 1, {}, "float64"),
    ("long", 2**53 + 1, {"offset": 5.0}, "int64"),
    ("long", 7, {"scale": 0.5}, "int64"),
    ("double", -7.9, {}, "int64"),
    ("float", 0.1, {"offset": 1.0, "scale": 3.0}, "float32"),
    ("double", -0.0, {}, "float64"),
    (["null", "double"], None, {}, "float32"),
    (["double", "null"], float("nan"), {"missing": "value", "missing_value": 2.5}, "float32"),
    (["null", "int", "string", "boolean", "double"], 5, {}, "float32"),
    (["null", "int"], None, {"missing": "value", "missing_value": -1}, "int64"),
    (MILLIS, 1_760_000_000_123, {}, "float64"),
    ({"type": "long", "logicalType": "timestamp-nanos"}, 2**62 + 1, {}, "float64"),
    ({"type": "int", "logicalType": "date"}, 20_000, {}, "float32"),
    (["null", MILLIS], 1, {}, "int64"),
    ("string", "b", WORD, "float32"),
    ("string", "unseen and longer than eight", {**WORD, "unseen": 9}, "int64"),
    (["null", "string"], "a", WORD, "float64"),
    (["null", "string"], None, WORD, "float64"),
    (ENUM, "b", WORD, "float32"),
    (["null", ENUM], "a", {"categories": ("b",), "unseen": -5}, "int64"),
    ({"type": "array", "items": "float"}, [0.5, 1.5], {"length": 2, "format": "array"}, "float32"),
    ({"type": "array", "items": "double"}, [0.5, float("nan")], {"length": 2, "format": "array"}, "float64"),
    (["null", {"type": "array", "items": "float"}], None, {"length": 2, "format": "array"}, "float32"),
]
LATE: list[tuple[Any, Any, dict[str, Any], str]] = [
    (DECIMAL, b"\x01\x00", {}, "float32"),
    ({**DECIMAL, "type": "fixed", "name": "F", "size": 2, "precision": 4}, b"\x01\x00", {}, "float32"),
    ("string", "1,2", {"length": 2, "format": "csv"}, "float32"),
    ("string", "text", {}, "string"),
    (["null", "string"], "text", {}, "string"),
    ({"type": "array", "items": "int"}, [1, 2], {"length": 2, "format": "array"}, "float32"),
    ({"type": "array", "items": ["null", "double"]}, [1.0, None], {"length": 2, "format": "array"}, "float32"),
    ({"type": "array", "items": "string"}, ["a", "b"], {"length": 2, "format": "array", **WORD}, "float32"),
]


def only_feature(type_: Any, more: dict[str, Any], dtype: str, carried: tuple[str, ...] = ()) -> Projection:
    schema = {"type": "record", "name": "Event", "fields": [{"name": "f", "type": type_}]}
    return Projection((ModelInput("X", dtype, (Feature("f", "f", **more),)),), carried, schema)


@pytest.mark.parametrize(("type_", "value", "more", "dtype"), COVERED)
def test_covered_features_are_filled_by_the_kernel(
    type_: Any, value: Any, more: dict[str, Any], dtype: str, encode: Encode
) -> None:
    projection = only_feature(type_, more, dtype, ("f",))
    schema = projection.reader_schema
    assert ColumnPlan(Layout(projection)).assemble(parse_schema(schema)).late == ()
    values = [encode(schema, {"f": value})]
    columns, done = by_kernel(projection, schema, values)
    assert done.tolist() == [True]
    assert_equal(columns.decoded(), walked(projection, schema, values))


@pytest.mark.parametrize(("type_", "value", "more", "dtype"), LATE)
def test_other_features_are_read_from_their_span(
    type_: Any, value: Any, more: dict[str, Any], dtype: str, encode: Encode
) -> None:
    projection = only_feature(type_, more, dtype)
    schema = projection.reader_schema
    assert len(ColumnPlan(Layout(projection)).assemble(parse_schema(schema)).late) == 1
    values = [encode(schema, {"f": value})]
    columns, done = by_kernel(projection, schema, values)
    assert done.tolist() == [True]
    assert_equal(columns.decoded(), walked(projection, schema, values))


def test_the_record_s_own_features_and_those_of_the_event_go_side_by_side() -> None:
    schema = {"type": "record", "name": "Event", "fields": [{"name": "f", "type": "double"}]}
    features = (Feature("at", "$timestamp"), Feature("f", "f"), Feature("key", "$key", categories=("k",)))
    decoder = AvroDecoder(
        Projection((ModelInput("X", "float64", features),), ("f",), schema), FixedSchema(schema), max_event_bytes=100
    )
    decoded = decoder.decode(records([struct.pack("<d", 2.5)], keys=[b"k"], timestamp_ms=1500))
    assert decoded.inputs["X"].tolist() == [[1.5, 2.5, 0.0]]


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 2**63 - 6])
def test_whole_numbers_do_not_wrap_around(value: int, encode: Encode) -> None:
    for offset in (6.0, -6.0, 2.0**62, -(2.0**62), 2.0**63, -(2.0**63)):
        projection = only_feature("long", {"offset": offset}, "int64")
        values = [encode(projection.reader_schema, {"f": value})]
        assert_sure_means_right((projection.reader_schema, projection, values))


@pytest.mark.parametrize("more", [{}, {"scale": -1.0}, {"offset": 0.5}])
def test_doubles_at_the_ends_of_int64_are_cells_or_refused(more: dict[str, Any], encode: Encode) -> None:
    projection = only_feature("double", more, "int64")
    ends = [end for sign in (1, -1) for end in (sign * 2.0**63, sign * math.nextafter(2.0**63, 0), sign * 2.0**64)]
    values = [encode(projection.reader_schema, {"f": end}) for end in ends]
    assert_sure_means_right((projection.reader_schema, projection, values))


def test_a_union_of_two_records_goes_on_where_the_kernel_knows_it() -> None:
    other = {"type": "record", "name": "S", "fields": [{"name": "g", "type": "long"}]}
    written = {"type": "record", "name": "Event", "fields": [{"name": "r", "type": ["null", RECORD, other]}]}
    reader = {"type": "record", "name": "Event", "fields": [{"name": "r", "type": ["null", RECORD]}]}
    features = (Feature("g", "r.g"), Feature("text", "r.g"))
    projection = Projection((ModelInput("X", "float32", features),), (), reader)
    values = [b"\x00", b"\x02\x00", b"\x02\x02\x0e", write_long(2) + b"\x0e"]
    _, done = by_kernel(projection, written, values)
    assert done.tolist() == [True, True, True, False]
    assert_sure_means_right((written, projection, values))


def test_many_events_of_many_lengths_carry_their_own_bytes(encode: Encode) -> None:
    schema = payments_like()
    values = [encode(schema, {**EVENT, "id": "x" * length}) for length in range(40)]
    values[7] = values[7][:-1]
    projection = Projection((), ("id", "f"), schema)
    assert_sure_means_right((schema, projection, values))


ITEMS = {
    "int": b"\x02",
    "float": struct.pack("<f", 0.5),
    "double": struct.pack("<d", 0.5),
    "bytes": b"\x02b",
}


@pytest.mark.parametrize("python", [False, True])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("item", ITEMS)
def test_blocks_whose_counts_and_sizes_lie_are_the_walkers(
    item: str, keep: bool, python: bool, request: pytest.FixtureRequest
) -> None:
    if python:
        request.getfixturevalue("as_plain_python")
    array = {"type": "array", "items": item}
    fields = [{"name": "f", "type": array}, {"name": "last", "type": "int"}]
    schema = {"type": "record", "name": "E", "fields": fields}
    features = [Feature("last", "last")]
    if keep and item != "bytes":
        features.append(Feature("f", "f", length=2, format="array"))
    projection = Projection((ModelInput("X", "float32", tuple(features)),), (), schema)
    two = ITEMS[item] * 2
    sizes = (0, 1, len(two) - 1, len(two), len(two) + 1, len(two) + 2, 2**62, -1)
    heads = [write_long(count) for count in (0, 1, 2, 3, 2**60, 2**61, 2**62, 2**63 - 1)]
    heads += [write_long(-count) + write_long(size) for count in (1, 2, 3, 2**62, 2**63) for size in sizes]
    values = [head + body + end for head in heads for body in (two, b"") for end in (b"\x00\x02", b"\x02", b"")]
    assert_sure_means_right((schema, projection, values))
    assert sum(by_kernel(projection, schema, values)[1]) >= 2, "with and without the bytes of the block"


# ---------------------------------------------------------------------- what is covered of evolved and odd schemas


class Way(NamedTuple):
    """How one field comes from a writer's event to a feature ``f`` and to the carried column ``f``."""

    written: dict[str, Any]
    read: Any
    value: dict[str, Any]
    sure: bool = True
    """False where the event is walked, though it is good."""
    defaults: int = 0
    rewrites: int = 0
    path: str = "f"


OTHER = {"type": "record", "name": "S", "fields": [{"name": "g", "type": ["null", "int"]}]}
ABC = {"type": "enum", "name": "E", "symbols": ["a", "b", "c"]}
BA = {**ABC, "symbols": ["b", "a"], "default": "a"}
RECORDS = [RECORD, OTHER]
OLD_RECORD = {**RECORD, "fields": [{"name": "h", "type": "int"}]}
NEW_RECORD = {**RECORD, "fields": [{"name": "g", "type": "int", "default": 4}]}
WAYS = {
    "as it is": Way({"f": "double"}, "double", {"f": 1.5}),
    "by an alias": Way({"old": "double"}, "double", {"old": 1.5}),
    "by a default": Way({"other": "int"}, ("double", 2.5), {"other": 1}, defaults=1),
    "by a record's default": Way({"other": "int"}, (RECORD, {"g": 4}), {"other": 1}, defaults=1, path="f.g"),
    "with a field that is new within": Way({"f": OLD_RECORD}, NEW_RECORD, {"f": {"h": 1}}, rewrites=1, path="f.g"),
    "by a null on the way": Way({"f": ["null", RECORD]}, ["null", RECORD], {"f": None}, path="f.g"),
    "promoted, with the same bytes": Way({"f": "int"}, "long", {"f": -3}),
    "promoted": Way({"f": "int"}, "double", {"f": -3}, rewrites=1),
    "no longer nullable": Way({"f": ["null", "double"]}, "double", {"f": 0.5}, rewrites=1),
    "with its union turned around": Way({"f": ["double", "null"]}, ["null", "double"], {"f": 0.5}, rewrites=1),
    "as an enum of other symbols": Way({"f": ABC}, BA, {"f": "c"}, rewrites=1),
    "as the first record of a union": Way({"f": RECORDS}, RECORDS, {"f": ("R", {"g": 1})}, path="f.g"),
    "as another record of a union": Way({"f": RECORDS}, RECORDS, {"f": ("S", {"g": 1})}, sure=False, path="f.g"),
}


@pytest.mark.parametrize("way", [pytest.param(way, id=name) for name, way in WAYS.items()])
def test_evolved_schemas_go_through_the_kernel(way: Way, encode: Encode, schema_of: SchemaOf) -> None:
    written, reader = schema_of(way.written), schema_of({"f": way.read})
    reader["fields"][0]["aliases"] = ["old"]
    feature = Feature("x", way.path, categories=("a", "b") if way.read is BA else None)
    projection = Projection((ModelInput("X", "float64", (feature,)),), ("f",), reader)
    program = ColumnPlan(Layout(projection)).assemble(parse_schema(written))
    assert (len(program.late), len(program.defaults), len(program.rewrites)) == (0, way.defaults, way.rewrites)
    values = [encode(written, way.value)]
    _, done = by_kernel(projection, written, values)
    assert done.tolist() == [way.sure]
    assert_sure_means_right((written, projection, values))


# ---------------------------------------------------------------------- batches


def test_a_batch_of_several_writers_and_of_none_is_the_walkers(encode: Encode, schema_of: SchemaOf) -> None:
    reader = schema_of({"id": ("string", "none"), "n": ("long", 7), "t": ("string", "x")})
    features = (Feature("n", "n"), Feature("t", "t", categories=("x", "y")))
    projection = Projection((ModelInput("X", "float32", features),), ("id", "t"), reader)
    written = {
        3: schema_of({"id": "string", "n": "int", "t": "string"}),
        1: schema_of({"t": "string", "extra": {"type": "array", "items": "string"}}),
        2: schema_of({"n": ["null", "long"], "id": "string"}),
    }
    events = {
        3: encode(written[3], {"id": "three", "n": -1, "t": "y"}),
        1: encode(written[1], {"t": "z", "extra": ["a", "bc"]}),
        2: encode(written[2], {"n": 2**40, "id": "two"}),
    }
    order = [2, 1, 3, 3, 1, 2, 3, 2, 1, 1] * 3
    payloads = [events[schema_id][: None if row % 7 else -1] for row, schema_id in enumerate(order)]
    decoder = AvroDecoder(projection, FramedSchemas(Schemas(written)), max_event_bytes=MAX_BYTES)
    framing = [struct.pack(">bI", 0, schema_id) for schema_id in order]
    batch = records([head + payload for head, payload in zip(framing, payloads, strict=True)])
    found = decoder.decode(batch)
    for schema_id in written:
        rows = [row for row, its_id in enumerate(order) if its_id == schema_id]
        expected = walked(projection, written[schema_id], [payloads[row] for row in rows])
        assert (expected.status == Status.OK).any()
        assert found.status[rows].tolist() == expected.status.tolist()
        assert [found.details.get(row) for row in rows] == [expected.details.get(place) for place in range(len(rows))]
        good = expected.status == Status.OK
        assert found.inputs["X"][rows][good].tobytes() == expected.inputs["X"][good].tobytes()
        for column, wanted in zip(found.carried, expected.carried, strict=True):
            assert [column.values[row] for row in rows] == wanted.values.to_list()
    nothing = decoder.decode(records([]))
    assert (nothing.inputs["X"].shape, nothing.status.shape, len(nothing.carried[0].values)) == ((0, 2), (0,), 0)
