"""The rules that ``promtool check metrics`` has, applied to the declarations."""

from __future__ import annotations

import re

import pytest

from stream_infer.observe.catalogue import METRICS, REJECTS, MetricSpec

UNITS = ("_seconds", "_bytes", "_records", "_info", "_partitions", "_in_flight", "_state", "_score", "_retrying")
ABBREVIATED = {"ms", "us", "sec", "secs", "min", "kb", "mb", "pct", "millis", "milliseconds"}


@pytest.mark.parametrize("spec", METRICS, ids=lambda spec: spec.name)
def test_a_metric_is_named_as_prometheus_advises(spec: MetricSpec) -> None:
    assert re.fullmatch(r"stream_infer_[a-z][a-z_]*[a-z]", spec.name)
    assert not ABBREVIATED & set(spec.name.split("_"))
    assert (spec.kind == "counter") == spec.name.endswith("_total")
    assert not spec.name.endswith(("_bucket", "_count", "_sum", "_created"))
    assert spec.kind == "counter" or spec.name.endswith(UNITS)


@pytest.mark.parametrize("spec", METRICS, ids=lambda spec: spec.name)
def test_a_metric_is_explained_in_whole_sentences(spec: MetricSpec) -> None:
    assert spec.help.endswith(".")
    assert spec.action.endswith(".")
    assert "|" not in spec.help + spec.action, "would break the table"


@pytest.mark.parametrize("spec", METRICS, ids=lambda spec: spec.name)
def test_histograms_and_only_they_have_ascending_buckets(spec: MetricSpec) -> None:
    assert bool(spec.buckets) == (spec.kind == "histogram")
    assert list(spec.buckets) == sorted(set(spec.buckets))
    assert len(spec.buckets) <= 20, "each bucket is a series"


def test_names_are_unique() -> None:
    assert len({spec.name for spec in METRICS}) == len(METRICS)


def test_reject_reasons_stay_few() -> None:
    assert len(REJECTS) < 100, "label values of one metric"
