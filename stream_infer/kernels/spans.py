"""Spans of bytes: what stands before a payload, and many spans joined into one column.

Rule: a span lies within its buffer, and the spans that are joined fill the target exactly; whoever names them sees to
it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.kernels.compiled import kernel

Bytes = npt.NDArray[np.uint8]
Int64Array = npt.NDArray[np.int64]

NO_ID = -1
"""Instead of a schema id."""

_ONE, _FOUR = np.uint64(1), np.uint64(4)


@kernel
def read_ids(data: Bytes, offsets: Int64Array, rows: Int64Array, ids: Int64Array) -> None:
    """Fill ``ids`` with the schema id of each named row: 0 and four bytes, big endian; `NO_ID` without."""
    for number in range(len(rows)):
        begin, end = np.uint64(offsets[rows[number]]), np.uint64(offsets[rows[number] + 1])
        ids[number] = NO_ID
        if end - begin > _FOUR and data[begin] == 0:
            found = np.int64(0)
            for at in range(begin + _ONE, begin + _FOUR + _ONE):
                found = (found << 8) | np.int64(data[at])
            ids[number] = found


@kernel
def gather(data: Bytes, tail: Bytes, starts: Int64Array, ends: Int64Array, target: Bytes) -> None:
    """Join spans.

    Args:
        data: bytes.
        tail: more bytes, which are taken to follow ``data``.
        starts: where each span begins in these, ``[m]``.
        ends: where it begins and ends in ``target``, ``[m + 1]``.
        target: filled.
    """
    limit = np.uint64(len(data))
    for number in range(len(starts)):
        to, end = np.uint64(ends[number]), np.uint64(ends[number + 1])
        start = np.uint64(starts[number])
        if start < limit:
            _copy(data, start, target, to, end)
        else:
            _copy(tail, start - limit, target, to, end)


@kernel
def _copy(source: Bytes, start: Any, target: Bytes, to: Any, end: Any) -> None:
    while to < end:
        target[to] = source[start]
        to += _ONE
        start += _ONE
