"""Train the demo's model on made-up payments and pack it: `stream_infer/demo_bundle/payments-1.bundle.jar`.

    python training/train_demo_model.py             # writes the bundle
    python training/train_demo_model.py --check     # trains again and compares with the bundle that is there

Rule: everything is seeded and nothing reads the clock, so one set of package versions on one machine gives the
same bytes twice. Training, threshold, and the demo each have payments of another seed.

This is also the example of how a model comes to a bundle: train, convert to ONNX, export with a feature list
and a sample of events.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import HistGradientBoostingClassifier

from stream_infer.demo.dataset import write_dataset
from stream_infer.export import export_onnx
from stream_infer.scoring import Scorer
from stream_infer.testing.payments import PaymentColumns, PaymentStream
from stream_infer.types import BoolArray, Float32Array, Float64Array

HERE = Path(__file__).parent
FEATURES = HERE / "features.toml"
BUNDLE = HERE.parent / "stream_infer" / "demo_bundle" / "payments-1.bundle.jar"
TRAIN_SEED, THRESHOLD_SEED, SAMPLE_SEED = 101, 102, 103
TRAIN_PAYMENTS, THRESHOLD_PAYMENTS, SAMPLE_PAYMENTS = 400_000, 200_000, 2_000
LEAST_PRECISION = 0.9
"""The threshold is the lowest one with this precision: about one alarm in ten is a false one."""

MOST_DIFFERENCE = 1e-5
"""Between the scores of the model and of the bundle: the bundle's are float32."""


def feature_matrix(payments: PaymentColumns) -> Float32Array:
    """The model's input, float32 ``[n, 16]``: what `features.toml` makes a scorer read from the events."""
    since_last = np.where(payments.seconds_since_last < 0, np.nan, payments.seconds_since_last)
    columns: list[npt.NDArray[np.generic]] = [
        payments.amount,
        payments.amount_ratio,
        payments.merchant_category,
        payments.channel,
        payments.lat,
        payments.lon,
        payments.local_hour,
        payments.card_age_days,
        payments.credit_limit,
        payments.device_age_days,
        payments.authenticated,
        payments.cross_border,
        since_last,
        payments.payments_last_hour,
        payments.merchant_tiny_last_hour,
        payments.distance_from_home_km,
    ]
    return np.column_stack(columns).astype(np.float32)


def train() -> HistGradientBoostingClassifier:
    """A small gradient-boosted model: 80 trees of 12 leaves answer in microseconds and pack to some kilobytes."""
    payments = PaymentStream(TRAIN_SEED).columns(TRAIN_PAYMENTS)
    model = HistGradientBoostingClassifier(
        max_iter=80, max_leaf_nodes=12, learning_rate=0.1, l2_regularization=1.0, early_stopping=False, random_state=0
    )
    model.fit(feature_matrix(payments), payments.is_fraud)
    return model


def choose_threshold(model: HistGradientBoostingClassifier) -> float:
    """The lowest threshold, in hundredths, whose flags have `LEAST_PRECISION` on payments not trained on."""
    payments = PaymentStream(THRESHOLD_SEED).columns(THRESHOLD_PAYMENTS)
    scores: Float64Array = model.predict_proba(feature_matrix(payments))[:, 1]
    for threshold in np.arange(0.05, 1.0, 0.01).round(2).tolist():
        precision, recall = precision_and_recall(scores >= threshold, payments.is_fraud)
        if precision >= LEAST_PRECISION:
            print(f"threshold {threshold}: precision {precision:.3f}, recall {recall:.3f}")
            return float(threshold)
    raise SystemExit(f"No threshold has a precision of {LEAST_PRECISION}.")


def precision_and_recall(flagged: BoolArray, is_fraud: BoolArray) -> tuple[float, float]:
    """Share of flags that are fraud, share of frauds that are flagged."""
    hits = int(np.count_nonzero(flagged & is_fraud))
    return hits / max(1, int(flagged.sum())), hits / max(1, int(is_fraud.sum()))


def to_onnx(model: HistGradientBoostingClassifier) -> bytes:
    """The model as ONNX: one float matrix in, label and probabilities out; every runtime from 1.15 loads opset 17."""
    width = model.n_features_in_
    graph = convert_sklearn(
        model,
        name="payments",
        initial_types=[("X", FloatTensorType([None, width]))],
        options={id(model): {"zipmap": False}},
        target_opset={"": 17, "ai.onnx.ml": 3},
    )
    graph.ir_version = 8
    data: bytes = graph.SerializeToString(deterministic=True)
    return data


def pack(model: HistGradientBoostingClassifier, threshold: float, to: Path) -> None:
    """Convert and export to the bundle ``to``."""
    with tempfile.TemporaryDirectory() as folder:
        onnx_file, sample = Path(folder, "payments.onnx"), Path(folder, "sample.avro")
        onnx_file.write_bytes(to_onnx(model))
        write_dataset(sample, events=SAMPLE_PAYMENTS, seed=SAMPLE_SEED)
        export_onnx(
            onnx_file,
            FEATURES,
            sample,
            to,
            name="payments",
            version="1",
            threshold=threshold,
            score="probabilities:1",
        )


def prove(model: HistGradientBoostingClassifier, bundle: Path) -> None:
    """Stop unless the bundle, reading events, gives the scores that the model gives, reading columns."""
    payments = PaymentStream(SAMPLE_SEED).columns(SAMPLE_PAYMENTS)
    expected: Float64Array = model.predict_proba(feature_matrix(payments))[:, 1]
    scored = Scorer.load(bundle).score_events(payments.to_dicts())
    difference = float(np.abs(scored.score - expected).max())
    print(f"largest difference between model and bundle: {difference:.1e}")
    if not difference < MOST_DIFFERENCE:
        raise SystemExit(f"The bundle's scores differ from the model's by more than {MOST_DIFFERENCE}.")


def main() -> int:
    """Train and write, or train and compare. Exit code 1 when the comparison fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the packaged bundle instead of writing it")
    check = parser.parse_args().check
    # Whatever stamps a time into a file takes this one.
    os.environ.setdefault("SOURCE_DATE_EPOCH", "1767225600")
    model = train()
    threshold = choose_threshold(model)
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder, BUNDLE.name)
        pack(model, threshold, fresh)
        prove(model, fresh)
        if check:
            same = BUNDLE.is_file() and BUNDLE.read_bytes() == fresh.read_bytes()
            print(f"{BUNDLE.name}: {'the same bytes' if same else 'DIFFERS'}")
            return 0 if same else 1
        BUNDLE.parent.mkdir(exist_ok=True)
        BUNDLE.write_bytes(fresh.read_bytes())
    print(f"{BUNDLE.name}: {BUNDLE.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
