"""From an ensemble of trees to the tables that `stream_infer.kernels.trees` walks.

Rule: every promise that the kernel relies on instead of checking is made here. How totals become scores follows ONNX
where it says something, and ONNX Runtime where it does not (two classes with one weight a leaf, for instance). All of
it is proven afterwards (`stream_infer.scoring.tree_proof`): a rule that is wrong costs speed, never a score.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infer.kernels import trees
from stream_infer.scoring.tree_attributes import GT, GTE, LT, Ensemble
from stream_infer.scoring.tree_graph import NotCovered
from stream_infer.types import Float32Array, Int32Array, Int64Array

UInt32Array = npt.NDArray[np.uint32]

MAX_WEIGHTS = 1 << 26
"""Most cells in the table of weights, nodes times targets: 256 MiB. Beyond, it is slow in any engine."""

MAX_TARGETS = 4096
"""Most targets or classes: the totals of sixteen rows stay in the processor's cache."""

_INFINITY_KEY = 0x7F800000
_LINKS = {b"NONE": trees.LINK_NONE, b"LOGISTIC": trees.LINK_LOGISTIC, b"SOFTMAX": trees.LINK_SOFTMAX}


class TreeTables(NamedTuple):
    """What `stream_infer.kernels.trees.score` takes between cells and scores, in its order."""

    keys: Int32Array
    slots: UInt32Array
    left: UInt32Array
    roots: UInt32Array
    depths: UInt32Array
    columns: UInt32Array
    weights: Float32Array
    base: Float32Array
    divisor: np.float32
    link: int

    @property
    def score_columns(self) -> int:
        """Scores of a row."""
        return 2 if self.link >= trees.LINK_COMPLEMENT else len(self.base)

    def scratch(self, width: int) -> tuple[Int32Array, UInt32Array, Float32Array]:
        """What the kernel writes on while it walks rows of ``width`` cells; of one call at a time."""
        lanes = trees.LANES
        return (
            np.empty(2 * width * lanes, np.int32),
            np.empty(lanes, np.uint32),
            np.empty(len(self.base) * lanes, np.float32),
        )

    def splits(self, width: int) -> list[Int32Array]:
        """The keys that each of ``width`` features is split at, ascending, each once."""
        inner = self.keys != trees.HIGHEST_KEY
        features, keys = self.slots[inner] // trees.LANES % width, self.keys[inner]
        order = np.lexsort((keys, features))
        bounds = np.searchsorted(features[order], np.arange(width + 1))
        return [np.unique(keys[order[first:last]]) for first, last in itertools.pairwise(bounds.tolist())]


def order_key(values: Float32Array) -> Int32Array:
    """Whole numbers in the order of the floats, the next number for the next float; zeros of both signs are 0."""
    bits = np.ascontiguousarray(values, np.float32).view(np.int32)
    magnitude = bits & np.int32(0x7FFFFFFF)
    return np.where(bits < 0, -magnitude, magnitude)


def from_order_key(keys: Int32Array) -> Float32Array:
    """The floats of such numbers; those beyond the infinities are infinities."""
    magnitude = np.minimum(np.abs(keys), _INFINITY_KEY).astype(np.int32).view(np.float32)
    return np.where(keys < 0, -magnitude, magnitude)


def build_tables(ensemble: Ensemble, width: int) -> TreeTables:
    """The tables of an ensemble that reads rows of ``width`` cells.

    Raises:
        NotCovered: the kernel has no rule for what the ensemble says, or its trees are not trees.
    """
    features = ensemble.feature[~ensemble.is_leaf]
    if (features < 0).any() or (features >= width).any():
        raise NotCovered(f"the trees read other cells than the {width} of a row")
    order, tree, depths = _lay_out(ensemble)
    base, link = _ending(ensemble)
    columns, weights = _place_weights(ensemble, len(base))
    return TreeTables(
        keys=_keys(ensemble)[order],
        slots=_slots(ensemble, width)[order],
        left=_left(ensemble, order),
        roots=np.searchsorted(tree, np.arange(ensemble.trees)).astype(np.uint32),
        depths=depths,
        columns=columns,
        weights=weights[order],
        base=base,
        divisor=np.float32(ensemble.trees if ensemble.average else 1),
        link=link,
    )


# --- nodes ---


def _goes_left(ensemble: Ensemble) -> npt.NDArray[np.bool_]:
    """By node: the comparison holds for small values, so that its child is the left one."""
    left: npt.NDArray[np.bool_] = ~np.isin(ensemble.mode, (GTE, GT))
    return left


def _keys(ensemble: Ensemble) -> Int32Array:
    """What a cell must be above to go right. ``x < v`` is "not above the float before v", and so is ``x >= v``."""
    keys = order_key(ensemble.threshold) - np.isin(ensemble.mode, (LT, GTE)).astype(np.int32)
    return np.where(ensemble.is_leaf, np.int32(trees.HIGHEST_KEY), keys)


def _slots(ensemble: Ensemble, width: int) -> UInt32Array:
    """Where the cell stands among the lanes: in the second half where a missing value goes left."""
    missing_left = ensemble.missing_is_true == _goes_left(ensemble)
    slots = (ensemble.feature + np.where(missing_left, width, 0)) * trees.LANES
    return np.where(ensemble.is_leaf, 0, slots).astype(np.uint32)


def _children(ensemble: Ensemble) -> tuple[Int64Array, Int64Array]:
    """Left and right child of each node."""
    goes_left = _goes_left(ensemble)
    left = np.where(goes_left, ensemble.when_true, ensemble.when_false)
    return left, np.where(goes_left, ensemble.when_false, ensemble.when_true)


def _lay_out(ensemble: Ensemble) -> tuple[Int64Array, Int64Array, UInt32Array]:
    """An order of the nodes in which two children stand side by side, and a tree's top close together.

    Tree by tree, and each by its levels. Returns the nodes in that order, the tree of each, and the depth of each tree.

    Raises:
        NotCovered: a node is reached twice, or never.
    """
    left, right = _children(ensemble)
    is_leaf = ensemble.is_leaf
    owner = np.arange(ensemble.trees)
    level = np.searchsorted(ensemble.tree, owner)
    depths = np.zeros(ensemble.trees, np.uint32)
    levels, owners = [level], [owner]
    placed = len(level)
    while len(level) and placed <= len(is_leaf):
        inner = ~is_leaf[level]
        depths[owner[inner]] = len(levels)
        level, owner = np.column_stack((left[level[inner]], right[level[inner]])).ravel(), owner[inner].repeat(2)
        levels.append(level)
        owners.append(owner)
        placed += len(level)
    order, tree = np.concatenate(levels), np.concatenate(owners)
    if len(order) != len(is_leaf) or len(np.unique(order)) != len(order):
        raise NotCovered("a node of a tree is reached twice, or never")
    by_tree = np.argsort(tree, kind="stable")
    return order[by_tree], tree[by_tree], depths


def _left(ensemble: Ensemble, order: Int64Array) -> UInt32Array:
    """The left child of each node, both by their place in ``order``; a leaf is its own."""
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    left = np.where(ensemble.is_leaf, np.arange(len(order)), _children(ensemble)[0])
    return places[left[order]].astype(np.uint32)


# --- weights, and what becomes of their sums ---


def _place_weights(ensemble: Ensemble, totals: int) -> tuple[UInt32Array, Float32Array]:
    """The first total that each tree's weights go to, and the weights by node ``[nodes, width]``.

    Where every tree weighs for one target only, as in boosting, the table has one column; else one for each target.

    Raises:
        NotCovered: a leaf weighs nothing, or twice for the same target, or for one that is not there.
    """
    node, target = ensemble.weight_node, ensemble.weight_target
    if not len(node) == len(target) == len(ensemble.weight):
        raise NotCovered("the leaves' weights and targets are not as many")
    if (target < 0).any() or (target >= totals).any():
        raise NotCovered("a leaf weighs for a target that is not there")
    if len(np.unique(node * totals + target)) != len(node) or (~ensemble.is_leaf[node]).any():
        raise NotCovered("a node weighs twice for one target, or is no leaf")
    if len(np.unique(node)) != int(ensemble.is_leaf.sum()):
        raise NotCovered("a leaf weighs nothing")
    columns = _only_target(ensemble)
    if columns is not None:
        weights = np.zeros((len(ensemble.tree), 1), np.float32)
        weights[node, 0] = ensemble.weight
        return columns, weights
    if len(ensemble.tree) * totals > MAX_WEIGHTS:
        raise NotCovered(f"{len(ensemble.tree)} nodes times {totals} targets are too many")
    weights = np.zeros((len(ensemble.tree), totals), np.float32)
    weights[node, target] = ensemble.weight
    return np.zeros(ensemble.trees, np.uint32), weights


def _only_target(ensemble: Ensemble) -> UInt32Array | None:
    """The one target that each tree weighs for; None where a tree weighs for several."""
    tree = ensemble.tree[ensemble.weight_node]
    only = np.zeros(ensemble.trees, np.uint32)
    only[tree] = ensemble.weight_target
    return only if (only[tree] == ensemble.weight_target).all() else None


def _ending(ensemble: Ensemble) -> tuple[Float32Array, int]:
    """What is added to each total, and the link from totals to scores.

    Raises:
        NotCovered: there is no rule for it.
    """
    if ensemble.transform not in _LINKS:
        raise NotCovered(f"post_transform is {ensemble.transform.decode(errors='replace')}")
    link = _LINKS[ensemble.transform]
    if ensemble.classifier and ensemble.targets == 2:
        return _two_classes(ensemble, link)
    if not (2 if ensemble.classifier else 1) <= ensemble.targets <= MAX_TARGETS:
        raise NotCovered(f"the trees have {ensemble.targets} classes or targets")
    if ensemble.targets == 1 and link != trees.LINK_NONE:
        raise NotCovered(f"post_transform of one target is {ensemble.transform.decode()}")
    base = _base(ensemble, ensemble.targets)
    # ONNX Runtime adds the base value of a target that no leaf of a row weighs for to a class, but not to a target.
    if not ensemble.classifier and any(not _always_weighs(ensemble, int(at)) for at in np.flatnonzero(base)):
        raise NotCovered("some rows have no weight for a target with a base value")
    return base, link


def _two_classes(ensemble: Ensemble, link: int) -> tuple[Float32Array, int]:
    """One total decides between two classes where all weights are for the first and at most one base value is given."""
    classes = set(np.unique(ensemble.weight_target).tolist())
    if classes == {0} and len(ensemble.base) < 2:
        return _base(ensemble, 1), _link_of_one(ensemble, link)
    if len(ensemble.base):
        raise NotCovered(f"there are {len(ensemble.base)} base values for two classes")
    if not _always_weighs(ensemble, 1):
        raise NotCovered("some rows have no weight for the second class")
    return _base(ensemble, 2), link


def _link_of_one(ensemble: Ensemble, link: int) -> int:
    if link == trees.LINK_LOGISTIC:
        return trees.LINK_LOGISTIC_PAIR
    # Weights that are all positive are taken for probabilities.
    return trees.LINK_NEGATED if (ensemble.weight < 0).any() else trees.LINK_COMPLEMENT


def _always_weighs(ensemble: Ensemble, target: int) -> bool:
    """True where in some tree every leaf weighs for this target."""
    weighing = ensemble.weight_node[ensemble.weight_target == target]
    leaves = np.bincount(ensemble.tree[ensemble.is_leaf], minlength=ensemble.trees)
    return bool((np.bincount(ensemble.tree[weighing], minlength=ensemble.trees) == leaves).any())


def _base(ensemble: Ensemble, totals: int) -> Float32Array:
    if len(ensemble.base) not in (0, totals):
        raise NotCovered(f"there are {len(ensemble.base)} base values for {totals} totals")
    return ensemble.base if len(ensemble.base) else np.zeros(totals, np.float32)


__all__ = ["TreeTables", "build_tables", "from_order_key", "order_key"]
