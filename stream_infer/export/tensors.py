"""Matching the feature list with the graph's inputs, and the score with one of its outputs.

Rule: what can be read from the graph need not be said; what is ambiguous is refused with the choices.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.bundle.manifest import ClassLabel, InputSpec, OutputSpec, ScoreRef, input_problems
from stream_infer.errors import ExportRefused
from stream_infer.export.features import InputEntry
from stream_infer.export.graph import Graph
from stream_infer.scoring.signature import DTYPES, ZIPMAP_REMEDY, TensorInfo

_FLOATS = ("float32", "float64")


def match_inputs(graph: Graph, entries: Sequence[InputEntry]) -> tuple[InputSpec, ...]:
    """The graph's inputs, each with its features.

    Raises:
        ExportRefused: names, dtypes or widths differ, or an input is of a kind that cannot be fed.
    """
    by_name = {info.name: info for info in graph.inputs}
    named = _named(entries, list(by_name))
    if sorted(named) != sorted(by_name):
        raise ExportRefused(f"the graph's inputs are {_listed(by_name)}, the feature list fills {_listed(named)}")
    specs = tuple(_input(info, named[info.name]) for info in graph.inputs)
    if problems := [problem for spec in specs for problem in input_problems(spec)]:
        raise ExportRefused(f"the feature list does not fit: {'; '.join(problems)}")
    return specs


def _named(entries: Sequence[InputEntry], names: Sequence[str]) -> dict[str, InputEntry]:
    if len(entries) == 1 and not entries[0].name and len(names) == 1:
        return {names[0]: entries[0]}
    return {entry.name: entry for entry in entries}


def _input(info: TensorInfo, entry: InputEntry) -> InputSpec:
    dtype = DTYPES.get(info.type)
    if dtype is None:
        raise ExportRefused(
            f"input {info.name!r} is {info.type}; supported are {_listed(DTYPES)}: put a Cast at the start of the graph"
        )
    if entry.dtype not in (None, dtype):
        raise ExportRefused(f"input {info.name!r} is {dtype} in the graph, but {entry.dtype} in the feature list")
    features = tuple(feature.to_spec(dtype) for feature in entry.entries())
    width = sum(feature.length for feature in features)
    return InputSpec(info.name, dtype, _input_shape(info, width), features)


def _input_shape(info: TensorInfo, width: int) -> tuple[int, ...]:
    """``[-1, ...]`` with at most one free dimension besides the batch filled in from the features' width."""
    if not info.shape:
        raise ExportRefused(
            f"input {info.name!r} is a scalar or of unknown rank; its first dimension must be the batch"
        )
    cells = info.shape[1:]
    free = [index for index, size in enumerate(cells) if not isinstance(size, int)]
    known = math.prod(size for size in cells if isinstance(size, int))
    if len(free) > 1:
        raise ExportRefused(
            f"input {info.name!r} has several free dimensions ({list(info.shape)}); fix all but the first"
        )
    if (known * (width // known if free else 1)) != width:
        raise ExportRefused(f"input {info.name!r} takes {known} cells a row, but its features fill {width}")
    return (-1, *(size if isinstance(size, int) else width // known for size in cells))


def choose_output(graph: Graph, score: str | None) -> tuple[str, int | None]:
    """The output that holds the score, and its column where one is named.

    Args:
        graph: the model.
        score: ``OUTPUT`` or ``OUTPUT:COLUMN``; None where only one output can be meant.

    Raises:
        ExportRefused: it does not exist, is not of floats, or several could be meant.
    """
    infos = {info.name: info for info in graph.outputs}
    usable = [name for name, info in infos.items() if DTYPES.get(info.type) in _FLOATS]
    name, column = _split_score(score, infos)
    if name is None:
        if len(usable) != 1:
            raise ExportRefused(_no_choice(infos, usable))
        name = usable[0]
    if name not in infos:
        raise ExportRefused(f"there is no output {name!r}; the graph's are {_listed(infos)}")
    if name not in usable:
        remedy = ZIPMAP_REMEDY if name in infos and not infos[name].type.startswith("tensor") else "a score is a float"
        raise ExportRefused(f"output {name!r} is {infos[name].type}: {remedy}")
    return name, column


def _split_score(score: str | None, infos: Mapping[str, TensorInfo]) -> tuple[str | None, int | None]:
    """An output's name may hold a colon itself."""
    if score is None or score in infos:
        return score, None
    name, _, column = score.rpartition(":")
    return (name, int(column)) if name and column.isdecimal() else (score, None)


def _no_choice(infos: Mapping[str, TensorInfo], usable: Sequence[str]) -> str:
    if usable:
        return f"several outputs could be the score ({_listed(usable)}); say which: --score OUTPUT[:COLUMN]"
    if any(not info.type.startswith("tensor") for info in infos.values()):
        name = next(name for name, info in infos.items() if not info.type.startswith("tensor"))
        return f"output {name!r} cannot be the score: {ZIPMAP_REMEDY}"
    kinds = ", ".join(f"{name} is {info.type}" for name, info in infos.items())
    return f"no output is a float tensor ({kinds}); convert the model so that it answers probabilities or a score"


def describe_output(
    name: str, column: int | None, answer: npt.NDArray[Any], rows: int, classes: Sequence[ClassLabel]
) -> tuple[OutputSpec, ScoreRef]:
    """The output as the model really answered, and which number of it is the score.

    Args:
        name: of the output.
        column: the one that was asked for, or None.
        answer: to ``rows`` rows.
        rows: how many rows were asked.
        classes: for the message that lists the columns.

    Raises:
        ExportRefused: not one row per input row, or the column must be named.
    """
    shape = tuple(np.shape(answer))
    if len(shape) not in (1, 2) or shape[0] != rows:
        raise ExportRefused(
            f"output {name!r} has shape {list(shape)} for {rows} rows; a score needs one row per input row: "
            "export the graph without a reduction over the batch"
        )
    columns = shape[1] if len(shape) == 2 else None
    if column is None and columns is not None:
        if columns > 2:
            labels = f" of {_listed(classes)}" if classes else ""
            raise ExportRefused(f"output {name!r} has {columns} columns{labels}; say which is the score: {name}:COLUMN")
        column = columns - 1
    if column is not None and (columns is None or column >= columns):
        raise ExportRefused(f"output {name!r} of shape {[-1, *shape[1:]]} has no column {column}")
    role: Any = "probabilities" if columns is not None and columns > 1 else "score"
    dtype: Any = answer.dtype.name
    return OutputSpec(name, dtype, (-1, *shape[1:]), role), ScoreRef(name, column)


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names)) or "none"
