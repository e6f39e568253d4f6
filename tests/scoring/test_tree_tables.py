"""Attributes that are no well-formed trees never become tables: the kernel follows its tables without looking."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stream_infer.kernels import trees
from stream_infer.scoring import tree_tables
from stream_infer.scoring.tree_attributes import read_ensemble
from stream_infer.scoring.tree_graph import NotCovered
from stream_infer.scoring.tree_tables import TreeTables, build_tables
from tests.scoring.tree_models import Forest, Leaf, Split, as_read, stump

WIDTH = 3
TWO = Forest([Split(1, "BRANCH_LEQ", 0.5, True, stump(), Leaf({0: 3.0})), stump()])
"""Nodes 0 to 4 of the first tree (a split, a split, two leaves, a leaf), nodes 0 to 2 of the second."""


def tables(width: int = WIDTH, **changed: Any) -> TreeTables:
    attributes = {**TWO.attributes(), **changed}
    return build_tables(read_ensemble(TWO.op, as_read(attributes)), width)


def attribute(name: str) -> list[Any]:
    """One of the attributes, to be changed."""
    return list(TWO.attributes()[name])


def at(name: str, place: int, value: Any) -> dict[str, Any]:
    changed = attribute(name)
    changed[place] = value
    return {name: changed}


def shorter(name: str) -> dict[str, list[Any]]:
    return {name: attribute(name)[:-1]}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (at("nodes_nodeids", 1, 0), "the same number"),
        (at("nodes_nodeids", 1, -1), "out of range"),
        (at("nodes_treeids", 2, 1), "do not stand together"),
        ({"nodes_treeids": [], "nodes_nodeids": []}, "no nodes"),
        (at("nodes_truenodeids", 0, 7), "named that is not there"),
        (at("nodes_truenodeids", 0, -1), "named that is not there"),
        (at("nodes_truenodeids", 0, 0), "reached twice, or never"),
        (at("nodes_falsenodeids", 1, 0), "reached twice, or never"),
        (at("nodes_truenodeids", 0, 4), "reached twice, or never"),
        (at("nodes_featureids", 0, WIDTH), "other cells than the 3 of a row"),
        (at("nodes_featureids", 0, -1), "other cells than the 3 of a row"),
        (shorter("nodes_featureids"), "nodes_featureids holds 7 numbers for 8 nodes"),
        (shorter("nodes_values"), "nodes_values holds 7 numbers for 8 nodes"),
        (shorter("nodes_modes"), "nodes_modes holds 7 texts for 8 nodes"),
        (shorter("nodes_missing_value_tracks_true"), "nodes_missing_value_tracks_true holds 7 numbers for 8 nodes"),
        (shorter("target_nodeids"), "not as many"),
        (shorter("target_weights"), "not as many"),
        (at("target_treeids", 0, 5), "names a tree that is not there"),
        (at("target_nodeids", 0, 9), "named that is not there"),
        (at("target_nodeids", 0, 0), "weighs twice for one target, or is no leaf"),
        (at("target_nodeids", 0, 3), "weighs twice for one target, or is no leaf"),
        (at("target_ids", 0, 1), "for a target that is not there"),
        (at("target_ids", 0, -1), "for a target that is not there"),
        ({name: attribute(name)[1:] for name in TWO.attributes() if name.startswith("target_")}, "weighs nothing"),
        ({"n_targets": 0}, "0 classes or targets"),
        ({"nodes_values_as_tensor": 1}, "the trees have nodes_values_as_tensor"),
    ],
)
def test_trees_that_are_not_well_formed_are_not_covered(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(NotCovered, match=reason):
        tables(**changed)


def test_tables_that_would_be_too_large_are_not_covered(monkeypatch: pytest.MonkeyPatch) -> None:
    both = Forest([Split(0, "BRANCH_LT", 0.0, False, *[Leaf({0: 1.0, 1: 2.0})] * 2)], targets=2)
    monkeypatch.setattr(tree_tables, "MAX_WEIGHTS", 5)
    with pytest.raises(NotCovered, match="3 nodes times 2 targets are too many"):
        build_tables(read_ensemble(both.op, as_read(both.attributes())), WIDTH)


def test_a_leaf_may_name_any_cell() -> None:
    assert tables(**at("nodes_featureids", 2, 99)).slots.max() < 2 * WIDTH * trees.LANES


def test_children_stand_side_by_side_and_trees_one_after_the_other() -> None:
    made = tables()
    assert made.roots.tolist() == [0, 5]
    assert made.depths.tolist() == [2, 1]
    assert made.left.tolist() == [1, 3, 2, 3, 4, 6, 6, 7]
    assert made.weights.ravel().tolist() == [0, 0, 3, -1, 2, 0, -1, 2]


def test_splits_are_told_by_feature() -> None:
    half = int(np.float32(0.5).view(np.int32))
    assert [found.tolist() for found in tables().splits(WIDTH)] == [[half], [half], []]
