"""What the tests of this room share: a clock that stands still, and settled batches made to measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import pytest

from stream_infer.testing.fakes import FakeClock, records
from stream_infer.types import Binary, ModelIdentity, Reject, ScoredBatch, ScoredColumns, Split, Status

BatchFactory: TypeAlias = Callable[..., ScoredBatch]

MODEL = ModelIdentity("fraud", "7", "ab" * 32, 0.5)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def model() -> ModelIdentity:
    return MODEL


@pytest.fixture
def batch() -> BatchFactory:
    """A batch from scores (None: not scored); ``statuses`` and ``rejects`` by row, offsets from ``first_offset``."""

    def make(
        scores: Sequence[float | None],
        statuses: Mapping[int, Status] | None = None,
        rejects: Mapping[int, Status] | None = None,
        first_offset: int = 0,
        partition: int = 0,
    ) -> ScoredBatch:
        status = np.zeros(len(scores), np.uint8)
        for row, value in {**(statuses or {}), **(rejects or {})}.items():
            # An encoding failure is known from the reject alone, as in the pipeline.
            status[row] = Status.OK if value.stage == "encode" else value
        score = np.array([np.nan if value is None else value for value in scores], np.float32)
        scored = ScoredColumns(score, score >= 0.5, status, np.zeros(len(scores), np.uint8), (MODEL,))
        published = (status == Status.OK) | (status == Status.SHED)
        payload = Binary.from_values([b"{}" if kept else None for kept in published.tolist()])
        origin = records([b"x"] * len(scores), split=Split("payments", partition), first_offset=first_offset)
        return ScoredBatch(
            origin,
            scored,
            payload,
            tuple(Reject(row, value, f"row {row}: {value.reason}") for row, value in (rejects or {}).items()),
        )

    return make
