"""Source, trials and study on a clock that moves only when something waits or works."""

from __future__ import annotations

import random

import numpy as np
import pytest

from stream_infer.app.dry_run import DrySink
from stream_infer.bench import Bench, Events, Plan, Tape, Variant, study
from stream_infer.bench.source import TapeSource
from stream_infer.bundle.golden import Envelope
from stream_infer.clock import Clock
from stream_infer.core.flow import FlowLimits
from stream_infer.core.settings import Settings
from stream_infer.delivery import AtLeastOnce, DeliverySettings
from stream_infer.executors import InlineExecutor
from stream_infer.pipeline import Pipeline
from stream_infer.ports import Instrument, Source
from stream_infer.testing import FakeClock, FakeWork
from stream_infer.testing.conformance import Ownership
from stream_infer.types import Records
from stream_infer.work import WorkResult

EVENTS = Events([b"a", b"bb", b"ccc"], [Envelope(b"k"), Envelope(headers=[("h", b"1")]), Envelope()])


class CostlyWork(FakeWork):
    """A batch takes 1 ms and 0.1 ms an event, half of it for the model, and nobody else works."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def score(self, batch: Records) -> WorkResult:
        seconds = 0.001 + 0.0001 * len(batch)
        self._clock.advance(seconds)
        return WorkResult(super().score(batch).batch, seconds / 4, seconds / 2, seconds / 4)


def make_bench() -> tuple[Bench, list[Variant]]:
    clock = FakeClock()
    built: list[Variant] = []

    def build(variant: Variant, source: Source, instrument: Instrument, work_clock: Clock) -> Pipeline:
        assert work_clock is clock
        built.append(variant)
        settings = Settings(
            max_batch_size=variant.max_batch_size or 10,
            max_batch_bytes=1 << 20,
            linger_s=0.005,
            max_in_flight=1,
            flow=FlowLimits(1000, 1 << 20, 0.5, 8.0),
            drain_timeout_s=1.0,
            slo_s=None if variant.slo_ms is None else variant.slo_ms / 1000,
            until_caught_up=True,
        )
        delivery = AtLeastOnce(
            source, DrySink(), DeliverySettings(1.0, 1.0, 1.0), clock, instrument, random.Random(1).random
        )
        return Pipeline(source, delivery, CostlyWork(clock), InlineExecutor(), settings, clock, instrument)

    return Bench(Tape(EVENTS, 40), build, clock, clock, clock.monotonic), built


def test_the_tape_goes_round_with_keys_headers_and_offsets() -> None:
    records = Tape(EVENTS, 4).records(5, np.full(4, 7), 9)
    assert records.values.to_list() == [b"ccc", b"a", b"bb", b"ccc"]
    assert records.keys.to_list() == [None, b"k", None, None]
    assert records.headers is not None
    assert [list(records.headers[row]) for row in range(4)] == [[], [], [("h", b"1")], []]
    assert records.offset.tolist() == [5, 6, 7, 8]


def test_events_come_when_they_are_due_and_bear_that_time() -> None:
    clock = FakeClock(wall_ms=1_000_000)
    source = TapeSource(Tape(EVENTS, 10), clock, np.array([0.01, 0.02, 0.5]))
    source.start(Ownership())
    assert source.poll(10, 0.0) is None
    first = source.poll(10, 0.1)
    assert len(first or ()) == 1
    assert clock.monotonic() == pytest.approx(1000.01)
    clock.advance(1.0)
    late = source.poll(10, 0.1)
    assert late is not None
    assert late.timestamp_ms.tolist() == [1_000_020, 1_000_500]
    assert (late.received_ms, source.caught_up()) == (1_001_010, True)
    assert source.poll(10, 0.1) is None


def test_with_a_backlog_every_batch_is_full() -> None:
    bench, _ = make_bench()
    found = bench.backlog(1.0, Variant())
    assert found.events_per_batch == 10
    assert found.events_per_s == pytest.approx(5000, rel=0.02)
    assert found.score_us_per_event == pytest.approx(100)
    assert found.rest_us_per_event == pytest.approx(0, abs=1)


def test_a_load_below_the_capacity_is_kept_up_with_and_one_above_is_not() -> None:
    bench, _ = make_bench()
    kept = bench.load(2500.0, 1.0, Variant(), capacity_per_s=5000.0, goal_ms=50.0)
    assert (kept.ok, kept.events, kept.share_of_throughput) == (True, 2500, 0.5)
    assert 2.0 < kept.p50_ms < kept.p99_ms < 20.0
    lost = bench.load(8000.0, 1.0, Variant(), capacity_per_s=5000.0, goal_ms=50.0)
    assert (lost.ok, lost.backlog_grows) == (False, True)
    assert lost.p99_ms > 300.0


def test_a_load_far_beyond_the_capacity_is_given_up_and_told_with_what_it_waited() -> None:
    bench, _ = make_bench()
    found = bench.load(100_000.0, 1.0, Variant(), capacity_per_s=5000.0, goal_ms=50.0)
    assert found.events == 100_000
    assert 1000.0 < found.p50_ms < 2000.0


def make_plan(goal_ms: float = 50.0, slo_ms: float | None = None) -> Plan:
    return Plan(0.5, (0.3, 0.6, 0.9), goal_ms, 8.0, slo_ms, workers=0, larger_batch=40, cpus=1)


def test_a_study_finds_throughput_knee_limit_and_settings() -> None:
    bench, built = make_bench()
    steps: list[str] = []
    report = study(bench, make_plan(), steps.append)
    assert report.throughput.events_per_s == pytest.approx(5000, rel=0.02)
    assert report.knee_per_s is not None
    assert 4000 < report.knee_per_s <= report.throughput.events_per_s
    assert [rate.offered_per_s for rate in report.rates] == sorted(rate.offered_per_s for rate in report.rates)
    assert report.fixed_us_per_batch == pytest.approx(1000, rel=0.02)
    assert report.limit.startswith("The model: 50% of the CPU.") or report.limit.startswith("The fixed cost of a batch")
    assert ("max_batch_size", 40) in [(each.key, each.value) for each in report.suggestions]
    assert steps[0] == "throughput"
    assert {variant.workers for variant in built} == {None}


def test_a_goal_that_no_rate_keeps_has_no_knee_and_is_replaced() -> None:
    bench, _ = make_bench()
    report = study(bench, make_plan(goal_ms=0.5, slo_ms=8.5), lambda _step: None)
    assert report.knee_per_s is None
    assert len(report.rates) == 3
    assert [each.key for each in report.suggestions] == ["max_batch_size", "slo_ms"]
