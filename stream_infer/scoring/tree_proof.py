"""The tree kernel for a model that it serves as ONNX Runtime does, bit for bit; ONNX Runtime for every other.

Rule: always on, and nothing is believed. Thousands of rows go through both: cells exactly on the thresholds and on the
floats beside them, missing values, infinities, numbers too large and too small, zeros of both signs, and the golden
events as they come. One bit of difference, and the model stays in ONNX Runtime as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from stream_infer.bundle.manifest import InputSpec, OutputSpec
from stream_infer.errors import ModelFailure, ModelLoadError
from stream_infer.scoring.onnx_runtime import RUNTIME_ERRORS, OnnxRuntime, open_session
from stream_infer.scoring.tree_attributes import read_ensemble
from stream_infer.scoring.tree_graph import NotCovered, TreeGraph, split_graph
from stream_infer.scoring.tree_runtime import TreeRuntime
from stream_infer.scoring.tree_tables import TreeTables, build_tables, from_order_key
from stream_infer.scoring.wide_tables import widen
from stream_infer.types import Float32Array, Int32Array

ModelRuntime: TypeAlias = OnnxRuntime | TreeRuntime
Inputs: TypeAlias = Mapping[str, npt.NDArray[Any]]

PROOF_ROWS = 4096
"""Enough to stand on each of 500 x 30 thresholds of 20 features and on both floats beside it; ONNX Runtime takes 10
microseconds a row for so many trees."""

_SEED = 5
_SPECIAL = np.array(
    [np.nan, np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 1e-38, 3.4028235e38, -3.4028235e38, 1.0], np.float32
)
_SPECIAL_SHARE = 0.1


def with_tree_kernel(model: bytes | Path, runtime: OnnxRuntime, golden: Inputs) -> ModelRuntime:
    """The fastest runtime that answers as ONNX Runtime does.

    Args:
        model: the bytes of the graph, or its path where its tensors lie in other files.
        runtime: ONNX Runtime on the whole of it. Closed where it is not the answer.
        golden: inputs of events that have a score.

    Returns:
        A `TreeRuntime`, or ``runtime`` itself; the answer's ``remark`` says why.
    """
    try:
        chosen = _open(model, runtime, golden)
    except NotCovered as reason:
        runtime.remark = f"the model runs in ONNX Runtime: {reason}"
        return runtime
    runtime.close()
    return chosen


def _open(model: bytes | Path, runtime: OnnxRuntime, golden: Inputs) -> TreeRuntime:
    if isinstance(model, Path):
        raise NotCovered("its tensors lie in other files")
    graph = split_graph(model, runtime.output.name)
    ensemble = read_ensemble(graph.op, graph.attributes)
    try:
        before, source = _open_before(graph, runtime, golden)
        tables = build_tables(ensemble, source.shape[1])
        after = _open_part(graph.after, _matrix(graph.scores, tables.score_columns), runtime)
        rest = _open_part(graph.rest, source, runtime)
        wide = widen(tables)
        served = TreeRuntime(tables, source, graph.scores, wide=wide, before=before, after=after)
        _compare(runtime, served, golden)
        if before:
            _compare(runtime, served, _blurred(golden))
        # The cells of a model with something before its trees cannot be chosen, so the trees are asked directly.
        cells = {source.name: proof_cells(tables, source.shape[1])}
        for which in (wide, None) if wide else (None,):
            _compare(rest or runtime, TreeRuntime(tables, source, graph.scores, wide=which, after=after), cells)
    except ModelLoadError as error:
        raise NotCovered(f"its graph cannot be run in parts ({error})") from error
    except ModelFailure as error:
        raise NotCovered(f"it cannot be compared ({error})") from error
    served.remark = _praise(ensemble.trees, before, after)
    return served


def _open_before(graph: TreeGraph, whole: OnnxRuntime, golden: Inputs) -> tuple[OnnxRuntime | None, InputSpec]:
    """What stands before the trees, and what they read."""
    if graph.before is None:
        source = next(spec for spec in whole.inputs if spec.name == graph.source)
        if source.dtype != "float32" or len(source.shape) != 2:
            raise NotCovered(f"its trees read {source.dtype} of shape {list(source.shape)}")
        return None, source
    specs = [spec for spec in whole.inputs if spec.name in graph.before_inputs]
    feed = {spec.name: golden[spec.name].reshape(spec.shape) for spec in specs}
    try:
        cells = open_session(graph.before, whole.providers).run([graph.source], feed)[0]
    except RUNTIME_ERRORS as error:
        # Its batch dimension is fixed, for instance.
        raise NotCovered(f"what stands before its trees fails on its own ({type(error).__name__})") from error
    if cells.ndim != 2:
        raise NotCovered(f"its trees read a tensor of {cells.ndim} dimensions")
    source = _matrix(graph.source, cells.shape[1])
    output = OutputSpec(source.name, "float32", source.shape, "score")
    return OnnxRuntime(graph.before, specs, output, providers=whole.providers), source


def _open_part(model: bytes | None, given: InputSpec, whole: OnnxRuntime) -> OnnxRuntime | None:
    return None if model is None else OnnxRuntime(model, [given], whole.output, providers=whole.providers)


def _matrix(name: str, columns: int) -> InputSpec:
    return InputSpec(name, "float32", (-1, columns), ())


def _praise(trees: int, before: OnnxRuntime | None, after: OnnxRuntime | None) -> str:
    around = " and ".join(name for name, part in (("before", before), ("after", after)) if part)
    rest = f"; what stands {around} them runs in ONNX Runtime" if around else ""
    return f"the model's trees ({trees}) run in the tree kernel, equal to ONNX Runtime on {PROOF_ROWS} rows{rest}"


# --- rows to compare on ---


def proof_cells(tables: TreeTables, width: int, rows: int = PROOF_ROWS) -> Float32Array:
    """Rows at the trees' own thresholds, float32 ``[rows, width]``; the same ones every time.

    Half of the cells stand on a threshold or on a float beside it, each in turn; the others near one, or they are
    special.
    """
    random = np.random.default_rng(_SEED)
    columns = [_cells_at(splits, rows, random) for splits in tables.splits(width)]
    return _with_specials(np.ascontiguousarray(np.column_stack(columns)), random)


def _cells_at(splits: Int32Array, rows: int, random: np.random.Generator) -> Float32Array:
    """Cells of one feature that is split at these keys."""
    if not len(splits):
        return random.normal(size=rows).astype(np.float32)
    beside = (splits[:, None] + np.array([0, 1, -1], np.int32)).ravel()
    exact = from_order_key(np.resize(random.permutation(beside), rows))
    drawn = from_order_key(random.choice(splits, rows)).astype(np.float64)
    finite = np.nan_to_num(drawn, posinf=0, neginf=0)
    near = finite + random.normal(size=rows) * (np.std(finite) + np.abs(finite) * 0.1)
    with np.errstate(over="ignore"):  # beyond the largest float is infinity, which is as good a cell as any
        return np.where(random.random(rows) < 0.5, exact, near.astype(np.float32))


def _with_specials(cells: Float32Array, random: np.random.Generator) -> Float32Array:
    """Some cells replaced by special values; the first rows hold nothing but one of them."""
    chosen = random.random(cells.shape) < _SPECIAL_SHARE
    cells[chosen] = random.choice(_SPECIAL, int(chosen.sum()))
    cells[: len(_SPECIAL)] = _SPECIAL[: len(cells), None]
    return cells


def _blurred(golden: Inputs) -> Inputs:
    """Golden events with noise in their numbers, and with some of them missing."""
    random = np.random.default_rng(_SEED)
    chosen = np.resize(np.arange(min(map(len, golden.values()))), PROOF_ROWS)
    blurred = {name: array[chosen] for name, array in golden.items()}
    for name, array in blurred.items():
        if array.dtype == np.float32:
            with np.errstate(over="ignore"):
                noisy = array * random.normal(1, 0.2, array.shape).astype(np.float32)
            blurred[name] = np.where(random.random(array.shape) < _SPECIAL_SHARE, np.float32(np.nan), noisy)
    return blurred


def _compare(expected: OnnxRuntime, found: TreeRuntime, inputs: Inputs) -> None:
    """Run both.

    Raises:
        NotCovered: they differ.
    """
    wanted, got = expected.run(inputs), found.run(inputs)
    if wanted.shape != got.shape or wanted.dtype != got.dtype:
        raise NotCovered(f"the kernel answers {got.dtype} {list(got.shape)}, not {wanted.dtype} {list(wanted.shape)}")
    bits = np.dtype(f"i{wanted.dtype.itemsize}")
    equal = (wanted.view(bits) == got.view(bits)) | (np.isnan(wanted) & np.isnan(got))
    if not equal.all():
        different = int((~equal.reshape(len(equal), -1)).any(axis=1).sum())
        raise NotCovered(f"the kernel answers {different} of {len(wanted)} rows differently")


__all__ = ["ModelRuntime", "proof_cells", "with_tree_kernel"]
