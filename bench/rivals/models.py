"""The models of the comparison, as their libraries train and convert them.

Rule: seeded and small: each is trained in well under a minute, and answers a matrix ``X`` with ``probabilities``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import lightgbm
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stream_infer.types import Float32Array, Int64Array

Train = Callable[[Float32Array, Int64Array], bytes]
"""From rows ``[n, width]`` and classes ``[n]`` to an ONNX file."""
_OPSET = {"": 17, "ai.onnx.ml": 3}
_PASSES = 15
"""Over the training data: nobody uses these nets, they only have to cost what nets of their size cost."""


def boosted(trees: int) -> Train:
    """LightGBM with trees of 31 leaves."""

    def train(rows: Float32Array, classes: Int64Array) -> bytes:
        model = lightgbm.LGBMClassifier(n_estimators=trees, num_leaves=31, verbose=-1, n_jobs=1, random_state=1)
        model.fit(rows, classes)
        types = [("X", FloatTensorType([None, rows.shape[1]]))]
        graph: bytes = convert_lightgbm(model, initial_types=types, zipmap=False).SerializeToString()
        return graph

    return train


def logistic(rows: Float32Array, classes: Int64Array) -> bytes:
    """A pipeline of scikit-learn: mean for what is missing, standardised, logistic regression."""
    return _converted(
        make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=1000)), rows, classes
    )


def perceptron(rows: Float32Array, classes: Int64Array) -> bytes:
    """The same with a net of 64 and 32 hidden neurons."""
    net = MLPClassifier((64, 32), max_iter=_PASSES, random_state=1)
    return _converted(make_pipeline(SimpleImputer(), StandardScaler(), net), rows, classes)


def image_net(rows: Float32Array, classes: Int64Array) -> bytes:
    """The feed-forward net of the Crayfish study: three hidden layers of 32 neurons, nothing before them."""
    return _converted(MLPClassifier((32, 32, 32), max_iter=_PASSES, random_state=1), rows, classes)


def _converted(model: Any, rows: Float32Array, classes: Int64Array) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows, classes)
    graph = to_onnx(model, rows[:1], target_opset=_OPSET, options={id(model): {"zipmap": False}})
    data: bytes = graph.SerializeToString()
    return data
