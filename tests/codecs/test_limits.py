"""Hostile schemas and events: what a decoder spends on them is bounded by their bytes.

Work is counted in calls and memory in allocated bytes, so that a slow machine changes nothing. Where the work happens
inside one call (regular expressions), the inputs are so long that anything but linear would not end.
"""

from __future__ import annotations

import json
import sys
import tracemalloc
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.codecs import AvroDecoder, FixedSchema, JsonDecoder
from stream_infer.codecs.faults import MAX_DETAIL_CHARS, BadEvent, SchemaRefused
from stream_infer.codecs.resolve import resolver
from stream_infer.codecs.schema import MAX_NODES, parse_schema
from stream_infer.codecs.transcode import avro_to_json, json_to_avro
from stream_infer.codecs.walk import PAST_END, reader
from stream_infer.codecs.write import as_decimal, write_long
from stream_infer.projection import Feature, Projection
from stream_infer.testing import records
from stream_infer.types import MAX_NESTING, Decoded, Status

Project = Callable[..., Projection]

MAX_CALLS_PER_BYTE = 20
MAX_MEMORY_PER_BYTE = 300
"""An array of one-byte records makes a dict of 184 bytes, and its place in a list, of every byte."""
SLACK = 4_000
"""Calls or bytes that a decoder may spend on any event."""

MEGABYTE = 1_000_000


def calls_of(action: Callable[[], object]) -> int:
    """Python and C functions that ``action`` calls; whatever codecs refuse with is expected."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        attempt(action)
    finally:
        sys.setprofile(before)
    return count


def memory_of(action: Callable[[], object]) -> int:
    """Bytes that ``action`` has allocated at its worst moment."""
    tracemalloc.start()
    try:
        attempt(action)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def attempt(action: Callable[[], object]) -> None:
    try:
        action()
    except (BadEvent, SchemaRefused, *PAST_END):
        return


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def mapping(values: Any) -> dict[str, Any]:
    return {"type": "map", "values": values}


def record(name: str, *types: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": f"f{i}", "type": t} for i, t in enumerate(types)]}


def nested(levels: int, wrap: Callable[[Any, int], Any], inner: Any) -> Any:
    for level in range(levels):
        inner = wrap(inner, level)
    return inner


# ---------------------------------------------------------------------- schemas

EMPTY = record("Empty")
FIXED_0 = {"type": "fixed", "name": "F", "size": 0}


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (record("R", ["null", array("R")]), "contains itself"),
        (record("R", mapping("R")), "contains itself"),
        (record("R", record("S", ["null", "R"])), "contains itself"),
        (record("R", {"type": "record", "name": "S", "fields": [{"name": "r", "type": [array("S")]}]}), "itself"),
        (array(array("null")), "zero bytes"),
        (mapping(record("R", FIXED_0, EMPTY, "null")), "zero bytes"),
        (["null", array(record("R", "null", record("S", "null")))], "zero bytes"),
        (record("R", "int", array(FIXED_0)), "zero bytes"),
        (array(record("R", "boolean", *["null"] * 2_000)), "many types in few bytes"),
        (array(["null", record("R", "boolean", *["null"] * 2_000)]), "many types in few bytes"),
        (mapping(nested(20, lambda inner, i: record(f"R{i}", inner), "boolean")), "many types in few bytes"),
        (array([record(f"R{i}", "int") for i in range(MAX_NODES)]), f"more than {MAX_NODES}"),
        (nested(MAX_NESTING + 1, lambda inner, _: ["null", array(inner)], "int"), "deeper"),
        (nested(MAX_NESTING + 2, lambda inner, _: {"type": inner}, "int"), "deeper"),
        ("[" * MEGABYTE, "not valid JSON"),
        ('{"type":' * MEGABYTE, "not valid JSON"),
        ('{"type": "fixed", "name": "F", "size": ' + "9" * MEGABYTE + "}", "not valid JSON"),
        ({"type": "fixed", "name": "F", "size": True}, "no size"),
        ({"type": "enum", "name": "E", "symbols": "abc"}, "symbols"),
        ({"type": "enum", "name": "E", "symbols": ["a"], "default": ["a"]}, "none of its symbols"),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int", "aliases": None}]}, "aliases"),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "int", "aliases": 5}]}, "aliases"),
    ],
)
def test_a_schema_that_could_exhaust_a_decoder_is_refused(schema: Any, reason: str) -> None:
    with pytest.raises(SchemaRefused, match=reason):
        parse_schema(schema)


def test_ordinary_items_of_many_nullable_fields_are_taken() -> None:
    line = record("Line", *[["null", "string"]] * 40, record("Price", "double", ["null", "int"]))
    parse_schema(record("Order", array(line), mapping(["null", array(["null", "boolean"])])))
    parse_schema(array(["null", record("Line", *[["null", "string"]] * 40)]))


TYPE_WORDS = st.sampled_from(
    ["null", "int", "record", "error", "enum", "fixed", "array", "map", "decimal", "A", "B", "x.A", "f", ""]
)
KEYS = st.sampled_from(
    ["type", "name", "namespace", "fields", "symbols", "default", "items", "values", "size", "aliases", "logicalType"]
)
ANY_SCHEMA = st.recursive(
    TYPE_WORDS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=30,
)


@given(ANY_SCHEMA)
def test_any_json_is_a_schema_or_refused(tree: Any) -> None:
    attempt(lambda: parse_schema(tree if isinstance(tree, (dict, list)) else json.dumps(tree)))


def test_the_work_on_a_schema_follows_its_text_and_the_bound_on_nodes() -> None:
    def doubling(inner: Any, level: int) -> Any:
        return record(f"R{level}", inner, inner if level == 0 else f"R{level - 1}")

    endless = nested(60, doubling, "null")
    assert calls_of(lambda: parse_schema(endless)) < 20_000
    largest = parse_schema(nested(13, doubling, "boolean"))
    assert largest.weight > MAX_NODES / 2
    assert calls_of(lambda: reader(largest)) < 20 * MAX_NODES


def test_enums_of_very_many_symbols_are_matched_once_each() -> None:
    symbols = [f"s{i}" for i in range(20_000)]
    written = parse_schema({"type": "enum", "name": "E", "symbols": symbols})
    read = parse_schema({"type": "enum", "name": "E", "symbols": symbols[::-1]})
    assert calls_of(lambda: resolver(written, read)) < 5 * len(symbols)
    assert resolver(written, read)(write_long(3), 0) == (write_long(19_996), 1)


# ---------------------------------------------------------------------- Avro events

INT_ARRAY, INT_MAP = array("int"), mapping("int")
CLAIMS = [write_long(count) for count in (1_000, 2**31, 2**62, 2**63 - 1)]
CLAIMS += [write_long(-count) + write_long(size) for count in (1_000, 2**62, 2**63) for size in (0, 1, 2**62)]


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize(
    "schema",
    [
        INT_ARRAY,
        INT_MAP,
        array("double"),
        array(INT_ARRAY),
        mapping(INT_MAP),
        array(["null", "string"]),
        array({"type": "fixed", "name": "F", "size": 2**40}),
        "string",
        "bytes",
    ],
)
@pytest.mark.parametrize("keep", [True, False])
def test_a_claim_costs_nothing(schema: Any, claim: bytes, keep: bool) -> None:
    """Behind the claim stands less than it says, or the claim of the next level, and so on."""
    read = reader(parse_schema(schema), keep=keep)
    event = claim * 50
    assert calls_of(lambda: read(event, 0)) < SLACK
    assert memory_of(lambda: read(event, 0)) < 100_000


CHEAPEST_ITEMS = [
    array("boolean"),
    array(INT_ARRAY),
    array(INT_MAP),
    array(record("R", "boolean")),
    array(record("R", "boolean", *["null"] * 7)),
    array(["null", record("S", "int")]),
    array(array(array(array("int")))),
    array({"type": "enum", "name": "E", "symbols": ["a"]}),
    array("bytes"),
]


@pytest.mark.parametrize("schema", CHEAPEST_ITEMS)
def test_what_an_event_costs_follows_its_bytes(schema: Any) -> None:
    event = write_long(20_000) + bytes(20_001)
    node = parse_schema(schema)
    read, check = reader(node), reader(node, keep=False)
    assert read(event, 0)[1] == check(event, 0)[1] == len(event)
    assert calls_of(lambda: read(event, 0)) < MAX_CALLS_PER_BYTE * len(event)
    assert memory_of(lambda: read(event, 0)) < MAX_MEMORY_PER_BYTE * len(event)
    assert memory_of(lambda: check(event, 0)) < SLACK, "a field that nobody needs"


@pytest.mark.parametrize("schema", [INT_ARRAY, INT_MAP, array("double"), record("R", "int", array("string"))])
def test_what_is_not_kept_is_checked_all_the_same(schema: Any) -> None:
    check = reader(parse_schema(schema), keep=False)
    with pytest.raises((BadEvent, *PAST_END)):
        check(write_long(1), 0)


def test_very_many_blocks_cost_as_much_as_one() -> None:
    read = reader(parse_schema(INT_ARRAY))
    event = (write_long(1) + b"\x02") * 20_000 + b"\x00"
    assert read(event, 0) == ([1] * 20_000, len(event))
    assert calls_of(lambda: read(event, 0)) < MAX_CALLS_PER_BYTE * len(event)


def test_the_deepest_schema_is_walked_within_any_sensible_stack() -> None:
    schema = nested(MAX_NESTING // 2, lambda inner, i: record(f"R{i}", ["null", inner]), "int")
    read = reader(parse_schema(schema))
    limit = sys.getrecursionlimit()
    event = write_long(1) * (MAX_NESTING // 2) + write_long(7)
    sys.setrecursionlimit(stack_depth() + 4 * MAX_NESTING)
    try:
        assert read(event, 0)[1] == len(event)
    finally:
        sys.setrecursionlimit(limit)


def stack_depth() -> int:
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


def test_a_decimal_of_a_megabyte_is_out_of_range(project: Project) -> None:
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 2}
    projection = project({"f0": decimal}, [Feature("f0", "f0")])
    event = write_long(MEGABYTE) + b"\x7f" * MEGABYTE
    decoder = AvroDecoder(projection, FixedSchema(record("Event", decimal)), max_event_bytes=2 * MEGABYTE)
    assert statuses(decoder.decode(records([event]))) == ["OUT_OF_RANGE"]
    with pytest.raises(BadEvent, match="bytes"):
        avro_to_json(parse_schema(decimal))(event)


def test_fields_that_nobody_needs_take_no_memory(project: Project) -> None:
    written = record("Event", array(record("R", "boolean")), "double")
    projection = project({"f1": "double"}, [Feature("f1", "f1")])
    event = write_long(100_000) + bytes(100_001) + bytes(8)
    decoder = AvroDecoder(projection, FixedSchema(written), max_event_bytes=MEGABYTE)
    batch = records([event])
    assert statuses(decoder.decode(batch)) == ["OK"]
    assert memory_of(lambda: decoder.decode(batch)) < 3 * len(event)


def test_a_sentence_is_short_whatever_a_schema_calls_its_fields(project: Project) -> None:
    name = "n" * MEGABYTE
    written = {"type": "record", "name": "Event", "fields": [{"name": name, "type": "boolean"}]}
    decoder = AvroDecoder(project({"a": "int"}, [Feature("a", "a")]), FixedSchema(written), max_event_bytes=100)
    decoded = decoder.decode(records([b"\x07"]))
    assert statuses(decoded) == ["MALFORMED"]
    assert len(decoded.details[0]) == MAX_DETAIL_CHARS


# ---------------------------------------------------------------------- JSON events and numbers


def statuses(decoded: Decoded) -> list[str]:
    return [Status(code).name for code in decoded.status.tolist()]


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (b"[" * MEGABYTE, "TOO_DEEP"),
        (b'{"a":' * (MEGABYTE // 5), "TOO_DEEP"),
        (b'{"other":[' + b"{}," * 40_000, "TRUNCATED"),
        (b'{"other": "' + b"[" * MEGABYTE + b'", "a": 1}', "OK"),
        (b'{"other": "' + b'[\\"' * 300_000 + b'", "a": 1}', "OK"),
        (b'{"other": "' + b"[\\\\" * 300_000, "TRUNCATED"),
        (b'"' * 200_000 + b"[" * 65, "TOO_DEEP"),
        (b'{"a": ' + b"9" * MEGABYTE + b"}", "OUT_OF_RANGE"),
        (b'{"a": 0.' + b"9" * MEGABYTE + b"}", "OK"),
        (b'{"a": 1e' + b"9" * MEGABYTE + b"}", "NOT_FINITE"),
        (b'{"other": ' + b"9" * MEGABYTE + b"}", "MISSING_FEATURE"),
        (b'{"other": [' + b"9" * MEGABYTE + b", NaN]}", "MALFORMED"),
        (b'{"a": [' + b"1," * (MEGABYTE // 2) + b"1]}", "WRONG_TYPE"),
        (b'{"' + b"k" * MEGABYTE + b'": 1}', "MISSING_FEATURE"),
        (b'{"a": "' + b"1" * MEGABYTE + b'x"}', "WRONG_TYPE"),
        (b'{"d": "' + b"1" * MEGABYTE + b'x", "a": 1}', "WRONG_TYPE"),
        (b'{"d": "' + b"1" * MEGABYTE + b'", "a": 1}', "NOT_FINITE"),
        (b'{"d": "1e' + b"9" * MEGABYTE + b'", "a": 1}', "OUT_OF_RANGE"),
        (b'{"c": "' + b"1" * MEGABYTE + b'x", "a": 1}', "WRONG_TYPE"),
    ],
)
def test_a_hostile_json_event_is_refused_or_read_for_the_price_of_its_bytes(
    value: bytes, status: str, project: Project
) -> None:
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 2}
    fields = {"a": "long", "c": (["null", "string"], None), "d": (["null", decimal], None)}
    features = [Feature("a", "a", missing="error"), Feature("c", "c", format="csv"), Feature("d", "d")]
    decoder = JsonDecoder(project(fields, features, ["d"]), max_event_bytes=2 * MEGABYTE)
    batch = records([value])
    assert statuses(decoder.decode(batch)) == [status]
    assert memory_of(lambda: decoder.decode(batch)) < 30 * len(value)


@pytest.mark.parametrize(
    "text",
    ["1" * MEGABYTE + "x", "1" * MEGABYTE + ".x", "1." + "1" * MEGABYTE + "x", "1e" + "1" * MEGABYTE + "x", "." * 9],
)
def test_text_that_is_almost_a_number_is_refused_in_one_pass(text: str) -> None:
    with pytest.raises(BadEvent):
        as_decimal(text)


@pytest.mark.parametrize("text", ["1", "+1.", "-.5", "1.5", "1e5", "1.E-5", ".5e+5", "007"])
def test_numbers_in_text_are_what_they_were(text: str) -> None:
    assert as_decimal(text) == Decimal(text)


@pytest.mark.parametrize("number", [b"1e999999999", b"1e-999999999", b"0." + b"1" * MEGABYTE, b"9" * MEGABYTE])
def test_a_carried_decimal_of_absurd_size_is_refused(number: bytes) -> None:
    decimal = {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 2}
    for type_ in (decimal, ["null", decimal, "double"]):
        write = json_to_avro(parse_schema(type_))
        assert memory_of(lambda write=write: write(number)) < 30 * len(number) + 10 * SLACK  # type: ignore[misc]


def test_items_that_pay_for_what_they_hold_are_taken() -> None:
    symbol = {"type": "enum", "name": "Colour", "symbols": ["red", "green"]}
    parse_schema(
        {"type": "array", "items": {"type": "record", "name": "Item", "fields": [{"name": "c", "type": symbol}]}}
    )
