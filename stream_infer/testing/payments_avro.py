"""A vectorised Avro writer for flat columns: a few array operations for any number of events.

Rule: a field is a rectangle of bytes, one row per event, with the length that each row really uses. Rectangles
are put side by side and the unused bytes squeezed out in one step, so nothing is done per event in Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream_infer.types import Binary, BoolArray, Int64Array, UInt8Array


@dataclass(frozen=True, slots=True)
class Cells:
    """One encoded field: ``data`` is uint8 ``[n, width]``, ``length`` int64 ``[n]`` says how much of it counts."""

    data: UInt8Array
    length: Int64Array


def constant(value: bytes, rows: int) -> Cells:
    """The same bytes in every row."""
    data = np.broadcast_to(np.frombuffer(value, np.uint8), (rows, len(value)))
    return Cells(data, np.full(rows, len(value), np.int64))


def double(values: npt.NDArray[np.floating]) -> Cells:
    """Avro ``double``: 8 bytes, little endian."""
    return _fixed(values.astype("<f8"), 8)


def float32(values: npt.NDArray[np.floating]) -> Cells:
    """Avro ``float``: 4 bytes, little endian."""
    return _fixed(values.astype("<f4"), 4)


def boolean(values: BoolArray) -> Cells:
    """Avro ``boolean``: one byte."""
    return _fixed(values.astype(np.uint8), 1)


def _fixed(values: npt.NDArray[np.generic], width: int) -> Cells:
    data = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), width)
    return Cells(data, np.full(len(values), width, np.int64))


def long(values: npt.NDArray[np.integer]) -> Cells:
    """Avro ``int``, ``long`` or the index of an ``enum``: zigzag, then seven bits a byte, lowest first."""
    signed = values.astype(np.int64)
    rest = ((signed << 1) ^ (signed >> 63)).view(np.uint64)
    length = np.ones(len(rest), np.int64)
    columns = []
    while True:
        columns.append((rest & np.uint64(0x7F)).astype(np.uint8))
        rest = rest >> np.uint64(7)
        more = rest > 0
        if not more.any():
            return Cells(np.stack(columns, axis=1), length)
        columns[-1] |= more.astype(np.uint8) << np.uint8(7)
        length += more


def numbered_text(label: str, numbers: npt.NDArray[np.integer], digits: int) -> Cells:
    """Avro ``string``: ``label`` followed by the number in ``digits`` decimal digits. Negative ones spell 0."""
    head = bytes([2 * (len(label) + digits)]) + label.encode()
    powers = 10 ** np.arange(digits - 1, -1, -1, dtype=np.int64)
    figures = (np.maximum(numbers, 0).astype(np.int64)[:, None] // powers % 10 + ord("0")).astype(np.uint8)
    return side_by_side(constant(head, len(numbers)), Cells(figures, np.full(len(numbers), digits, np.int64)))


def listed_text(codes: npt.NDArray[np.integer], words: Sequence[str]) -> Cells:
    """Avro ``string``: word number ``code`` of ``words`` (each shorter than 64 bytes)."""
    encoded = [bytes([2 * len(word.encode())]) + word.encode() for word in words]
    width = max(map(len, encoded))
    table = np.frombuffer(b"".join(word.ljust(width, b"\0") for word in encoded), np.uint8).reshape(-1, width)
    lengths = np.array([len(word) for word in encoded], np.int64)
    return Cells(table[codes], lengths[codes])


def nullable(present: BoolArray, inner: Cells) -> Cells:
    """Avro union of null (first) and ``inner``; a row that is not present is null."""
    branch = (present.astype(np.uint8) * 2)[:, None]
    return Cells(np.concatenate([branch, inner.data], axis=1), 1 + inner.length * present)


def side_by_side(first: Cells, second: Cells) -> Cells:
    """Two fields as one. Every row of ``first`` must use its full width."""
    return Cells(np.concatenate([first.data, second.data], axis=1), first.length + second.length)


def join_rows(fields: Sequence[Cells]) -> Binary:
    """The fields of each row, one after the other."""
    used = [np.arange(field.data.shape[1]) < field.length[:, None] for field in fields]
    data = np.concatenate([field.data for field in fields], axis=1)[np.concatenate(used, axis=1)]
    offsets = np.zeros(len(fields[0].length) + 1, np.int64)
    np.cumsum(np.sum([field.length for field in fields], axis=0), out=offsets[1:])
    return Binary(data, offsets)
