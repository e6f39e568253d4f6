"""Models as scikit-learn users have them: what their converter writes is exported, proven and scored the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, IsolationForest
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from stream_infer import Scorer
from tests.export.conftest import Workspace
from tests.scoring import zoo

OPSET = {"": 17, "ai.onnx.ml": 3}
CELLS = np.random.default_rng(11).normal(size=(200, 3)).astype(np.float32)
LABELS = (CELLS[:, 0] + CELLS[:, 1] ** 2 > 0.5).astype(np.int64)


@pytest.mark.parametrize(
    ("estimator", "output"),
    [
        (GradientBoostingClassifier(n_estimators=20, random_state=0), "probabilities"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "probabilities"),
        (MLPClassifier((8,), max_iter=20, random_state=0), "probabilities"),
        (IsolationForest(n_estimators=10, random_state=0), "scores"),
    ],
    ids=["gradient_boosting", "logistic_regression", "mlp", "isolation_forest"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_converted_estimator(workspace: Workspace, estimator: Any, output: str) -> None:
    estimator.fit(CELLS, LABELS)
    options = {"zipmap": False} if output == "probabilities" else {}
    proto = to_onnx(estimator, CELLS[:1], target_opset=OPSET, options={id(estimator): options} if options else None)
    workspace.model(proto.SerializeToString())
    workspace.features('features = ["a", "b", "c"]')
    workspace.events([dict(zip("abc", row, strict=True)) for row in CELLS.tolist()])
    workspace.export(score=output)
    scored = Scorer.load(workspace.to).score_events([dict(zip("abc", row, strict=True)) for row in CELLS.tolist()])
    expected = zoo.direct(proto.SerializeToString(), output, {"X": CELLS})
    np.testing.assert_array_equal(scored.score, expected[:, -1])


def test_a_pipeline_with_text_and_numbers(workspace: Workspace) -> None:
    countries = np.array([["NO"], ["SE"], ["DK"], ["FI"]], object)[np.arange(200) % 4]
    columns = np.concatenate([CELLS.astype(object), countries], axis=1)
    encode = ColumnTransformer(
        [("number", "passthrough", [0, 1, 2]), ("text", OneHotEncoder(handle_unknown="ignore"), [3])]
    )
    pipeline = make_pipeline(encode, LogisticRegression()).fit(columns, LABELS)
    types = [("numbers", FloatTensorType([None, 3])), ("country", StringTensorType([None, 1]))]
    proto = to_onnx(pipeline, initial_types=types, target_opset=OPSET, options={id(pipeline): {"zipmap": False}})
    workspace.model(proto.SerializeToString())
    workspace.features(
        'inputs = [{name = "numbers", features = ["a", "b", "c"]}, {name = "country", features = ["country"]}]'
    )
    events = [
        {**dict(zip("abc", row, strict=True)), "country": country}
        for row, country in zip(CELLS.tolist(), countries[:, 0].tolist(), strict=True)
    ]
    workspace.events(events)
    workspace.export()
    scored = Scorer.load(workspace.to).score_events(events)
    feed = {"numbers": CELLS, "country": countries}
    expected = zoo.direct(proto.SerializeToString(), "probabilities", feed)[:, 1]
    np.testing.assert_array_equal(scored.score, expected)
