"""What the demo counts: an `Instrument` that watches the line and keeps figures for the screen and the summary.

Rule: it learns of events only what the pipeline tells any instrument. Which payment a scored event belongs to,
it reads from the carried ``transaction_id``, so a repeat or a loss shows.
"""

from __future__ import annotations

import struct
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream_infer.ports import Instrument
from stream_infer.testing.payments_columns import TRANSACTION_DIGITS
from stream_infer.types import (
    Binary,
    BoolArray,
    Column,
    Float64Array,
    Int64Array,
    ModelIdentity,
    ScoredBatch,
    Split,
    Status,
)

SCORE_BINS = 10
LATEST_FLAGS = 6
_POWERS = 10 ** np.arange(TRANSACTION_DIGITS - 1, -1, -1, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Flag:
    """A flagged payment, as the screen shows it."""

    number: int
    card: str
    category: str
    amount: float
    score: float


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts since the start. ``lag_seconds`` is the latency of the oldest event of the latest batch."""

    settled: int = 0
    batches: int = 0
    flagged: int = 0
    rejected: int = 0
    lag_seconds: float = 0.0


class Figures(Instrument):
    """Counts what the pipeline settles. Written by the pipeline's thread; others may read `totals` and `settled`.

    Args:
        events: how many payments there will be; their numbers are 0 to ``events - 1``.
    """

    def __init__(self, events: int) -> None:
        self.assigned = threading.Event()
        """Set once the pipeline owns partitions: what is produced from then on is scored at once."""
        self.totals = Totals()
        self.score_bins = np.zeros(SCORE_BINS, np.int64)
        """Scores in ten equal bins from 0 to 1, int64 ``[10]``."""
        self.latest_flags: deque[Flag] = deque(maxlen=LATEST_FLAGS)
        self.flagged = np.zeros(events, np.bool_)
        """Which payments were flagged, bool ``[events]``."""
        self._scored = np.zeros(events, np.bool_)
        self._latency_seconds: list[Float64Array] = []
        self._model: ModelIdentity | None = None
        self._turned_at = self._settled_at = 0.0

    @property
    def model(self) -> str:
        """Name, version and digest of the model that scored; empty before the first batch."""
        return f"{self._model.name} {self._model.version} ({self._model.digest[:12]})" if self._model else ""

    def seconds_since(self, began_at: float | None) -> float:
        """Seconds from ``began_at`` (monotonic) to the turn in which the last batch was settled; 0 for None."""
        return max(0.0, self._settled_at - began_at) if began_at is not None else 0.0

    @property
    def settled(self) -> int:
        """Events that are done: scored or rejected, repeats included."""
        return self.totals.settled

    @property
    def scored(self) -> BoolArray:
        """Which payments were scored at least once, bool ``[events]``."""
        return self._scored

    def latency_quantiles(self, quantiles: Sequence[float]) -> list[float]:
        """Seconds from produced to published below which these shares of the events lie; NaN before the first."""
        if not self._latency_seconds:
            return [float("nan")] * len(quantiles)
        found: list[float] = np.quantile(np.concatenate(self._latency_seconds), quantiles).tolist()
        return found

    def ticked(self, now: float) -> None:
        """Note the time: a batch is settled in the turn that began last."""
        self._turned_at = now

    def splits_changed(self, kind: str, splits: Sequence[Split]) -> None:
        """Note the first assignment."""
        if kind == "assigned" and splits:
            self.assigned.set()

    def batch_settled(self, batch: ScoredBatch, latency_seconds: npt.NDArray[np.float64]) -> None:
        """Count one batch."""
        columns = {column.name: column for column in batch.scored.carried}
        rows = np.flatnonzero(batch.scored.status == Status.OK)
        numbers = payment_numbers(columns["transaction_id"].values, rows)
        flagged = rows[batch.scored.flagged[rows]]
        self._scored[numbers] = True
        self.flagged[numbers] = batch.scored.flagged[rows]
        self._latency_seconds.append(latency_seconds)
        bins = np.minimum((batch.scored.score[rows] * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
        self.score_bins += np.bincount(bins, minlength=SCORE_BINS)
        self.latest_flags.extend(_flag(batch, columns, int(row)) for row in flagged[-LATEST_FLAGS:])
        self._model = batch.scored.models[0]
        self._settled_at = self._turned_at
        self._add(batch, len(flagged), float(latency_seconds.max(initial=0.0)))

    def _add(self, batch: ScoredBatch, flagged: int, lag_seconds: float) -> None:
        # One assignment of a new value: a reader on another thread never sees counts of two moments.
        before = self.totals
        self.totals = Totals(
            settled=before.settled + len(batch.records),
            batches=before.batches + 1,
            flagged=before.flagged + flagged,
            rejected=before.rejected + len(batch.rejects),
            lag_seconds=lag_seconds,
        )


def payment_numbers(transaction_ids: Binary, rows: Int64Array) -> Int64Array:
    """Numbers of the payments in ``rows``, from the digits that end each carried id (Avro strings)."""
    ends = transaction_ids.offsets[1:][rows]
    digits = transaction_ids.data[ends[:, None] + np.arange(-TRANSACTION_DIGITS, 0)] - ord("0")
    numbers: Int64Array = digits.astype(np.int64) @ _POWERS
    return numbers


def _flag(batch: ScoredBatch, columns: dict[str, Column], row: int) -> Flag:
    """The carried fields of one row. Texts are shorter than 64 bytes, so their length takes one byte."""
    symbols = columns["merchant_category"].type
    assert isinstance(symbols, dict), "merchant_category is an enum"
    return Flag(
        number=int(payment_numbers(columns["transaction_id"].values, np.array([row]))[0]),
        card=_bytes(columns["card_id"], row)[1:].decode(),
        category=symbols["symbols"][_bytes(columns["merchant_category"], row)[0] >> 1],
        amount=struct.unpack("<d", _bytes(columns["amount"], row))[0],
        score=float(batch.scored.score[row]),
    )


def _bytes(column: Column, row: int) -> bytes:
    return column.values[row] or b""


CARRIED_FIELDS = ("transaction_id", "card_id", "merchant_category", "amount")
"""What the demo's config must carry for these figures."""
