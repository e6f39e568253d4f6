"""From the tables of trees in lock-step to those of which every node is asked (`stream_infer.kernels.trees`).

Rule: the same trees, leaf for leaf; only where that is cheaper, and only trees that have a bit for every leaf.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infer.kernels import trees
from stream_infer.scoring.tree_tables import TreeTables
from stream_infer.types import Float32Array, Int32Array, Int64Array

UInt32Array = npt.NDArray[np.uint32]

NODES_PER_STEP = 4
"""Asking so many nodes takes no longer than one step in lock-step (0.08 to 0.13 and 0.45 ns a row, measured)."""


class WideTables(NamedTuple):
    """What `stream_infer.kernels.trees.score_wide` takes between cells and scores, in its order."""

    keys: Int32Array
    slots: UInt32Array
    masks: Int32Array
    starts: UInt32Array
    first_leaves: UInt32Array
    columns: UInt32Array
    weights: Float32Array
    base: Float32Array
    divisor: np.float32
    link: int

    def scratch(self, width: int) -> tuple[Int32Array, Int32Array, Float32Array]:
        """What the kernel writes on while it scores rows of ``width`` cells; of one call at a time."""
        lanes = trees.WIDE_LANES
        return (
            np.empty(2 * width * lanes, np.int32),
            np.empty(lanes, np.int32),
            np.empty(len(self.base) * lanes, np.float32),
        )


def widen(tables: TreeTables, nodes_per_step: int = NODES_PER_STEP) -> WideTables | None:
    """The same trees for many rows at a time; None where that would not be faster, or a tree has too many leaves.

    Args:
        tables: the trees in lock-step.
        nodes_per_step: how many nodes may be asked instead of one step.
    """
    depth = int(tables.depths.max(initial=0))
    if depth >= trees.MOST_WIDE_LEAVES:
        # It has more leaves than steps, and the passes below, one for each step, would take long.
        return None
    left = tables.left.astype(np.int64)
    is_leaf = left == np.arange(len(left))
    inner = np.flatnonzero(~is_leaf)
    if len(inner) > nodes_per_step * int(tables.depths.sum()):
        return None
    leaves = _leaves_under(left, inner, is_leaf, depth)
    if leaves[tables.roots].max() > trees.MOST_WIDE_LEAVES:
        return None
    places = _places(left, inner, leaves, depth)
    first_leaves = np.cumsum(leaves[tables.roots]) - leaves[tables.roots]
    found = np.flatnonzero(is_leaf)
    weights = np.empty((len(found), tables.weights.shape[1]), np.float32)
    weights[first_leaves[_tree_of(tables, found)] + places[found]] = tables.weights[found]
    return WideTables(
        keys=tables.keys[inner],
        slots=tables.slots[inner] // np.uint32(trees.LANES) * np.uint32(trees.WIDE_LANES),
        masks=_masks(leaves[left[inner]], places[inner]),
        starts=np.searchsorted(inner, [*tables.roots.tolist(), len(left)]).astype(np.uint32),
        first_leaves=first_leaves.astype(np.uint32),
        columns=tables.columns,
        weights=weights,
        base=tables.base,
        divisor=tables.divisor,
        link=tables.link,
    )


def _tree_of(tables: TreeTables, nodes: Int64Array) -> Int64Array:
    return np.searchsorted(tables.roots, nodes, side="right") - 1


def _leaves_under(left: Int64Array, inner: Int64Array, is_leaf: npt.NDArray[np.bool_], depth: int) -> Int64Array:
    """By node, how many leaves it leads to. Each pass is right for one more level, from the deepest."""
    leaves = is_leaf.astype(np.int64)
    for _ in range(depth):
        leaves[inner] = leaves[left[inner]] + leaves[left[inner] + 1]
    return leaves


def _places(left: Int64Array, inner: Int64Array, leaves: Int64Array, depth: int) -> Int64Array:
    """By node, the place of its leftmost leaf in its tree. Each pass is right for one more level, from the root."""
    places = np.zeros(len(left), np.int64)
    for _ in range(depth):
        places[left[inner]] = places[inner]
        places[left[inner] + 1] = places[inner] + leaves[left[inner]]
    return places


def _masks(left_leaves: Int64Array, places: Int64Array) -> Int32Array:
    """All bits but those of so many leaves from a place on."""
    taken = ((np.int64(1) << left_leaves) - 1) << places
    return (~taken & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


__all__ = ["WideTables", "widen"]
