"""Ensembles of trees as small Python values, the ONNX operators they become, and what they answer, told plainly."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from onnx import helper

from tests.scoring import zoo

COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "BRANCH_LEQ": lambda cell, value: bool(cell <= value),
    "BRANCH_LT": lambda cell, value: bool(cell < value),
    "BRANCH_GTE": lambda cell, value: bool(cell >= value),
    "BRANCH_GT": lambda cell, value: bool(cell > value),
}


@dataclass(frozen=True)
class Leaf:
    """What a row that ends here weighs, by target."""

    weights: Mapping[int, float]


@dataclass(frozen=True)
class Split:
    """A comparison, and where it leads."""

    feature: int
    mode: str
    threshold: float
    missing_is_true: bool
    when_true: Tree
    when_false: Tree


Tree = Leaf | Split


@dataclass(frozen=True)
class Forest:
    """A tree ensemble operator. ``classes`` of 0 make it a regressor."""

    trees: Sequence[Tree]
    targets: int = 1
    classes: int = 0
    base: Sequence[float] = ()
    transform: str = "NONE"
    average: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def op(self) -> str:
        return "TreeEnsembleClassifier" if self.classes else "TreeEnsembleRegressor"

    def attributes(self) -> dict[str, Any]:
        """The operator's, by name."""
        prefix = "class" if self.classes else "target"
        nodes: dict[str, list[Any]] = {f"nodes_{name}": [] for name in _NODE_PARTS}
        weights: dict[str, list[Any]] = {f"{prefix}_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}
        for number, tree in enumerate(self.trees):
            _add_tree(number, tree, nodes, weights)
        found: dict[str, Any] = {**nodes, **weights, "post_transform": self.transform}
        if self.base:
            found["base_values"] = list(self.base)
        if self.classes:
            found["classlabels_int64s"] = list(range(self.classes))
        else:
            found["n_targets"] = self.targets
            found["aggregate_function"] = "AVERAGE" if self.average else "SUM"
        return {**found, **self.extra}

    def node(self, source: str = "X", scores: str = "scores") -> Any:
        """The operator."""
        outputs = ["label", scores] if self.classes else [scores]
        return helper.make_node(self.op, [source], outputs, domain="ai.onnx.ml", **self.attributes())

    def model(self, width: int) -> bytes:
        """A graph of this one node, from ``X`` ``[n, width]`` to ``scores``."""
        outputs: list[zoo.Tensor] = [("scores", zoo.FLOAT, ["n", self.classes or self.targets])]
        if self.classes:
            outputs.append(("label", zoo.INT64, ["n"]))
        return zoo.model([self.node()], [("X", zoo.FLOAT, ["n", width])], outputs)

    def totals(self, row: npt.NDArray[np.float32], targets: int) -> npt.NDArray[np.float32]:
        """What the trees' leaves add up to for a row, by target, float32."""
        totals = np.zeros(targets, np.float32)
        for tree in self.trees:
            while isinstance(tree, Split):
                tree = tree.when_true if _holds(tree, row[tree.feature]) else tree.when_false
            for target, weight in tree.weights.items():
                totals[target] += np.float32(weight)
        return totals


_NODE_PARTS = (
    "treeids",
    "nodeids",
    "featureids",
    "modes",
    "values",
    "truenodeids",
    "falsenodeids",
    "missing_value_tracks_true",
)


def _holds(split: Split, cell: np.float32) -> bool:
    if math.isnan(cell):
        return split.missing_is_true
    return COMPARE[split.mode](cell, np.float32(split.threshold))


def _add_tree(number: int, tree: Tree, nodes: dict[str, list[Any]], weights: dict[str, list[Any]]) -> None:
    """Number the nodes of a tree as exporters do: a node before its children, the true one's whole branch first."""
    prefix = next(iter(weights)).split("_")[0]
    count = 0

    def add(place: Tree) -> int:
        nonlocal count
        own = count
        count += 1
        at = len(nodes["nodes_nodeids"])
        split = place if isinstance(place, Split) else Split(0, "LEAF", 0.0, False, place, place)
        values = (number, own, split.feature, split.mode, split.threshold, 0, 0, int(split.missing_is_true))
        for name, value in zip(_NODE_PARTS, values, strict=True):
            nodes[f"nodes_{name}"].append(value)
        if isinstance(place, Split):
            nodes["nodes_truenodeids"][at] = add(place.when_true)
            nodes["nodes_falsenodeids"][at] = add(place.when_false)
        else:
            for target, weight in place.weights.items():
                for name, value in zip(
                    ("treeids", "nodeids", "ids", "weights"), (number, own, target, weight), strict=True
                ):
                    weights[f"{prefix}_{name}"].append(value)
        return own

    add(tree)


def as_read(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as `stream_infer.scoring.tree_graph` reads them of a file; empty ones are absent there."""
    read: dict[str, Any] = {}
    for name, value in attributes.items():
        if isinstance(value, str):
            read[name] = value.encode()
        elif isinstance(value, list) and value and isinstance(value[0], str):
            read[name] = [text.encode() for text in value]
        elif isinstance(value, list) and value:
            read[name] = np.array(value, np.float32 if isinstance(value[0], float) else np.int64)
        elif not isinstance(value, list):
            read[name] = value
    return read


# --- generated ones ---

THRESHOLDS = st.sampled_from([0.0, -0.0, 1.0, -1.5, 0.1, 1e-45, -1e-38, 3.4e38, math.inf, -math.inf]) | st.floats(
    -4, 4, width=32
)
CELLS = THRESHOLDS | st.just(math.nan)


def trees(width: int, targets: st.SearchStrategy[Sequence[int]], modes: Sequence[str]) -> st.SearchStrategy[Tree]:
    """Trees over rows of ``width`` cells whose leaves each weigh for the drawn targets."""
    weights = st.floats(-2, 2, width=32)

    def leaf(chosen: Sequence[int]) -> st.SearchStrategy[Leaf]:
        return st.builds(Leaf, st.fixed_dictionaries(dict.fromkeys(chosen, weights)))

    def tree(chosen: Sequence[int]) -> st.SearchStrategy[Tree]:
        def split(children: st.SearchStrategy[Tree]) -> st.SearchStrategy[Split]:
            feature, mode = st.integers(0, width - 1), st.sampled_from(list(modes))
            return st.builds(Split, feature, mode, THRESHOLDS, st.booleans(), children, children)

        return st.recursive(leaf(chosen), split, max_leaves=8)

    return targets.flatmap(tree)


def stump(low: float = -1.0, high: float = 2.0, target: int = 0, mode: str = "BRANCH_LEQ") -> Split:
    """One split of the first cell at 0.5."""
    return Split(0, mode, 0.5, False, Leaf({target: low}), Leaf({target: high}))
