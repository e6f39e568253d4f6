"""The histogram against a plain count, and gauges that are replaced as a whole."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from stream_infer.observe.catalogue import OTHER, MetricSpec
from stream_infer.observe.collectors import BatchHistogram, LabelledCounter, SnapshotGauge

BOUNDS = (0.1, 0.5, 1.0, 2.0)
HISTOGRAM = MetricSpec("h_seconds", "histogram", "Help.", "Action.", buckets=BOUNDS)
# Seconds and float32 scores are far from where a sum of doubles overflows.
VALUES = st.lists(st.floats(width=32) | st.sampled_from(BOUNDS), max_size=30)


def sample(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    return registry.get_sample_value(name, labels)


@given(VALUES)
def test_a_batch_counts_as_its_values_one_by_one_would(values: list[float]) -> None:
    registry = CollectorRegistry()
    BatchHistogram(HISTOGRAM, registry).observe_many(np.array(values, np.float64))

    finite = [max(0.0, value) for value in values if math.isfinite(value)]
    for bound in BOUNDS:
        assert sample(registry, "h_seconds_bucket", le=str(bound)) == sum(value <= bound for value in finite)
    assert sample(registry, "h_seconds_bucket", le="+Inf") == len(finite)
    assert sample(registry, "h_seconds_count") == len(finite)
    assert sample(registry, "h_seconds_sum") == pytest.approx(sum(finite))


@given(VALUES)
def test_one_value_at_a_time_gives_the_same(values: list[float]) -> None:
    finite = [value for value in values if math.isfinite(value)]
    registries = CollectorRegistry(), CollectorRegistry()
    BatchHistogram(HISTOGRAM, registries[0]).observe_many(np.array(finite, np.float64))
    single = BatchHistogram(HISTOGRAM, registries[1])
    for value in finite:
        single.observe(value)

    counts = [[s.value for m in r.collect() for s in m.samples if s.name == "h_seconds_bucket"] for r in registries]
    assert counts[0] == counts[1]


def test_float32_scores_are_summed_in_double() -> None:
    registry = CollectorRegistry()
    BatchHistogram(HISTOGRAM, registry).observe_many(np.full(100_000, 0.1, np.float32))
    assert sample(registry, "h_seconds_sum") == pytest.approx(100_000 * float(np.float32(0.1)), rel=1e-12)


def test_a_value_outside_the_known_ones_counts_as_other() -> None:
    registry = CollectorRegistry()
    counter = LabelledCounter(MetricSpec("c_total", "counter", "Help.", "Action.", ("stage",)), registry, ("poll",))
    counter.inc("poll")
    counter.inc("invented")
    counter.inc("invented too", 2)

    assert sample(registry, "c_total", stage="poll") == 1
    assert sample(registry, "c_total", stage=OTHER) == 3
    assert sample(registry, "c_total", stage="invented") is None


def test_a_snapshot_replaces_every_series() -> None:
    registry = CollectorRegistry()
    gauge = SnapshotGauge(MetricSpec("g", "gauge", "Help.", "Action.", ("partition",)), registry)
    gauge.replace({("0",): 5, ("1",): 6})
    gauge.replace({("1",): 7})

    assert sample(registry, "g", partition="0") is None
    assert sample(registry, "g", partition="1") == 7
