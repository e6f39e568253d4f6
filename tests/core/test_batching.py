"""A batch closes by size, by bytes, by linger from its first record, or by draining."""

import pytest

from stream_infer.core.batching import Batch, Batcher
from stream_infer.core.waiting import Linger, Trigger
from stream_infer.testing import records
from stream_infer.types import Records, Split


def batcher(size: int = 4, nbytes: int = 1000, linger_s: float = 0.005) -> Batcher:
    return Batcher(size, nbytes, Linger(linger_s))


def values(batch: Batch) -> list[bytes | None]:
    return batch.records.values.to_list()


def test_nothing_is_due_when_nothing_waits() -> None:
    empty = batcher()
    assert empty.take(10.0) is None
    assert empty.take(10.0, drain=True) is None
    assert empty.seconds_until_due(10.0) == float("inf")


def test_linger_runs_from_the_first_record_and_is_not_restarted() -> None:
    waiting = batcher()
    waiting.add(records([b"a"]), 10.0)
    waiting.add(records([b"b"], first_offset=1), 10.004)
    assert waiting.take(10.004) is None
    assert waiting.seconds_until_due(10.004) == pytest.approx(0.001)
    batch = waiting.take(10.006)
    assert batch is not None
    assert (values(batch), batch.trigger) == ([b"a", b"b"], Trigger.LINGER)
    assert batch.waited_s == pytest.approx(0.006)


def test_a_full_batch_leaves_at_once_and_the_rest_keeps_its_own_arrival() -> None:
    waiting = batcher(size=2)
    waiting.add(records([b"a", b"b", b"c"]), 10.0)
    first = waiting.take(10.0)
    assert first is not None
    assert (values(first), first.trigger) == ([b"a", b"b"], Trigger.SIZE)
    assert waiting.take(10.0) is None
    rest = waiting.take(10.005)
    assert rest is not None
    assert (values(rest), rest.trigger) == ([b"c"], Trigger.LINGER)
    assert (len(waiting), waiting.nbytes) == (0, 0)


def test_bytes_close_a_batch_without_splitting_a_record() -> None:
    waiting = batcher(size=10, nbytes=5)
    waiting.add(records([b"aaa", b"bb", b"c"]), 10.0)
    first = waiting.take(10.0)
    assert first is not None
    assert (values(first), first.trigger) == ([b"aaa", b"bb"], Trigger.BYTES)
    assert len(waiting) == 1


def test_a_record_larger_than_the_byte_limit_goes_alone() -> None:
    waiting = batcher(size=10, nbytes=5)
    waiting.add(records([b"a" * 50, b"b"]), 10.0)
    first = waiting.take(10.0)
    assert first is not None
    assert values(first) == [b"a" * 50]
    assert len(waiting) == 1


def test_bytes_count_across_chunks() -> None:
    waiting = batcher(size=10, nbytes=4)
    waiting.add(records([b"aaa"]), 10.0)
    waiting.add(records([b"bbb"], first_offset=1), 10.001)
    first = waiting.take(10.001)
    assert first is not None
    assert values(first) == [b"aaa"]
    second = waiting.take(10.001)
    assert second is None, "3 bytes are below the limit and 1 ms is below the linger"


def test_missing_is_what_the_next_batch_still_takes() -> None:
    waiting = batcher(size=4)
    assert waiting.missing() == 4
    waiting.add(records([b"a"]), 10.0)
    assert waiting.missing() == 3


def test_dropped_splits_leave_and_their_neighbours_stay() -> None:
    gone, kept = Split("payments", 0, 1), Split("payments", 1, 2)
    waiting = batcher(size=10)
    waiting.add(records([b"a", b"b"], split=gone), 10.0)
    waiting.add(records([b"c"], split=kept), 10.0)
    assert waiting.drop({gone}) == 2
    batch = waiting.take(10.0, drain=True)
    assert batch is not None
    assert values(batch) == [b"c"]
    assert batch.trigger is Trigger.DRAIN
    assert batch.records.split(0) == kept


def test_a_record_of_a_split_that_is_tried_alone_is_a_batch_and_ends_the_one_before_it() -> None:
    suspect, others = Split("t", 1), Split("t", 0)
    waiting = batcher(size=8)
    waiting.add(records([b"a", b"b"], split=others), 10.0)
    mixed = [records([b"c"], split=others, first_offset=2), records([b"x", b"y"], split=suspect)]
    waiting.add(Records.concat(mixed), 10.0)
    waiting.add(records([b"z"], split=suspect, first_offset=2), 10.0)
    waiting.add(records([b"d", b"e"], split=others, first_offset=3), 10.0)
    taken = [waiting.take(10.0, drain=True, alone={suspect}) for _ in range(5)]
    assert [values(batch) for batch in taken if batch is not None] == [
        [b"a", b"b", b"c"],
        [b"x"],
        [b"y"],
        [b"z"],
        [b"d", b"e"],
    ]
    assert (len(waiting), waiting.nbytes) == (0, 0)
