from __future__ import annotations

import numpy as np

from stream_infer.kafka.records import Carried, keep_splits, without
from stream_infer.testing import records
from stream_infer.types import Records, Split

A, B, C = Split("payments", 0), Split("payments", 1), Split("refunds", 0)


def run(*rows: tuple[Split, int]) -> Records:
    """Records at these splits and offsets; the value says where each is from."""
    table = tuple(dict.fromkeys(split for split, _ in rows))
    plain = records([b"%s-%d-%d" % (split.source.encode(), split.partition, offset) for split, offset in rows])
    index = np.array([table.index(split) for split, _ in rows], np.int32)
    offsets = np.array([offset for _, offset in rows], np.int64)
    return Records(plain.values, plain.keys, table, index, offsets, plain.timestamp_ms, 0, plain.headers)


def places(found: Records | None) -> list[tuple[Split, int]]:
    assert found is not None
    for row, value in enumerate(found.values.to_list()):
        split = found.split(row)
        assert value == b"%s-%d-%d" % (split.source.encode(), split.partition, found.offset[row])
    return [(found.split(row), int(found.offset[row])) for row in range(len(found))]


def test_where_every_split_is_kept_nothing_is_copied() -> None:
    all_of_them = run((A, 1), (B, 2))
    assert keep_splits(all_of_them, np.array([True, True])) is all_of_them


def test_only_the_splits_that_are_kept_are_left_in_the_table() -> None:
    kept = keep_splits(run((A, 1), (B, 2), (C, 3), (B, 4)), np.array([False, True, True]))
    assert places(kept) == [(B, 2), (C, 3), (B, 4)]
    assert kept is not None
    assert kept.splits == (B, C)
    assert kept.split_index.dtype == np.dtype(np.int32)


def test_nothing_left_is_none() -> None:
    assert keep_splits(run((A, 1)), np.array([False])) is None


def test_a_place_is_a_topic_and_a_partition_of_any_generation() -> None:
    mine = run((A, 1), (A._replace(generation=7), 2), (C, 3))
    assert places(without(mine, {("payments", 0)})) == [(C, 3)]


def test_first_in_first_out_over_the_borders_of_runs() -> None:
    carried = Carried()
    carried.add(run((A, 1), (B, 1), (A, 2)))
    carried.add(run((A, 3), (B, 2)))
    assert len(carried) == 5
    assert places(carried.take(2)) == [(A, 1), (B, 1)]
    assert places(carried.take(2)) == [(A, 2), (A, 3)]
    assert carried.take(0) is None
    assert places(carried.take(10)) == [(B, 2)]
    assert carried.take(10) is None
    assert not carried


def test_what_is_dropped_leaves_the_order_of_the_rest() -> None:
    carried = Carried()
    carried.add(run((A, 1), (B, 1), (A, 2)))
    carried.add(run((B, 2)))
    carried.add(run((B, 3), (A, 3)))
    carried.drop({("payments", 1)})
    assert places(carried.take(10)) == [(A, 1), (A, 2), (A, 3)]


def test_the_first_offset_of_each_place() -> None:
    carried = Carried()
    carried.add(run((A, 5), (B, 1)))
    carried.add(run((A, 6), (C, 9)))
    assert carried.first_offsets() == {("payments", 0): 5, ("payments", 1): 1, ("refunds", 0): 9}
