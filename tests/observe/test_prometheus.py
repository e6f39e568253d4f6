"""Series after scripted facts, and the shape of what is exposed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from stream_infer.observe.catalogue import CRASH_LEVELS, METRICS, OUTCOMES, STAGES
from stream_infer.observe.prometheus import PrometheusInstrument, new_registry
from stream_infer.testing.fakes import FakeClock
from stream_infer.types import ModelIdentity, ScoredBatch, Split, Status

BatchFactory = Callable[..., ScoredBatch]
P0, P1 = Split("payments", 0, 1), Split("payments", 1, 2)


class Meter:
    """An instrument and a way to read one series of it."""

    def __init__(self, clock: FakeClock, *models: ModelIdentity) -> None:
        self.registry = CollectorRegistry()
        self.instrument = PrometheusInstrument(self.registry, "fraud-scorer", clock, models)

    def __call__(self, name: str, /, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"stream_infer_{name}", labels)


@pytest.fixture
def meter(clock: FakeClock, model: ModelIdentity) -> Meter:
    return Meter(clock, model)


def exercise(instrument: PrometheusInstrument, settled: ScoredBatch) -> None:
    """Tell every fact once."""
    instrument.started("fraud-scorer")
    instrument.records_polled(3, 300)
    instrument.batch_dispatched(3, "size", 0.002)
    instrument.batching_learned(6e-5, 1e-6, 0.002)
    instrument.batch_scored(3, 0.001, 0.002, 0.0005)
    instrument.batch_bisected(4)
    instrument.batch_settled(settled, np.array([0.01]))
    instrument.checkpoint_committed({P0: 3}, 0.05)
    instrument.checkpoint_failed("publish", "no reason with bounds")
    instrument.transaction_aborted("no reason with bounds")
    instrument.crash_suspected(P0, 3, "watch")
    instrument.stage_timed_out("score", 30.0)
    instrument.retry_scheduled("poll", 1, 0.1, "no broker")
    instrument.gate_changed("hold")
    instrument.buffered_changed(10, 1000, 1)
    instrument.splits_changed("assigned", [P0])
    instrument.lag_observed({P0: (5, 1.5)})
    instrument.ticked(2000.0)
    instrument.stopped("done")


# ------------------------------------------------------------------ what is exposed


def test_every_declared_metric_is_exposed_and_no_other(meter: Meter, batch: BatchFactory) -> None:
    exercise(meter.instrument, batch([0.9]))
    shown = {
        family.name + ("_total" if family.type == "counter" else ""): family for family in meter.registry.collect()
    }

    assert set(shown) == {spec.name for spec in METRICS}
    for spec in METRICS:
        family = shown[spec.name]
        assert (family.type, family.documentation) == (spec.kind, spec.help)
        assert family.samples, f"{spec.name} has no series"
        assert {name for sample in family.samples for name in sample.labels} - {"le"} == set(spec.labels)


def test_counters_start_at_zero_so_that_the_first_event_is_seen(meter: Meter) -> None:
    assert meter("events_settled_total", outcome="rejected") == 0
    assert meter("events_rejected_total", stage="decode", reason="truncated") == 0
    assert meter("retries_total", stage="commit") == 0


def test_nothing_stands_for_an_unknown_lag(meter: Meter) -> None:
    families = {family.name: family for family in meter.registry.collect()}
    assert families["stream_infer_consumer_lag_records"].samples == []


def test_both_formats_parse_and_have_no_created_series(clock: FakeClock, batch: BatchFactory) -> None:
    registry = new_registry()
    exercise(PrometheusInstrument(registry, 'a "quoted"\nname', clock), batch([0.9]))
    for accept, parse in (("", parse_text), ("application/openmetrics-text; version=1.0.0", parse_openmetrics)):
        text = choose_encoder(accept)[0](registry).decode()
        names = {sample.name for family in parse(text) for sample in family.samples}
        assert "stream_infer_records_polled_total" in names
        assert "process_resident_memory_bytes" in names
        assert not {name for name in names if name.endswith("_created")}


def test_the_number_of_series_is_bounded(meter: Meter, batch: BatchFactory) -> None:
    exercise(meter.instrument, batch([0.9]))
    before = sum(len(family.samples) for family in meter.registry.collect())
    for number in range(50):
        meter.instrument.retry_scheduled(f"stage {number}", 1, 0.1, f"reason {number}")
        meter.instrument.checkpoint_failed(f"stage {number}", f"reason {number}")
        meter.instrument.batch_dispatched(1, f"trigger {number}", 0.0)
        meter.instrument.splits_changed(f"kind {number}", [])
        meter.instrument.gate_changed(f"state {number}")
        meter.instrument.crash_suspected(P0, number, f"level {number}")
    assert sum(len(family.samples) for family in meter.registry.collect()) <= before
    assert before < 350


# ------------------------------------------------------------------ events and batches


def test_events_are_counted_by_outcome_and_reason(meter: Meter, batch: BatchFactory) -> None:
    mixed = batch(
        [0.9, 0.1, None, None, None, 0.8],
        {2: Status.TOMBSTONE, 3: Status.SHED},
        {4: Status.MODEL_FAILED, 5: Status.ENCODE_FAILED},
    )
    meter.instrument.batch_settled(mixed, np.array([0.003, 120.0]))

    outcomes = {outcome: meter("events_settled_total", outcome=outcome) for outcome in OUTCOMES}
    assert outcomes == {"scored": 2, "shed": 1, "passed_over": 1, "rejected": 2}
    assert meter("events_flagged_total") == 1
    assert meter("events_rejected_total", stage="infer", reason="model_failed") == 1
    assert meter("events_rejected_total", stage="encode", reason="encode_failed") == 1


def test_only_scored_events_enter_the_score_histogram(meter: Meter, batch: BatchFactory) -> None:
    meter.instrument.batch_settled(batch([0.93, 0.11, 0.8], rejects={2: Status.ENCODE_FAILED}), np.array([0.1, 0.1]))

    assert meter("event_score_count") == 2
    assert meter("event_score_sum") == pytest.approx(1.04)
    assert meter("event_score_bucket", le="0.9") == 1
    assert meter("event_score_bucket", le="0.95") == 2


def test_latencies_fall_into_buckets_and_a_future_timestamp_counts_as_none(meter: Meter, batch: BatchFactory) -> None:
    meter.instrument.batch_settled(batch([0.1, 0.1, 0.1]), np.array([0.004, 2.5, -7200.0]))

    assert meter("event_latency_seconds_bucket", le="0.001") == 1
    assert meter("event_latency_seconds_bucket", le="0.005") == 2
    assert meter("event_latency_seconds_bucket", le="5.0") == 3
    assert meter("event_latency_seconds_sum") == pytest.approx(2.504)


def test_a_batch_without_a_scored_event_is_fine(meter: Meter, batch: BatchFactory) -> None:
    meter.instrument.batch_settled(batch([None], rejects={0: Status.EMPTY}), np.array([]))
    assert meter("event_score_count") == 0
    assert meter("events_settled_total", outcome="rejected") == 1


def test_what_the_batcher_learned_is_shown(meter: Meter) -> None:
    assert meter("learned_wait_seconds") == 0
    meter.instrument.batching_learned(6e-5, 1e-6, 0.002)
    shown = [meter(f"learned_{name}_seconds") for name in ("batch", "event", "wait")]
    assert shown == [6e-5, 1e-6, 0.002]


def test_batches_are_counted_by_trigger_and_measured(meter: Meter) -> None:
    meter.instrument.records_polled(512, 40_000)
    meter.instrument.batch_dispatched(512, "size", 0.002)
    meter.instrument.batch_dispatched(3, "linger", 0.005)
    meter.instrument.batch_scored(512, 0.0008, 0.002, 0.0002)
    meter.instrument.batch_bisected(9)

    assert (meter("records_polled_total"), meter("polled_bytes_total")) == (512, 40_000)
    assert meter("batches_dispatched_total", trigger="size") == 1
    assert meter("batch_size_records_bucket", le="4.0") == 1
    assert meter("batch_size_records_sum") == 515
    assert meter("batch_wait_seconds_sum") == pytest.approx(0.007)
    assert meter("batch_decode_seconds_sum") == pytest.approx(0.0008)
    assert meter("batch_score_seconds_sum") == pytest.approx(0.002)
    assert meter("batch_encode_seconds_sum") == pytest.approx(0.0002)
    assert (meter("batches_bisected_total"), meter("bisect_calls_total")) == (1, 9)


# ------------------------------------------------------------------ delivery, flow, ownership


def test_checkpoints(meter: Meter, clock: FakeClock) -> None:
    meter.instrument.checkpoint_committed({P0: 10, P1: 20}, 0.25)
    meter.instrument.checkpoint_failed("publish", "not acknowledged within 30 s")

    assert meter("checkpoints_committed_total") == 1
    assert meter("checkpoint_seconds_sum") == 0.25
    assert meter("last_checkpoint_timestamp_seconds") == clock.wall_ms() / 1000
    assert meter("checkpoint_failures_total", stage="publish") == 1


def test_how_long_a_stage_fails_grows_until_it_works(meter: Meter, clock: FakeClock) -> None:
    def failing(stage: str) -> float | None:
        return meter("retry_failing_seconds", stage=stage)

    assert failing("poll") == 0
    meter.instrument.retry_scheduled("poll", 1, 0.1, "no broker")
    meter.instrument.retry_scheduled("something new", 1, 0.1, "no idea")
    clock.advance(7)
    meter.instrument.retry_scheduled("poll", 2, 0.1, "no broker")
    clock.advance(3)
    meter.instrument.ticked(clock.monotonic())
    assert (failing("poll"), failing("other"), failing("commit")) == (10, 10, 0)
    meter.instrument.retry_succeeded("poll")
    assert (failing("poll"), failing("other")) == (0, 10)


def test_aborted_transactions_and_suspicions_are_counted(meter: Meter) -> None:
    assert meter("crash_suspicions_total", level="condemned") == 0
    meter.instrument.transaction_aborted("timed out")
    meter.instrument.crash_suspected(P0, 3, "watch")
    meter.instrument.crash_suspected(P1, 3, "watch")
    meter.instrument.crash_suspected(P1, 3, "alone")
    assert meter("transactions_aborted_total") == 1
    assert [meter("crash_suspicions_total", level=level) for level in CRASH_LEVELS] == [2, 1, 0]


def test_a_stage_is_retrying_until_it_succeeds(meter: Meter) -> None:
    meter.instrument.retry_scheduled("poll", 1, 0.1, "no broker")
    meter.instrument.retry_scheduled("poll", 2, 0.2, "no broker")
    assert (meter("retrying", stage="poll"), meter("retrying", stage="commit")) == (1, 0)

    meter.instrument.retry_succeeded("poll")
    assert meter("retrying", stage="poll") == 0
    assert meter("retries_total", stage="poll") == 2


def test_a_success_ends_the_retries_of_what_it_proves(meter: Meter, batch: BatchFactory) -> None:
    for stage in STAGES:
        meter.instrument.retry_scheduled(stage, 1, 0.1, "for now")

    def retrying() -> set[str]:
        return {stage for stage in STAGES if meter("retrying", stage=stage)}

    meter.instrument.records_polled(1, 1)
    assert retrying() == {"decode", "registry", "score", "publish", "commit", "drain"}
    meter.instrument.batch_settled(batch([0.1]), np.array([0.1]))
    assert retrying() == {"publish", "commit", "drain"}
    meter.instrument.checkpoint_committed({P0: 1}, 0.1)
    assert retrying() == {"drain"}


def test_stage_timeouts(meter: Meter) -> None:
    meter.instrument.stage_timed_out("registry", 5.0)
    assert meter("stage_timeouts_total", stage="registry") == 1


def test_time_at_the_gate_goes_to_the_state_it_is_in(meter: Meter, clock: FakeClock) -> None:
    def pass_time(seconds: float) -> None:
        clock.advance(seconds)
        meter.instrument.ticked(clock.monotonic())

    pass_time(5)
    meter.instrument.gate_changed("hold")
    pass_time(8)
    meter.instrument.gate_changed("paused")
    pass_time(2)
    assert [meter("gate_state", state=state) for state in ("open", "hold", "paused")] == [0, 0, 1]
    meter.instrument.gate_changed("open")
    pass_time(100)

    assert meter("gate_held_seconds_total", state="hold") == pytest.approx(8)
    assert meter("gate_held_seconds_total", state="paused") == pytest.approx(2)
    assert meter("gate_state", state="open") == 1


def test_what_is_buffered(meter: Meter) -> None:
    meter.instrument.buffered_changed(8192, 1_000_000, 2)
    assert meter("buffered_records") == 8192
    assert meter("buffered_bytes") == 1_000_000
    assert meter("batches_in_flight") == 2


def test_assignments_are_counted_whatever_their_generation(meter: Meter) -> None:
    meter.instrument.splits_changed("assigned", [P0, P1])
    meter.instrument.splits_changed("rewound", [P0._replace(generation=8), P1._replace(generation=9)])
    assert meter("assigned_partitions") == 2

    meter.instrument.splits_changed("revoked", [P0._replace(generation=8)])
    meter.instrument.splits_changed("lost", [P1._replace(generation=9)])
    assert meter("assigned_partitions") == 0
    assert [meter("rebalances_total", kind=kind) for kind in ("assigned", "revoked", "lost")] == [1, 1, 1]
    assert meter("rewinds_total") == 1


def test_lost_records_are_counted(meter: Meter) -> None:
    meter.instrument.records_lost(P0, 40)
    meter.instrument.records_lost(P1, 2)
    assert meter("records_lost_total") == 42


def test_lag_goes_with_the_partition(meter: Meter) -> None:
    meter.instrument.splits_changed("assigned", [P0, P1])
    meter.instrument.lag_observed({P0: (100, 2.5), P1: (7, None)})
    assert meter("consumer_lag_records", topic="payments", partition="0") == 100
    assert meter("consumer_lag_seconds", topic="payments", partition="0") == 2.5
    assert meter("consumer_lag_records", topic="payments", partition="1") == 7
    assert meter("consumer_lag_seconds", topic="payments", partition="1") is None

    meter.instrument.splits_changed("revoked", [P0])
    assert meter("consumer_lag_records", topic="payments", partition="0") is None
    assert meter("consumer_lag_seconds", topic="payments", partition="0") is None
    assert meter("consumer_lag_records", topic="payments", partition="1") == 7

    meter.instrument.lag_observed({})
    assert meter("consumer_lag_records", topic="payments", partition="1") is None


def test_models_in_force_are_replaced(meter: Meter, model: ModelIdentity) -> None:
    assert meter("model_info", name="fraud", version="7", digest=model.digest) == 1
    meter.instrument.use_models([ModelIdentity("fraud", "8", "cd" * 32, 0.5)])
    assert meter("model_info", name="fraud", version="7", digest=model.digest) is None
    assert meter("model_info", name="fraud", version="8", digest="cd" * 32) == 1
