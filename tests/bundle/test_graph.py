"""The walk over an ONNX file sees every operator and every file it names, and never trips over damage."""

from __future__ import annotations

import contextlib
import itertools

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from stream_infer.bundle import graph_refusal, read_graph_facts
from stream_infer.bundle.graph import MAX_GRAPH_NESTING
from stream_infer.errors import ModelLoadError
from tests.scoring import zoo

MODELS = [
    zoo.linear(),
    zoo.trees(),
    zoo.trees(zipmap=True),
    zoo.mixed_inputs(),
    zoo.slow(),
    zoo.perceptron(),
]


def external(tensor: onnx.TensorProto, location: str) -> onnx.TensorProto:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("offset", "0"), ("location", location)):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor


@pytest.mark.parametrize("model", MODELS)
def test_facts_are_those_of_the_onnx_package(model: bytes) -> None:
    proto = onnx.load_from_string(model)
    facts = read_graph_facts(model, "test")
    assert facts.ir == proto.ir_version
    assert facts.opset == {entry.domain: entry.version for entry in proto.opset_import}
    graphs = [proto.graph]
    found = set()
    for graph in graphs:
        for node in graph.node:
            found.add((node.domain, node.op_type))
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    assert facts.ops == found
    assert not facts.external_data
    assert graph_refusal(facts) is None


def test_external_data_is_found_in_every_place_a_tensor_can_be() -> None:
    places = iter(f"file{number}.bin" for number in itertools.count())

    def tensor() -> onnx.TensorProto:
        return external(numpy_helper.from_array(np.zeros(2, np.float32), "t"), next(places))

    sparse = onnx.SparseTensorProto()
    sparse.values.CopyFrom(tensor())
    sparse.indices.CopyFrom(tensor())
    body = helper.make_graph([], "body", [], [], [tensor()])
    node = helper.make_node("If", ["x"], ["y"], then_branch=body, else_branch=body)
    constant = helper.make_node("Constant", [], ["c"], value=tensor())
    tensors = helper.make_node("Thing", [], ["d"])
    attribute = tensors.attribute.add()
    attribute.name = "many"
    attribute.tensors.append(tensor())
    attribute.sparse_tensor.CopyFrom(sparse)
    graph = helper.make_graph([node, constant, tensors], "main", [], [], [tensor()])
    graph.sparse_initializer.add().CopyFrom(sparse)
    model = helper.make_model(graph, functions=[helper.make_function("f", "f", [], [], [constant], [])])
    training = model.training_info.add()
    training.algorithm.CopyFrom(helper.make_graph([], "train", [], [], [tensor()]))
    facts = read_graph_facts(model.SerializeToString(), "test")
    total = int(next(places).removeprefix("file").removesuffix(".bin"))
    assert facts.external_data == {f"file{number}.bin" for number in range(total)}


def test_external_data_without_a_location_is_not_overlooked() -> None:
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), "t")
    tensor.data_location = TensorProto.EXTERNAL
    model = helper.make_model(helper.make_graph([helper.make_node("Abs", ["t"], ["y"])], "g", [], [], [tensor]))
    assert read_graph_facts(model.SerializeToString(), "test").external_data == {""}


def test_operators_of_other_domains_and_random_ones_are_refused() -> None:
    foreign = helper.make_model(
        helper.make_graph([helper.make_node("Gelu", ["X"], ["Y"], domain="com.microsoft")], "g", [], [])
    )
    refusal = graph_refusal(read_graph_facts(foreign.SerializeToString(), "test"))
    assert refusal is not None
    assert "com.microsoft.Gelu" in refusal
    assert graph_refusal(read_graph_facts(foreign.SerializeToString(), "test"), contrib_ops=True) is None
    refusal = graph_refusal(read_graph_facts(zoo.draws_at_random(), "test"))
    assert refusal is not None
    assert "RandomNormalLike" in refusal


def test_nesting_is_bounded() -> None:
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "g", [], [])
    for _ in range(MAX_GRAPH_NESTING + 1):
        graph = helper.make_graph([helper.make_node("If", ["x"], ["y"], then_branch=graph)], "g", [], [])
    with pytest.raises(ModelLoadError, match="nested deeper"):
        read_graph_facts(helper.make_model(graph).SerializeToString(), "test")


@pytest.mark.parametrize(
    "data", [b"", b"not a model", b"\xff" * 40, zoo.linear()[:-5], b"\x3a\x05abc", b"\x08\x08", b"\x0b\x0c"]
)
def test_what_is_no_model_is_a_load_error(data: bytes) -> None:
    with pytest.raises(ModelLoadError, match=r"some/file is not a valid ONNX model"):
        read_graph_facts(data, "some/file")


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 5), st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_damage_is_either_read_or_refused(index: int, position: int, patch: bytes) -> None:
    data = bytearray(MODELS[index])
    start = position % len(data)
    data[start : start + len(patch)] = patch
    with contextlib.suppress(ModelLoadError):
        read_graph_facts(bytes(data), "test")
