"""The decision is an integer comparison."""

from __future__ import annotations

import numpy as np
import pytest

from stream_infer.scoring.decision import flag, pick_score


@pytest.mark.parametrize(
    ("score", "threshold", "decimals", "expected"),
    [
        (0.92, 0.92, 6, True),
        (np.nextafter(np.float32(0.92), np.float32(0)), 0.92, 6, True),
        (0.9199994, 0.92, 6, False),
        (0.9199996, 0.92, 6, True),
        (0.5, 0.5, 0, True),  # rint goes to even: both are 0
        (-3.2, -3.2, 3, True),
        (3e38, 0.5, 15, True),
        (np.nan, 0.5, 6, False),
    ],
)
def test_flag(score: float, threshold: float, decimals: int, expected: bool) -> None:
    assert flag(np.array([score], np.float32), threshold, decimals).tolist() == [expected]


def test_pick_score_casts_once_to_float32() -> None:
    output = np.array([[0.25, 0.75], [1.0, 1e-50]])
    assert pick_score(output, 1).dtype == np.float32
    assert pick_score(output, 1).tolist() == [0.75, 0.0]
    assert pick_score(output[:, 0], None).tolist() == [0.25, 1.0]
