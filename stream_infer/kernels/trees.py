"""Trees, for many rows at a time.

Rule: no branch depends on a row. A walk that jumps where the row tells it to is mispredicted at every other node.

`score` lets sixteen rows go down a tree in lock-step, each from node to node by arithmetic alone, as often as the tree
is deep. A row that has reached a leaf stays there: the leaf is its own left child, and no cell is above its key.

`score_wide` asks every node of a tree of at most 32 leaves, in any order, for 64 rows at once: a row keeps a bit for
each leaf, counted from the left, and a node that sends it to the right takes away those of its left side. The lowest
bit that is left is the row's leaf (Lucchese et al., QuickScorer, SIGIR 2015). That asks more nodes, but none waits for
another, and the same step for 64 rows is what a processor's vector instructions are for. It pays where trees are deep
for their leaves, as those that grow leaf by leaf are.

Cells and thresholds are compared as whole numbers in the order of the floats (`order_key` in
`stream_infer.scoring.tree_tables` says which), in which an infinity is a number like others, and a missing value (NaN)
lies above everything or below everything: every cell stands twice among the ``lanes``, once for nodes that send a
missing value to the right and once for those that send it to the left.

What the tables promise (`stream_infer.scoring.tree_tables` makes them so): ``left`` of an inner node and the one behind
it, and ``left`` of a leaf, are nodes; ``slots`` are below twice the number of features, times `LANES`; ``columns`` plus
the width of ``weights`` are at most the number of totals. And `stream_infer.scoring.wide_tables`: ``slots`` likewise,
times `WIDE_LANES`; no mask takes away every bit that a row may still have, so that a leaf is left.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.kernels.compiled import kernel

Int32Array = npt.NDArray[np.int32]
UInt32Array = npt.NDArray[np.uint32]
Float32Array = npt.NDArray[np.float32]

LANES = 16
"""Rows in lock-step: enough to hide the latency of the loads. Eight are slower, and more have no registers left."""

WIDE_LANES = 64
"""Rows of which each node is asked at once. Sixteen and 32 are unrolled by the compiler and then not made vectors of;
128 gain another 4 % and cost twice as much where fewer rows are there."""

MOST_WIDE_LEAVES = 32
"""Bits of a row."""

HIGHEST_KEY = 0x7FFFFFFF
"""Above or equal to every cell. The key of leaves, and of a missing value that goes to the right."""

_ALL = np.int32(-1)
_INFINITY = 0x7F800000
_MAGNITUDE = 0x7FFFFFFF

LINK_NONE, LINK_LOGISTIC, LINK_SOFTMAX = 0, 1, 2
"""What becomes of k totals: nothing, the logistic function of each, their softmax."""
LINK_COMPLEMENT, LINK_NEGATED, LINK_LOGISTIC_PAIR = 3, 4, 5
"""What becomes of the one total s of two classes: 1 - s and s, -s and s, or the logistic function of those."""


@kernel
def score(
    cells: Int32Array,
    keys: Int32Array,
    slots: UInt32Array,
    left: UInt32Array,
    roots: UInt32Array,
    depths: UInt32Array,
    columns: UInt32Array,
    weights: Float32Array,
    base: Float32Array,
    divisor: Any,
    link: int,
    lanes: Int32Array,
    leaves: UInt32Array,
    totals: Float32Array,
    scores: Float32Array,
) -> None:
    """Fill the scores of n rows.

    Args:
        cells: the bits of float32 cells, ``[n, F]``.
        keys: by node, what a cell must be above for the row to go right.
        slots: by node, where among the lanes the cell stands.
        left: by node, the left child; the right one follows it.
        roots: by tree, the first node.
        depths: by tree, the steps to the deepest leaf.
        columns: by tree, the first total that its weights go to.
        weights: by node, what a leaf adds to the totals, ``[nodes, width]``.
        base: added to each total when all trees are done, ``[k]``.
        divisor: the totals are divided by it before that; 1 for sums.
        link: one of the ``LINK_`` numbers.
        lanes: scratch, ``[2 * F * LANES]``.
        leaves: scratch, ``[LANES]``.
        totals: scratch, ``[k * LANES]``.
        scores: filled, ``[n, k]``, or ``[n, 2]`` for the links of one total.
    """
    rows = len(cells)
    lanes[:] = 0
    for start in range(0, rows, LANES):
        count = min(LANES, rows - start)
        _spread(cells, start, count, LANES, lanes)
        totals[:] = 0
        _walk(keys, slots, left, roots, depths, columns, weights, lanes, leaves, totals)
        for lane in range(count):
            _finish(totals[lane:], LANES, base, divisor, link, scores[start + lane])


@kernel
def score_wide(
    cells: Int32Array,
    keys: Int32Array,
    slots: UInt32Array,
    masks: Int32Array,
    starts: UInt32Array,
    first_leaves: UInt32Array,
    columns: UInt32Array,
    weights: Float32Array,
    base: Float32Array,
    divisor: Any,
    link: int,
    lanes: Int32Array,
    leaves: Int32Array,
    totals: Float32Array,
    scores: Float32Array,
) -> None:
    """Fill the scores of n rows, the same to the last bit as by `score`.

    Args:
        cells: the bits of float32 cells, ``[n, F]``.
        keys: by inner node, tree by tree, what a cell must be above for the row to go right.
        slots: by inner node, where among the lanes the cell stands.
        masks: by inner node, the leaves that are left to a row that goes right, a bit each.
        starts: by tree, its first inner node; and the number of all, ``[trees + 1]``.
        first_leaves: by tree, the row of ``weights`` of its leftmost leaf; the others follow.
        columns: by tree, the first total that its weights go to.
        weights: what a leaf adds to the totals, ``[leaves, width]``.
        base: added to each total when all trees are done, ``[k]``.
        divisor: the totals are divided by it before that; 1 for sums.
        link: one of the ``LINK_`` numbers.
        lanes: scratch, ``[2 * F * WIDE_LANES]``.
        leaves: scratch, ``[WIDE_LANES]``.
        totals: scratch, ``[k * WIDE_LANES]``.
        scores: filled, ``[n, k]``, or ``[n, 2]`` for the links of one total.
    """
    rows = len(cells)
    lanes[:] = 0
    for start in range(0, rows, WIDE_LANES):
        count = min(WIDE_LANES, rows - start)
        _spread(cells, start, count, WIDE_LANES, lanes)
        totals[:] = 0
        for tree in range(len(first_leaves)):
            _find_leaves(keys, slots, masks, starts[tree], starts[tree + 1], lanes, leaves)
            _add(weights, first_leaves[tree], columns[tree], leaves, totals)
        for lane in range(count):
            _finish(totals[lane:], WIDE_LANES, base, divisor, link, scores[start + lane])


@kernel
def _spread(cells: Int32Array, start: int, count: int, stride: int, lanes: Int32Array) -> None:
    """Put the keys of ``count`` rows side by side, feature by feature: first with NaN above all, then below all."""
    features = cells.shape[1]
    for feature in range(features):
        above, below = feature * stride, (features + feature) * stride
        for lane in range(count):
            bits = cells[start + lane, feature]
            magnitude = bits & _MAGNITUDE
            key = magnitude if bits >= 0 else -magnitude
            missing = magnitude > _INFINITY
            lanes[above + lane] = HIGHEST_KEY if missing else key
            lanes[below + lane] = -HIGHEST_KEY if missing else key


@kernel
def _step(node: Any, lane: int, keys: Int32Array, slots: UInt32Array, left: UInt32Array, lanes: Int32Array) -> Any:
    """The child that a lane's row goes to. Indices are unsigned: a signed one would be checked for being negative."""
    return left[node] + np.uint64(lanes[slots[node] + np.uint64(lane)] > keys[node])


@kernel
def _walk(
    keys: Int32Array,
    slots: UInt32Array,
    left: UInt32Array,
    roots: UInt32Array,
    depths: UInt32Array,
    columns: UInt32Array,
    weights: Float32Array,
    lanes: Int32Array,
    leaves: UInt32Array,
    totals: Float32Array,
) -> None:
    """Add up what the leaves weigh that each lane ends at.

    The lanes are written out, for a place in an array would be memory and not a register. What belongs to the sum
    stands here and not in a kernel of its own: that costs a fifth more.
    """
    for tree in range(len(roots)):
        n0 = n1 = n2 = n3 = n4 = n5 = n6 = n7 = n8 = n9 = n10 = n11 = n12 = n13 = n14 = n15 = np.uint64(roots[tree])
        for _ in range(depths[tree]):
            n0 = _step(n0, 0, keys, slots, left, lanes)
            n1 = _step(n1, 1, keys, slots, left, lanes)
            n2 = _step(n2, 2, keys, slots, left, lanes)
            n3 = _step(n3, 3, keys, slots, left, lanes)
            n4 = _step(n4, 4, keys, slots, left, lanes)
            n5 = _step(n5, 5, keys, slots, left, lanes)
            n6 = _step(n6, 6, keys, slots, left, lanes)
            n7 = _step(n7, 7, keys, slots, left, lanes)
            n8 = _step(n8, 8, keys, slots, left, lanes)
            n9 = _step(n9, 9, keys, slots, left, lanes)
            n10 = _step(n10, 10, keys, slots, left, lanes)
            n11 = _step(n11, 11, keys, slots, left, lanes)
            n12 = _step(n12, 12, keys, slots, left, lanes)
            n13 = _step(n13, 13, keys, slots, left, lanes)
            n14 = _step(n14, 14, keys, slots, left, lanes)
            n15 = _step(n15, 15, keys, slots, left, lanes)
        leaves[0], leaves[1], leaves[2], leaves[3] = n0, n1, n2, n3
        leaves[4], leaves[5], leaves[6], leaves[7] = n4, n5, n6, n7
        leaves[8], leaves[9], leaves[10], leaves[11] = n8, n9, n10, n11
        leaves[12], leaves[13], leaves[14], leaves[15] = n12, n13, n14, n15
        # Float32 throughout, and tree by tree: the last bits depend on both.
        first = np.uint64(columns[tree]) * np.uint64(LANES)
        for lane in range(LANES):
            for place in range(weights.shape[1]):
                total = first + np.uint64(place) * np.uint64(LANES) + np.uint64(lane)
                totals[total] += weights[leaves[lane], place]


@kernel
def _find_leaves(
    keys: Int32Array,
    slots: UInt32Array,
    masks: Int32Array,
    begin: Any,
    end: Any,
    lanes: Int32Array,
    leaves: Int32Array,
) -> None:
    """The leaf of one tree that each lane ends at, counted from the left."""
    for lane in range(WIDE_LANES):
        leaves[lane] = _ALL
    last = end - (end - begin) % 2
    for node in range(begin, last, 2):
        # Two nodes at a time: what the lanes have left is read and written half as often.
        slot, key, mask = np.uint64(slots[node]), keys[node], masks[node]
        next_slot, next_key, next_mask = np.uint64(slots[node + 1]), keys[node + 1], masks[node + 1]
        for lane in range(WIDE_LANES):
            left = mask if lanes[slot + np.uint64(lane)] > key else _ALL
            next_left = next_mask if lanes[next_slot + np.uint64(lane)] > next_key else _ALL
            leaves[lane] &= left & next_left
    for node in range(last, end):
        slot, key, mask = np.uint64(slots[node]), keys[node], masks[node]
        for lane in range(WIDE_LANES):
            leaves[lane] &= mask if lanes[slot + np.uint64(lane)] > key else _ALL
    for lane in range(WIDE_LANES):
        # A power of two as a float: its exponent says which. The highest bit is the sign of the whole number, too.
        lowest = np.float32(leaves[lane] & -leaves[lane])
        leaves[lane] = (lowest.view(np.int32) >> 23 & 0xFF) - 127


@kernel
def _add(weights: Float32Array, first_leaf: Any, column: Any, leaves: Int32Array, totals: Float32Array) -> None:
    """Add up what the leaves of one tree weigh, in float32 as everything here."""
    for place in range(weights.shape[1]):
        first = (np.uint64(column) + np.uint64(place)) * np.uint64(WIDE_LANES)
        for lane in range(WIDE_LANES):
            leaf = np.uint64(first_leaf) + np.uint64(leaves[lane])
            totals[first + np.uint64(lane)] += weights[leaf, place]


@kernel
def _logistic(value: Any) -> Any:
    ratio = np.float32(1) / (np.float32(1) + np.exp(-np.abs(value)))
    return np.float32(1) - ratio if value < 0 else ratio


@kernel
def _finish(totals: Float32Array, stride: int, base: Float32Array, divisor: Any, link: int, out: Float32Array) -> None:
    """From a lane's totals, ``stride`` apart, to a row of scores."""
    for column in range(len(base)):
        out[column] = totals[column * stride] / divisor + base[column]
    total = out[0]
    if link == LINK_LOGISTIC:
        for column in range(len(base)):
            out[column] = _logistic(out[column])
    elif link == LINK_SOFTMAX:
        _softmax(out)
    elif link == LINK_COMPLEMENT:
        out[0], out[1] = np.float32(1) - total, total
    elif link == LINK_NEGATED:
        out[0], out[1] = -total, total
    elif link == LINK_LOGISTIC_PAIR:
        out[0], out[1] = _logistic(-total), _logistic(total)


@kernel
def _softmax(values: Float32Array) -> None:
    highest = values[0]
    for value in values:
        highest = max(highest, value)
    total = np.float32(0)
    for at in range(len(values)):
        values[at] = np.exp(values[at] - highest)
        total += values[at]
    for at in range(len(values)):
        values[at] /= total
