"""Columns to scores and decisions: the step between a decoder and an encoder.

Rule: only rows whose status is OK reach the model; whatever it does with one of them is a status in that row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.bundle import ModelBundle
from stream_infer.ports import Runtime
from stream_infer.scoring.bisect import Isolated, run_isolating
from stream_infer.scoring.decision import flag, pick_score
from stream_infer.types import BoolArray, Decoded, Float32Array, Int64Array, ScoredColumns, Status, UInt8Array


class Inference:
    """One model and its decision. Keeps nothing of a call, so several threads may use it at the same time.

    Args:
        bundle: which output is the score, the classes, the decision.
        runtime: the model itself.
        threshold: in force instead of the bundle's.
    """

    def __init__(self, bundle: ModelBundle, runtime: Runtime, threshold: float | None = None) -> None:
        self.identity = bundle.identity(threshold)
        self._runtime = runtime
        manifest = bundle.manifest
        self._column = manifest.score.column
        self._round_decimals = manifest.decision.round_decimals
        self._classes = tuple(map(str, manifest.classes)) if manifest.multi_class else ()

    def __call__(self, decoded: Decoded, shed: BoolArray | None = None) -> ScoredColumns:
        """Score n decoded rows; ``shed`` and the errors are those of `stream_infer.scoring.Scorer.infer`."""
        status = decoded.status.copy()
        if shed is not None:
            status[shed & (status == Status.OK)] = Status.SHED
        rows = np.flatnonzero(status == Status.OK)
        isolated = run_isolating(self._runtime, _take(decoded.inputs, rows, len(status)), len(rows))
        details = dict(decoded.details)
        score = self._scatter_scores(isolated, rows, status, details)
        return ScoredColumns(
            score=score,
            flagged=flag(score, self.identity.threshold, self._round_decimals),
            status=status,
            model_index=np.zeros(len(status), np.uint8),
            models=(self.identity,),
            carried=decoded.carried,
            details=details,
            probabilities=self._scatter_probabilities(isolated, rows, status),
            classes=self._classes,
            model_calls=isolated.calls,
        )

    def _scatter_scores(
        self, isolated: Isolated, rows: Int64Array, status: UInt8Array, details: dict[int, str]
    ) -> Float32Array:
        """Scores float32 ``[n]``. Rows that the model fails on, or has no finite score for, change their status."""
        score = np.full(len(status), np.nan, np.float32)
        for start, stop, output in isolated.parts:
            score[rows[start:stop]] = pick_score(output, self._column)
        for culprit, reason in isolated.culprits.items():
            status[rows[culprit]] = Status.MODEL_FAILED
            details[int(rows[culprit])] = reason
        for row in np.flatnonzero((status == Status.OK) & ~np.isfinite(score)).tolist():
            details[row] = f"the model's score is {'NaN' if np.isnan(score[row]) else 'infinite'}"
            status[row] = Status.MODEL_OUTPUT
            score[row] = np.nan
        return score

    def _scatter_probabilities(self, isolated: Isolated, rows: Int64Array, status: UInt8Array) -> Float32Array | None:
        if not self._classes:
            return None
        probabilities = np.full((len(status), len(self._classes)), np.nan, np.float32)
        for start, stop, output in isolated.parts:
            probabilities[rows[start:stop]] = output
        probabilities[status != Status.OK] = np.nan
        return probabilities


def _take(inputs: Mapping[str, npt.NDArray[Any]], rows: Int64Array, total: int) -> Mapping[str, npt.NDArray[Any]]:
    if len(rows) == total:
        return inputs
    return {name: array[rows] for name, array in inputs.items()}
