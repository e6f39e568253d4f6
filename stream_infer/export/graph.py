"""The ONNX graph at export: what it expects and answers, where its trees split, and a name stamped into it.

Rule: the only module that needs the `onnx` package (extra ``export``). The model's numbers are never touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy.typing as npt
import onnxruntime as ort

from stream_infer.bundle import GraphFacts, graph_refusal, read_graph_facts
from stream_infer.bundle.manifest import ClassLabel
from stream_infer.errors import ExportRefused, ModelLoadError
from stream_infer.scoring.onnx_runtime import RUNTIME_ERRORS, open_session
from stream_infer.scoring.signature import TensorInfo, batch_rows

_TREE_OPS = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
_PASSING_OPS = {"Cast": 0, "Identity": 0, "Imputer": 0, "Where": 2}
"""They hand on present cells as they are, from this input: `Where` fills in missing ones."""


class Split(NamedTuple):
    """Where a tree asks: which cell of which input, and the value. ``is_category``: whether the cell equals it."""

    input: str
    cell: int
    value: float
    is_category: bool


_LABEL_ATTRIBUTES = ("classlabels_int64s", "classlabels_ints", "classlabels_strings")


@dataclass(frozen=True, slots=True)
class Graph:
    """An ONNX model: ``proto`` is an ``onnx.ModelProto``, ``inputs`` and ``outputs`` are ONNX Runtime's view."""

    proto: Any
    facts: GraphFacts
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    session: ort.InferenceSession

    @property
    def fixed_rows(self) -> int | None:
        """Rows that the batch dimension is fixed to, or None."""
        return batch_rows(self.inputs)

    def ask(self, output: str, feed: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """The graph's answer to a few rows.

        Raises:
            ExportRefused: it fails on them.
        """
        try:
            answer: npt.NDArray[Any] = self.session.run([output], feed)[0]
        except RUNTIME_ERRORS as error:
            raise ExportRefused(
                f"the model fails on events of the sample ({type(error).__name__}); check the order of the features"
            ) from error
        return answer

    def class_labels(self) -> tuple[ClassLabel, ...]:
        """The classes that a classifier node names, in the order of its columns; empty where none does."""
        for node in self.proto.graph.node:
            for attribute in node.attribute:
                if attribute.name in _LABEL_ATTRIBUTES and (attribute.ints or attribute.strings):
                    return (*attribute.ints, *(label.decode() for label in attribute.strings))
        return ()

    def split_thresholds(self) -> Iterator[Split]:
        """Every split of trees that read an input directly; repeated ones once."""
        seen: set[Split] = set()
        sources = _passed_on(self.proto.graph)
        for node in self.proto.graph.node:
            if node.op_type in _TREE_OPS and node.input[0] in sources:
                seen |= {Split(sources[node.input[0]], *split) for split in _splits(node)}
        yield from sorted(seen)

    def stamped(self, **properties: str) -> bytes:
        """The graph's bytes with these ``metadata_props``, so that a stray file can be traced to its bundle."""
        stamped = type(self.proto)()
        stamped.CopyFrom(self.proto)
        kept = {entry.key: entry.value for entry in stamped.metadata_props}
        del stamped.metadata_props[:]
        for key, value in sorted({**kept, **properties}.items()):
            entry = stamped.metadata_props.add()
            entry.key, entry.value = key, value
        return bytes(stamped.SerializeToString(deterministic=True))


def load_graph(path: Path, contrib_ops: bool = False) -> Graph:
    """Read a model's file; tensors that lie in other files are taken in. ``contrib_ops`` is that of `open_graph`.

    Raises:
        ExportRefused: `onnx` is not installed, the file is not a model, it uses operators that don't run everywhere,
            or ONNX Runtime refuses it.
    """
    onnx = _import_onnx()
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        proto = onnx.load(str(path))
    except OSError as error:
        raise ExportRefused(f"{path} cannot be read: {error.strerror or error}") from error
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ExportRefused(f"{path} is not an ONNX model; convert it first (skl2onnx, torch.onnx, tf2onnx)") from error
    return open_graph(proto, str(path), contrib_ops)


def open_graph(model: Any, source: str, contrib_ops: bool = False) -> Graph:
    """Open a model that is there already: an ``onnx.ModelProto``, or its bytes.

    Args:
        model: the graph.
        source: where it comes from, for messages.
        contrib_ops: ONNX Runtime's own operators may be used.

    Raises:
        ExportRefused: it uses other operators that don't run everywhere, or ONNX Runtime refuses it.
    """
    onnx = _import_onnx()
    from google.protobuf.message import EncodeError

    proto = onnx.load_from_string(model) if isinstance(model, bytes) else model
    try:
        data = bytes(proto.SerializeToString(deterministic=True))
        facts = read_graph_facts(data, source)
        if refusal := graph_refusal(facts, contrib_ops):
            raise ExportRefused(f"{source} cannot be exported: {refusal}")
        session = open_session(data)
    except (EncodeError, ValueError) as error:
        raise ExportRefused(f"{source} is larger than 2 GB with its tensors, which one ONNX file cannot be") from error
    except ModelLoadError as error:
        raise ExportRefused(f"{source} cannot be exported: {error}") from error
    return Graph(proto, facts, tuple(session.get_inputs()), tuple(session.get_outputs()), session)


def min_onnxruntime(facts: GraphFacts) -> str:
    """The oldest ONNX Runtime that loads a graph of these versions.

    From the runtime's own compatibility table: it refuses a newer IR or operator set than it knows.
    """
    needs = (facts.opset.get("", facts.opset.get("ai.onnx", 0)), facts.ir, facts.opset.get("ai.onnx.ml", 0))
    for version, limits in _RUNTIME_LIMITS:
        if all(need <= limit for need, limit in zip(needs, limits, strict=True)):
            return version
    return _RUNTIME_LIMITS[-1][0]


_RUNTIME_LIMITS = (
    # runtime, (newest ai.onnx, newest IR, newest ai.onnx.ml)
    ("1.15", (19, 9, 3)),
    ("1.17", (20, 9, 3)),
    ("1.18", (21, 10, 4)),
    ("1.22", (22, 10, 5)),
    ("1.23", (23, 11, 5)),
    ("1.26", (26, 13, 5)),
    ("1.32", (28, 14, 6)),
)


def _import_onnx() -> ModuleType:
    try:
        import onnx
    except ImportError as error:
        raise ExportRefused("exporting needs the onnx package: pip install 'stream-infer[export]'") from error
    return onnx


def _passed_on(graph: Any) -> dict[str, str]:
    """Tensors that hold a graph input's own cells, and which input's."""
    sources = {value.name: value.name for value in graph.input}
    for node in graph.node:
        place = _PASSING_OPS.get(node.op_type)
        if place is not None and node.input[place] in sources:
            sources[node.output[0]] = sources[node.input[place]]
    return sources


def _splits(node: Any) -> Iterator[tuple[int, float, bool]]:
    from onnx import numpy_helper

    attributes = {attribute.name: attribute for attribute in node.attribute}
    cells = attributes["nodes_featureids"].ints
    modes = [mode.decode() for mode in attributes["nodes_modes"].strings]
    if "nodes_values_as_tensor" in attributes:
        values = numpy_helper.to_array(attributes["nodes_values_as_tensor"].t).tolist()
    else:
        values = list(attributes["nodes_values"].floats)
    for cell, mode, value in zip(cells, modes, values, strict=True):
        if mode != "LEAF":
            yield cell, value, mode == "BRANCH_EQ"
