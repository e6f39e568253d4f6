"""From a model's output to a score and a decision.

Rule: an integer comparison, the same in every language. A score is rounded to ``round_decimals`` before it meets the
threshold, so that the last bits, which differ between machines, never decide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.types import BoolArray, Float32Array


def pick_score(output: npt.NDArray[Any], column: int | None) -> Float32Array:
    """The score of each row, float32 ``[n]``.

    Args:
        output: float32 or float64, ``[n]`` or ``[n, k]``.
        column: which of k; None for ``[n]``.
    """
    return np.asarray(output if column is None else output[:, column], np.float32)


def flag(score: Float32Array, threshold: float, round_decimals: int) -> BoolArray:
    """``rint(score * 10^d) >= rint(threshold * 10^d)`` in float64, bool ``[n]``; False for NaN."""
    factor = 10.0**round_decimals
    with np.errstate(invalid="ignore", over="ignore"):
        flagged: BoolArray = np.rint(score.astype(np.float64) * factor) >= np.rint(threshold * factor)
    return flagged
