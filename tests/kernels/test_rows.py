"""Rows joined by the kernel are the pieces and numbers joined in Python."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream_infer.codecs.row_writer import RowWriter
from stream_infer.codecs.write import write_long
from stream_infer.kernels import rows
from stream_infer.kernels.compiled import as_python
from stream_infer.types import Binary

INT64 = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-1, 0, 9, 10, 63, 64, -64, -65, 2**63 - 1, -(2**63)])
COUNT = 3
either = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)


@pytest.fixture(params=["compiled", "plain"])
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The kernels, compiled or as plain Python, where numpy checks every index."""
    if request.param == "plain":
        for name in [name for name, made in vars(rows).items() if hasattr(made, "py_func")]:
            monkeypatch.setattr(rows, name, as_python(getattr(rows, name)))
    return rows


def int64s(values: Sequence[Any]) -> Any:
    return np.array(values, np.int64)


def joined(writer: RowWriter, keep: Sequence[bool] = (True,) * COUNT) -> list[bytes | None]:
    found = writer.join(np.array(keep))
    assert not found.lengths[~np.array(keep)].any(), "rows that are not written have bytes"
    return found.to_list()


def of_each(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=COUNT, max_size=COUNT)


@pytest.mark.usefixtures("kernels")
@either
@given(
    numbers=of_each(INT64),
    scores=of_each(st.floats(width=32)),
    own=of_each(st.none() | st.binary(max_size=40)),
    index=of_each(st.integers(0, 2)),
    keep=of_each(st.booleans()),
)
def test_a_row_is_its_steps(
    numbers: list[int], scores: list[float], own: list[bytes | None], index: list[int], keep: list[bool]
) -> None:
    words = [b"", b"one", b"three"]
    writer = RowWriter(COUNT)
    writer.constant(b"<")
    writer.long(int64s(numbers))
    writer.own(Binary.from_values(own))
    writer.optional_long(int64s(numbers))
    writer.picked(words, np.array(index, np.uint8))
    writer.digits(int64s(numbers))
    writer.optional_digits(int64s(numbers))
    writer.optional_float(np.array(scores, np.float32))
    expected = [
        b"<"
        + write_long(number)
        + (span or b"")
        + (b"\x00" if number == -1 else b"\x02" + write_long(number))
        + words[place]
        + json.dumps(number).encode()
        + (b"null" if number == -1 else json.dumps(number).encode())
        + (b"\x00" if score != score else struct.pack("<Bf", 2, score))
        for number, span, place, score in zip(numbers, own, index, scores, strict=True)
    ]
    found = joined(writer, keep)
    assert found == [row if wanted else None for row, wanted in zip(expected, keep, strict=True)]


@pytest.mark.usefixtures("kernels")
def test_columns_may_be_parts_of_larger_ones() -> None:
    writer = RowWriter(COUNT)
    column = Binary.from_values([b"-", b"a", b"bc", b"", b"-"])
    writer.own(column.slice(1, 4))
    writer.own(column.slice(0, 3))
    assert joined(writer) == [b"a-", b"bca", b"bc"]


@pytest.mark.usefixtures("kernels")
def test_no_rows_and_no_steps() -> None:
    assert len(RowWriter(0).join(np.zeros(0, np.bool_))) == 0
    assert joined(RowWriter(COUNT)) == [b""] * COUNT


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("index", [[0, 1, 2], [0, -1, 0]])
def test_a_piece_that_is_not_there_is_refused(index: list[int]) -> None:
    writer = RowWriter(COUNT)
    writer.picked([b"a", b"b"], int64s(index))
    writer.constant(b"must not be picked")
    with pytest.raises(ValueError, match="picks a piece"):
        joined(writer)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("offsets", [[0, 3, 2, 4], [2, 3, 0, 4], [0, 99, 99, 4]])
def test_offsets_that_do_not_ascend_are_refused(offsets: list[int]) -> None:
    writer = RowWriter(COUNT)
    writer.own(Binary(np.frombuffer(b"abcd", np.uint8), int64s(offsets)))
    with pytest.raises(ValueError, match="do not ascend"):
        joined(writer)


def test_too_small_a_target_is_not_written_beyond(kernels: Any) -> None:
    steps, edges, pool = int64s([[rows.CONSTANT, 0, 1, 0]]), int64s([0, 3]), np.frombuffer(b"abc", np.uint8).copy()
    target, offsets = np.zeros(5, np.uint8), int64s([0] * 3)
    keep = np.ones(2, np.bool_)
    assert kernels.join(steps, pool, edges, np.zeros((1, 2), np.int64), keep, target, offsets) == rows.WRONG
    steps[0, 0] = rows.LONG
    assert kernels.join(steps, pool, edges, np.zeros((1, 2), np.int64), keep, target, offsets) == rows.WRONG
    assert not target[3:].any()
