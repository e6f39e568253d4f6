"""What the attributes of a tree ensemble say, as arrays.

Rule: `TreeEnsembleClassifier` and `TreeEnsembleRegressor` of ai.onnx.ml 1 to 3, float32. An attribute or a value that
is not known here, or trees that are not well formed, are `NotCovered`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.scoring.tree_graph import Attribute, NotCovered
from stream_infer.types import BoolArray, Float32Array, Int64Array, UInt8Array

MODES = (b"LEAF", b"BRANCH_LEQ", b"BRANCH_LT", b"BRANCH_GTE", b"BRANCH_GT")
LEAF, LEQ, LT, GTE, GT = range(len(MODES))

_NODE_ATTRIBUTES = {
    "nodes_treeids",
    "nodes_nodeids",
    "nodes_featureids",
    "nodes_truenodeids",
    "nodes_falsenodeids",
    "nodes_values",
    "nodes_modes",
    "nodes_missing_value_tracks_true",
    "nodes_hitrates",  # statistics, which no score depends on
}
_ENSEMBLE_ATTRIBUTES = {"base_values", "post_transform", "aggregate_function", "n_targets"}
_LABEL_ATTRIBUTES = ("classlabels_int64s", "classlabels_strings")


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Trees. The first arrays speak of the nodes, the ``weight`` ones of what leaves add to targets or classes."""

    tree: Int64Array
    """By node: which tree, counted from 0 in the order in which ONNX Runtime adds them up."""
    feature: Int64Array
    mode: UInt8Array
    """By node: an index of `MODES`."""
    threshold: Float32Array
    when_true: Int64Array
    """By node: the child where the comparison holds, as an index of these arrays. Means nothing at a leaf."""
    when_false: Int64Array
    missing_is_true: BoolArray
    """By node: a missing value goes where the comparison would hold."""
    weight_node: Int64Array
    weight_target: Int64Array
    weight: Float32Array
    classifier: bool
    targets: int
    """Targets of a regressor, classes of a classifier."""
    base: Float32Array
    """``base_values`` as they are given: one for each target, one for all, or none."""
    average: bool
    transform: bytes

    @property
    def is_leaf(self) -> BoolArray:
        """By node."""
        leaf: BoolArray = self.mode == LEAF
        return leaf

    @property
    def trees(self) -> int:
        """How many there are."""
        return int(self.tree[-1]) + 1


def read_ensemble(op: str, attributes: Mapping[str, Attribute]) -> Ensemble:
    """Give a node's attributes their meaning.

    Args:
        op: ``TreeEnsembleClassifier`` or ``TreeEnsembleRegressor``.
        attributes: the node's.

    Raises:
        NotCovered: there is something in them that is not known here.
    """
    classifier = op == "TreeEnsembleClassifier"
    prefix = "class" if classifier else "target"
    known = _NODE_ATTRIBUTES | _ENSEMBLE_ATTRIBUTES | {*_LABEL_ATTRIBUTES}
    known |= {f"{prefix}_{part}" for part in ("treeids", "nodeids", "ids", "weights")}
    if unknown := sorted(set(attributes) - known):
        raise NotCovered(f"the trees have {unknown[0]}")
    given = _Given(attributes)
    places = _Places(given.ints("nodes_treeids"), given.ints("nodes_nodeids"))
    mode = _modes(given, places.count)
    inner = mode != LEAF
    return Ensemble(
        tree=places.tree,
        feature=given.sized("nodes_featureids", places.count),
        mode=mode,
        threshold=_thresholds(given, inner),
        when_true=places.children(given.sized("nodes_truenodeids", places.count), inner),
        when_false=places.children(given.sized("nodes_falsenodeids", places.count), inner),
        missing_is_true=_missing_is_true(given, places.count),
        weight_node=places.find(given.ints(f"{prefix}_treeids"), given.ints(f"{prefix}_nodeids")),
        weight_target=given.ints(f"{prefix}_ids"),
        weight=given.floats(f"{prefix}_weights"),
        classifier=classifier,
        targets=given.count_of(_LABEL_ATTRIBUTES) if classifier else given.number("n_targets"),
        base=given.floats("base_values"),
        average=_is_average(given),
        transform=given.text("post_transform", b"NONE"),
    )


class _Given:
    """Attributes by name and type. An absent one is empty, as ONNX has it."""

    def __init__(self, attributes: Mapping[str, Attribute]) -> None:
        self._attributes = attributes

    def ints(self, name: str) -> Int64Array:
        return self._array(name, np.int64)

    def floats(self, name: str) -> Float32Array:
        return self._array(name, np.float32)

    def sized(self, name: str, count: int) -> Int64Array:
        numbers = self.ints(name)
        if len(numbers) != count:
            raise NotCovered(f"{name} holds {len(numbers)} numbers for {count} nodes")
        return numbers

    def texts(self, name: str) -> list[bytes]:
        value = self._attributes.get(name, [])
        return value if isinstance(value, list) else []

    def text(self, name: str, default: bytes) -> bytes:
        value = self._attributes.get(name, default)
        return value if isinstance(value, bytes) else b""

    def number(self, name: str) -> int:
        value = self._attributes.get(name, 0)
        return value if isinstance(value, int) else 0

    def count_of(self, names: tuple[str, ...]) -> int:
        values = (self._attributes.get(name) for name in names)
        return sum(len(value) for value in values if isinstance(value, list | np.ndarray))

    def _array(self, name: str, dtype: type) -> npt.NDArray[Any]:
        value = self._attributes.get(name)
        if isinstance(value, np.ndarray) and value.dtype == dtype:
            return value
        return np.empty(0, dtype)


class _Places:
    """Where nodes stand in the arrays, found by the numbers of tree and node."""

    def __init__(self, tree_ids: Int64Array, node_ids: Int64Array) -> None:
        if not len(tree_ids) or len(tree_ids) != len(node_ids):
            raise NotCovered("the trees have no nodes")
        self.count = len(tree_ids)
        begins = np.flatnonzero(np.diff(tree_ids, prepend=tree_ids[0] - 1))
        self._tree_ids = tree_ids[begins]
        if len(np.unique(self._tree_ids)) != len(begins):
            raise NotCovered("the nodes of a tree do not stand together")
        self.tree = np.repeat(np.arange(len(begins)), np.diff(begins, append=self.count))
        self._span = int(node_ids.max()) + 1
        if node_ids.min() < 0 or self._span > 1 << 32:
            raise NotCovered("the numbers of the nodes are out of range")
        numbers = self.tree * self._span + node_ids
        self._order = np.argsort(numbers, kind="stable")
        self._numbers = numbers[self._order]
        if (np.diff(self._numbers) == 0).any():
            raise NotCovered("two nodes of a tree have the same number")

    def find(self, tree_ids: Int64Array, node_ids: Int64Array) -> Int64Array:
        """The places of nodes by their trees' numbers and their own."""
        if len(tree_ids) != len(node_ids):
            raise NotCovered("the weights' trees and nodes are not as many")
        order = np.argsort(self._tree_ids)
        at = np.minimum(np.searchsorted(self._tree_ids[order], tree_ids), len(order) - 1)
        if (self._tree_ids[order][at] != tree_ids).any():
            raise NotCovered("a weight names a tree that is not there")
        return self._find(order[at], node_ids)

    def children(self, node_ids: Int64Array, inner: BoolArray) -> Int64Array:
        """The places of each node's child; 0 where the node is not ``inner``."""
        places = np.zeros(self.count, np.int64)
        places[inner] = self._find(self.tree[inner], node_ids[inner])
        return places

    def _find(self, tree: Int64Array, node_ids: Int64Array) -> Int64Array:
        numbers = tree * self._span + node_ids
        at = np.minimum(np.searchsorted(self._numbers, numbers), self.count - 1)
        if ((node_ids < 0) | (node_ids >= self._span) | (self._numbers[at] != numbers)).any():
            raise NotCovered("a node is named that is not there")
        return self._order[at]


def _modes(given: _Given, count: int) -> UInt8Array:
    words = given.texts("nodes_modes")
    codes = {word: code for code, word in enumerate(MODES)}
    if unknown := sorted(set(words) - set(codes)):
        raise NotCovered(f"the trees have nodes of mode {unknown[0].decode(errors='replace')}")
    if len(words) != count:
        raise NotCovered(f"nodes_modes holds {len(words)} texts for {count} nodes")
    return np.array([codes[word] for word in words], np.uint8)


def _thresholds(given: _Given, inner: BoolArray) -> Float32Array:
    thresholds = given.floats("nodes_values")
    if len(thresholds) != len(inner):
        raise NotCovered(f"nodes_values holds {len(thresholds)} numbers for {len(inner)} nodes")
    if np.isnan(thresholds[inner]).any():
        raise NotCovered("a threshold is NaN")
    return thresholds


def _missing_is_true(given: _Given, count: int) -> BoolArray:
    tracks = given.ints("nodes_missing_value_tracks_true")
    if not len(tracks):
        return np.zeros(count, np.bool_)
    if len(tracks) != count:
        raise NotCovered(f"nodes_missing_value_tracks_true holds {len(tracks)} numbers for {count} nodes")
    missing_is_true: BoolArray = tracks == 1
    return missing_is_true


def _is_average(given: _Given) -> bool:
    function = given.text("aggregate_function", b"SUM")
    if function not in (b"SUM", b"AVERAGE"):
        raise NotCovered(f"the trees are put together by {function.decode(errors='replace')}")
    return function == b"AVERAGE"


__all__ = ["GT", "GTE", "LEAF", "LEQ", "LT", "MODES", "Ensemble", "read_ensemble"]
