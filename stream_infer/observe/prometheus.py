"""Metrics: the facts of the pipeline as Prometheus series.

Rule: one batch, a handful of calls; nothing is done per event. Every metric is declared in
`stream_infer.observe.catalogue`. Series are bound when the instrument is made, so that counters start at 0.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from stream_infer import __version__
from stream_infer.clock import Clock
from stream_infer.observe import catalogue
from stream_infer.observe.collectors import BatchHistogram, LabelledCounter, SnapshotGauge, counter, gauge
from stream_infer.observe.tally import Tally, scored_rows, tally
from stream_infer.ports import Instrument
from stream_infer.types import ModelIdentity, ScoredBatch, Split


def new_registry() -> CollectorRegistry:
    """A registry of its own with the process, Python and garbage collector metrics, without ``_created`` series.

    ``_created`` doubles the number of series and nobody reads them; prometheus-client turns them off for the
    whole process only.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus-client gives it no types
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


class PrometheusInstrument(Instrument):
    """Counts what the pipeline reports. `stage_timed_out` may be called from any thread, the rest from one.

    Args:
        registry: where the metrics are registered; one instrument per registry.
        name: the service's name, shown in ``stream_infer_build_info``.
        clock: tells when a checkpoint was committed.
        models: the models in force; see `use_models`.
    """

    def __init__(
        self, registry: CollectorRegistry, name: str, clock: Clock, models: Sequence[ModelIdentity] = ()
    ) -> None:
        self._clock = clock
        self._bind_events(registry)
        self._bind_batches(registry)
        self._bind_delivery(registry)
        self._bind_flow(registry)
        self._bind_ownership(registry)
        self._models = SnapshotGauge(catalogue.MODEL_INFO, registry)
        self.use_models(models)
        build = SnapshotGauge(catalogue.BUILD_INFO, registry)
        build.replace({(name, __version__, platform.python_version()): 1})

    def _bind_events(self, registry: CollectorRegistry) -> None:
        self._records_polled = counter(catalogue.RECORDS_POLLED, registry)
        self._polled_bytes = counter(catalogue.POLLED_BYTES, registry)
        self._settled = LabelledCounter(catalogue.EVENTS_SETTLED, registry, catalogue.OUTCOMES)
        self._flagged = counter(catalogue.EVENTS_FLAGGED, registry)
        rejected = counter(catalogue.EVENTS_REJECTED, registry)
        self._rejected = {status: rejected.labels(status.stage, status.reason) for status in catalogue.REJECTS}
        self._latency = BatchHistogram(catalogue.EVENT_LATENCY_SECONDS, registry)
        self._score = BatchHistogram(catalogue.EVENT_SCORE, registry)

    def _bind_batches(self, registry: CollectorRegistry) -> None:
        self._dispatched = LabelledCounter(catalogue.BATCHES_DISPATCHED, registry, catalogue.TRIGGERS)
        self._batch_size = BatchHistogram(catalogue.BATCH_SIZE_RECORDS, registry)
        self._batch_wait = BatchHistogram(catalogue.BATCH_WAIT_SECONDS, registry)
        self._learned_batch = gauge(catalogue.LEARNED_BATCH_SECONDS, registry)
        self._learned_event = gauge(catalogue.LEARNED_EVENT_SECONDS, registry)
        self._learned_wait = gauge(catalogue.LEARNED_WAIT_SECONDS, registry)
        self._decode_time = BatchHistogram(catalogue.BATCH_DECODE_SECONDS, registry)
        self._score_time = BatchHistogram(catalogue.BATCH_SCORE_SECONDS, registry)
        self._encode_time = BatchHistogram(catalogue.BATCH_ENCODE_SECONDS, registry)
        self._bisected = counter(catalogue.BATCHES_BISECTED, registry)
        self._bisect_calls = counter(catalogue.BISECT_CALLS, registry)

    def _bind_delivery(self, registry: CollectorRegistry) -> None:
        self._committed = counter(catalogue.CHECKPOINTS_COMMITTED, registry)
        self._checkpoint_failures = LabelledCounter(catalogue.CHECKPOINT_FAILURES, registry, catalogue.STAGES)
        self._checkpoint_time = BatchHistogram(catalogue.CHECKPOINT_SECONDS, registry)
        self._aborted = counter(catalogue.TRANSACTIONS_ABORTED, registry)
        self._last_checkpoint = gauge(catalogue.LAST_CHECKPOINT, registry)
        self._retries = LabelledCounter(catalogue.RETRIES, registry, catalogue.STAGES)
        self._retrying = SnapshotGauge(catalogue.RETRYING, registry)
        self._failing_time = SnapshotGauge(catalogue.RETRY_FAILING_SECONDS, registry)
        self._failing_since: dict[str, float] = {}
        self._show_retrying()
        self._timeouts = LabelledCounter(catalogue.STAGE_TIMEOUTS, registry, catalogue.STAGES)

    def _bind_flow(self, registry: CollectorRegistry) -> None:
        self._gate_state = SnapshotGauge(catalogue.GATE_STATE, registry)
        self._gate_held = LabelledCounter(catalogue.GATE_HELD_SECONDS, registry, ("hold", "paused"))
        self._ticked_at = self._clock.monotonic()
        self.gate_changed("open")
        self._buffered_records = gauge(catalogue.BUFFERED_RECORDS, registry)
        self._buffered_bytes = gauge(catalogue.BUFFERED_BYTES, registry)
        self._in_flight = gauge(catalogue.BATCHES_IN_FLIGHT, registry)

    def _bind_ownership(self, registry: CollectorRegistry) -> None:
        self._rebalances = LabelledCounter(catalogue.REBALANCES, registry, catalogue.REBALANCE_KINDS)
        self._rewinds = counter(catalogue.REWINDS, registry)
        self._records_lost = counter(catalogue.RECORDS_LOST, registry)
        self._suspicions = LabelledCounter(catalogue.CRASH_SUSPICIONS, registry, catalogue.CRASH_LEVELS)
        self._assigned = gauge(catalogue.ASSIGNED_PARTITIONS, registry)
        self._owned: set[tuple[str, str]] = set()
        self._lag_records = SnapshotGauge(catalogue.CONSUMER_LAG_RECORDS, registry)
        self._lag_seconds = SnapshotGauge(catalogue.CONSUMER_LAG_SECONDS, registry)
        self._lag: dict[tuple[str, str], tuple[int, float | None]] = {}

    def use_models(self, models: Sequence[ModelIdentity]) -> None:
        """Show ``models`` as those in force, in place of the former ones."""
        self._models.replace({(model.name, model.version, model.digest): 1 for model in models})

    def records_polled(self, count: int, nbytes: int) -> None:
        """Count records and bytes."""
        self._records_polled.inc(count)
        self._polled_bytes.inc(nbytes)
        self._recovered(catalogue.POLLING_PROVES)

    def batch_dispatched(self, count: int, trigger: str, wait_seconds: float) -> None:
        """Count the batch, its size and its wait."""
        self._dispatched.inc(trigger)
        self._batch_size.observe(count)
        self._batch_wait.observe(wait_seconds)

    def batching_learned(self, fixed_seconds: float, event_seconds: float, wait_seconds: float) -> None:
        """Show what the batcher counts on."""
        self._learned_batch.set(fixed_seconds)
        self._learned_event.set(event_seconds)
        self._learned_wait.set(wait_seconds)

    def batch_scored(self, count: int, decode_seconds: float, score_seconds: float, encode_seconds: float) -> None:
        """Add the three durations."""
        self._decode_time.observe(decode_seconds)
        self._score_time.observe(score_seconds)
        self._encode_time.observe(encode_seconds)

    def batch_bisected(self, calls: int) -> None:
        """Count the batch and its further calls."""
        self._bisected.inc()
        self._bisect_calls.inc(calls)

    def batch_settled(self, batch: ScoredBatch, latency_seconds: npt.NDArray[np.float64]) -> None:
        """Count outcomes; add scores and latencies to their histograms."""
        scored = scored_rows(batch)
        self._count_outcomes(tally(batch, scored))
        self._score.observe_many(batch.scored.score[scored])
        self._latency.observe_many(latency_seconds)
        self._recovered(catalogue.SETTLING_PROVES)

    def _count_outcomes(self, counts: Tally) -> None:
        self._settled.inc("scored", counts.scored)
        self._flagged.inc(counts.flagged)
        if counts.shed:
            self._settled.inc("shed", counts.shed)
        if counts.passed_over:
            self._settled.inc("passed_over", counts.passed_over)
        for status, count in counts.rejected.items():
            self._settled.inc("rejected", count)
            self._rejected[status].inc(count)

    def checkpoint_committed(self, offsets: Mapping[Split, int], seconds: float) -> None:
        """Count the checkpoint and note when it was."""
        self._committed.inc()
        self._checkpoint_time.observe(seconds)
        self._last_checkpoint.set(self._clock.wall_ms() / 1000)
        self._recovered(catalogue.COMMITTING_PROVES)

    def checkpoint_failed(self, stage: str, reason: str) -> None:
        """Count the failure. The reason is for the log: its values have no bound."""
        self._checkpoint_failures.inc(stage)

    def transaction_aborted(self, reason: str) -> None:
        """Count it. The reason is for the log."""
        self._aborted.inc()

    def stage_timed_out(self, stage: str, seconds: float) -> None:
        """Count the timeout."""
        self._timeouts.inc(stage)

    def retry_scheduled(self, stage: str, attempt: int, delay_seconds: float, reason: str) -> None:
        """Count the retry and show the stage as failing."""
        self._retries.inc(stage)
        self._failing_since.setdefault(stage, self._clock.monotonic())
        self._show_retrying()

    def retry_succeeded(self, stage: str) -> None:
        """Show the stage as well."""
        self._recovered((stage,))

    def _recovered(self, stages: Collection[str]) -> None:
        if self._failing_since:
            self._failing_since = {stage: at for stage, at in self._failing_since.items() if stage not in stages}
            self._show_retrying()

    def _show_retrying(self) -> None:
        now = self._clock.monotonic()
        known = {stage: at for stage, at in self._failing_since.items() if stage in catalogue.STAGES}
        rest = [at for stage, at in self._failing_since.items() if stage not in catalogue.STAGES]
        since = {**dict.fromkeys((*catalogue.STAGES, catalogue.OTHER)), **known}
        since[catalogue.OTHER] = min(rest, default=None)
        self._retrying.replace({(stage,): float(at is not None) for stage, at in since.items()})
        self._failing_time.replace({(stage,): 0.0 if at is None else now - at for stage, at in since.items()})

    def gate_changed(self, state: str) -> None:
        """Show the state."""
        self._gate = state
        self._gate_state.replace({(known,): float(known == state) for known in catalogue.GATE_STATES})

    def ticked(self, now: float) -> None:
        """Bring what grows with time up to date; one turn is as exact as this needs to be."""
        if self._gate != "open":
            self._gate_held.inc(self._gate, now - self._ticked_at)
        self._ticked_at = now
        if self._failing_since:
            self._show_retrying()

    def buffered_changed(self, records: int, nbytes: int, batches_in_flight: int) -> None:
        """Show what is held."""
        self._buffered_records.set(records)
        self._buffered_bytes.set(nbytes)
        self._in_flight.set(batches_in_flight)

    def splits_changed(self, kind: str, splits: Sequence[Split]) -> None:
        """Count the rebalance; forget the lag of partitions that are gone."""
        if kind == "rewound":
            self._rewinds.inc()
            return
        self._rebalances.inc(kind)
        changed = {_labels(split) for split in splits}
        self._owned = self._owned | changed if kind == "assigned" else self._owned - changed
        self._assigned.set(len(self._owned))
        self._show_lag({labels: lag for labels, lag in self._lag.items() if labels in self._owned})

    def records_lost(self, split: Split, count: int) -> None:
        """Count them."""
        self._records_lost.inc(count)

    def crash_suspected(self, split: Split, offset: int, level: str) -> None:
        """Count it."""
        self._suspicions.inc(level)

    def lag_observed(self, lag: Mapping[Split, tuple[int, float | None]]) -> None:
        """Show the lag of each split; a split that is not in ``lag`` is unknown and therefore absent."""
        self._show_lag({_labels(split): value for split, value in lag.items()})

    def _show_lag(self, lag: dict[tuple[str, str], tuple[int, float | None]]) -> None:
        self._lag = lag
        self._lag_records.replace({labels: records for labels, (records, _) in lag.items()})
        self._lag_seconds.replace({labels: seconds for labels, (_, seconds) in lag.items() if seconds is not None})


def _labels(split: Split) -> tuple[str, str]:
    return split.source, str(split.partition)
