"""The summary: decisions against the truth, and when a demo has failed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stream_infer.demo.summary import Summary, summarize, summary_lines


def make_summary(*, produced: int = 6, settled: int = 6, scored: int = 6, interrupted: bool = False) -> Summary:
    return summarize(
        model="payments 1",
        seconds=2.0,
        produced=produced,
        settled=settled,
        rejected=0,
        scored=np.arange(6) < scored,
        flagged=np.array([True, True, True, False, False, False]),
        is_fraud=np.array([True, True, False, True, True, False]),
        latency_seconds=[0.001, 0.002, 0.0034],
        interrupted=interrupted,
    )


def test_precision_and_recall_are_against_the_truth() -> None:
    summary = make_summary()
    assert summary.precision == pytest.approx(2 / 3)
    assert summary.recall == pytest.approx(2 / 4)
    assert summary.latency_ms == {"p50": 1.0, "p95": 2.0, "p99": 3.4}
    assert summary.failure is None


@pytest.mark.parametrize(("settled", "scored"), [(5, 5), (7, 6), (6, 5)])
def test_a_demo_that_lost_or_repeated_payments_has_failed(settled: int, scored: int) -> None:
    summary = make_summary(settled=settled, scored=scored)
    assert summary.failure is not None
    assert "6 payments were produced" in summary.failure
    assert summary_lines(summary, [])[-1].startswith("FAILED: ")


def test_an_interrupted_demo_has_not_failed() -> None:
    summary = make_summary(settled=4, scored=4, interrupted=True)
    assert summary.failure is None
    assert "Summary so far (interrupted)" in summary_lines(summary, [])


def test_a_summary_without_any_event_can_be_written() -> None:
    nothing = np.zeros(2, np.bool_)
    summary = summarize(
        model="payments 1",
        seconds=0.0,
        produced=0,
        settled=0,
        rejected=0,
        scored=nothing,
        flagged=nothing,
        is_fraud=nothing,
        latency_seconds=[float("nan")] * 3,
        interrupted=True,
    )
    assert "  precision  - (nothing to count)" in summary_lines(summary, [("stream-infer demo", "again")])
    assert json.loads(json.dumps(summary.to_json()))["latency_ms"]["p99"] is None
