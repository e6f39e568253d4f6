"""Events, projections and the answer of the walker: what the tests of the decode kernel share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from stream_infer.codecs.columnar import ColumnPlan, Columns
from stream_infer.codecs.faults import BadEvent, Verdicts
from stream_infer.codecs.layout import Layout
from stream_infer.codecs.paths import own_column
from stream_infer.codecs.program import Program
from stream_infer.codecs.schema import parse_schema
from stream_infer.errors import ModelLoadError
from stream_infer.kernels import avro_decode, spans
from stream_infer.kernels.compiled import as_python
from stream_infer.projection import Feature, ModelInput, Projection
from stream_infer.testing import records
from stream_infer.types import BoolArray, Decoded, Status

WORDS = ("a", "b", "", "grün", "longer than eight bytes", "longer than eight bites", "\ud800")
NUMBERS = st.sampled_from([0.0, 1.0, -1.0, 0.1, -1_760_000_000.0, 2.0**53, 1e300, 2.0**63, -(2.0**64)])


@contextmanager
def kernels_as_python() -> Iterator[None]:
    """The kernels as plain Python, where numpy checks every index (and warns of what wraps around on purpose)."""
    with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
        for module in (avro_decode, spans):
            for name, made in list(vars(module).items()):
                if hasattr(made, "py_func"):
                    patch.setattr(module, name, as_python(made))
        yield


def walked(projection: Projection, schema: Any, values: Sequence[bytes]) -> Decoded:
    """What the walker makes of events, one by one."""
    layout = Layout(projection)
    program = Program(parse_schema(schema), layout)
    verdicts = Verdicts.all_ok(len(values))
    rows = []
    for row, value in enumerate(values):
        try:
            rows.append(program.run(value, 0))
        except BadEvent as bad:
            verdicts.reject(row, bad.fault)
            rows.append([None] * (len(layout.paths) + len(layout.carried)))
    paths, width = len(layout.paths), len(layout.paths) + len(layout.carried)
    columns = [[row[place] for row in rows] for place in range(width)]
    own = partial(own_column, records(values))
    return layout.decoded(columns[:paths], columns[paths:], own, verdicts, "avro")


def by_kernel(projection: Projection, schema: Any, values: Sequence[bytes]) -> tuple[Columns, BoolArray]:
    """The columns as the kernel and what follows it leave them, and the rows that it was sure of."""
    plan = ColumnPlan(Layout(projection))
    columns = Columns(plan, records(values))
    rows = np.flatnonzero([len(value) > 0 for value in values])
    columns.run(plan.assemble(parse_schema(schema)), rows, 0)
    return columns, columns.done.copy()


def assert_equal(found: Decoded, expected: Decoded) -> None:
    """Equal to the last bit, in all that means something."""
    assert found.status.tolist() == expected.status.tolist()
    assert found.details == expected.details
    good = expected.status == Status.OK
    for name, cells in expected.inputs.items():
        got = found.inputs[name]
        assert (got.dtype, got.shape, got.flags.c_contiguous) == (cells.dtype, cells.shape, True)
        if cells.dtype == object:
            assert got[good].tolist() == cells[good].tolist()
        else:
            assert got[good].tobytes() == cells[good].tobytes()
    for column, wanted in zip(found.carried, expected.carried, strict=True):
        assert (column.name, column.type, column.encoding) == (wanted.name, wanted.type, wanted.encoding)
        assert column.values.to_list() == wanted.values.to_list()


def leaf_paths(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Paths of a record's schema, also such as lead nowhere."""
    for entry in schema["fields"]:
        path = prefix + entry["name"]
        yield path
        for branch in entry["type"] if isinstance(entry["type"], list) else [entry["type"]]:
            if isinstance(branch, dict) and branch["type"] == "record":
                yield from leaf_paths(branch, path + ".")


@st.composite
def features(draw: st.DrawFn, paths: Sequence[str], dtype: str) -> list[Feature]:
    """Features of any kind for some paths of a schema, fitting or not."""
    drawn = draw(st.lists(st.sampled_from(paths), max_size=5))
    return [draw(one_feature(f"x{number}", path, dtype)) for number, path in enumerate(drawn)]


@st.composite
def one_feature(draw: st.DrawFn, name: str, path: str, dtype: str) -> Feature:
    missing = draw(st.sampled_from(["nan", "nan", "error", "value"]))
    value: Any = None
    if missing == "value":
        value = "none" if dtype == "string" else draw(st.sampled_from([-1, 7, 2**40]))
    kind = draw(st.sampled_from(["number", "number", "number", "category", "array", "csv"]))
    length = draw(st.integers(1, 3)) if kind in ("array", "csv") else 1
    form = kind if kind in ("array", "csv") else None
    if kind == "category" and dtype != "string":
        unseen: Any = draw(st.sampled_from([-1, 99, "error"]))
        words = tuple(draw(st.lists(st.sampled_from(WORDS), max_size=8)))
        return Feature(name, path, missing, value, categories=words, unseen=unseen)
    offset, scale = draw(NUMBERS), draw(st.one_of(st.just(1.0), NUMBERS))
    return Feature(name, path, missing, value, offset, scale, length=length, format=form)


@st.composite
def projections(draw: st.DrawFn, reader: dict[str, Any]) -> Projection:
    """Inputs of several dtypes and carried fields, drawn from a reader's schema."""
    known = []
    for path in leaf_paths(reader):
        try:
            Layout(Projection((ModelInput("X", "float32", (Feature("f", path),)),), (), reader))
        except ModelLoadError:
            continue
        known.append(path)
    names = [entry["name"] for entry in reader["fields"]]
    carried = draw(st.lists(st.sampled_from(names), unique=True)) if names else []
    inputs = []
    if known:
        for number, dtype in enumerate(draw(st.lists(st.sampled_from(DTYPES), max_size=3))):
            drawn = draw(features(known, dtype))
            inputs += [ModelInput(f"X{number}", dtype, tuple(drawn))] if drawn else []
    return Projection(tuple(inputs), tuple(carried), reader)


DTYPES = ["float32", "float32", "float64", "int64", "string"]
