"""Is one stream of outcomes in order? A stream: what came of one input partition, as it stands in one output partition.

Rule: pure, and a finding is a proof. What a correct service can do under its guarantee is never found, however strange
the weather; where a log cannot tell a mistake from bad luck, luck is assumed.

**Exactly once**: the outcomes that a reader gets ascend. An event is out of order when a later one stands before it.
(An event that stands there twice is judged by its first outcome; twice is another finding.)

**At least once** a partition is gone through in *stretches*, each by one writer: from a committed offset on, forwards,
until the writer dies, gives the partition up, or goes back after a failed delivery. Then the next stretch begins, at
or before everything that was never out. Two rules follow:

1. *Who comes late brings his successors.* An event may be out for the first time behind a later one only because its
   delivery had failed. Then reading goes back to it, or before it, and so everything behind it is out again after it.
   An event is out of order when a later one has its **last** outcome before the event's **first**.
2. *Nothing is left out on the way forwards.* When a writer goes on further ahead than it had come (1 2 3, then 6), the
   events in between were put out by somebody else who had the partition in the meantime, or they come afterwards
   (their delivery had failed). An event is out of order when it was skipped so, and every outcome that it has stands
   before the point where the writer stopped and is the writer's own, or that of one who began before the writer's
   stretch, and so cannot have had the partition after it.

The second rule is asked of a stream that keeps the first one only: one mistake is told once, and a log in thorough
disorder is judged quickly. It may not ask for more, because of a writer that was frozen and lost its partition: what
lay in its queue is written when it thaws, behind all that its successor did, and it may then get the partition back
further ahead: X 2 3 4 5, W (thawed) 2 3, W (again) 6.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream_infer.types import BoolArray, Int64Array

UNKNOWN_WRITER = -1
"""The producer id of a record whose producer has none. Rule 2 takes no writer for another one."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Outcomes of one input partition in the order of their log. n rows.

    ``input_offset`` int64 ``[n]``; ``writer`` int64 ``[n]``, the producer id.
    """

    input_offset: Int64Array
    writer: Int64Array


def out_of_order_exactly_once(stream: Stream) -> Int64Array:
    """Input offsets that are out of order, ascending."""
    offsets, first = np.unique(stream.input_offset, return_index=True)
    return offsets[_behind_a_later_one(first, first)]


def out_of_order_at_least_once(stream: Stream) -> Int64Array:
    """Input offsets that are out of order, ascending."""
    offsets, first, rank = np.unique(stream.input_offset, return_index=True, return_inverse=True)
    last = np.empty_like(first)
    last[rank] = np.arange(len(rank))
    late = _behind_a_later_one(first, last)
    return offsets[late] if late.any() else offsets[_left_out(rank, stream.writer, last)]


def _behind_a_later_one(first: Int64Array, other: Int64Array) -> BoolArray:
    """True for each event whose ``first`` place is behind the ``other`` place of any later event. Events ascend."""
    wrong = np.zeros(len(first), np.bool_)
    nearest_later = np.minimum.accumulate(other[::-1])[::-1]
    wrong[:-1] = nearest_later[1:] < first[:-1]
    return wrong


class _Jump(NamedTuple):
    """A writer went on further ahead than it had come."""

    writer: int
    began: int
    """Rank of the first event of the stretch that ended."""
    stopped: int
    """Rank of its last event."""
    stopped_at: int
    """Row of that event."""
    goes_on: int
    """Rank of the writer's next event."""


def _left_out(rank: Int64Array, writer: Int64Array, last: Int64Array) -> Int64Array:
    """Ranks of the events that break rule 2, ascending.

    Args:
        rank: of each row's event, in the order of the log.
        writer: of each row.
        last: of each event the row of its last outcome.
    """
    began, jumps = _stretches(rank, writer)
    by_rank = np.argsort(rank, kind="stable")
    ranks = rank[by_rank]
    wrong = [np.empty(0, np.int64)]
    for jump in jumps:
        if last[jump.stopped + 1 : jump.goes_on].min() > jump.stopped_at:
            continue  # All come afterwards. This is the usual case, and needs no look at every outcome.
        low, high = np.searchsorted(ranks, (jump.stopped + 1, jump.goes_on))
        rows = by_rank[low:high]
        in_turn = (rows > jump.stopped_at) | ((writer[rows] != jump.writer) & (began[rows] >= jump.began))
        wrong.append(np.setdiff1d(rank[rows], rank[rows[in_turn]]))
    return np.unique(np.concatenate(wrong))


def _stretches(rank: Int64Array, writer: Int64Array) -> tuple[Int64Array, Iterator[_Jump]]:
    """Rank at which the stretch of each row began, and the jumps forwards between two stretches of a writer."""
    by_writer = np.argsort(writer, kind="stable")
    ranks, writers = rank[by_writer], writer[by_writer]
    same_writer = writers[1:] == writers[:-1]
    begins = np.ones(len(rank), np.bool_)
    begins[1:] = ~same_writer | (ranks[1:] != ranks[:-1] + 1)
    stretch_began = ranks[begins][np.cumsum(begins) - 1]
    began = np.empty_like(stretch_began)
    began[by_writer] = stretch_began
    known = writers[1:] != UNKNOWN_WRITER
    ends = np.flatnonzero(same_writer & known & (ranks[1:] > ranks[:-1] + 1))
    columns = (writers[ends], stretch_began[ends], ranks[ends], by_writer[ends], ranks[ends + 1])
    return began, map(_Jump, *(column.tolist() for column in columns))


__all__ = ["UNKNOWN_WRITER", "Stream", "out_of_order_at_least_once", "out_of_order_exactly_once"]
