"""How the events of one batch ended, counted.

Rule: every settled event has exactly one outcome, read from what goes to the sink. A `Reject` is the authority on
rejects, since an event that could not be encoded, or that the sink refused, still has the status OK in its column. A
row that lost its payload (its partition moved on before it was published) has no outcome; it will be settled again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream_infer.types import BoolArray, ScoredBatch, Status


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of one batch. ``flagged`` is the part of ``scored`` that reached the threshold."""

    scored: int
    flagged: int
    shed: int
    passed_over: int
    rejected: Mapping[Status, int]

    @property
    def settled(self) -> int:
        """All events with an outcome."""
        return self.scored + self.shed + self.passed_over + sum(self.rejected.values())


def scored_rows(batch: ScoredBatch) -> BoolArray:
    """Which rows carry a score to the sink, bool ``[n]``."""
    rows: BoolArray = batch.scored.status == Status.OK
    if batch.payload.valid is not None:
        rows &= batch.payload.valid
    if batch.rejects:
        rows[[reject.row for reject in batch.rejects]] = False
    return rows


def tally(batch: ScoredBatch, scored: BoolArray) -> Tally:
    """Count the outcomes of ``batch``, whose `scored_rows` are ``scored``."""
    if scored.all():
        return Tally(len(scored), int(np.count_nonzero(batch.scored.flagged)), 0, 0, {})
    shed = batch.scored.status == Status.SHED
    if batch.payload.valid is not None:
        shed &= batch.payload.valid
    return Tally(
        scored=int(np.count_nonzero(scored)),
        flagged=int(np.count_nonzero(batch.scored.flagged & scored)),
        shed=int(np.count_nonzero(shed)),
        passed_over=int(np.count_nonzero(batch.scored.status == Status.TOMBSTONE)),
        rejected=Counter(reject.status for reject in batch.rejects),
    )
