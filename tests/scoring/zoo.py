"""Small ONNX models of every kind that a bundle must carry or refuse, built with `onnx.helper`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

FLOAT, DOUBLE, INT64, STRING = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING
Tensor = tuple[str, int, Sequence[Any]]


def model(
    nodes: Sequence[Any],
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    constants: dict[str, npt.NDArray[Any]] | None = None,
    opset: int = 17,
) -> bytes:
    """A model of these nodes; a tensor is (name, element type, shape)."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(*tensor) for tensor in inputs],
        [helper.make_tensor_value_info(*tensor) for tensor in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    built = helper.make_model(graph, opset_imports=imports, ir_version=8, producer_name="tests")
    return bytes(built.SerializeToString(deterministic=True))


def direct(data: bytes, output: str, feed: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """What a plain session answers, with one thread in a call as in production."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    answer: npt.NDArray[Any] = ort.InferenceSession(data, options).run([output], feed)[0]
    return answer


def linear(width: int = 3, dtype: type = np.float32, batch: Any = "n", squeeze: bool = False) -> bytes:
    """``sigmoid(X @ w + b)``: ``[n, 1]``, or ``[n]`` where squeezed."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    weights: npt.NDArray[Any] = np.linspace(-1, 1, width).astype(dtype).reshape(width, 1)
    nodes = [
        helper.make_node("MatMul", ["X", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["column" if squeeze else "score"]),
    ]
    constants = {"w": weights, "b": np.array([0.1], dtype)}
    if squeeze:
        nodes.append(helper.make_node("Squeeze", ["column", "axis"], ["score"]))
        constants["axis"] = np.array([1])
    return model(nodes, [("X", kind, [batch, width])], [("score", kind, [batch] if squeeze else [batch, 1])], constants)


def trees(width: int = 3, count: int = 20, depth: int = 3, zipmap: bool = False) -> bytes:
    """A binary classifier of complete random trees: ``label`` int64 ``[n]``, ``probabilities`` ``[n, 2]``."""
    rng = np.random.default_rng(7)
    inner, total = 2**depth - 1, 2 ** (depth + 1) - 1
    ids = [node for _ in range(count) for node in range(total)]
    is_leaf = [node >= inner for node in ids]
    leaves = [(tree, node) for tree in range(count) for node in range(inner, total)]
    probabilities = "raw" if zipmap else "probabilities"
    forest = helper.make_node(
        "TreeEnsembleClassifier",
        ["X"],
        ["label", probabilities],
        domain="ai.onnx.ml",
        nodes_treeids=[tree for tree in range(count) for _ in range(total)],
        nodes_nodeids=ids,
        nodes_featureids=[0 if leaf else int(rng.integers(width)) for leaf in is_leaf],
        nodes_modes=["LEAF" if leaf else "BRANCH_LEQ" for leaf in is_leaf],
        nodes_values=[0.0 if leaf else float(rng.normal()) for leaf in is_leaf],
        nodes_truenodeids=[0 if node >= inner else 2 * node + 1 for node in ids],
        nodes_falsenodeids=[0 if node >= inner else 2 * node + 2 for node in ids],
        nodes_missing_value_tracks_true=[int(not leaf and rng.random() < 0.5) for leaf in is_leaf],
        class_treeids=[tree for tree, _ in leaves],
        class_nodeids=[node for _, node in leaves],
        class_ids=[0] * len(leaves),
        class_weights=[float(rng.normal() / 3) for _ in leaves],
        classlabels_int64s=[0, 1],
        post_transform="LOGISTIC",
    )
    if not zipmap:
        outputs: list[Tensor] = [("label", INT64, ["n"]), ("probabilities", FLOAT, ["n", 2])]
        return model([forest], [("X", FLOAT, ["n", width])], outputs)
    mapped = helper.make_node("ZipMap", ["raw"], ["probabilities"], domain="ai.onnx.ml", classlabels_int64s=[0, 1])
    built = helper.make_model(
        helper.make_graph(
            [forest, mapped],
            "test",
            [helper.make_tensor_value_info("X", FLOAT, ["n", width])],
            [
                helper.make_tensor_value_info("label", INT64, ["n"]),
                helper.make_value_info(
                    "probabilities",
                    helper.make_sequence_type_proto(
                        helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, None))
                    ),
                ),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)],
        ir_version=8,
    )
    return bytes(built.SerializeToString())


def stump(threshold: float = 100.0) -> bytes:
    """One split of the first of three cells: ``probabilities`` ``[n, 2]``, the second 0.1 up to it and 0.9 above."""
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["X"],
        ["label", "probabilities"],
        domain="ai.onnx.ml",
        nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2],
        nodes_featureids=[0, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"],
        nodes_values=[threshold, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0],
        nodes_falsenodeids=[2, 0, 0],
        class_treeids=[0, 0],
        class_nodeids=[1, 2],
        class_ids=[0, 0],
        class_weights=[0.1, 0.9],
        classlabels_int64s=[0, 1],
    )
    outputs: list[Tensor] = [("label", INT64, ["n"]), ("probabilities", FLOAT, ["n", 2])]
    return model([node], [("X", FLOAT, ["n", 3])], outputs)


def multi_class(width: int = 3, classes: int = 4) -> bytes:
    """``softmax(X @ w)``: ``probabilities`` ``[n, classes]``."""
    weights = np.random.default_rng(3).normal(size=(width, classes)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["X", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    return model(nodes, [("X", FLOAT, ["n", width])], [("probabilities", FLOAT, ["n", classes])], {"w": weights})


def perceptron(width: int = 3, hidden: int = 16) -> bytes:
    """A network of one hidden layer: ``score`` ``[n, 1]``."""
    rng = np.random.default_rng(5)
    constants = {
        "w1": rng.normal(size=(width, hidden)).astype(np.float32),
        "b1": rng.normal(size=hidden).astype(np.float32),
        "w2": rng.normal(size=(hidden, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Gemm", ["X", "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    return model(nodes, [("X", FLOAT, ["n", width])], [("score", FLOAT, ["n", 1])], constants)


def mixed_inputs() -> bytes:
    """Three inputs: ``amount`` float ``[n, 1]``, ``count`` int64 ``[n, 1]``, ``country`` string ``[n, 1]``.

    ``score = amount * 0.5 + (count mod 10) * 0.25 + (1 if country = "NO")``.
    """
    onehot = helper.make_node("OneHotEncoder", ["country"], ["hot3"], domain="ai.onnx.ml", cats_strings=["NO"], zeros=1)
    nodes = [
        onehot,
        helper.make_node("Reshape", ["hot3", "flat"], ["hot"]),
        helper.make_node("Mod", ["count", "ten"], ["rest"]),
        helper.make_node("Cast", ["rest"], ["rest_float"], to=FLOAT),
        helper.make_node("Mul", ["rest_float", "quarter"], ["counted"]),
        helper.make_node("Mul", ["amount", "half"], ["paid"]),
        helper.make_node("Sum", ["paid", "counted", "hot"], ["score"]),
    ]
    constants = {
        "flat": np.array([-1, 1]),
        "ten": np.array([10]),
        "quarter": np.array([0.25], np.float32),
        "half": np.array([0.5], np.float32),
    }
    inputs: list[Tensor] = [("amount", FLOAT, ["n", 1]), ("count", INT64, ["n", 1]), ("country", STRING, ["n", 1])]
    return model(nodes, inputs, [("score", FLOAT, ["n", 1])], constants)


def fails_on_large(width: int = 3) -> bytes:
    """``table[int(X[:, 0])]`` with a table of ten: fails where the first cell is 10 or more."""
    nodes = [
        helper.make_node("Gather", ["X", "first"], ["cell"], axis=1),
        helper.make_node("Cast", ["cell"], ["index"], to=INT64),
        helper.make_node("Gather", ["table", "index"], ["score"]),
    ]
    constants = {"first": np.array([0]), "table": np.linspace(0, 0.9, 10).astype(np.float32)}
    return model(nodes, [("X", FLOAT, ["n", width])], [("score", FLOAT, ["n", 1])], constants)


def divides(width: int = 1) -> bytes:
    """``1 / X[:, 0]``: infinite for 0, NaN for NaN."""
    nodes = [helper.make_node("Reciprocal", ["X"], ["score"])]
    return model(nodes, [("X", FLOAT, ["n", width])], [("score", FLOAT, ["n", width])])


def rows_of_call() -> bytes:
    """How many rows the call had, as every row's score."""
    nodes = [
        helper.make_node("Mul", ["X", "zero"], ["nothing"]),
        helper.make_node("Shape", ["X"], ["rows"], start=0, end=1),
        helper.make_node("Cast", ["rows"], ["count"], to=FLOAT),
        helper.make_node("Add", ["nothing", "count"], ["score"]),
    ]
    constants = {"zero": np.array([0], np.float32)}
    return model(nodes, [("X", FLOAT, ["n", 1])], [("score", FLOAT, ["n", 1])], constants)


def mean_of_batch(width: int = 3) -> bytes:
    """One row whatever the batch."""
    nodes = [helper.make_node("ReduceMean", ["X"], ["score"], axes=[0, 1], keepdims=1)]
    return model(nodes, [("X", FLOAT, ["n", width])], [("score", FLOAT, [None, 1])])


def minus_mean_of_batch(width: int = 3, batch: Any = "n") -> bytes:
    """One row per input row, but each depends on all: ``mean(X - mean(X))`` by row."""
    nodes = [
        helper.make_node("ReduceMean", ["X"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["X", "mean"], ["centred"]),
        helper.make_node("ReduceMean", ["centred"], ["score"], axes=[1], keepdims=1),
    ]
    return model(nodes, [("X", FLOAT, [batch, width])], [("score", FLOAT, [batch, 1])])


def slow(steps: int = 2_000_000) -> bytes:
    """``X`` through a loop of ``steps`` small nodes: long enough to be stopped."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Cos", ["x"], ["y"])],
        "body",
        [
            helper.make_tensor_value_info("i", INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", FLOAT, None),
        ],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, []), helper.make_tensor_value_info("y", FLOAT, None)],
    )
    nodes = [helper.make_node("Loop", ["steps", "go", "X"], ["score"], body=body)]
    constants = {"steps": np.array(steps), "go": np.array(True)}
    return model(nodes, [("X", FLOAT, ["n", 1])], [("score", FLOAT, ["n", 1])], constants)


def draws_at_random() -> bytes:
    """Adds noise."""
    nodes = [
        helper.make_node("RandomNormalLike", ["X"], ["noise"]),
        helper.make_node("Add", ["X", "noise"], ["score"]),
    ]
    return model(nodes, [("X", FLOAT, ["n", 1])], [("score", FLOAT, ["n", 1])])
