"""What happens to one batch: decode, infer, decide, encode. Runs on a worker thread or on the main one.

Rule: a batch is bound to its scorer when it is dispatched, and nothing here touches a source or a sink. Bad
events leave as rejects; a `RetriableError` says that the same batch may be tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stream_infer.clock import Clock
from stream_infer.core import age
from stream_infer.ports import Encoder
from stream_infer.types import (
    FIRST_REJECT,
    Binary,
    BoolArray,
    Decoded,
    ModelIdentity,
    Records,
    Reject,
    ScoredBatch,
    ScoredColumns,
    Status,
)

_CRASHED = "the process ended each time this event was tried, also when it was tried alone"


class BatchScorer(Protocol):
    """What the line needs of a `stream_infer.scoring.Scorer`."""

    @property
    def identity(self) -> ModelIdentity:
        """The model."""
        ...

    def decode(self, records: Records) -> Decoded:
        """Bytes to columns."""
        ...

    def infer(self, decoded: Decoded, shed: BoolArray | None = None) -> ScoredColumns:
        """Columns to scores and decisions."""
        ...


@dataclass(frozen=True, slots=True)
class WorkResult:
    """A scored batch and what each stage took, in seconds."""

    batch: ScoredBatch
    decode_seconds: float
    score_seconds: float
    encode_seconds: float


class BatchWork(Protocol):
    """What the line needs of `Work`."""

    def score(self, records: Records) -> WorkResult:
        """Score and encode."""
        ...

    def condemn(self, records: Records) -> WorkResult:
        """Reject all of them, without looking at a byte."""
        ...


class Work:
    """The work on one batch, shared by all workers.

    Args:
        scorer: bytes to scores.
        encoder: scores to bytes.
        clock: read between the stages.
        max_age_ms: events older than this leave unscored (``flow.when_full = "shed"``); None to score all.
        watch: entered round every model call, so that somebody outside sees one that does not end.
    """

    def __init__(
        self,
        scorer: BatchScorer,
        encoder: Encoder,
        clock: Clock,
        max_age_ms: int | None = None,
        watch: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._scorer = scorer
        self._encoder = encoder
        self._clock = clock
        self._max_age_ms = max_age_ms
        self._watch = watch

    def score(self, records: Records) -> WorkResult:
        """Score and encode ``records``.

        Raises:
            RetriableError: the registry is away or the model call was stopped; the batch may be tried again.
            FatalError: it makes no sense to go on.
        """
        began = self._clock.monotonic()
        decoded = self._scorer.decode(records)
        decoded_at = self._clock.monotonic()
        with self._watch():
            scored = self._scorer.infer(decoded, self._too_old(records))
        scored_at = self._clock.monotonic()
        payload, failures = self._encoder.encode(records, scored, self._clock.wall_ms())
        batch = ScoredBatch(records, scored, _without(payload, failures), _rejects(scored, failures))
        ended = self._clock.monotonic()
        return WorkResult(batch, decoded_at - began, scored_at - decoded_at, ended - scored_at)

    def condemn(self, records: Records) -> WorkResult:
        """Reject ``records`` undecoded, as what has killed whoever tried it (`Status.CRASHED`)."""
        scored = unscored(len(records), Status.CRASHED, self._scorer.identity)
        rejects = tuple(Reject(row, Status.CRASHED, _CRASHED) for row in range(len(records)))
        nothing = Binary.from_values([None] * len(records))
        return WorkResult(ScoredBatch(records, scored, nothing, rejects), 0.0, 0.0, 0.0)

    def _too_old(self, records: Records) -> BoolArray | None:
        if self._max_age_ms is None:
            return None
        return age.older_than(records, self._max_age_ms, self._clock.wall_ms())


def unscored(count: int, status: Status, model: ModelIdentity) -> ScoredColumns:
    """``count`` events that never met the model, all with the same status."""
    return ScoredColumns(
        score=np.full(count, np.nan, np.float32),
        flagged=np.zeros(count, np.bool_),
        status=np.full(count, status, np.uint8),
        model_index=np.zeros(count, np.uint8),
        models=(model,),
        model_calls=0,
    )


def _without(payload: Binary, failures: Mapping[int, str]) -> Binary:
    if not failures:
        return payload
    valid = np.ones(len(payload), np.bool_) if payload.valid is None else payload.valid.copy()
    valid[list(failures)] = False
    return Binary(payload.data, payload.offsets, valid)


def _rejects(scored: ScoredColumns, failures: Mapping[int, str]) -> tuple[Reject, ...]:
    found = [
        Reject(row, Status(int(scored.status[row])), scored.details.get(row, ""))
        for row in np.flatnonzero(scored.status >= FIRST_REJECT).tolist()
    ]
    found += [Reject(row, Status.ENCODE_FAILED, message) for row, message in failures.items()]
    return tuple(sorted(found, key=lambda reject: reject.row))
