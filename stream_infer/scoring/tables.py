"""Matrices, tables and plain bytes on their way to a scorer: what a notebook has in hand.

Rule: neither pandas nor pyarrow is imported. A table is known by its own methods; a user who has one has the library.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.errors import UsageError
from stream_infer.projection import ModelInput
from stream_infer.types import NO_TIMESTAMP, Binary, Decoded, Records, Split, Status


def bare_records(values: Sequence[bytes | None]) -> Records:
    """Values as records without key, timestamp or headers; the offset is the row."""
    n = len(values)
    return Records(
        values=Binary.from_values(values),
        keys=Binary.from_values([None] * n),
        splits=(Split("memory", 0),),
        split_index=np.zeros(n, np.int32),
        offset=np.arange(n, dtype=np.int64),
        timestamp_ms=np.full(n, NO_TIMESTAMP, np.int64),
        received_ms=0,
    )


def decode_matrix(inputs: Sequence[ModelInput], cells: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> Decoded:
    """Cells as the model takes them. A row with an infinite number gets `Status.NOT_FINITE`.

    Raises:
        UsageError: an input is absent, or an array does not have the input's shape or type.
    """
    given = cells if isinstance(cells, Mapping) else {inputs[0].name: cells}
    names = [model_input.name for model_input in inputs]
    if sorted(given) != sorted(names):
        raise UsageError(f"the model takes the inputs {', '.join(names)}; pass an array for each of them by name")
    arrays = {model_input.name: _as_input(model_input, given[model_input.name]) for model_input in inputs}
    lengths = {len(array) for array in arrays.values()}
    if len(lengths) > 1:
        raise UsageError(f"the inputs have different numbers of rows ({sorted(lengths)})")
    status = np.full(lengths.pop(), Status.OK, np.uint8)
    for array in arrays.values():
        if array.dtype.kind == "f":
            status[np.isinf(array).any(axis=1)] = Status.NOT_FINITE
    return Decoded(arrays, status, (), {})


def _as_input(model_input: ModelInput, cells: npt.ArrayLike) -> npt.NDArray[Any]:
    array = np.asarray(cells)
    if array.ndim != 2 or array.shape[1] != model_input.width:
        names = ", ".join(feature.name for feature in model_input.features)
        raise UsageError(
            f"input {model_input.name!r} takes an array [n, {model_input.width}] (columns: {names}), "
            f"not one of shape {list(array.shape)}"
        )
    if (array.dtype.kind in "OUT") != (model_input.dtype == "string"):
        raise UsageError(f"input {model_input.name!r} takes {model_input.dtype}, not {array.dtype}")
    if model_input.dtype == "string":
        return array.astype(object)
    if model_input.dtype == "int64" and array.dtype.kind not in "iub":
        raise UsageError(
            f"input {model_input.name!r} takes int64, not {array.dtype}; numbers with a fraction would be cut"
        )
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, model_input.dtype)


def table_columns(table: Any) -> dict[str, list[Any]]:
    """The columns of a ``pandas.DataFrame`` or ``pyarrow.Table``; missing values are None.

    A column of records (``geo`` of ``{"lat": 1.0}``) is there as a column for each of their fields, too (``geo.lat``).

    Raises:
        UsageError: ``table`` is neither, or has no column.
    """
    if hasattr(table, "to_pydict"):
        columns = table.to_pydict()
    elif hasattr(table, "to_dict") and hasattr(table, "notna"):
        columns = table.astype(object).where(table.notna(), None).to_dict("list")
    else:
        raise UsageError(f"a table is a pandas.DataFrame or a pyarrow.Table, not a {type(table).__name__}")
    if not columns:
        raise UsageError("the table has no column; its columns are named as the events' fields are")
    return {name: values for column in columns for name, values in _spread(str(column), columns[column])}


def _spread(name: str, values: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    yield name, values
    records = [value for value in values if isinstance(value, Mapping)]
    for key in dict.fromkeys(key for record in records for key in record):
        yield from _spread(
            f"{name}.{key}", [value.get(key) if isinstance(value, Mapping) else None for value in values]
        )
