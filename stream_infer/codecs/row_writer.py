"""Collects what every row of a batch is made of, and has the kernel write all rows at once.

Rule: a column is handed over as it is, and nothing is done per row in Python. Calls say what follows in each row, from
left to right.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stream_infer.kernels import rows
from stream_infer.types import Binary, BoolArray, Int64Array


class RowWriter:
    """Writes n rows into one buffer."""

    def __init__(self, count: int) -> None:
        """Begin ``count`` empty rows."""
        self._count = count
        self._max_bytes = 0
        self._pieces: list[bytes] = []
        self._columns: list[Binary] = []
        self._cells: list[npt.NDArray[np.integer]] = []
        self._steps: list[tuple[int, int, int, int]] = []
        """What is done, the first piece, their number, and the row of cells; a column's number is negative."""

    def constant(self, piece: bytes) -> None:
        """The same bytes in every row."""
        self._steps.append((rows.CONSTANT, len(self._pieces), 1, 0))
        self._pieces.append(piece)
        self._max_bytes += len(piece) * self._count

    def picked(self, pieces: Sequence[bytes], index: npt.NDArray[np.integer]) -> None:
        """One of ``pieces``, chosen by each row of ``index`` ``[n]``."""
        self._step(rows.PICKED, index, max(map(len, pieces), default=0), len(pieces))
        self._pieces += pieces

    def own(self, values: Binary) -> None:
        """Each row's own bytes; none where a value is null."""
        column = values if values.valid is None else Binary.from_values(values.to_list())
        self._steps.append((rows.OWN, -1 - len(self._columns), self._count, 0))
        self._columns.append(column)
        self._max_bytes += column.nbytes

    def optional_float(self, values: npt.NDArray[np.float32]) -> None:
        """Avro's union of null and float; NaN is null."""
        self._step(rows.OPTIONAL_FLOAT, values.view(np.int32))

    def long(self, values: npt.NDArray[np.integer]) -> None:
        """Avro's long."""
        self._step(rows.LONG, values)

    def optional_long(self, values: npt.NDArray[np.integer]) -> None:
        """Avro's union of null and long; -1 is null."""
        self._step(rows.OPTIONAL_LONG, values)

    def digits(self, values: npt.NDArray[np.integer]) -> None:
        """A whole number in JSON."""
        self._step(rows.DIGITS, values)

    def optional_digits(self, values: npt.NDArray[np.integer]) -> None:
        """A whole number in JSON, or null, which is -1."""
        self._step(rows.OPTIONAL_DIGITS, values)

    def _step(
        self, code: int, cells: npt.NDArray[np.integer], max_bytes: int = rows.MAX_NUMBER_BYTES, pieces: int = 0
    ) -> None:
        self._steps.append((code, len(self._pieces), pieces, len(self._cells)))
        self._cells.append(cells)
        self._max_bytes += max_bytes * self._count

    def join(self, keep: BoolArray) -> Binary:
        """Write the rows of which ``keep`` ``[n]`` is True; the others are null.

        Raises:
            ValueError: a row picks a piece that is not there, or the offsets of a column do not ascend.
        """
        first_of_columns = len(self._pieces) + 1
        pool, edges = self._pool()
        cells = np.empty((max(1, len(self._cells)), self._count), np.int64)
        for place, column in enumerate(self._cells):
            cells[place] = column
        steps = np.array(
            [
                (code, first if first >= 0 else first_of_columns + (-1 - first) * (self._count + 1), pieces, place)
                for code, first, pieces, place in self._steps
            ],
            np.int64,
        ).reshape(-1, 4)
        target = np.empty(self._max_bytes + rows.MAX_NUMBER_BYTES, np.uint8)
        offsets = np.empty(self._count + 1, np.int64)
        size = rows.join(steps, pool, edges, cells, keep, target, offsets)
        if size == rows.WRONG:
            raise ValueError("a row picks a piece that is not there, or the offsets of a column do not ascend")
        return Binary(target[:size], offsets, None if keep.all() else keep)

    def _pool(self) -> tuple[npt.NDArray[np.uint8], Int64Array]:
        """All bytes, and the edges: of the pieces that are shared, then of each column."""
        shared = len(self._pieces)
        edges = np.empty(shared + 1 + len(self._columns) * (self._count + 1), np.int64)
        edges[0] = 0
        np.cumsum(np.array([len(piece) for piece in self._pieces], np.int64), out=edges[1 : shared + 1])
        parts = [np.frombuffer(b"".join(self._pieces), np.uint8)]
        at, end = shared + 1, int(edges[shared])
        for column in self._columns:
            begin, stop = int(column.offsets[0]), int(column.offsets[-1])
            np.add(column.offsets, end - begin, out=edges[at : at + self._count + 1])
            parts.append(column.data[begin:stop])
            at += self._count + 1
            end += stop - begin
        return np.concatenate(parts), edges
