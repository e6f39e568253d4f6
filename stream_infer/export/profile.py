"""The distribution of each feature and of the score on the sample: what drift is measured against later.

Rule: numbers only. Text is profiled by its categories' codes or, for a text input, by how often its most frequent
values occur. Quantiles are of the values that are present; the share that is missing stands beside them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.bundle.manifest import InputSpec
from stream_infer.types import Float32Array

PROBABILITIES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
SCORE_BINS = 20
MAX_VALUES = 50
"""Distinct values of a text feature that are counted; the others are counted together."""


def make_profile(
    inputs: tuple[InputSpec, ...], cells: Mapping[str, npt.NDArray[Any]], score: Float32Array
) -> dict[str, Any]:
    """The content of ``reference/profile.json``.

    Args:
        inputs: the feature lists.
        cells: an array ``[n, cells]`` for each input: the rows that were scored.
        score: float32 ``[n]``, finite.
    """
    features = {spec.name: dict(_features(spec, cells[spec.name])) for spec in inputs}
    return {"rows": len(score), "inputs": features, "score": {**_numbers(score), "histogram": _histogram(score)}}


def _features(spec: InputSpec, cells: npt.NDArray[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    start = 0
    for feature in spec.features:
        values = cells[:, start : start + feature.length].ravel()
        start += feature.length
        if spec.dtype == "string" or feature.categories is not None:
            yield feature.name, _counts(values)
        else:
            yield feature.name, _numbers(values)


def _numbers(values: npt.NDArray[Any]) -> dict[str, Any]:
    numbers = values.astype(np.float64)
    present = numbers[~np.isnan(numbers)]
    profile: dict[str, Any] = {"missing": round(1 - len(present) / max(1, len(numbers)), 6)}
    if len(present):
        # Sorted-sample quantiles, without interpolation: a value of the sample, the same on every machine.
        quantiles = np.quantile(present, PROBABILITIES, method="inverted_cdf")
        with np.errstate(over="ignore", invalid="ignore"):
            profile |= {"mean": _finite(present.mean()), "std": _finite(present.std())}
        profile |= {"probabilities": list(PROBABILITIES), "quantiles": quantiles.tolist()}
    return profile


def _finite(number: np.float64) -> float | None:
    """A number as JSON can say it: None where it overflowed."""
    return float(number) if np.isfinite(number) else None


def _counts(values: npt.NDArray[Any]) -> dict[str, Any]:
    counts = Counter(str(value) if isinstance(value, str) else f"{value:g}" for value in values.tolist())
    top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_VALUES]
    return {"counts": dict(top), "other": sum(counts.values()) - sum(count for _, count in top)}


def _histogram(score: Float32Array) -> dict[str, Any]:
    counts, edges = np.histogram(score.astype(np.float64), SCORE_BINS)
    return {"edges": edges.tolist(), "counts": counts.tolist()}
