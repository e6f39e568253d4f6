"""What every source, sink and runtime must do, as checks that an author can run over their own.

Rule: a check speaks only through the Protocol, asserts with a sentence that names the broken promise, and is run over
our fakes as well as over the real ones, so that a fake cannot drift from what it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.bundle import ModelBundle
from stream_infer.clock import Clock, Deadline
from stream_infer.errors import ModelFailure
from stream_infer.ports import Publisher, Runtime, Sink, Source, TransactionalSink
from stream_infer.scoring.verify import decode_golden
from stream_infer.types import Commit, Records, ScoredBatch, Split, Start

_PATIENCE_S = 30.0


class Ownership:
    """A `stream_infer.ports.SourceListener` that keeps what it was told."""

    def __init__(self) -> None:
        self.owned: set[Split] = set()
        self.starts: dict[Split, Start] = {}

    def splits_assigned(self, starts: Mapping[Split, Start]) -> None:
        """Own them."""
        self.owned |= set(starts)
        self.starts |= starts

    def splits_revoked(self, splits: Sequence[Split]) -> None:
        """Own them no more."""
        self.owned -= set(splits)

    def splits_lost(self, splits: Sequence[Split]) -> None:
        """Own them no more."""
        self.owned -= set(splits)

    def records_lost(self, split: Split, count: int) -> None:
        """No check loses records."""
        raise AssertionError(f"{count} records of {split} were lost")


def check_source(source: Source, clock: Clock, expected: int) -> None:
    """Check a source that is not started, over a topic that holds ``expected`` (at least 10) records and gets no more.

    Nothing is committed yet for any of it. Polls, rewinds and commits. The source is closed at the end.

    Raises:
        AssertionError: naming the broken promise.
    """
    ownership = Ownership()
    source.start(ownership)
    first = _read(source, clock, 5)
    assert source.poll(0, 0.0) is None, "a poll for nothing gives nothing"
    rest = _read(source, clock, expected - len(first))
    everything = Records.concat([first, rest])
    _check_records(everything, ownership, expected)
    assert source.poll(10, 0.05) is None, "at the end a poll gives None"
    assert source.caught_up(), "everything was read"
    _check_positions(source, everything)
    _check_rewind(source, clock, ownership, everything)
    _check_commit(source, clock)
    source.close()


def _read(source: Source, clock: Clock, count: int) -> Records:
    deadline = _soon(clock)
    parts: list[Records] = []
    while (missing := count - sum(map(len, parts))) > 0:
        assert not deadline.passed(clock.monotonic()), f"{missing} of {count} records did not come"
        records = source.poll(missing, 0.2)
        if records is not None:
            assert 0 < len(records) <= missing, "a poll gives at most what was asked for, and None instead of nothing"
            parts.append(records)
    return Records.concat(parts)


def _check_records(records: Records, ownership: Ownership, expected: int) -> None:
    assert len(records) == expected, "every record comes once"
    assert set(records.splits) <= ownership.owned, "records come from splits that were assigned, in their generation"
    for index in range(len(records.splits)):
        offsets = records.offset[records.split_index == index]
        assert (np.diff(offsets) > 0).all(), "offsets of a split ascend"
    for split, first in records.first_offsets().items():
        start = ownership.starts[split]
        assert start.offset <= first, "reading begins where the listener was told"
        assert start.note == "", "where nothing is committed there is no note"
        assert start.end_offset in (-1, records.next_offsets()[split]), "the end is known right or not at all"


def _check_positions(source: Source, records: Records) -> None:
    positions = source.positions()
    for split, next_offset in records.next_offsets().items():
        assert positions[split].next_offset == next_offset, "the position is the next offset to read"
        assert positions[split].end_offset in (-1, next_offset), "the end is known right or not at all"


def _check_rewind(source: Source, clock: Clock, ownership: Ownership, records: Records) -> None:
    back = {split: max(first, last - 2) for (split, first), last in _ranges(records)}
    renamed = source.rewind(back)
    assert set(renamed) == set(back), "every owned split is rewound"
    for old, new in renamed.items():
        assert new.generation > old.generation, "a rewind begins a new generation"
        assert (new.source, new.partition) == (old.source, old.partition), "a rewind keeps the split's place"
    again = _read(source, clock, sum(last - back[split] for (split, _), last in _ranges(records)))
    found = again.first_offsets()
    assert found == {renamed[split]: offset for split, offset in back.items()}, "reading goes on at the offsets given"
    assert not set(again.splits) & ownership.owned, "records after a rewind carry the new generation"
    assert source.rewind({next(iter(back)): 0}) == {}, "a split of an old generation is left alone"


def _ranges(records: Records) -> list[tuple[tuple[Split, int], int]]:
    ends = records.next_offsets()
    return [((split, first), ends[split]) for split, first in records.first_offsets().items()]


def _check_commit(source: Source, clock: Clock) -> None:
    offsets = {split: position.next_offset for split, position in source.positions().items()}
    assert source.committed(list(offsets)) == {}, "what was never committed is left out"
    source.begin_commit({split: Commit(offset - 1, "a note") for split, offset in offsets.items()})
    deadline = _soon(clock)
    while not source.commit_done():
        assert not deadline.passed(clock.monotonic()), "a commit is answered"
        clock.sleep(0.01)
    assert source.committed(list(offsets)) == {split: offset - 1 for split, offset in offsets.items()}, (
        "what was committed is committed"
    )
    source.commit_now({split: Commit(offset) for split, offset in offsets.items()}, _soon(clock))
    # The same offset again, which moves nothing but the note.
    source.commit_now({split: Commit(offset, "another") for split, offset in offsets.items()}, _soon(clock))
    assert source.committed(list(offsets)) == offsets, "the last commit counts"
    past = [split._replace(generation=-1) for split in offsets]
    assert source.committed(past) == {}, "a split of an old generation is left out"
    assert source.membership(), "whoever owns splits is a member"


def _soon(clock: Clock) -> Deadline:
    return Deadline.after(_PATIENCE_S, clock.monotonic())


def check_sink(sink: Sink, clock: Clock, batch: ScoredBatch, received: Callable[[], Sequence[bytes]]) -> None:
    """Check a sink that is not started.

    Args:
        sink: the one to check; closed at the end.
        clock: bounds the waiting.
        batch: at least two scored events and one reject, small.
        received: gives the payloads that arrived behind the sink so far, of scored events only.

    Raises:
        AssertionError: naming the broken promise.
    """
    sink.start()
    _check_publish(sink, batch)
    sink.begin_flush()
    _wait_flushed(sink, clock)
    payloads = _payloads(batch)
    assert sorted(received()) == sorted(payloads), "what was flushed has arrived, once"
    assert sink.flushed(0.0), "an empty sink is flushed"
    sink.publish(batch)
    sink.abandon()
    _wait_flushed(sink, clock)
    sink.close()


def _check_publish(publisher: Publisher, batch: ScoredBatch) -> None:
    room = publisher.room()
    assert room >= len(batch.records), "an empty sink has room for a small batch"
    assert not publisher.publish(batch), "a small batch is not refused"
    assert publisher.room() <= room, "what is not acknowledged takes room"


def _payloads(batch: ScoredBatch) -> list[bytes]:
    return [value for value in batch.payload.to_list() if value is not None]


def _wait_flushed(sink: Sink, clock: Clock) -> None:
    deadline = _soon(clock)
    while not sink.flushed(0.1):
        assert not deadline.passed(clock.monotonic()), "what is published is acknowledged"


def check_transactional_sink(
    sink: TransactionalSink, source: Source, clock: Clock, batch: ScoredBatch, received: Callable[[], Sequence[bytes]]
) -> None:
    """Check a transactional sink that is not started, with the source whose offsets it commits.

    Args:
        sink: the one to check; closed at the end.
        source: started and assigned; nothing is committed yet for any of its splits.
        clock: bounds the waiting.
        batch: at least two scored events and one reject, small.
        received: gives the payloads that a reader of committed events has seen so far, of scored events only.

    Raises:
        AssertionError: naming the broken promise.
    """
    split = next(iter(source.positions()))
    payloads = _payloads(batch)
    sink.start()
    _check_publish(sink, batch)
    assert not received(), "what is not committed is not seen"
    _commit(sink, source, clock, {split: Commit(1, "first")})
    assert sorted(received()) == sorted(payloads), "what was committed is seen, once"
    assert source.committed([split]) == {split: 1}, "the offsets are committed with the events"

    sink.publish(batch)
    sink.abort(_soon(clock))
    sink.abort(_soon(clock))
    _check_publish(sink, batch)
    _commit(sink, source, clock, {split: Commit(2)})
    assert sorted(received()) == sorted(payloads * 2), "what was aborted is never seen, what comes after it is"
    _commit(sink, source, clock, {split: Commit(3)})
    assert source.committed([split]) == {split: 3}, "offsets are committed where nothing was published, too"

    sink.publish(batch)
    sink.close()
    assert sorted(received()) == sorted(payloads * 2), "what was open at the end is never seen"
    assert source.committed([split]) == {split: 3}, "an abort moves no offset"


def _commit(sink: TransactionalSink, source: Source, clock: Clock, commits: Mapping[Split, Commit]) -> None:
    sink.begin_commit(commits, source.membership())
    deadline = _soon(clock)
    while not sink.commit_done(0.1):
        assert sink.room() == 0, "nothing may be published while a transaction is being committed"
        assert not deadline.passed(clock.monotonic()), "a commit is answered"


def check_runtime(
    runtime: Runtime,
    inputs: Mapping[str, npt.NDArray[Any]],
    *,
    rtol: float = 0.0,
    atol: float = 0.0,
    failing: Mapping[str, npt.NDArray[Any]] | None = None,
) -> None:
    """Check a runtime with n >= 4 rows of distinct valid inputs, such as `golden_inputs`.

    Args:
        runtime: the one to check; it stays open.
        inputs: an array ``[n, cells]`` for each input of the model.
        rtol: how far a row's score may be from the same in other company, relative to it; by default not at all.
        atol: the same, absolute.
        failing: inputs that the model cannot score; None where there are none.

    Raises:
        AssertionError: naming the broken promise.
    """
    rows = len(next(iter(inputs.values())))
    before = {name: array.copy() for name, array in inputs.items()}
    whole = runtime.run(inputs)
    kept = whole.copy()
    assert whole.dtype in (np.float32, np.float64), "a score is a float32 or a float64"
    assert whole.ndim in (1, 2), "a score is [n] or [n, k]"
    assert whole.shape[0] == rows, "one row out for every row in"

    def same(found: npt.NDArray[Any], wanted: npt.NDArray[Any], promise: str) -> None:
        assert found.shape == wanted.shape, "one row out for every row in"
        assert found.dtype == wanted.dtype, "the dtype does not depend on the batch"
        np.testing.assert_allclose(found, wanted, rtol, atol, err_msg=promise)

    for start, stop in ((0, 1), (1, 3), (rows - 1, rows)):
        part = runtime.run({name: array[start:stop] for name, array in inputs.items()})
        same(part, whole[start:stop], "a row's score does not depend on its neighbours")
    backwards = runtime.run({name: array[::-1].copy() for name, array in inputs.items()})
    same(backwards, whole[::-1], "row i answers row i")
    none = runtime.run({name: array[:0] for name, array in inputs.items()})
    assert none.shape == (0, *whole.shape[1:]), "no row in, no row out"
    if failing is not None:
        _check_failure(runtime, failing)
    runtime.stop()
    same(runtime.run(inputs), kept, "a stop with nothing running changes nothing")
    np.testing.assert_array_equal(whole, kept, "an answer is not changed by a later call")
    for name, array in inputs.items():
        np.testing.assert_array_equal(array, before[name], "a model does not change its inputs")


def _check_failure(runtime: Runtime, inputs: Mapping[str, npt.NDArray[Any]]) -> None:
    try:
        runtime.run(inputs)
    except ModelFailure:
        return
    except Exception as error:
        raise AssertionError(f"a model that fails is a ModelFailure, not a {type(error).__name__}") from error
    raise AssertionError("inputs that cannot be scored are a ModelFailure")


def golden_inputs(bundle: ModelBundle) -> dict[str, npt.NDArray[Any]]:
    """The inputs of the golden events that the bundle's model scores: an array ``[n, cells]`` for each."""
    expected = bundle.golden_answers()
    decoded = decode_golden(bundle.projection(), bundle.golden_events())
    rows = [row for row, reason in enumerate(expected.reasons) if reason is None]
    return {name: array[rows] for name, array in decoded.inputs.items()}


__all__ = [
    "Ownership",
    "check_runtime",
    "check_sink",
    "check_source",
    "check_transactional_sink",
    "golden_inputs",
]
