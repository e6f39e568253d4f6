"""A tree ensemble inside an ONNX graph: what stands before it, the trees, what stands after it.

Rule: only what is understood whole is taken apart. A graph of any other kind is `NotCovered`, with the reason, and runs
in ONNX Runtime as it is. Nodes and tensors go into the parts byte for byte as they stand in the file; the file is read
without the `onnx` package, which serving does not need.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from stream_infer.bundle.protobuf import RUN, Damaged, Value, as_number, as_text, encode_field, fields
from stream_infer.types import Int64Array

Attribute = int | bytes | list[bytes] | npt.NDArray[Any]
"""A node's attribute: a number, a text, several texts, or float32 or int64 numbers."""

TREE_OPS = {"TreeEnsembleClassifier": 1, "TreeEnsembleRegressor": 0}
"""The operators of trees, and which of their outputs holds the scores."""

_ML_DOMAIN = "ai.onnx.ml"
_FLOAT = 1
"""``TensorProto.FLOAT``."""


class NotCovered(Exception):
    """Why a graph's trees stay in ONNX Runtime, in words for the log."""


@dataclass(frozen=True, slots=True)
class TreeGraph:
    """A graph with one tree ensemble, taken apart. Each part is an ONNX model, or None where there is nothing in it."""

    op: str
    attributes: Mapping[str, Attribute]
    source: str
    """The tensor that the trees read, float32 ``[n, F]``."""
    scores: str
    """The tensor that the trees answer, float32 ``[n, k]``."""
    before: bytes | None
    """From the graph's inputs to ``source``; None where ``source`` is an input."""
    before_inputs: frozenset[str]
    """The graph's inputs that ``before`` reads."""
    rest: bytes | None
    """From ``source`` to the score: the trees and what stands after them. None where ``before`` is."""
    after: bytes | None
    """From ``scores`` to the score; None where they are the same."""


@dataclass(frozen=True, slots=True)
class _Node:
    """One operator; ``message`` is its ``NodeProto``."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    message: Value

    @property
    def is_tree(self) -> bool:
        return self.op in TREE_OPS


@dataclass(frozen=True, slots=True)
class _Graph:
    """A graph's tensors by name; values are messages as they stand in the file. ``versions`` are the model's."""

    versions: bytes
    nodes: tuple[_Node, ...]
    constants: Mapping[str, Value]
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Value]


def split_graph(model: bytes, output: str) -> TreeGraph:
    """Take a graph apart around its tree ensemble.

    Args:
        model: an ONNX ``ModelProto`` that ONNX Runtime has accepted.
        output: the graph's output that is asked for.

    Raises:
        NotCovered: that output does not come from one tree ensemble.
    """
    try:
        return _split(_read_model(memoryview(model)), output)
    except (Damaged, UnicodeDecodeError) as error:
        raise NotCovered(f"the graph is encoded in a way that is not read here ({error})") from error


def _split(graph: _Graph, output: str) -> TreeGraph:
    trees = [node for node in _needed(graph, output, ())[0] if node.is_tree]
    if len(trees) != 1:
        raise NotCovered(f"its score comes from {len(trees) or 'no'} tree ensemble{'s' if len(trees) > 1 else ''}")
    node = trees[0]
    if len(node.outputs) <= TREE_OPS[node.op] or not node.inputs or output not in graph.outputs:
        raise NotCovered("its trees answer no scores")
    source, scores = node.inputs[0], node.outputs[TREE_OPS[node.op]]
    asked = {output: graph.outputs[output]}
    direct = source in graph.inputs
    return TreeGraph(
        op=node.op,
        attributes=_read_attributes(node),
        source=source,
        scores=scores,
        before=None if direct else _part(graph, graph.inputs, {source: _float_matrix(source)}),
        before_inputs=frozenset() if direct else frozenset(_needed(graph, source, graph.inputs)[1]) & set(graph.inputs),
        rest=None if direct else _part(graph, {source: _float_matrix(source)}, asked),
        after=None if _is_same(graph, output, scores) else _part(graph, {scores: _float_matrix(scores)}, asked),
    )


def _is_same(graph: _Graph, output: str, scores: str) -> bool:
    """True where nothing stands between the two but names and factors of one, which exporters leave behind."""
    producers = {name: node for node in graph.nodes for name in node.outputs}
    while output != scores:
        node = producers.get(output)
        if node is None:
            return False
        kept = [name for name in node.inputs if name not in graph.constants]
        factors = [graph.constants[name] for name in node.inputs if name in graph.constants]
        if node.op not in (".Identity", ".Mul") or len(kept) != 1 or not all(map(_is_one, factors)):
            return False
        (output,) = kept
    return True


def _is_one(tensor: Value) -> bool:
    """True for the float32 1.0, alone: more of them might be a column each, and change the shape."""
    sizes, kind, numbers = [], 0, b""
    for number, value in fields(tensor):
        if number == 1:
            sizes.append(value)
        elif number == 2:
            kind = as_number(value)
        elif number in (4, 9):
            numbers += _bytes(value)
    return kind == _FLOAT and sizes in ([], [1]) and numbers == np.float32(1).tobytes()


def _needed(graph: _Graph, tensor: str, given: Collection[str]) -> tuple[list[_Node], set[str]]:
    """The nodes that compute ``tensor`` from the given ones, in the graph's order, and what they read from outside."""
    producers = {name: at for at, node in enumerate(graph.nodes) for name in node.outputs if name}
    chosen: set[int] = set()
    outside: set[str] = set()
    pending = [tensor]
    while pending:
        name = pending.pop()
        at = producers.get(name)
        if name in given or at is None:
            outside.add(name)
        elif at not in chosen:
            chosen.add(at)
            pending += [read for read in graph.nodes[at].inputs if read]
    return [graph.nodes[at] for at in sorted(chosen)], outside


def _part(graph: _Graph, given: Mapping[str, Value], asked: Mapping[str, Value]) -> bytes:
    """A model of the nodes that compute one tensor from the given ones.

    Raises:
        NotCovered: they read more than the given tensors and constants, or hold graphs of their own, which may.
    """
    (tensor,) = asked
    nodes, outside = _needed(graph, tensor, given)
    if foreign := sorted(outside - set(given) - set(graph.constants)):
        raise NotCovered(f"what stands after the trees reads {foreign[0]!r} as well")
    if bodies := [node.op for node in nodes if _has_body(node)]:
        raise NotCovered(f"{bodies[0]} holds a graph of its own")
    content = [encode_field(1, _bytes(node.message)) for node in nodes]
    content.append(encode_field(2, b"part"))
    content += [encode_field(5, _bytes(graph.constants[name])) for name in sorted(outside - set(given))]
    content += [encode_field(11, _bytes(given[name])) for name in given if name in outside]
    content += [encode_field(12, _bytes(info)) for info in asked.values()]
    return graph.versions + encode_field(7, b"".join(content))


def _float_matrix(name: str) -> memoryview:
    """A ``ValueInfoProto``: float32, two dimensions of any size."""
    dimension = encode_field(1, b"")
    tensor = encode_field(1, 1) + encode_field(2, dimension + dimension)
    return memoryview(encode_field(1, name.encode()) + encode_field(2, encode_field(1, tensor)))


# --- reading the file; the numbers are those of onnx.proto ---


def _read_model(model: Value) -> _Graph:
    versions = b""
    graph: Value | None = None
    for number, value in fields(model):
        if number in (1, 8):
            versions += encode_field(number, value)
        elif number == 7:
            graph = value
        elif number == 25:
            raise NotCovered("the model defines functions")
    if graph is None:
        raise Damaged("it has no graph")
    return _read_graph(graph, versions)


def _read_graph(graph: Value, versions: bytes) -> _Graph:
    nodes: list[_Node] = []
    constants: dict[str, Value] = {}
    inputs: dict[str, Value] = {}
    outputs: dict[str, Value] = {}
    for number, value in fields(graph):
        if number == 1:
            nodes.append(_read_node(value))
        elif number == 5:
            constants[_name(value, 8)] = value
        elif number == 11:
            inputs[_name(value, 1)] = value
        elif number == 12:
            outputs[_name(value, 1)] = value
        elif number == 15:
            raise NotCovered("the graph holds sparse tensors")
    fed = {name: info for name, info in inputs.items() if name not in constants}
    return _Graph(versions, tuple(nodes), constants, fed, outputs)


def _read_node(node: Value) -> _Node:
    inputs, outputs = [], []
    op = domain = ""
    for number, value in fields(node):
        if number == 1:
            inputs.append(as_text(value))
        elif number == 2:
            outputs.append(as_text(value))
        elif number == 4:
            op = as_text(value)
        elif number == 7:
            domain = as_text(value)
    # An operator of another domain may bear the name of one that is known here.
    return _Node(op if domain == _ML_DOMAIN else f"{domain}.{op}", tuple(inputs), tuple(outputs), node)


def _name(message: Value, name_number: int) -> str:
    return next((as_text(value) for number, value in fields(message) if number == name_number), "")


def _has_body(node: _Node) -> bool:
    attributes = (value for number, value in fields(node.message) if number == 5)
    return any(number in (6, 11) for attribute in attributes for number, _ in fields(attribute, _RUNS))


def _read_attributes(node: _Node) -> dict[str, Attribute]:
    return dict(_read_attribute(value) for number, value in fields(node.message) if number == 5)


def _read_attribute(message: Value) -> tuple[str, Attribute]:
    name = ""
    found: Attribute = b""
    texts: list[bytes] = []
    for number, value in fields(message, _RUNS):
        if number == 1:
            name = as_text(value)
        elif number == 3:
            found = as_number(value)
        elif number == 4:
            found = _bytes(value)
        elif number == 9:
            texts.append(_bytes(value))
        elif number == RUN:
            found = _decode_run(cast("memoryview", value), texts)
        elif number in (7, 8):
            raise NotCovered(f"the numbers of {name} are packed")
    return name, texts or found


def _decode_run(run: memoryview, texts: list[bytes]) -> Attribute:
    """The numbers of a run; texts are added to ``texts``."""
    if run[0] == _FLOATS_KEY:
        records = np.frombuffer(run, np.dtype([("key", "u1"), ("value", "<f4")]))
        return np.array(records["value"], np.float32)
    if run[0] == _INTS_KEY:
        return _decode_ints(np.frombuffer(run, np.uint8))
    texts += _MODE.findall(run)
    return b""


def _decode_ints(run: npt.NDArray[np.uint8]) -> Int64Array:
    """The numbers of a run of keys and varints. A key is a byte below 128, so every second such byte ends a number."""
    ends = np.flatnonzero(run < 0x80)
    first, last = ends[0::2] + 1, ends[1::2]
    numbers = np.zeros(len(first), np.uint64)
    for place in range(int((last - first).max()) + 1):
        rows = np.flatnonzero(first + place <= last)
        payload = run[first[rows] + place].astype(np.uint64) & np.uint64(0x7F)
        numbers[rows] |= payload << np.uint64(7 * place)
    return numbers.view(np.int64)


def _bytes(value: Value) -> bytes:
    if isinstance(value, int):
        raise Damaged("a number stands where a message is expected")
    return bytes(value)


_FLOATS_KEY, _INTS_KEY = 0x3D, 0x40
_MODE_WORDS = rb"\x04(?:LEAF)|\x0a(?:BRANCH_(?:LEQ|GTE|NEQ))|\x09(?:BRANCH_(?:LT|GT|EQ))"
_MODE = re.compile(rb"\x4a[\x04\x09\x0a](LEAF|BRANCH_(?:LEQ|GTE|NEQ|LT|GT|EQ))")
_RUNS = re.compile(
    rb"(?:\x3d.{4})++|(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])++|(?:\x4a(?:" + _MODE_WORDS + rb"))++", re.DOTALL
)
"""Runs of an attribute's ``floats`` (field 7), ``ints`` (field 8), and ``strings`` (field 9) that are modes of nodes: a
tree ensemble holds as many of each as it has nodes. Possessive, so that a run is never gone through twice."""


__all__ = ["Attribute", "NotCovered", "TreeGraph", "split_graph"]
