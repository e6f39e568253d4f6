"""A plain Python function as a model: points for what is odd about a payment, from a table in the bundle.

Rule: the function sees one row at a time, and the table is the bundle's, so that other points are another bundle and
not another release of this package.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.scoring import ModelArtifact, Predict

TABLE = "points.json"
"""The file of the bundle: for each feature ``{"above": limit, "points": share}``."""


def load(artifact: ModelArtifact) -> Predict:
    """What the entry point names: opens the table, and gives back what scores a batch."""
    (spec,) = artifact.inputs
    rules = json.loads(artifact.files[TABLE])
    limits = [(rules[feature.name]["above"], rules[feature.name]["points"]) for feature in spec.features]

    def predict(inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        return np.array([score(row, limits) for row in inputs[spec.name].tolist()], np.float32)

    return predict


def score(row: Sequence[float], limits: Sequence[tuple[float, float]]) -> float:
    """The points of one payment. A missing value (NaN) is above nothing."""
    return sum(points for value, (limit, points) in zip(row, limits, strict=True) if value > limit)
