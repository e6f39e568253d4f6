"""Hostile events and large schemas: what the decode kernel spends on them is bounded by their bytes.

The kernel runs as plain Python here, where its calls are counted: one or more of every byte it reads. Memory is counted
of the compiled kernel.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

import numpy as np
import pytest

from stream_infer.codecs import AvroDecoder, FixedSchema
from stream_infer.codecs.columnar import ColumnPlan, Columns
from stream_infer.codecs.layout import Layout
from stream_infer.codecs.opcodes import KernelProgram
from stream_infer.codecs.schema import MAX_NODES, parse_schema
from stream_infer.codecs.write import write_long
from stream_infer.projection import Feature, ModelInput, Projection
from stream_infer.testing import records
from stream_infer.types import MAX_NESTING, Status
from tests.codecs.kernel_cases import assert_equal, kernels_as_python, walked
from tests.codecs.test_limits import (
    CHEAPEST_ITEMS,
    CLAIMS,
    INT_ARRAY,
    INT_MAP,
    MAX_CALLS_PER_BYTE,
    MEGABYTE,
    SLACK,
    array,
    calls_of,
    mapping,
    memory_of,
    nested,
    record,
    stack_depth,
)

ARRAYS = [INT_ARRAY, INT_MAP, array("double"), array(INT_ARRAY), mapping(INT_MAP), array(["null", "string"])]
CLAIMING = [*ARRAYS, array({"type": "fixed", "name": "F", "size": 2**40}), "string", "bytes"]


def of_interest(schema: dict[str, Any], *carried: str) -> Projection:
    return Projection((ModelInput("X", "float32", (Feature("last", "last"),)),), carried, schema)


def followed(type_: Any) -> dict[str, Any]:
    """A record of a field of some type and a number."""
    fields = [{"name": "f", "type": type_}, {"name": "last", "type": "float"}]
    return {"type": "record", "name": "Event", "fields": fields}


def prepared(projection: Projection, event: bytes) -> tuple[Columns, KernelProgram]:
    plan = ColumnPlan(Layout(projection))
    return Columns(plan, records([event])), plan.assemble(parse_schema(projection.reader_schema))


@pytest.mark.parametrize("claim", CLAIMS)
@pytest.mark.parametrize("type_", CLAIMING)
def test_a_claim_costs_nothing(type_: Any, claim: bytes) -> None:
    schema, event = followed(type_), claim * 50
    projection = of_interest(schema, "f")
    columns, program = prepared(projection, event)
    with kernels_as_python():
        assert calls_of(lambda: columns.run(program, np.arange(1), 0)) < SLACK
    found = AvroDecoder(projection, FixedSchema(schema), max_event_bytes=MEGABYTE).decode(records([event]))
    assert_equal(found, walked(projection, schema, [event]))
    assert found.status[0] != Status.OK


@pytest.mark.parametrize("type_", CHEAPEST_ITEMS)
def test_what_an_event_costs_follows_its_bytes(type_: Any) -> None:
    items = 500
    event = write_long(items) + bytes(items + 1) + struct.pack("<f", 0.5)
    columns, program = prepared(of_interest(followed(type_), "f"), event)
    with kernels_as_python():
        assert calls_of(lambda: columns.run(program, np.arange(1), 0)) < MAX_CALLS_PER_BYTE * len(event) + SLACK
    assert columns.done.tolist() == [True]


@pytest.mark.parametrize("size", [0, 1])
def test_very_many_blocks_cost_as_much_as_one(size: int) -> None:
    """``size``: with the bytes of each block said."""
    count = 500
    block = (write_long(-1) + write_long(1) if size else write_long(1)) + b"\x02"
    event = block * count + b"\x00" + struct.pack("<f", 0.5)
    columns, program = prepared(of_interest(followed(INT_ARRAY)), event)
    with kernels_as_python():
        assert calls_of(lambda: columns.run(program, np.arange(1), 0)) < MAX_CALLS_PER_BYTE * len(event) + SLACK
    assert columns.done.tolist() == [True]


@pytest.mark.parametrize("type_", ["string", "bytes"])
def test_a_giant_string_is_passed_without_a_copy_and_carried_with_one(type_: str) -> None:
    schema = followed(type_)
    event = write_long(MEGABYTE) + b"g" * MEGABYTE + struct.pack("<f", 0.5)
    for carried, most in (((), SLACK * 10), (("f",), MEGABYTE + SLACK * 10)):
        decoder = AvroDecoder(of_interest(schema, *carried), FixedSchema(schema), max_event_bytes=2 * MEGABYTE)
        batch = records([event])
        assert decoder.decode(batch).inputs["X"].tolist() == [[0.5]]
        assert memory_of(lambda decoder=decoder, batch=batch: decoder.decode(batch)) < most  # type: ignore[misc]


def test_the_program_of_the_largest_schema_is_as_long_as_the_schema() -> None:
    def doubling(inner: Any, level: int) -> Any:
        return record(f"R{level}", inner, inner if level == 0 else f"R{level - 1}")

    schema = followed(nested(13, doubling, "boolean"))
    written = parse_schema(schema)
    assert written.weight > MAX_NODES / 2
    plan = ColumnPlan(Layout(of_interest(schema, "f")))
    assert calls_of(lambda: plan.assemble(written)) < 20 * MAX_NODES
    assert len(plan.assemble(written).tables.code) < 2 * MAX_NODES


def test_the_deepest_schema_is_compiled_and_walked() -> None:
    schema = followed(nested(MAX_NESTING - 2, lambda inner, _: array(inner), "int"))
    event = write_long(1) * (MAX_NESTING - 2) + write_long(7) + bytes(MAX_NESTING - 2) + struct.pack("<f", 0.5)
    written, plan = parse_schema(schema), ColumnPlan(Layout(of_interest(schema, "f")))
    columns = Columns(plan, records([event]))
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(stack_depth() + 4 * MAX_NESTING)
    try:
        program = plan.assemble(written)
    finally:
        sys.setrecursionlimit(before)
    assert program.depth == MAX_NESTING - 2
    columns.run(program, np.arange(1), 0)
    assert columns.done.tolist() == [True]
