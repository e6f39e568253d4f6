"""CatBoost: a model on numbers becomes one node of trees.

Rule: read from the model's own JSON. Its borders are float32 and its question is ``x > border``. Features of categories
or text are computed by CatBoost from hashes that ONNX does not have, so they are refused.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from stream_infer.errors import ExportRefused
from stream_infer.export.convert.contract import NUMBERS, Column, Converted, Rows, labels
from stream_infer.export.convert.graph_parts import append_ensemble, matrix_model, to_bytes
from stream_infer.export.convert.libraries import library, version
from stream_infer.export.convert.lightgbm import as_columns
from stream_infer.export.convert.trees import Ensemble, Link, Tree

_LINKS: dict[str, Link] = {
    **dict.fromkeys(("Logloss", "CrossEntropy"), "sigmoid"),
    "MultiClass": "softmax",
    "MultiClassOneVsAll": "each_sigmoid",
    **dict.fromkeys(("Poisson", "Tweedie"), "exp"),
    **dict.fromkeys(
        (
            "RMSE",
            "MAE",
            "Quantile",
            "Huber",
            "Expectile",
            "MAPE",
            "LogLinQuantile",
            "QueryRMSE",
            "YetiRank",
            "PairLogit",
        ),
        "identity",
    ),
}
_PREDICTIONS = {"sigmoid": "Probability", "softmax": "Probability", "each_sigmoid": "Probability", "exp": "Exponent"}


def load(path: Path) -> Any:
    """A model saved by ``save_model`` in CatBoost's own format.

    Raises:
        ExportRefused: CatBoost is not installed, or the file is no such model.
    """
    catboost = library("catboost", f"reading {path}")
    try:
        return catboost.CatBoost().load_model(str(path))
    except catboost.CatBoostError as error:
        raise ExportRefused(f"{path} is not a CatBoost model (save_model to .cbm)") from error


def convert(model: Any, columns: Sequence[Column]) -> Converted:
    """A ``CatBoost`` model; see `contract.Convert`."""
    ensemble = read_ensemble(model)
    asked = _PREDICTIONS.get(ensemble.link, "RawFormulaVal")
    graph = matrix_model(len(columns))
    append_ensemble(graph, NUMBERS, ensemble)

    def original(rows: Rows) -> npt.NDArray[Any]:
        answer = model.predict(rows.numbers, prediction_type=asked, thread_count=1)
        return answer if ensemble.output == "probabilities" else as_columns(answer, ensemble)

    source = f"{version(library('catboost', 'exporting'), 'catboost')} {type(model).__name__}"
    return Converted(to_bytes(graph), original, source, ensemble.output, labels(model), trees=True)


def feature_names(model: Any) -> list[str] | None:
    """The names the model was trained with; None where they are only numbers."""
    names = [str(name) for name in model.feature_names_ or []]
    return None if all(name == str(at) for at, name in enumerate(names)) else names


def read_ensemble(model: Any) -> Ensemble:
    """The trees of a ``CatBoost`` model.

    Raises:
        ExportRefused: it has something that ONNX trees cannot say.
    """
    if model.get_cat_feature_indices() or model.get_text_feature_indices():
        names = [
            model.feature_names_[at] for at in (*model.get_cat_feature_indices(), *model.get_text_feature_indices())
        ]
        raise ExportRefused(
            f"CatBoost computes {', '.join(map(str, names))} from categories or text in a way that ONNX does not have: "
            "list the `categories` in the feature list and train on their numbers"
        )
    content = _json(model)
    loss = content["model_info"]["params"]["loss_function"]["type"]
    if loss not in _LINKS:
        raise ExportRefused(f"CatBoost's loss {loss!r} has no counterpart in ONNX that is known here")
    link = _LINKS[loss]
    scale, bias = content["scale_and_bias"]
    base = [float(value) for value in (bias if isinstance(bias, list) else [bias])]
    features = {info["feature_index"]: info for info in content["features_info"]["float_features"]}
    reader = _TreeReader(features, float(scale), len(base))
    if "oblivious_trees" in content:
        trees = [reader.symmetric(tree) for tree in content["oblivious_trees"]]
    else:
        trees = [reader.nested(tree) for tree in content["trees"]]
    return Ensemble(trees, base, "<=", link)


class _TreeReader:
    """Trees of a model's JSON.

    Args:
        features: by number, what the JSON says of a feature.
        scale: of every leaf.
        targets: numbers in a leaf.
    """

    def __init__(self, features: dict[int, dict[str, Any]], scale: float, targets: int) -> None:
        self._features = features
        self._scale = scale
        self._targets = targets

    def symmetric(self, source: dict[str, Any]) -> Tree:
        """A tree that asks one question on each level: the answers are the bits of the leaf's number."""
        tree = Tree()
        self._add_level(tree, source["splits"], source["leaf_values"], 0)
        return tree

    def nested(self, source: dict[str, Any]) -> Tree:
        """A tree as objects inside objects."""
        tree = Tree()
        self._add_node(tree, source)
        return tree

    def _add_level(self, tree: Tree, splits: list[dict[str, Any]], values: list[float], leaf: int) -> int:
        if not splits:
            return self._leaf(tree, values[leaf * self._targets : (leaf + 1) * self._targets])
        *lower, split = splits
        own = self._split(tree, split)
        tree.left[own] = self._add_level(tree, lower, values, leaf)
        tree.right[own] = self._add_level(tree, lower, values, leaf | 1 << len(lower))
        return own

    def _add_node(self, tree: Tree, node: dict[str, Any]) -> int:
        if "split" not in node:
            value = node["value"]
            return self._leaf(tree, value if isinstance(value, list) else [value])
        own = self._split(tree, node["split"])
        tree.left[own] = self._add_node(tree, node["left"])
        tree.right[own] = self._add_node(tree, node["right"])
        return own

    def _leaf(self, tree: Tree, values: list[float]) -> int:
        return tree.add_leaf(*(value * self._scale for value in values))

    def _split(self, tree: Tree, split: dict[str, Any]) -> int:
        if split["split_type"] != "FloatFeature":
            raise ExportRefused(
                f"CatBoost's split {split['split_type']} has no counterpart in ONNX: train on numbers only"
            )
        feature = self._features[split["float_feature_index"]]
        missing_left = feature["nan_value_treatment"] != "AsTrue"
        return tree.add_split(feature["flat_feature_index"], split["border"], missing_left)


def _json(model: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.json")
        model.save_model(str(path), format="json")
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
