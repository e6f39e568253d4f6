"""Columns: Arrow's binary layout, records of several splits, and what a batch keeps."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.testing import FakeWork, records
from stream_infer.types import Binary, HeaderRows, Records, Split, Status
from stream_infer.work import WorkResult

VALUES = st.lists(st.none() | st.binary(max_size=8), max_size=12)


@given(VALUES)
def test_a_binary_column_holds_what_it_was_made_of(values: list[bytes | None]) -> None:
    column = Binary.from_values(values)
    assert column.to_list() == values
    assert [column[row] for row in range(len(column))] == values
    assert column.nbytes == sum(len(value or b"") for value in values)


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_concat_keeps_order_and_nulls(parts: list[list[bytes | None]]) -> None:
    joined = Binary.concat([Binary.from_values(part) for part in parts])
    assert joined.to_list() == [value for part in parts for value in part]


@given(VALUES, st.data())
def test_a_slice_shares_bytes_and_a_take_copies(values: list[bytes | None], data: st.DataObject) -> None:
    column = Binary.from_values(values)
    start = data.draw(st.integers(0, len(values)))
    stop = data.draw(st.integers(start, len(values)))
    part = column.slice(start, stop)
    assert part.to_list() == values[start:stop]
    assert part.data is column.data
    rows = [row for row in range(len(values)) if row % 2]
    assert column.take(rows).to_list() == [values[row] for row in rows]
    assert Binary.concat([part, part]).to_list() == values[start:stop] * 2


def test_records_of_several_splits_know_their_offsets() -> None:
    a, b = Split("t", 0, 1), Split("t", 1, 2)
    joined = Records.concat(
        [
            records([b"1", b"2"], split=a, first_offset=10, headers=[[("h", b"x")], []]),
            records([b"3"], split=b, first_offset=7),
            records([b"4"], split=a, first_offset=12),
        ]
    )
    assert [joined.split(row) for row in range(4)] == [a, a, b, a]
    assert joined.first_offsets() == {a: 10, b: 7}
    assert joined.next_offsets() == {a: 13, b: 8}
    assert joined.headers is not None
    assert joined.headers[0] == [("h", b"x")]
    assert joined.slice(2, 4).next_offsets() == {a: 13, b: 8}
    assert joined.take(np.array([0, 3])).values.to_list() == [b"1", b"4"]


def test_a_batch_keeps_only_the_rows_asked_for() -> None:
    result: WorkResult = FakeWork().score(records([b"good", b"bad", None, b"good"]))
    kept = result.batch.only(np.array([False, True, True, True]))
    assert kept.payload.to_list() == [None, None, None, b"good"]
    assert [reject.row for reject in kept.rejects] == [1]
    assert result.batch.only(np.array([True, False, True, True])).rejects == ()


def test_every_reject_has_a_reason_and_a_stage() -> None:
    rejects = [status for status in Status if status.is_reject]
    assert {status.stage for status in rejects} == {"decode", "infer", "encode", "crash"}
    assert Status.MISSING_FEATURE.reason == "missing_feature"
    assert not any(Status(number).is_reject for number in (0, 1, 2))


def test_header_rows_follow_their_records() -> None:
    rows = HeaderRows([[("a", b"1")], [("b", None)]])
    assert rows.slice(1, 2)[0] == [("b", None)]
    assert rows.take(np.array([1, 0])).rows == [[("b", None)], [("a", b"1")]]
