"""XGBoost: a Booster or an estimator of its scikit-learn interface becomes one node of trees.

Rule: read from the model's own JSON. Its thresholds are float32 and its question is ``x < t``. Trees are those up to
the best iteration, as the scikit-learn interface predicts, also where the model comes from a file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.errors import ExportRefused
from stream_infer.export.convert.contract import NUMBERS, Column, Converted, Rows, labels
from stream_infer.export.convert.graph_parts import append_ensemble, matrix_model, to_bytes
from stream_infer.export.convert.libraries import library, version
from stream_infer.export.convert.lightgbm import as_columns
from stream_infer.export.convert.trees import Ensemble, Link, Tree

_LINKS: dict[str, Link] = {
    **dict.fromkeys(("binary:logistic", "reg:logistic"), "sigmoid"),
    **dict.fromkeys(("multi:softprob", "multi:softmax"), "softmax"),
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox"), "exp"),
    **dict.fromkeys(
        (
            "binary:logitraw",
            "reg:squarederror",
            "reg:squaredlogerror",
            "reg:absoluteerror",
            "reg:pseudohubererror",
            "reg:quantileerror",
            "rank:ndcg",
            "rank:map",
            "rank:pairwise",
        ),
        "identity",
    ),
}


def load(path: Path) -> Any:
    """A model saved by ``save_model`` as JSON or UBJSON.

    Raises:
        ExportRefused: XGBoost is not installed, or the file is no such model.
    """
    xgboost = library("xgboost", f"reading {path}")
    booster = xgboost.Booster()
    try:
        booster.load_model(str(path))
    except xgboost.core.XGBoostError as error:
        raise ExportRefused(f"{path} is not an XGBoost model (save_model to .json or .ubj)") from error
    return booster


def convert(model: Any, columns: Sequence[Column]) -> Converted:
    """A ``Booster`` or ``XGBModel``; see `contract.Convert`."""
    graph = matrix_model(len(columns))
    ensemble = read_ensemble(model)
    append_ensemble(graph, NUMBERS, ensemble)
    source = f"{version(library('xgboost', 'exporting'), 'xgboost')} {type(model).__name__}"
    return Converted(to_bytes(graph), answers(model, ensemble), source, ensemble.output, labels(model), trees=True)


def answers(model: Any, ensemble: Ensemble) -> Any:
    """The model in XGBoost itself; labels (``multi:softmax``) are asked for as probabilities."""
    booster = booster_of(model)

    def original(rows: Rows) -> npt.NDArray[Any]:
        cells = rows.numbers.astype(np.float32)
        if ensemble.link != "softmax":
            return as_columns(booster.inplace_predict(cells, validate_features=False), ensemble)
        sums = booster.inplace_predict(cells, predict_type="margin", validate_features=False).astype(np.float64)
        powers = np.exp(sums - sums.max(axis=1, keepdims=True))
        probabilities: npt.NDArray[Any] = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    return original


def feature_names(model: Any) -> list[str] | None:
    """The names the model was trained with, if any."""
    names = booster_of(model).feature_names
    return list(names) if names else None


def read_ensemble(model: Any) -> Ensemble:
    """The trees of a ``Booster`` or ``XGBModel``.

    Raises:
        ExportRefused: it is of a kind that ONNX trees cannot say.
    """
    missing = getattr(model, "missing", math.nan)
    if missing is not None and not math.isnan(missing):
        raise ExportRefused(
            f"this XGBoost model takes {missing} for missing: train with missing=nan, and leave it null"
        )
    learner = json.loads(bytes(booster_of(model).save_raw("json")))["learner"]
    objective = learner["objective"]["name"]
    if objective not in _LINKS:
        raise ExportRefused(f"XGBoost's objective {objective!r} has no counterpart in ONNX that is known here")
    gradient_booster = learner["gradient_booster"]
    if gradient_booster["name"] == "gblinear":
        raise ExportRefused("XGBoost's gblinear is not trees: train a linear model of scikit-learn, or booster=gbtree")
    content = gradient_booster.get("gbtree", gradient_booster)["model"]
    # With dropout: of the booster until XGBoost 3.2, of its trees since.
    weights = gradient_booster.get("weight_drop") or content.get("weight_drop") or [1.0] * len(content["trees"])
    trees = [
        _tree(tree, target, weight)
        for tree, target, weight in zip(content["trees"], content["tree_info"], weights, strict=True)
    ]
    link = _LINKS[objective]
    return Ensemble(trees, _base(learner["learner_model_param"], link), "<", link)


def booster_of(model: Any) -> Any:
    """The ``Booster`` inside an estimator, cut after its best iteration."""
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    best = booster.attr("best_iteration")
    rounds: int = booster.num_boosted_rounds()
    return booster[: int(best) + 1] if best is not None and int(best) + 1 < rounds else booster


def _base(parameters: dict[str, str], link: Link) -> list[float]:
    """The base score as the sums hold it, one for each target."""
    scores = np.atleast_1d(np.array(json.loads(parameters["base_score"]), np.float64))
    targets = max(1, int(parameters["num_class"]), int(parameters.get("num_target", "1")))
    base = np.broadcast_to(scores, targets)
    if link == "sigmoid":
        base = np.log(base / (1.0 - base))
    elif link == "exp":
        base = np.log(base)
    return [float(value) for value in base]


def _tree(source: dict[str, Any], target: int, weight: float) -> Tree:
    if int(source["tree_param"].get("size_leaf_vector", "1")) > 1:
        raise ExportRefused("XGBoost's trees with vector leaves are not supported: train one_output_per_tree")
    tree = Tree(target=target)
    members = _categories(source)
    for node, (left, right) in enumerate(zip(source["left_children"], source["right_children"], strict=True)):
        # The JSON has the shortest digits that mean a float32; read as a double they would be beside it.
        condition = float(np.float32(source["split_conditions"][node]))
        if left == -1:
            tree.add_leaf(condition * weight)
            continue
        by_default = bool(source["default_left"][node])
        own = tree.add_split(int(source["split_indices"][node]), condition, by_default)
        if node in members:
            # XGBoost sends the categories of the list to the right; here they go left.
            tree.categories[own], left, right = members[node], right, left
            tree.missing_left[own] = not by_default
        tree.left[own], tree.right[own] = left, right
    return tree


def _categories(source: dict[str, Any]) -> dict[int, tuple[int, ...]]:
    """By node: the categories of a split on a category."""
    starts, sizes, flat = (source.get(f"categories{part}", []) for part in ("_segments", "_sizes", ""))
    nodes = source.get("categories_nodes", [])
    return {
        int(node): tuple(map(int, flat[start : start + size]))
        for node, start, size in zip(nodes, starts, sizes, strict=True)
    }
