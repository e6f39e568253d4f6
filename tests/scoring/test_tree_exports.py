"""What the converters make of boosted and bagged trees runs in the kernel, bit for bit as in ONNX Runtime."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pytest
import xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn import ensemble, tree
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from stream_infer.bundle.manifest import OutputSpec
from stream_infer.scoring.onnx_runtime import OnnxRuntime, open_session
from stream_infer.scoring.tree_proof import ModelRuntime, with_tree_kernel
from stream_infer.scoring.tree_runtime import TreeRuntime
from tests.scoring.bundles import matrix_input

WIDTH = 6
TREES = 12

Cells = npt.NDArray[np.float32]


def cells(count: int, seed: int, missing: float = 0.0) -> Cells:
    random = np.random.default_rng(seed)
    drawn = random.normal(size=(count, WIDTH)).astype(np.float32)
    drawn[random.random(drawn.shape) < missing] = np.nan
    return drawn


TRAINING = cells(600, 1)
SIGNAL = TRAINING[:, 0] + TRAINING[:, 1] * TRAINING[:, 2]
BINARY = (SIGNAL > 0.4).astype(int)
MULTI = np.digitize(SIGNAL, [-0.5, 0.5])


def of_sklearn(model: Any, target: npt.NDArray[Any]) -> bytes:
    fitted = model.fit(TRAINING, target)
    options = {"zipmap": False} if hasattr(fitted, "classes_") else None
    converted = to_onnx(fitted, TRAINING[:1], options=options, target_opset={"": 17, "ai.onnx.ml": 3})
    return bytes(converted.SerializeToString())


def of_lightgbm(model: Any, target: npt.NDArray[Any]) -> bytes:
    fitted = model.fit(TRAINING, target)
    types = [("X", FloatTensorType([None, WIDTH]))]
    options = {"zipmap": False} if hasattr(fitted, "classes_") else {}
    return bytes(convert_lightgbm(fitted, initial_types=types, target_opset=15, **options).SerializeToString())


def of_xgboost(model: Any, target: npt.NDArray[Any]) -> bytes:
    fitted = model.fit(TRAINING, target)
    types = [("X", FloatTensorType([None, WIDTH]))]
    return bytes(convert_xgboost(fitted, initial_types=types, target_opset=15).SerializeToString())


BOOSTED: dict[str, Any] = {"n_estimators": TREES, "max_depth": 4, "random_state": 0}
LIGHT: dict[str, Any] = {"n_estimators": TREES, "num_leaves": 15, "verbose": -1, "n_jobs": 1}
EXPORTS: dict[str, Callable[[], bytes]] = {
    "lightgbm binary": lambda: of_lightgbm(lightgbm.LGBMClassifier(**LIGHT), BINARY),
    "lightgbm multi-class": lambda: of_lightgbm(lightgbm.LGBMClassifier(**LIGHT), MULTI),
    "lightgbm regressor": lambda: of_lightgbm(lightgbm.LGBMRegressor(**LIGHT), SIGNAL),
    "lightgbm random forest": lambda: of_lightgbm(
        lightgbm.LGBMRegressor(**LIGHT, boosting_type="rf", subsample=0.7, subsample_freq=1), SIGNAL
    ),
    "xgboost binary": lambda: of_xgboost(xgboost.XGBClassifier(**BOOSTED, n_jobs=1), BINARY),
    "xgboost multi-class": lambda: of_xgboost(xgboost.XGBClassifier(**BOOSTED, n_jobs=1), MULTI),
    "xgboost regressor": lambda: of_xgboost(xgboost.XGBRegressor(**BOOSTED, n_jobs=1), SIGNAL),
    "gradient boosting binary": lambda: of_sklearn(ensemble.GradientBoostingClassifier(**BOOSTED), BINARY),
    "gradient boosting multi-class": lambda: of_sklearn(ensemble.GradientBoostingClassifier(**BOOSTED), MULTI),
    "gradient boosting regressor": lambda: of_sklearn(ensemble.GradientBoostingRegressor(**BOOSTED), SIGNAL),
    "histogram boosting binary": lambda: of_sklearn(ensemble.HistGradientBoostingClassifier(max_iter=TREES), BINARY),
    "histogram boosting multi-class": lambda: of_sklearn(
        ensemble.HistGradientBoostingClassifier(max_iter=TREES), MULTI
    ),
    "histogram boosting regressor": lambda: of_sklearn(ensemble.HistGradientBoostingRegressor(max_iter=TREES), SIGNAL),
    "random forest binary": lambda: of_sklearn(ensemble.RandomForestClassifier(TREES, random_state=0), BINARY),
    "random forest multi-class": lambda: of_sklearn(ensemble.RandomForestClassifier(TREES, random_state=0), MULTI),
    "random forest regressor": lambda: of_sklearn(ensemble.RandomForestRegressor(TREES, random_state=0), SIGNAL),
    "extra trees binary": lambda: of_sklearn(ensemble.ExtraTreesClassifier(TREES, random_state=0), BINARY),
    "extra trees regressor": lambda: of_sklearn(ensemble.ExtraTreesRegressor(TREES, random_state=0), SIGNAL),
    "decision tree binary": lambda: of_sklearn(tree.DecisionTreeClassifier(random_state=0), BINARY),
    "decision tree multi-class": lambda: of_sklearn(tree.DecisionTreeClassifier(random_state=0), MULTI),
    "decision tree regressor": lambda: of_sklearn(tree.DecisionTreeRegressor(random_state=0), SIGNAL),
    "scaler and imputer in front": lambda: of_sklearn(
        make_pipeline(SimpleImputer(), StandardScaler(), ensemble.GradientBoostingClassifier(**BOOSTED)), BINARY
    ),
}


def open_both(model: bytes) -> tuple[OnnxRuntime, ModelRuntime]:
    """ONNX Runtime, and what serves the model."""
    session = open_session(model)
    info = next(info for info in session.get_outputs() if info.type == "tensor(float)")
    answer = session.run([info.name], {"X": TRAINING[:2]})[0]
    output = OutputSpec(info.name, "float32", (-1, *answer.shape[1:]), "score")
    reference, whole = (OnnxRuntime(model, [matrix_input(WIDTH)], output) for _ in range(2))
    return reference, with_tree_kernel(model, whole, {"X": TRAINING[:50]})


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_is_covered(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters' own
        model = EXPORTS[name]()
    reference, served = open_both(model)
    assert isinstance(served, TreeRuntime), served.remark
    for count, missing in ((1, 0.0), (2, 0.5), (300, 0.0), (300, 0.2)):
        fed = {"X": cells(count, count + 7, missing)}
        np.testing.assert_array_equal(served.run(fed), reference.run(fed), strict=True)
