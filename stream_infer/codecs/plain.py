"""Python objects to columns: dicts and tables from a notebook, under the same feature rules.

Rule: a mapping is read as a JSON object is, a table's column as one path's values. Beyond JSON's types there are
numpy scalars and arrays, Decimal, dates and times. ``$key``, ``$timestamp`` (seconds) and ``$headers.NAME`` are
looked up under these very names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from stream_infer.codecs.faults import BadEvent, Fault, Verdicts
from stream_infer.codecs.layout import Layout
from stream_infer.codecs.paths import PlainReader
from stream_infer.codecs.schema import Field
from stream_infer.codecs.write import writer
from stream_infer.projection import Projection
from stream_infer.types import Decoded


def decode_mappings(projection: Projection, rows: Sequence[Mapping[str, Any]]) -> Decoded:
    """Decode dicts; carried columns are Avro-encoded in the reader's types.

    Args:
        projection: what the model and the output need.
        rows: one mapping per event, nested as the reader's schema is.

    Raises:
        ModelLoadError: the reader's schema or the feature list cannot be used.
        ConfigError: a carried field is not in the reader's schema.
    """
    layout = Layout(projection)
    values = [list(map(PlainReader(path, from_python=True), rows)) for path in layout.paths]
    carried = [_carried(field, default, rows) for field, default in _carried_fields(layout)]
    return layout.decoded(
        values, carried, lambda name: [row.get(name) for row in rows], Verdicts.all_ok(len(rows)), "avro"
    )


def decode_table(projection: Projection, columns: Mapping[str, Sequence[Any] | np.ndarray[Any, Any]]) -> Decoded:
    """Decode the columns of a table; a nested field is the column of its dotted path (``geo.lat``).

    None and NaN are missing values; a column that is not there is absent in every row.

    Args:
        projection: what the model and the output need.
        columns: equally long arrays or sequences, one item per event.

    Raises:
        ValueError: the columns differ in length, or there are none.
        ModelLoadError, ConfigError: as for `decode_mappings`.
    """
    layout = Layout(projection)
    count = _row_count(columns)
    lists = {name: _as_list(column) for name, column in columns.items()}
    nothing = [None] * count
    values = [
        [_table_value(read, value) for value in lists[path.path]]
        if path.path in lists
        else [path.steps[-1].absent] * count
        for path, read in ((path, PlainReader(path, from_python=True)) for path in layout.paths)
    ]
    carried = [
        _carried(field, default, [{field.name: value} for value in lists[field.name]])
        if field.name in lists
        else [default] * count
        for field, default in _carried_fields(layout)
    ]
    return layout.decoded(values, carried, lambda name: lists.get(name, nothing), Verdicts.all_ok(count), "avro")


def _table_value(read: PlainReader, value: Any) -> Any:
    return None if value is None else read.converted(value)


def _row_count(columns: Mapping[str, Sequence[Any] | np.ndarray[Any, Any]]) -> int:
    lengths = {len(column) for column in columns.values()}
    if len(lengths) != 1:
        raise ValueError("a table needs columns, all of one length")
    return lengths.pop()


def _as_list(column: Sequence[Any] | np.ndarray[Any, Any]) -> list[Any]:
    if not isinstance(column, np.ndarray):
        return list(column)
    if column.dtype.kind == "M":
        # To Python's datetime: nanoseconds would become bare integers, whose unit nobody could tell.
        return list(column.astype("datetime64[us]").tolist())
    return list(column.tolist())


def _carried_fields(layout: Layout) -> list[tuple[Field, bytes | Fault]]:
    return list(zip(layout.carried, layout.carried_defaults, strict=True))


def _carried(field: Field, default: bytes | Fault, rows: Sequence[Mapping[str, Any]]) -> list[bytes | Fault | None]:
    write = writer(field.node)
    return [_encoded(field, default, write, row) for row in rows]


def _encoded(
    field: Field, default: bytes | Fault, write: Callable[[Any], bytes], row: Mapping[str, Any]
) -> bytes | Fault:
    name = next((name for name in field.names if name in row), None)
    if name is None:
        return default
    try:
        return write(row[name])
    except BadEvent as bad:
        return bad.fault
