"""LightGBM: a Booster or an estimator of its scikit-learn interface becomes one node of trees.

Rule: read from ``dump_model``, which has every threshold with all its digits; what it holds and ONNX trees cannot say
(linear leaves, zeros that count as missing) is refused. Iterations are those of its own ``predict``: to the best one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.errors import ExportRefused
from stream_infer.export.convert.contract import NUMBERS, Column, Converted, Rows, labels
from stream_infer.export.convert.graph_parts import append_ensemble, matrix_model, to_bytes
from stream_infer.export.convert.libraries import library, version
from stream_infer.export.convert.trees import Ensemble, Link, Tree

_LINKS: dict[str, Link] = {
    "binary": "sigmoid",
    "cross_entropy": "sigmoid",
    "multiclass": "softmax",
    "multiclassova": "each_sigmoid",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
    **dict.fromkeys(
        (
            "custom",
            "regression",
            "regression_l1",
            "huber",
            "fair",
            "quantile",
            "mape",
            "lambdarank",
            "rank_xendcg",
        ),
        "identity",
    ),
}


def load(path: Path) -> Any:
    """A model saved as text by ``save_model``.

    Raises:
        ExportRefused: LightGBM is not installed, or the file is no such model.
    """
    lightgbm = library("lightgbm", f"reading {path}")
    try:
        return lightgbm.Booster(model_file=str(path))
    except lightgbm.basic.LightGBMError as error:
        raise ExportRefused(f"{path} is not a LightGBM model in text form (Booster.save_model)") from error


def convert(model: Any, columns: Sequence[Column]) -> Converted:
    """A ``Booster`` or ``LGBMModel``; see `contract.Convert`."""
    graph = matrix_model(len(columns))
    ensemble = read_ensemble(model)
    append_ensemble(graph, NUMBERS, ensemble)
    booster = booster_of(model)

    def original(rows: Rows) -> npt.NDArray[Any]:
        return as_columns(booster.predict(rows.numbers), ensemble)

    source = f"{version(library('lightgbm', 'exporting'), 'lightgbm')} {type(model).__name__}"
    return Converted(to_bytes(graph), original, source, ensemble.output, labels(model), trees=True)


def as_columns(answer: npt.NDArray[Any], ensemble: Ensemble) -> npt.NDArray[Any]:
    """A library's answer in the columns of the graph's: one probability stands for two."""
    if ensemble.link == "sigmoid":
        return np.column_stack([1.0 - answer, answer])
    return answer.reshape(len(answer), -1)


def feature_names(model: Any) -> list[str] | None:
    """The names the model was trained with; None where it made them up."""
    names = list(booster_of(model).feature_name())
    return None if names == [f"Column_{at}" for at in range(len(names))] else names


def read_ensemble(model: Any) -> Ensemble:
    """The trees of a ``Booster`` or ``LGBMModel``.

    Raises:
        ExportRefused: it has something that ONNX trees cannot say.
    """
    try:
        return _ensemble(booster_of(model).dump_model())
    except RecursionError as error:
        raise ExportRefused("a tree of this LightGBM model is hundreds of levels deep: train with max_depth") from error


def _ensemble(dump: dict[str, Any]) -> Ensemble:
    objective, *options = str(dump.get("objective") or "custom").split(" ")
    if objective not in _LINKS:
        raise ExportRefused(f"LightGBM's objective {objective!r} has no counterpart in ONNX that is known here")
    targets = int(dump["num_tree_per_iteration"])
    link: Link = "signed_square" if "sqrt" in options else _LINKS[objective]
    slope = next((float(option[8:]) for option in options if option.startswith("sigmoid:")), 1.0)
    scale = slope / (len(dump["tree_info"]) / targets if dump.get("average_output") else 1.0)
    trees = [_tree(info["tree_structure"], number % targets, scale) for number, info in enumerate(dump["tree_info"])]
    return Ensemble(trees, [0.0] * targets, "<=", link, compares_doubles=True)


def booster_of(model: Any) -> Any:
    """The ``Booster`` inside an estimator, or itself."""
    return getattr(model, "booster_", model)


def _tree(root: dict[str, Any], target: int, scale: float) -> Tree:
    tree = Tree(target=target)
    _add(tree, root, scale)
    return tree


def _add(tree: Tree, node: dict[str, Any], scale: float) -> int:
    if "split_feature" not in node:
        if "leaf_coeff" in node:
            raise ExportRefused("LightGBM's linear trees cannot be written as ONNX trees: train with linear_tree=false")
        return tree.add_leaf(node["leaf_value"] * scale)
    if node["missing_type"] == "Zero":
        raise ExportRefused(
            "LightGBM counts zeros as missing here, which ONNX trees cannot say: train with zero_as_missing=false"
        )
    categorical = node["decision_type"] == "=="
    threshold = 0.0 if categorical else float(node["threshold"])
    own = tree.add_split(node["split_feature"], threshold, _missing_left(node, categorical, threshold))
    if categorical:
        tree.categories[own] = tuple(map(int, str(node["threshold"]).split("||")))
    tree.left[own] = _add(tree, node["left_child"], scale)
    tree.right[own] = _add(tree, node["right_child"], scale)
    return own


def _missing_left(node: dict[str, Any], categorical: bool, threshold: float) -> bool:
    """Where a missing number goes; one that training never saw is taken for zero, a missing category for no member."""
    if categorical:
        return False
    return bool(node["default_left"]) if node["missing_type"] == "NaN" else threshold >= 0.0
