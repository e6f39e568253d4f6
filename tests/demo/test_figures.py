"""Figures: what an instrument is told, joined with the payments by their carried ids."""

from __future__ import annotations

import numpy as np
import pytest

from stream_infer.demo.figures import CARRIED_FIELDS, Figures
from stream_infer.testing import records
from stream_infer.testing.payments import PaymentColumns, PaymentStream
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA
from stream_infer.types import Binary, Column, ModelIdentity, Reject, ScoredBatch, ScoredColumns, Split, Status

TYPES = {field["name"]: field["type"] for field in PAYMENT_SCHEMA["fields"]}


def carried(payments: PaymentColumns) -> tuple[Column, ...]:
    fields = [payments.avro_fields(row) for row in range(len(payments))]
    return tuple(
        Column(name, TYPES[name], "avro", Binary.from_values([field[name] for field in fields]))
        for name in CARRIED_FIELDS
    )


def scored_batch(payments: PaymentColumns, score: list[float], rejected: tuple[int, ...] = ()) -> ScoredBatch:
    scores = np.array(score, np.float32)
    status = np.zeros(len(scores), np.uint8)
    status[list(rejected)] = Status.WRONG_TYPE
    identity = ModelIdentity("payments", "1", "0" * 64, 0.5)
    flagged = (scores >= 0.5) & (status == Status.OK)
    columns = ScoredColumns(scores, flagged, status, np.zeros(len(scores), np.uint8), (identity,), carried(payments))
    rejects = tuple(Reject(row, Status.WRONG_TYPE, "") for row in rejected)
    return ScoredBatch(records([b"x"] * len(scores)), columns, Binary.from_values([b"y"] * len(scores)), rejects)


def test_figures_know_which_payment_was_flagged() -> None:
    stream = PaymentStream(6)
    first, second = stream.columns(3), stream.columns(2)
    figures = Figures(events=6)
    figures.batch_settled(scored_batch(first, [0.1, 0.9, 0.2]), np.array([0.01, 0.02, 0.03]))
    figures.batch_settled(scored_batch(second, [0.05, 1.0]), np.array([0.04, 0.05]))
    assert figures.scored.tolist() == [True] * 5 + [False]
    assert figures.flagged.tolist() == [False, True, False, False, True, False]
    assert (figures.settled, figures.totals.batches, figures.totals.flagged) == (5, 2, 2)
    assert figures.totals.lag_seconds == 0.05
    assert figures.score_bins.tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0, 2]
    assert figures.latency_quantiles([0.5]) == [pytest.approx(0.03)]
    payment = first.to_dicts()[1]
    flag = figures.latest_flags[0]
    assert (flag.number, flag.card, flag.category, flag.amount) == (
        1,
        payment["card_id"],
        payment["merchant_category"],
        payment["amount"],
    )


def test_figures_count_rejects_without_reading_what_they_carry() -> None:
    figures = Figures(events=2)
    figures.batch_settled(scored_batch(PaymentStream(6).columns(2), [0.9, 0.9], rejected=(0,)), np.array([0.01]))
    assert figures.totals.rejected == 1
    assert figures.scored.tolist() == [False, True]


def test_figures_tell_when_partitions_are_assigned() -> None:
    figures = Figures(events=1)
    figures.splits_changed("revoked", [Split("payments", 0)])
    assert not figures.assigned.is_set()
    figures.splits_changed("assigned", [Split("payments", 0)])
    assert figures.assigned.is_set()
