"""Every settled event has exactly one outcome."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stream_infer.observe.tally import Tally, scored_rows, tally
from stream_infer.types import ScoredBatch, Status

BatchFactory = Callable[..., ScoredBatch]
MIXED_SCORES = [0.9, 0.1, None, None, None, 0.8, 0.7]
MIXED = {
    "statuses": {2: Status.TOMBSTONE, 3: Status.SHED},
    "rejects": {4: Status.TRUNCATED, 5: Status.ENCODE_FAILED},
}


def test_outcomes_of_a_mixed_batch(batch: BatchFactory) -> None:
    mixed = batch(MIXED_SCORES, **MIXED)
    rows = scored_rows(mixed)

    assert rows.tolist() == [True, True, False, False, False, False, True]
    counts = tally(mixed, rows)
    assert counts == Tally(3, 2, 1, 1, {Status.TRUNCATED: 1, Status.ENCODE_FAILED: 1})
    assert counts.settled == 7


def test_an_event_the_sink_refused_is_a_reject_although_it_was_encoded(batch: BatchFactory) -> None:
    refused = batch([0.9, 0.9], rejects={1: Status.OUTPUT_TOO_LARGE})
    assert tally(refused, scored_rows(refused)) == Tally(1, 1, 0, 0, {Status.OUTPUT_TOO_LARGE: 1})


def test_a_row_whose_partition_moved_on_has_no_outcome(batch: BatchFactory) -> None:
    left = batch([0.9, 0.9, None], {2: Status.SHED}).only(np.array([True, False, False]))
    assert tally(left, scored_rows(left)) == Tally(1, 1, 0, 0, {})


def test_counting_changes_nothing_in_the_batch(batch: BatchFactory) -> None:
    mixed = batch(MIXED_SCORES, **MIXED)
    before = mixed.scored.status.copy()
    tally(mixed, scored_rows(mixed))
    assert mixed.scored.status.tolist() == before.tolist()
