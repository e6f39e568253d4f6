"""Attributes are read as the `onnx` package reads them, and parts hold what they need and no more."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from stream_infer.scoring.tree_attributes import read_ensemble
from stream_infer.scoring.tree_graph import NotCovered, split_graph
from stream_infer.scoring.tree_tables import build_tables, from_order_key, order_key
from tests.scoring import zoo
from tests.scoring.test_tree_runtime import with_surroundings
from tests.scoring.tree_models import Forest, as_read, stump

MODES = ["LEAF", "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]
ATTRIBUTES = st.fixed_dictionaries(
    {
        "nodes_nodeids": st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300), max_size=50),
        "nodes_values": st.lists(st.floats(width=32), max_size=50),
        "nodes_modes": st.lists(st.sampled_from(MODES), max_size=50),
        "classlabels_strings": st.lists(st.text() | st.sampled_from(MODES), max_size=5),
        "n_targets": st.integers(0, 2**40),
        "post_transform": st.text(max_size=5),
    }
)


@given(attributes=ATTRIBUTES)
def test_attributes_are_those_of_the_onnx_package(attributes: dict[str, Any]) -> None:
    kept = {name: value for name, value in attributes.items() if value != []}
    node = helper.make_node("TreeEnsembleRegressor", ["X"], ["scores"], domain="ai.onnx.ml", **kept)
    model = zoo.model([node], [("X", zoo.FLOAT, ["n", 3])], [("scores", zoo.FLOAT, ["n", 1])])
    found = split_graph(model, "scores").attributes
    expected = as_read(kept)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, strict=isinstance(value, np.ndarray))


def test_parts_hold_what_they_need_and_no_more() -> None:
    graph = split_graph(with_surroundings(), "scores")
    assert (graph.source, graph.scores, graph.before_inputs) == ("cells", "raw", frozenset({"X"}))
    parts = {name: onnx.load_from_string(getattr(graph, name)) for name in ("before", "rest", "after")}
    for part in parts.values():
        onnx.checker.check_model(part)
    found = {name: [node.op_type for node in part.graph.node] for name, part in parts.items()}
    assert found == {
        "before": ["Sub", "Imputer"],
        "rest": ["TreeEnsembleClassifier", "Gather", "Mul"],
        "after": ["Gather", "Mul"],
    }
    constants = {name: [tensor.name for tensor in part.graph.initializer] for name, part in parts.items()}
    assert constants == {"before": ["means"], "rest": ["second"], "after": ["second"]}


def test_trees_between_input_and_output_have_no_parts_around_them() -> None:
    graph = split_graph(zoo.trees(), "probabilities")
    assert (graph.before, graph.rest, graph.after) == (None, None, None)


ONE, TWO = np.float32(1), np.float32(2)


@pytest.mark.parametrize(
    ("factor", "raw", "is_same"),
    [
        (np.array([ONE]), False, True),
        (np.array([ONE]), True, True),
        (np.array(ONE), False, True),
        (np.array([TWO]), False, False),
        (np.array([ONE, ONE]), False, False),
        (np.array([[[ONE]]]), False, False),
    ],
)
def test_names_and_factors_of_one_after_the_trees_are_left_out(
    factor: npt.NDArray[np.float32], raw: bool, is_same: bool
) -> None:
    nodes = [
        Forest([stump()], classes=2).node(scores="raw"),
        helper.make_node("Identity", ["raw"], ["named"]),
        helper.make_node("Mul", ["factor", "named"], ["scores"]),
    ]
    model = onnx.load_from_string(zoo.model(nodes, [("X", zoo.FLOAT, ["n", 3])], [("scores", zoo.FLOAT, ["n", 2])]))
    values = factor.tobytes() if raw else factor.ravel().tolist()
    model.graph.initializer.append(helper.make_tensor("factor", zoo.FLOAT, factor.shape, values, raw))
    assert (split_graph(model.SerializeToString(), "scores").after is None) == is_same


def test_a_square_after_the_trees_stays() -> None:
    nodes = [Forest([stump()]).node(scores="raw"), helper.make_node("Mul", ["raw", "raw"], ["scores"])]
    model = zoo.model(nodes, [("X", zoo.FLOAT, ["n", 3])], [("scores", zoo.FLOAT, ["n", 1])])
    assert split_graph(model, "scores").after is not None


@settings(max_examples=300)
@given(data=st.data())
def test_damage_is_either_read_or_refused(data: st.DataObject) -> None:
    model = bytearray(Forest([stump(), stump()], classes=2).model(3))
    for _ in range(data.draw(st.integers(1, 4))):
        model[data.draw(st.integers(0, len(model) - 1))] = data.draw(st.integers(0, 255))
    try:
        graph = split_graph(bytes(model), "scores")
        build_tables(read_ensemble(graph.op, graph.attributes), 3)
    except NotCovered:
        return


FLOATS = st.floats(width=32, allow_nan=False)


@given(a=FLOATS, b=FLOATS)
def test_keys_are_in_the_order_of_the_floats(a: float, b: float) -> None:
    low, high = order_key(np.array([a, b], np.float32)).tolist()
    assert (low < high, low == high) == (a < b, a == b)
    np.testing.assert_array_equal(from_order_key(np.array([low], np.int32)), [np.float32(a)])


@given(value=st.floats(-(2.0**100), 2.0**100, width=32))
def test_the_next_key_is_the_next_float(value: float) -> None:
    key = order_key(np.array([value], np.float32))
    above, below = np.nextafter(np.float32(value), np.array([np.inf, -np.inf], np.float32))
    np.testing.assert_array_equal(from_order_key(np.concatenate([key + 1, key - 1])), [above, below])
