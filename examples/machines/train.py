"""Train a model on made-up machine readings and write it as ONNX: step 1 of the tutorial.

    python examples/machines/train.py

Writes beside itself ``machines.onnx`` (the model) and ``readings.jsonl`` (events, one JSON object a line: the sample
for the export, and what `examples/send.py` sends).

Rule: the model is an ordinary scikit-learn one, and nothing here knows stream_infer. What the two have to agree on
is the order of the columns: that of `matrix` here is that of ``features.toml``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import HistGradientBoostingClassifier

HERE = Path(__file__).parent
SEED = 20
TRAINED_ON, SENT = 20_000, 5_000
"""Readings for the training, and readings in ``readings.jsonl``; the model never sees the second ones."""

KINDS = ("press", "lathe", "mill")
"""A category's code is its place in this list, as in ``features.toml``."""

Reading = dict[str, Any]


def make_readings(count: int, seed: int) -> tuple[list[Reading], npt.NDArray[np.bool_]]:
    """Readings as events, and for each whether the machine broke down on the next day (bool ``[count]``)."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(len(KINDS), size=count)
    temperature_c = rng.normal(60 + 5 * kind, 8)
    vibration_mm_s = rng.gamma(4.0, 0.8, count)
    load = rng.beta(4, 2, count)
    hours = rng.integers(0, 2_000, count)
    risk = 0.12 * (temperature_c - 75) + 1.1 * (vibration_mm_s - 5) + 2.5 * (load - 0.9) + hours / 700 - 2.0
    broke = rng.random(count) < 1 / (1 + np.exp(-2 * risk))
    noted = rng.random(count) < 0.9
    readings: list[Reading] = [
        {
            "machine_id": f"m-{rng.integers(200):03d}",
            "kind": KINDS[kind[i]],
            "sensors": {"temperature_c": round(temperature_c[i], 1), "vibration_mm_s": round(vibration_mm_s[i], 2)},
            "load": round(load[i], 3),
            # Nobody wrote down when every tenth machine was last serviced.
            "hours_since_service": int(hours[i]) if noted[i] else None,
        }
        for i in range(count)
    ]
    return readings, broke


def matrix(readings: list[Reading]) -> npt.NDArray[np.float32]:
    """The model's input, float32 ``[n, 5]``: the columns of ``features.toml``, NaN for what is missing."""
    rows = [
        (
            reading["sensors"]["temperature_c"],
            reading["sensors"]["vibration_mm_s"],
            reading["load"],
            np.nan if reading["hours_since_service"] is None else reading["hours_since_service"],
            KINDS.index(reading["kind"]),
        )
        for reading in readings
    ]
    return np.array(rows, np.float32)


def train() -> HistGradientBoostingClassifier:
    """A small gradient-boosted model; it reads a missing value as it reads any other."""
    readings, broke = make_readings(TRAINED_ON, SEED)
    model = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=8, random_state=SEED)
    model.fit(matrix(readings), broke)
    return model


def to_onnx(model: HistGradientBoostingClassifier) -> bytes:
    """The model as ONNX. The batch dimension stays open (None), and probabilities come as a tensor (no ZipMap)."""
    graph = convert_sklearn(
        model,
        name="machines",
        initial_types=[("X", FloatTensorType([None, model.n_features_in_]))],
        options={id(model): {"zipmap": False}},
        target_opset={"": 17, "ai.onnx.ml": 3},
    )
    data: bytes = graph.SerializeToString(deterministic=True)
    return data


def main() -> None:
    """Train, convert, and write both files."""
    (HERE / "machines.onnx").write_bytes(to_onnx(train()))
    readings, broke = make_readings(SENT, SEED + 1)
    with (HERE / "readings.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(reading) + "\n" for reading in readings)
    print(f"machines.onnx, and {len(readings)} readings, {int(broke.sum())} of them before a breakdown")


if __name__ == "__main__":
    main()
