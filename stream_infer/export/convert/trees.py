"""Tree ensembles as one ONNX node, with thresholds that decide every float32 as the original decides it.

Rule: a cell is float32. ``x <= t`` holds for a float32 x exactly when ``x <= f`` does, f being the largest float32 that
is not above t; ``x < t`` exactly when ``x < f``, f being the smallest one that is not below t. The nearest float32,
which other converters take, may lie on the other side of a value of the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from stream_infer.types import Float32Array

LEAF = -1

Compare = Literal["<=", "<"]
Link = Literal[
    "identity", "probabilities", "exp", "sigmoid", "each_sigmoid", "softmax", "power_of_two", "signed_square"
]
_OF_PROBABILITIES = ("probabilities", "sigmoid", "each_sigmoid", "softmax")


@dataclass(slots=True)
class Tree:
    """One tree, as lists by node; node 0 is the root. ``left`` is `LEAF` at a leaf, whose ``values`` count.

    A number goes left where ``x <= threshold`` (or ``<``, see `Ensemble.compare`), a category where it is among
    ``categories``; a missing value where ``missing_left`` says. A leaf adds its values to the outputs from ``target``
    on.
    """

    feature: list[int] = field(default_factory=list)
    threshold: list[float] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    missing_left: list[bool] = field(default_factory=list)
    values: list[tuple[float, ...]] = field(default_factory=list)
    categories: dict[int, tuple[int, ...]] = field(default_factory=dict)
    target: int = 0

    def add_leaf(self, *values: float) -> int:
        """A leaf; its number."""
        return self._add(0, 0.0, False, values)

    def add_split(self, feature: int, threshold: float, missing_left: bool) -> int:
        """A split whose children are set later; its number."""
        return self._add(feature, threshold, missing_left, ())

    def _add(self, feature: int, threshold: float, missing_left: bool, values: tuple[float, ...]) -> int:
        self.feature.append(int(feature))
        self.threshold.append(float(threshold))
        self.left.append(LEAF)
        self.right.append(LEAF)
        self.missing_left.append(bool(missing_left))
        self.values.append(tuple(map(float, values)))
        return len(self.values) - 1


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Trees that add up: to ``base`` (one number for each target), then through ``link``.

    ``link`` makes of the sums: ``sigmoid`` two probabilities ``[n, 2]``; ``each_sigmoid`` and ``softmax`` one for each
    sum, which ``probabilities`` are already; the others a score for each sum, ``[n, k]``. ``compares_doubles``: the
    original does, which matters where a step before it computes in float64; else it casts to float32 first.
    """

    trees: Sequence[Tree]
    base: Sequence[float]
    compare: Compare = "<="
    link: Link = "identity"
    compares_doubles: bool = False

    @property
    def output(self) -> str:
        """The name of the graph's output."""
        return "probabilities" if self.link in _OF_PROBABILITIES else "score"

    @property
    def columns(self) -> int:
        """K of the output ``[n, k]``."""
        return 2 if self.link == "sigmoid" else len(self.base)


def exact_float32(thresholds: npt.ArrayLike, compare: Compare) -> Float32Array:
    """The float32 that decides every float32 cell as the double threshold does."""
    exact = np.asarray(thresholds, np.float64)
    with np.errstate(over="ignore"):
        rounded = exact.astype(np.float32)
    if compare == "<=":
        rounded = np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)
    else:
        rounded = np.where(rounded < exact, np.nextafter(rounded, np.float32(np.inf)), rounded)
    return rounded.astype(np.float32)


def tree_attributes(ensemble: Ensemble, doubles: bool = False) -> dict[str, Any]:
    """The attributes of a ``TreeEnsembleRegressor`` (ai.onnx.ml 1 to 3) for the sums of an ensemble.

    Args:
        ensemble: the trees.
        doubles: the cells are float64, so that thresholds are taken as they are; then numbers are float64 arrays.
    """
    attributes: dict[str, Any] = {name: [] for name in _NODE_ATTRIBUTES + _LEAF_ATTRIBUTES}
    mode = "BRANCH_LEQ" if ensemble.compare == "<=" else "BRANCH_LT"
    for number, tree in enumerate(ensemble.trees):
        thresholds = tree.threshold if doubles else exact_float32(tree.threshold, ensemble.compare).tolist()
        for node in _nodes(tree, thresholds, mode):
            attributes["nodes_treeids"].append(number)
            for name, value in zip(_NODE_ATTRIBUTES[1:], node, strict=True):
                attributes[name].append(value)
        for leaf, values in enumerate(tree.values):
            for target, value in enumerate(values, tree.target):
                for name, entry in zip(_LEAF_ATTRIBUTES, (number, leaf, target, value), strict=True):
                    attributes[name].append(entry)
    if any(ensemble.base):
        attributes["base_values"] = [float(value) for value in ensemble.base]
    if doubles:
        for name in ("nodes_values", "target_weights", "base_values"):
            if name in attributes:
                attributes[f"{name}_as_tensor"] = np.array(attributes.pop(name), np.float64)
    return attributes | {"n_targets": len(ensemble.base), "post_transform": "NONE"}


_NODE_ATTRIBUTES = (
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_modes",
    "nodes_values",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_missing_value_tracks_true",
)
_LEAF_ATTRIBUTES = ("target_treeids", "target_nodeids", "target_ids", "target_weights")
_Node = tuple[int, int, str, float, int, int, int]


def _nodes(tree: Tree, thresholds: Sequence[float], mode: str) -> Iterator[_Node]:
    """Everything of a node but its tree, in the order of `_NODE_ATTRIBUTES`."""
    spare = len(tree.values)
    for node_id, left in enumerate(tree.left):
        feature, right, missing = tree.feature[node_id], tree.right[node_id], int(tree.missing_left[node_id])
        members = tree.categories.get(node_id)
        if left == LEAF:
            yield node_id, 0, "LEAF", 0.0, 0, 0, 0
        elif not members:
            yield node_id, feature, mode, thresholds[node_id] if members is None else -math.inf, left, right, missing
        else:
            # One question for each category; all of them lead to the same left child, and the last "no" to the right.
            ids = [node_id, *range(spare, spare + len(members) - 1)]
            spare += len(members) - 1
            for at, (own, category) in enumerate(zip(ids, members, strict=True)):
                otherwise = ids[at + 1] if at + 1 < len(ids) else right
                yield own, feature, "BRANCH_EQ", float(category), left, otherwise, missing
