"""What the kernels are sure of is what parsing one event after the other makes of it, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_infer.codecs.json_columns import JsonColumns, JsonPlan
from stream_infer.codecs.json_decoder import JsonDecoder
from stream_infer.codecs.json_program import compile_layout
from stream_infer.codecs.json_rows import RowDecoder
from stream_infer.codecs.layout import Layout
from stream_infer.codecs.paths import own_column
from stream_infer.projection import Feature, ModelInput, Projection
from stream_infer.testing import records
from stream_infer.types import Decoded

Project = Callable[..., Projection]
MAX_EVENT_BYTES = 20_000
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}
GEO = {
    "type": "record",
    "name": "Geo",
    "fields": [
        {"name": "lat", "type": "double", "aliases": ["latitude"]},
        {"name": "kind", "type": ["null", "string"]},
    ],
}
KIND = {"type": "enum", "name": "Kind", "symbols": ["a", "bc", "ä"]}
FIELDS: dict[str, Any] = {
    "amount": "double",
    "count": (["null", "int"], None),
    "at": MILLIS,
    "flag": "boolean",
    "kind": KIND,
    "geo": (["null", GEO], {"lat": 4.5, "kind": None}),
    "pixels": {"type": "array", "items": "float"},
    "line": "string",
    "price": (["null", DECIMAL], None),
    "name": ("string", "nobody"),
    "tags": {"type": "map", "values": "int"},
}
FEATURES = (
    Feature("amount", "amount", missing="error", offset=0.1, scale=3.0),
    Feature("amount again", "amount"),
    Feature("count", "count", missing="value", missing_value=-1),
    Feature("at", "at", offset=-1e6),
    Feature("flag", "flag"),
    Feature("kind", "kind", categories=("a", "ä", "x\\n")),
    Feature("kind again", "kind", categories=("bc",), unseen="error", missing="error"),
    Feature("lat", "geo.lat", missing="value", missing_value=0.5),
    Feature("geo kind", "geo.kind", categories=("y",), unseen=9),
    Feature("pixels", "pixels", length=3, format="array", scale=0.5),
    Feature("line", "line", length=2, format="csv"),
)
LATE = (Feature("price", "price"), Feature("key", "$key", categories=("k",)), Feature("stamp", "$timestamp"))
CARRIED = ("name", "count", "kind", "geo", "price", "tags", "amount")


def projection_of(
    fields: Mapping[str, Any], inputs: Sequence[ModelInput], carried: Sequence[str], project: Project
) -> Any:
    return Projection(tuple(inputs), tuple(carried), project(fields).reader_schema)


@pytest.fixture(scope="module")
def projection(project: Project) -> Projection:
    inputs = [
        ModelInput("X", "float32", FEATURES),
        ModelInput("late", "float32", LATE),
        ModelInput("ids", "int64", (Feature("count", "count", missing="value", missing_value=0),)),
        ModelInput("names", "string", (Feature("name", "name"),)),
        ModelInput("doubles", "float64", (Feature("pixels", "pixels", length=3, format="array"),)),
    ]
    projection: Projection = projection_of(FIELDS, inputs, CARRIED, project)
    return projection


numbers = (
    st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(-1000, 1000, width=32)
    | st.sampled_from([0, -0.0, 1e39, 2**63, -(2**63), 1e-70, 5.0])
)
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=4), lambda inner: st.lists(inner, max_size=3), max_leaves=4
)
EVENTS = st.fixed_dictionaries(
    {"amount": numbers, "flag": st.booleans(), "kind": st.sampled_from(["a", "bc"]), "tags": st.just({"a": 1})},
    optional={
        "count": st.none() | st.integers(-(2**31), 2**31),
        "at": st.integers(0, 2**45) | numbers,
        "geo": st.none()
        | st.fixed_dictionaries({}, optional={"lat": numbers, "latitude": numbers, "kind": st.just("y")}),
        "pixels": st.lists(numbers, min_size=3, max_size=3),
        "line": st.sampled_from(["1,2", " 1e5 , -.5", "1", "1,nan", "x"]),
        "price": st.none() | st.sampled_from(["1.25", 7, 0.1]),
        "name": st.text(max_size=4),
        "other": anything,
    },
)
ODD_EVENTS = st.dictionaries(st.sampled_from([*FIELDS, "other", "latitude"]), anything, max_size=6)


def assert_same(found: Decoded, expected: Decoded) -> None:
    assert found.status.tolist() == expected.status.tolist()
    assert dict(found.details) == dict(expected.details)
    good = expected.status == 0
    for name, cells in expected.inputs.items():
        assert found.inputs[name].dtype == cells.dtype
        assert found.inputs[name].flags.c_contiguous
        if cells.dtype == object:
            assert found.inputs[name][good].tolist() == cells[good].tolist()
        else:
            assert found.inputs[name][good].tobytes() == cells[good].tobytes(), name
    for ours, theirs in zip(found.carried, expected.carried, strict=True):
        assert (ours.name, ours.type, ours.encoding) == (theirs.name, theirs.type, theirs.encoding)
        assert ours.values.to_list() == theirs.values.to_list()


def check(projection: Projection, values: Sequence[bytes | None]) -> Decoded:
    recs = records(values, keys=[b"k"] * len(values), timestamp_ms=1500)
    found = JsonDecoder(projection, max_event_bytes=MAX_EVENT_BYTES).decode(recs)
    assert_same(found, RowDecoder(Layout(projection), MAX_EVENT_BYTES).decode(recs))
    return found


def sure_of(projection: Projection, values: Sequence[bytes]) -> list[bool]:
    """Which of the events the kernels decode, with what follows them in Python."""
    layout = Layout(projection)
    program = compile_layout(layout)
    assert program is not None
    recs = records(values)
    plan = JsonPlan(layout, program, RowDecoder(layout, MAX_EVENT_BYTES))
    columns = JsonColumns(plan, recs, np.ones(len(recs), np.bool_))
    columns.fill_late(lambda name: own_column(recs, name))
    done: list[bool] = columns.done.tolist()
    return done


@settings(max_examples=150, deadline=None)
@given(events=st.lists(EVENTS | ODD_EVENTS, min_size=1, max_size=4), ascii_only=st.booleans())
def test_events(projection: Projection, events: list[dict[str, Any]], ascii_only: bool) -> None:
    check(projection, [json.dumps(e, ensure_ascii=ascii_only).encode(errors="surrogatepass") for e in events])


@settings(max_examples=150, deadline=None)
@given(event=EVENTS, data=st.data())
def test_damaged_events(projection: Projection, event: dict[str, Any], data: st.DataObject) -> None:
    good = json.dumps(event, ensure_ascii=False).encode(errors="surrogatepass")
    bad = bytearray(good)
    at = data.draw(st.integers(0, len(bad) - 1))
    if data.draw(st.booleans()):
        del bad[at:]
    else:
        bad[at] = data.draw(st.integers(0, 255))
    check(projection, [good, bytes(bad), good])


@pytest.mark.parametrize(
    "number",
    ["1x", "1]", '1"', "1:2", "1-2", "--1", "01", "-01", "+1", "1.", ".5", "1e", "0x1", "1 2", "-", "1\u00e9"],
)
def test_what_is_no_number(projection: Projection, number: str) -> None:
    good = '{"amount": 1, "kind": "bc", "tags": {}}'
    bad = good.replace(": 1,", f":{number},"), good.replace("}}", f'}}, "geo":{{"lat":{number}}}}}')
    decoded = check(projection, [value.encode() for value in (good, *bad, good)])
    assert (decoded.status == 0).tolist() == [True, False, False, True]


def test_values_that_are_not_looked_at(projection: Projection) -> None:
    good = json.dumps({"amount": 1, "kind": "bc", "tags": {}}).encode()
    decoded = check(projection, [good, None, b"", b"x" * (MAX_EVENT_BYTES + 1), good])
    assert decoded.status.tolist()[::4] == [0, 0]


def test_no_rows(projection: Projection) -> None:
    assert len(check(projection, [])) == 0


COVERED: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "number": ("double", "1.5", {}),
    "exponent": ("double", "-1.5e-7", {}),
    "seventeen digits": ("double", "0.12345678901234567", {}),
    "boolean": ("boolean", "true", {}),
    "time": (MILLIS, "1500", {}),
    "date": ({"type": "int", "logicalType": "date"}, "20000", {}),
    "null": (["null", "double"], "null", {}),
    "category": ("string", '"\u00e4"', {"categories": ("ä",)}),
    "array": ({"type": "array", "items": "float"}, "[1, 2.5]", {"length": 2, "format": "array"}),
    "text of numbers": ("string", '"1,2.5"', {"length": 2, "format": "csv"}),
    "decimal as number": (DECIMAL, "1.25", {}),
}
LATE_FEATURES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "categories in an array": (
        {"type": "array", "items": "string"},
        '["a"]',
        {"format": "array", "categories": ("a",)},
    ),
    "categories in text": ("string", '"a,b"', {"length": 2, "format": "csv", "categories": ("a",)}),
}
NOT_SURE: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "escaped category": ("string", '"\\u0061"', {"categories": ("a",)}),
    "decimal as text": (DECIMAL, '"1.25"', {}),
    "nineteen digits": ("long", "1234567890123456789", {}),
    "null in an array": ({"type": "array", "items": ["null", "int"]}, "[null]", {"format": "array"}),
    "nan in text": ("string", '"nan"', {"format": "csv"}),
    "missing and needed": (["null", "int"], "null", {"missing": "error"}),
    "far exponent": ("double", "1e-70", {}),
}


@pytest.mark.parametrize("name", [*COVERED, *LATE_FEATURES, *NOT_SURE])
def test_which_features_are_covered(name: str, project: Project) -> None:
    type_, text, rule = (COVERED | LATE_FEATURES | NOT_SURE)[name]
    projection = project({"f": type_}, [Feature("f", "f", **rule)], (), "float32")
    event = b'{"other": "x", "f": %s}' % text.encode()
    check(projection, [event])
    assert sure_of(projection, [event]) == [name not in NOT_SURE]
    program = compile_layout(Layout(projection))
    assert program is not None
    assert len(program.late) == (name in LATE_FEATURES)


@pytest.mark.parametrize(
    ("type_", "text", "late"),
    [
        ("string", '"a\\n\u00e4"', False),
        ("long", "-5", False),
        (["null", "long"], "null", False),
        (["null", "string", "boolean"], "false", False),
        ("float", "1e38", False),
        (KIND, '"bc"', False),
        (DECIMAL, '"1.25"', True),
        ("bytes", '"AAE="', True),
        (GEO, '{"lat": 1, "kind": null}', True),
        ({"type": "array", "items": "int"}, "[1]", True),
    ],
)
def test_which_carried_fields_are_covered(type_: Any, text: str, late: bool, project: Project) -> None:
    projection = project({"f": type_}, (), ["f"])
    event = b'{"f":%s}' % text.encode()
    assert check(projection, [event]).carried[0].values.to_list() == [text.encode()]
    assert sure_of(projection, [event]) == [True]
    program = compile_layout(Layout(projection))
    assert program is not None
    assert len(program.late_checks) == late


def test_a_name_that_means_two_fields_goes_the_slow_way(project: Project) -> None:
    projection = project({"a": "int", "b": "int"}, [Feature("a", "a"), Feature("b", "b")], ["a"])
    projection.reader_schema["fields"][0]["aliases"] = ["b"]
    assert compile_layout(Layout(projection)) is None
    assert check(projection, [b'{"b": 1}']).inputs["X"].tolist() == [[1.0, 1.0]]


def test_a_part_of_a_larger_batch(projection: Projection) -> None:
    events = [json.dumps({"amount": n, "kind": "bc", "tags": {}, "name": str(n)}).encode() for n in range(5)]
    decoder = JsonDecoder(projection, max_event_bytes=MAX_EVENT_BYTES)
    recs = records([*events, b"{", b"{}"])
    whole, part = decoder.decode(recs), decoder.decode(recs.slice(2, 6))
    assert part.carried[0].values.to_list() == whole.carried[0].values.to_list()[2:6]
    assert part.inputs["X"][:3].tobytes() == whole.inputs["X"][2:5].tobytes()
