"""Does the graph expect and answer what `bundle.json` says?

Rule: a difference is found when the model is loaded, never by the first event, and the message says what to change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from stream_infer.bundle.manifest import Dtype, InputSpec, OutputSpec
from stream_infer.errors import SignatureMismatch

DTYPES: dict[str, Dtype] = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(string)": "string",
}
"""ONNX Runtime's names of the types that a bundle can feed."""

ZIPMAP_REMEDY = (
    "it is a sequence of maps (ZipMap), slow and different in every language: convert the model without it "
    "(skl2onnx: options={id(model): {'zipmap': False}}), or name the tensor that feeds it"
)


class TensorInfo(Protocol):
    """What ONNX Runtime says of one input or output."""

    name: str
    type: str
    shape: Sequence[Any]


def fixed_batch_rows(
    graph_inputs: Sequence[TensorInfo],
    graph_outputs: Sequence[TensorInfo],
    inputs: Sequence[InputSpec],
    output: OutputSpec,
) -> int | None:
    """Compare a graph with its manifest; the number of rows that its batch dimension is fixed to, or None.

    Raises:
        SignatureMismatch: they differ, or rows of input and output cannot correspond; every difference is named.
    """
    problems = [*_input_problems(graph_inputs, inputs), *_output_problems(graph_inputs, graph_outputs, output)]
    if problems:
        raise SignatureMismatch(f"the graph is not what bundle.json says: {'; '.join(problems)}")
    return batch_rows(graph_inputs)


def batch_rows(graph_inputs: Sequence[TensorInfo]) -> int | None:
    """The rows that the graph's inputs fix their first dimension to; None when it is free."""
    fixed = {info.shape[0] for info in graph_inputs if isinstance(info.shape[0], int)}
    return min(fixed) if fixed else None


def _input_problems(graph_inputs: Sequence[TensorInfo], inputs: Sequence[InputSpec]) -> Iterator[str]:
    found = {info.name: info for info in graph_inputs}
    expected = {spec.name: spec for spec in inputs}
    for name in sorted(found.keys() ^ expected.keys()):
        yield f"input {name!r} is only in the {'graph' if name in found else 'bundle'}"
    for name in sorted(found.keys() & expected.keys()):
        yield from _tensor_problems(f"input {name!r}", found[name], expected[name].dtype, expected[name].shape)
    fixed = {info.shape[0] for info in graph_inputs if info.shape and isinstance(info.shape[0], int)}
    if len(fixed) > 1:
        yield f"its inputs have batch dimensions fixed to different sizes ({sorted(fixed)})"


def _output_problems(
    graph_inputs: Sequence[TensorInfo], graph_outputs: Sequence[TensorInfo], output: OutputSpec
) -> Iterator[str]:
    found = {info.name: info for info in graph_outputs}.get(output.name)
    if found is None:
        yield f"output {output.name!r} is not among the graph's ({', '.join(info.name for info in graph_outputs)})"
        return
    if found.type not in DTYPES:
        yield f"output {output.name!r} is {found.type}: {ZIPMAP_REMEDY}"
        return
    # The runtime gives no dimensions where it does not know them; then the golden vectors tell.
    if not found.shape:
        return
    yield from _tensor_problems(f"output {output.name!r}", found, output.dtype, output.shape)
    rows, in_rows = found.shape[0], {info.shape[0] for info in graph_inputs if info.shape}
    if isinstance(rows, int) and rows not in in_rows:
        yield f"output {output.name!r} has {rows} row(s) whatever the batch, not one per input row"


def _tensor_problems(what: str, info: TensorInfo, dtype: str, shape: Sequence[int]) -> Iterator[str]:
    if DTYPES.get(info.type) != dtype:
        yield f"{what} is {info.type} in the graph and {dtype} in the bundle"
    if len(info.shape) != len(shape):
        yield f"{what} has shape {list(info.shape)} in the graph and {list(shape)} in the bundle"
        return
    for found, expected in zip(info.shape[1:], shape[1:], strict=True):
        if isinstance(found, int) and found != expected:
            yield f"{what} has shape {list(info.shape)} in the graph and {list(shape)} in the bundle"
            return
