"""Metric types for numbers that come a batch at a time.

Rule: a batch costs one call, however many events it holds, and a scrape sees each metric in one piece. What
prometheus-client offers observes one value at a time and exposes labels one by one; these fill the gap.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from stream_infer.observe.catalogue import OTHER, MetricSpec


def counter(spec: MetricSpec, registry: CollectorRegistry) -> Counter:
    """A counter without labels."""
    return Counter(spec.name, spec.help, spec.labels, registry=registry)


def gauge(spec: MetricSpec, registry: CollectorRegistry) -> Gauge:
    """A gauge without labels."""
    return Gauge(spec.name, spec.help, spec.labels, registry=registry)


class LabelledCounter:
    """A counter with one label of known values: the series exist from the start, at 0.

    A series that appears with its first event hides that event from ``rate()``. A value outside the set counts
    as `OTHER`.
    """

    def __init__(self, spec: MetricSpec, registry: CollectorRegistry, values: Iterable[str]) -> None:
        family = counter(spec, registry)
        self._children = {value: family.labels(value) for value in values}
        self._other = family.labels(OTHER)

    def inc(self, value: str, amount: float = 1) -> None:
        """Add ``amount`` to the series of ``value``."""
        self._children.get(value, self._other).inc(amount)


class BatchHistogram(Collector):
    """A histogram that takes whole arrays. Values below 0 count as 0, so that the sum never falls.

    Thread-safe: a scrape never sees a bucket without its share of the sum.
    """

    def __init__(self, spec: MetricSpec, registry: CollectorRegistry) -> None:
        self._spec = spec
        self._bounds = np.array(spec.buckets, np.float64)
        self._names = [*map(floatToGoString, spec.buckets), "+Inf"]
        self._lock = threading.Lock()
        self._counts = np.zeros(len(spec.buckets) + 1, np.int64)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        """Add one value."""
        value = max(0.0, value)
        # side="left": the first bound that is not below the value, since ``le`` includes its bound.
        bucket = int(self._bounds.searchsorted(value))
        with self._lock:
            self._counts[bucket] += 1
            self._sum += value

    def observe_many(self, values: npt.NDArray[np.floating[Any]]) -> None:
        """Add every finite value of an array ``[n]``; others are left out, since a NaN would stay in the sum."""
        kept = np.maximum(values[np.isfinite(values)], 0.0)
        added = np.bincount(self._bounds.searchsorted(kept), minlength=len(self._counts))
        total = float(kept.sum(dtype=np.float64))
        with self._lock:
            self._counts += added
            self._sum += total

    def describe(self) -> Iterable[Metric]:
        """The family without samples."""
        return [HistogramMetricFamily(self._spec.name, self._spec.help)]

    def collect(self) -> Iterable[Metric]:
        """The family as it stands."""
        with self._lock:
            cumulative, total = np.cumsum(self._counts).tolist(), self._sum
        buckets = list(zip(self._names, cumulative, strict=True))
        return [HistogramMetricFamily(self._spec.name, self._spec.help, buckets=buckets, sum_value=total)]


class SnapshotGauge(Collector):
    """A gauge whose series are replaced all at once: what is not in the latest snapshot is gone.

    Thread-safe, since a snapshot is never changed after it was put in place.
    """

    def __init__(self, spec: MetricSpec, registry: CollectorRegistry) -> None:
        self._spec = spec
        self._values: Mapping[Sequence[str], float] = {}
        registry.register(self)

    def replace(self, values: Mapping[Sequence[str], float]) -> None:
        """Put ``values`` (label values in the order of the spec -> value) in place of the former ones."""
        self._values = dict(values)

    def describe(self) -> Iterable[Metric]:
        """The family without samples."""
        return [GaugeMetricFamily(self._spec.name, self._spec.help, labels=self._spec.labels)]

    def collect(self) -> Iterable[Metric]:
        """The family as it stands."""
        family = GaugeMetricFamily(self._spec.name, self._spec.help, labels=self._spec.labels)
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        return [family]
