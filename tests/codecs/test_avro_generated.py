"""The walkers against fastavro: generated schemas, valid and damaged bytes."""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import fastavro
import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stream_infer.codecs.faults import BadEvent
from stream_infer.codecs.resolve import resolver
from stream_infer.codecs.schema import parse_schema
from stream_infer.codecs.transcode import avro_to_json, json_to_avro
from stream_infer.codecs.walk import PAST_END, reader
from stream_infer.codecs.write import write_long, writer
from stream_infer.types import Status

# What fastavro may raise on damaged bytes.
ORACLE_ERRORS = (EOFError, ValueError, IndexError, KeyError, TypeError, StopIteration, struct.error, OverflowError)
PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32),
    "double": st.floats(),
    "bytes": st.binary(max_size=20),
    "string": st.text(max_size=20),
}


class Names:
    """Makes names of types that are used once."""

    def __init__(self) -> None:
        self.count = 0

    def next(self) -> str:
        self.count += 1
        return f"T{self.count}"


def typed_values(draw: st.DrawFn, names: Names, level: int, in_union: bool = False) -> tuple[Any, Any]:
    """A schema and a strategy for its values; a union's value is fastavro's pair (branch, value)."""
    kinds = [*PRIMITIVES, "enum", "fixed"]
    if level < 3:
        kinds += ["record", "array", "map"] + ([] if in_union else ["union"])
    kind = draw(st.sampled_from(kinds))
    if kind in PRIMITIVES:
        return kind, PRIMITIVES[kind]
    if kind == "enum":
        symbols = ["a", "b", "c"][: draw(st.integers(1, 3))]
        return {"type": "enum", "name": names.next(), "symbols": symbols}, st.sampled_from(symbols)
    if kind == "fixed":
        size = draw(st.integers(1, 5))
        return {"type": "fixed", "name": names.next(), "size": size}, st.binary(min_size=size, max_size=size)
    if kind == "record":
        return typed_record(draw, names, level)
    if kind == "union":
        return typed_union(draw, names, level)
    schema, values = typed_values(draw, names, level + 1)
    if schema == "null" or parse_schema(schema).min_bytes == 0:
        schema, values = "long", PRIMITIVES["long"]
    if kind == "array":
        return {"type": "array", "items": schema}, st.lists(values, max_size=4)
    return {"type": "map", "values": schema}, st.dictionaries(st.text(max_size=3), values, max_size=3)


def typed_record(draw: st.DrawFn, names: Names, level: int) -> tuple[Any, Any]:
    name = names.next()
    fields = {f"f{i}": typed_values(draw, names, level + 1) for i in range(draw(st.integers(0, 4)))}
    schema = {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, (t, _) in fields.items()]}
    return schema, st.fixed_dictionaries({n: values for n, (_, values) in fields.items()})


def typed_union(draw: st.DrawFn, names: Names, level: int) -> tuple[Any, Any]:
    branches: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {}
    for _ in range(draw(st.integers(1, 3))):
        schema, values = typed_values(draw, names, level + 1, in_union=True)
        branch = schema if isinstance(schema, str) else schema.get("name", schema["type"])
        branches.setdefault(branch, (schema, st.tuples(st.just(branch), values)))
    return [schema for schema, _ in branches.values()], st.one_of(*(values for _, values in branches.values()))


@st.composite
def written(draw: st.DrawFn) -> tuple[Any, bytes]:
    """A record schema and one encoded value of it."""
    schema, values = typed_record(draw, Names(), 0)
    return schema, encode(schema, draw(values))


def encode(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def oracle(schema: Any, data: bytes, reader_schema: Any = None) -> tuple[Any, int]:
    source = io.BytesIO(data)
    parsed = None if reader_schema is None else fastavro.parse_schema(reader_schema)
    return fastavro.schemaless_reader(source, fastavro.parse_schema(schema), parsed), source.tell()


@given(written())
@settings(max_examples=66, deadline=None)
def test_valid_bytes_mean_what_fastavro_says(case: tuple[Any, bytes]) -> None:
    schema, data = case
    assert repr(reader(parse_schema(schema))(data, 0)) == repr(oracle(schema, data))


@given(written(), st.data())
@settings(max_examples=100, deadline=None)
def test_what_is_accepted_of_damaged_bytes_fastavro_accepts_with_the_same_value(
    case: tuple[Any, bytes], data: st.DataObject
) -> None:
    schema, good = case
    damaged = data.draw(damage(good))
    try:
        value, end = reader(parse_schema(schema))(damaged, 0)
    except BadEvent:
        return
    assert end <= len(damaged)
    assert repr(oracle(schema, damaged)) == repr((value, end))


@st.composite
def damage(draw: st.DrawFn, good: bytes) -> bytes:
    at = draw(st.integers(0, len(good)))
    junk = draw(st.one_of(st.binary(max_size=12), st.sampled_from([b"\xff" * 9 + b"\x01", b"\x01", b"\x03\x02"])))
    kind = draw(st.sampled_from(["cut", "insert", "overwrite"]))
    if kind == "cut":
        return good[:at]
    return good[:at] + junk + good[at + (len(junk) if kind == "overwrite" else 0) :]


@given(written())
@settings(max_examples=33, deadline=None)
def test_every_true_prefix_is_refused(case: tuple[Any, bytes]) -> None:
    schema, data = case
    read = reader(parse_schema(schema))
    for cut in range(len(data)):
        with pytest.raises(BadEvent):
            read(data[:cut], 0)


@given(written())
@settings(max_examples=33, deadline=None)
def test_resolving_a_schema_with_itself_copies(case: tuple[Any, bytes]) -> None:
    schema, data = case
    node = parse_schema(schema)
    assert resolver(node, node)(data, 0) == (data, len(data))
    # Two parses of one schema are two trees; they must be seen as the same encoding too.
    assert resolver(node, parse_schema(schema))(data, 0) == (data, len(data))


@given(written())
@settings(max_examples=66, deadline=None)
def test_the_way_to_json_and_back_loses_nothing_json_can_hold(case: tuple[Any, bytes]) -> None:
    schema, data = case
    # A JSON object does not say whether it is a record or a map, nor which record.
    assume(not has_two_kinds_of_objects(schema))
    node = parse_schema(schema)
    text = avro_to_json(node)(data)
    try:
        again = json_to_avro(node)(text)
    except BadEvent:
        assert b"null" in text  # a NaN or infinite number of a type that has no null
        return
    assert msgspec.json.decode(avro_to_json(node)(again)) == msgspec.json.decode(text)


def test_of_float_and_double_a_union_takes_the_one_that_rounds_nothing() -> None:
    write = json_to_avro(parse_schema(["null", "float", "double"]))
    assert write(b"16777217.0") == b"\x04" + struct.pack("<d", 16777217.0)
    assert json_to_avro(parse_schema(["float", "null"]))(b"0.5") == b"\x00" + struct.pack("<f", 0.5)


def has_two_kinds_of_objects(schema: Any) -> bool:
    """True where some union of ``schema`` has more than one branch that is an object in JSON."""
    if isinstance(schema, list):
        objects = [part for part in schema if isinstance(part, dict) and part["type"] in ("record", "map")]
        return len(objects) > 1 or any(map(has_two_kinds_of_objects, schema))
    if isinstance(schema, dict):
        parts = [field["type"] for field in schema.get("fields", ())]
        return any(map(has_two_kinds_of_objects, [*parts, schema.get("items"), schema.get("values")]))
    return False


PROMOTED = {
    "int": ["int", "long", "float", "double"],
    "long": ["long", "float", "double"],
    "float": ["float", "double"],
}


@st.composite
def evolved(draw: st.DrawFn) -> tuple[Any, bytes, Any]:
    """A writer's schema, a value, and a reader's schema that resolves with it."""
    theirs, ours, value = [], [], {}
    for i in range(draw(st.integers(1, 6))):
        name, kind = f"f{i}", draw(st.sampled_from(["int", "long", "float", "string", "boolean", "bytes"]))
        values: st.SearchStrategy[Any] = PRIMITIVES[kind]
        wide = draw(st.sampled_from(PROMOTED.get(kind, [kind])))
        their_type: Any = kind
        our_type: Any = wide
        if draw(st.booleans()):
            our_type = draw(st.sampled_from([["null", wide], [wide, "null"], ["null", "boolean", wide]]))
            if kind == "boolean":
                our_type = ["null", wide]
            if draw(st.booleans()):
                their_type = draw(st.sampled_from([["null", kind], [kind, "null"]]))
                values = st.one_of(st.none(), values)
        renamed = draw(st.booleans())
        theirs.append({"name": name, "type": their_type})
        value[name] = draw(values)
        if draw(st.integers(0, 4)):
            alias = {"aliases": [name]} if renamed else {}
            ours.append({"name": f"new_{name}" if renamed else name, "type": our_type, **alias})
    for i in range(draw(st.integers(0, 2))):
        ours.append({"name": f"added{i}", "type": ["null", "string"], "default": None})
        ours.append({"name": f"added_text{i}", "type": "string", "default": "none"})
    schema = {"type": "record", "name": "E", "fields": theirs}
    return schema, encode(schema, value), {"type": "record", "name": "E", "fields": draw(st.permutations(ours))}


@given(evolved())
@settings(max_examples=100, deadline=None)
def test_resolution_gives_what_fastavro_reads(case: tuple[Any, bytes, Any]) -> None:
    schema, data, reader_schema = case
    ours = parse_schema(reader_schema)
    resolved, end = resolver(parse_schema(schema), ours)(data, 0)
    expected, _ = oracle(schema, data, reader_schema)
    assert end == len(data)
    # fastavro leaves a promoted int an int; a float32 of it must be compared as what the bytes hold.
    assert resolved == encode(reader_schema, {name: expected[name] for name in expected})


@given(st.integers(-(2**63), 2**63 - 1))
def test_varints_go_both_ways(number: int) -> None:
    assert reader(parse_schema('"long"'))(write_long(number), 0) == (number, len(write_long(number)))


@pytest.mark.parametrize(
    ("schema", "data", "status"),
    [
        ({"type": "enum", "name": "E", "symbols": ["a", "b"]}, write_long(-1), Status.MALFORMED),
        ({"type": "enum", "name": "E", "symbols": ["a", "b"]}, write_long(2), Status.MALFORMED),
        (["null", "int"], write_long(-1), Status.MALFORMED),
        (["null", "int"], write_long(2), Status.MALFORMED),
        ("boolean", b"\x02", Status.MALFORMED),
        ("long", b"\x80" * 10 + b"\x00", Status.MALFORMED),
        ("long", b"\xff" * 9 + b"\x02", Status.MALFORMED),
        ("int", write_long(2**31), Status.MALFORMED),
        ("string", write_long(-1), Status.MALFORMED),
        ("string", write_long(2**62), Status.TRUNCATED),
        ("string", write_long(2) + b"\xc3\x28", Status.INVALID_UTF8),
        ("bytes", write_long(3) + b"ab", Status.TRUNCATED),
        ({"type": "map", "values": "int"}, write_long(1) + write_long(1) + b"\xff\x00\x00", Status.INVALID_UTF8),
        ({"type": "array", "items": "int"}, write_long(2**62), Status.TRUNCATED),
        ({"type": "array", "items": "int"}, write_long(-(2**63)) + write_long(1), Status.TRUNCATED),
        ({"type": "array", "items": "int"}, write_long(-1) + write_long(2) + b"\x02\x00", Status.MALFORMED),
        ({"type": "array", "items": "int"}, write_long(-1) + write_long(-2) + b"\x02\x00", Status.MALFORMED),
        ({"type": "array", "items": "double"}, write_long(3) + bytes(16), Status.TRUNCATED),
        ({"type": "fixed", "name": "F", "size": 4}, b"abc", Status.TRUNCATED),
        ("double", bytes(7), Status.TRUNCATED),
        ("float", bytes(3), Status.TRUNCATED),
        ("long", b"\x80", Status.TRUNCATED),
    ],
)
def test_what_fastavro_lets_pass_or_chokes_on_is_refused(schema: Any, data: bytes, status: Status) -> None:
    record = {"type": "record", "name": "R", "fields": [{"name": "inner", "type": schema}]}
    with pytest.raises(BadEvent) as caught:
        reader(parse_schema(record))(data, 0)
    assert caught.value.status == status
    assert caught.value.fault.detail.startswith("inner: ")


def test_leaving_the_buffer_is_only_ever_seen_by_records() -> None:
    with pytest.raises(PAST_END):
        reader(parse_schema('"double"'))(b"", 0)


def test_a_block_with_its_size_is_read() -> None:
    data = write_long(-2) + write_long(2) + b"\x02\x04\x00"
    assert reader(parse_schema({"type": "array", "items": "int"}))(data, 0) == ([1, 2], len(data))
    sized = write_long(-2) + write_long(16) + struct.pack("<dd", 1.5, 2.5) + b"\x00"
    assert reader(parse_schema({"type": "array", "items": "double"}))(sized, 0) == ([1.5, 2.5], len(sized))


@given(st.data())
@settings(max_examples=33, deadline=None)
def test_writers_write_what_fastavro_writes(data: st.DataObject) -> None:
    fields: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
        kind: (kind, values) for kind, values in PRIMITIVES.items() if kind != "bytes"
    }
    fields["maybe"] = (["null", "long"], st.one_of(st.none(), PRIMITIVES["long"]))
    fields["list"] = ({"type": "array", "items": "string"}, st.lists(st.text(max_size=3), max_size=3))
    fields["map"] = ({"type": "map", "values": "double"}, st.dictionaries(st.text(max_size=3), st.floats(), max_size=3))
    schema = {"type": "record", "name": "R", "fields": [{"name": n, "type": t} for n, (t, _) in fields.items()]}
    value = data.draw(st.fixed_dictionaries({name: values for name, (_, values) in fields.items()}))
    assert writer(parse_schema(json.dumps(schema)))(value) == encode(schema, value)
