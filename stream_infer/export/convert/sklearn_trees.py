"""Estimators of scikit-learn that are written as trees here: histogram boosting, forests and trees, isolation forests.

Rule: these, since the general converter rounds the thresholds of the first to the nearest float32, loses where the
second send missing values, and makes some fifteen nodes of every tree of the third. An isolation forest's score is
``-score_samples(X)``: from 0 to 1, the higher the stranger; scikit-learn calls an event an outlier where it is above
``-offset_`` (0.5 by default).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stream_infer.errors import ExportRefused
from stream_infer.export.convert.trees import LEAF, Ensemble, Link, Tree

_LINKS: dict[str, Link] = {"IdentityLink": "identity", "LogLink": "exp", "LogitLink": "sigmoid"}


def read_histogram_boosting(model: Any) -> Ensemble:
    """A ``HistGradientBoostingClassifier`` or ``-Regressor``.

    Raises:
        ExportRefused: it has categorical features.
    """
    if model.is_categorical_ is not None and np.any(model.is_categorical_):
        raise ExportRefused(
            "categorical features of histogram gradient boosting cannot be exported: encode them in the pipeline "
            "(OrdinalEncoder or OneHotEncoder), and train without categorical_features"
        )
    base = [float(value) for value in np.ravel(model._baseline_prediction)]
    trees = [
        _predictor(predictor.nodes, target)
        for iteration in model._predictors
        for target, predictor in enumerate(iteration)
    ]
    link = _LINKS.get(type(model._loss.link).__name__, "softmax")
    return Ensemble(trees, base, "<=", link, compares_doubles=True)


def _predictor(nodes: Any, target: int) -> Tree:
    tree = Tree(target=target)
    for node in nodes:
        if node["is_leaf"]:
            tree.add_leaf(node["value"])
            continue
        own = tree.add_split(node["feature_idx"], node["num_threshold"], node["missing_go_to_left"])
        tree.left[own], tree.right[own] = int(node["left"]), int(node["right"])
    return tree


def read_isolation_forest(model: Any) -> Ensemble:
    """An ``IsolationForest``: each leaf holds its share of the exponent."""
    from sklearn.ensemble._iforest import _average_path_length

    whole = len(model.estimators_) * float(_average_path_length([model._max_samples])[0])
    trees = []
    for estimator, features in zip(model.estimators_, model.estimators_features_, strict=True):
        source = estimator.tree_
        lengths = _depths(source.children_left, source.children_right) + _average_path_length(source.n_node_samples)
        trees.append(_forest_tree(source, features, -lengths / whole if whole else -lengths))
    return Ensemble(trees, [0.0], "<=", "power_of_two")


def read_forest(model: Any) -> Ensemble:
    """A forest of randomised trees, or one such tree: each leaf holds its share of the mean.

    Raises:
        ExportRefused: it has several targets.
    """
    if model.n_outputs_ > 1:
        raise ExportRefused(
            f"it predicts {model.n_outputs_} targets at once; a score is one number: train one for each"
        )
    members = getattr(model, "estimators_", None) or [model]
    everything = np.arange(model.n_features_in_)
    classifier = hasattr(model, "classes_")
    trees = []
    for member in members:
        values = member.tree_.value[:, 0, :]
        shares = values / values.sum(axis=1, keepdims=True) if classifier else values
        trees.append(_forest_tree(member.tree_, everything, shares / len(members)))
    targets = len(model.classes_) if classifier else 1
    return Ensemble(trees, [0.0] * targets, "<=", "probabilities" if classifier else "identity")


def _forest_tree(source: Any, features: Any, values: Any) -> Tree:
    """A tree, by node: the model's column of each of its features, and what a leaf adds."""
    tree = Tree()
    for node in range(source.node_count):
        left, right = int(source.children_left[node]), int(source.children_right[node])
        if left == LEAF:
            tree.add_leaf(*np.atleast_1d(values[node]))
            continue
        missing_left = bool(source.missing_go_to_left[node])
        own = tree.add_split(features[source.feature[node]], source.threshold[node], missing_left)
        tree.left[own], tree.right[own] = left, right
    return tree


def _depths(left: Any, right: Any) -> Any:
    depths = np.zeros(len(left))
    for node in range(len(left)):  # children come after their parent
        if left[node] != LEAF:
            depths[[left[node], right[node]]] = depths[node] + 1
    return depths
