"""Writing ONNX by hand: an empty model, nodes appended to a graph, and a tree ensemble with what follows it.

Rule: names are fixed, nothing is drawn or dated, so that the same model gives the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stream_infer import __version__
from stream_infer.export.convert.contract import IR, ML_OPSET, NUMBERS, OPSET
from stream_infer.export.convert.libraries import library
from stream_infer.export.convert.trees import Ensemble, tree_attributes


def matrix_model(width: int) -> Any:
    """An ``onnx.ModelProto`` that has one input, ``X``, float32 ``[n, width]``, and nothing else yet."""
    onnx = library("onnx", "exporting")
    helper = onnx.helper
    given = helper.make_tensor_value_info(NUMBERS, onnx.TensorProto.FLOAT, ["n", width])
    imports = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    return helper.make_model(
        helper.make_graph([], "model", [given], []),
        opset_imports=imports,
        ir_version=IR,
        producer_name="stream_infer",
        producer_version=__version__,
    )


def append_ensemble(model: Any, source: str, ensemble: Ensemble, doubles: bool = False) -> None:
    """Let a model end in an ensemble; its only output is the ensemble's.

    Args:
        model: an ``onnx.ModelProto``; it is changed.
        source: the matrix that the trees read.
        ensemble: the trees.
        doubles: ``source`` is float64, not float32.
    """
    onnx = library("onnx", "exporting")
    graph = model.graph
    node = onnx.helper.make_node("TreeEnsembleRegressor", [source], ["sums"], "trees", domain="ai.onnx.ml")
    for name, value in tree_attributes(ensemble, doubles).items():
        content = onnx.numpy_helper.from_array(value) if isinstance(value, np.ndarray) else value
        if not isinstance(content, list) or content:
            node.attribute.append(onnx.helper.make_attribute(name, content))
    graph.node.append(node)
    _LINKS[ensemble.link](graph, "sums", ensemble.output)
    del graph.output[:]
    info = onnx.helper.make_tensor_value_info(ensemble.output, onnx.TensorProto.FLOAT, ["n", ensemble.columns])
    graph.output.append(info)


def widen_input(model: Any) -> None:
    """Let a model whose input ``X`` is float64 take float32, and widen it itself."""
    onnx = library("onnx", "exporting")
    graph = model.graph
    for node in graph.node:
        node.input[:] = ["wide" if name == NUMBERS else name for name in node.input]
    cast = onnx.helper.make_node("Cast", [NUMBERS], ["wide"], "widen", to=onnx.TensorProto.DOUBLE)
    nodes = [cast, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    given = next(info for info in graph.input if info.name == NUMBERS)
    given.type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def to_bytes(model: Any) -> bytes:
    """The model's bytes, the same for the same model.

    Raises:
        onnx.checker.ValidationError: it is not a valid model, which is a bug here.
    """
    library("onnx", "exporting").checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def append_node(graph: Any, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
    """One operator of ai.onnx; the name of its answer."""
    graph.node.append(library("onnx", "exporting").helper.make_node(op, inputs, [output], output, **attributes))
    return output


def _constant(graph: Any, name: str, value: float) -> str:
    onnx = library("onnx", "exporting")
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([value], np.float32), name))
    return name


def _one(op: str) -> Any:
    return lambda graph, sums, output: append_node(graph, op, [sums], output)


def _two_probabilities(graph: Any, sums: str, output: str) -> str:
    positive = append_node(graph, "Sigmoid", [sums], "positive")
    negative = append_node(graph, "Sub", [_constant(graph, "one", 1.0), positive], "negative")
    return append_node(graph, "Concat", [negative, positive], output, axis=1)


def _power_of_two(graph: Any, sums: str, output: str) -> str:
    return append_node(graph, "Pow", [_constant(graph, "two", 2.0), sums], output)


def _signed_square(graph: Any, sums: str, output: str) -> str:
    size = append_node(graph, "Abs", [sums], "size")
    return append_node(graph, "Mul", [sums, size], output)


def _softmax(graph: Any, sums: str, output: str) -> str:
    return append_node(graph, "Softmax", [sums], output, axis=1)


_LINKS: dict[str, Any] = {
    "identity": _one("Identity"),
    "probabilities": _one("Identity"),
    "exp": _one("Exp"),
    "sigmoid": _two_probabilities,
    "each_sigmoid": _one("Sigmoid"),
    "softmax": _softmax,
    "power_of_two": _power_of_two,
    "signed_square": _signed_square,
}
