"""A batch of events on its way into columns, filled by kernels.

Rule: a row is done, or it is not, and of one that is not nothing counts until `Columns.put` has put in what somebody
else made of it. The arrays are made once per batch: one buffer for the cells of each dtype, of which every input is a
part; starts and lengths of the carried fields' bytes, which are joined when all rows are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.codecs.cells import CELL_KINDS, Target, find_places, find_targets, read_only
from stream_infer.codecs.faults import BadEvent, Verdicts
from stream_infer.codecs.features import empty_input
from stream_infer.codecs.layout import Layout, OwnColumn
from stream_infer.codecs.opcodes import KernelProgram, LateFeature, Rewrite, assemble
from stream_infer.codecs.paths import is_own
from stream_infer.codecs.schema import Node, type_json
from stream_infer.kernels import avro_decode, spans
from stream_infer.types import Binary, BoolArray, Column, Decoded, Int64Array, Records, Status

_DTYPES: dict[str, Any] = {"float32": np.float32, "float64": np.float64, "int64": np.int64}


class ColumnPlan:
    """The columns that a layout asks for, and where its features stand in them."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        inputs = [model_input for model_input, _ in layout.inputs]
        places, self.widths = find_places(inputs)
        self.places = list(zip(inputs, places, strict=True))
        targets, self._categories = find_targets(layout.inputs, places)
        self._targets = [target for target in targets if not is_own(target.filler.feature.path)]
        self.own = [target for target in targets if is_own(target.filler.feature.path)]
        self.carried_types = [type_json(field.node) for field in layout.carried]

    def assemble(self, written: Node) -> KernelProgram:
        """Compile the kernel's program for a writer's schema, which must be a record."""
        return assemble(written, self.layout, self._targets, self._categories)


class Columns:
    """The columns of one batch."""

    def __init__(self, plan: ColumnPlan, records: Records) -> None:
        count = len(records)
        self._plan = plan
        self._count = count
        self._offsets = records.values.offsets
        self._data = read_only(records.values.data)
        self._buffers = {dtype: np.empty(count * plan.widths[dtype], _DTYPES[dtype]) for dtype in CELL_KINDS}
        self.inputs = self._views()
        self.done: BoolArray = np.zeros(count, np.bool_)
        carried = len(plan.layout.carried)
        self._starts = np.zeros((carried, count), np.int64)
        self._lengths = np.zeros((carried, count), np.int64)
        self._tail = bytearray()
        self._verdicts = Verdicts.all_ok(count)

    def _views(self) -> dict[str, npt.NDArray[Any]]:
        views: dict[str, npt.NDArray[Any]] = {}
        count = self._count
        for model_input, place in self._plan.places:
            if place is None:
                views[model_input.name] = empty_input(model_input, count)
                continue
            begin, end = place.base * count, (place.base + place.width) * count
            views[model_input.name] = self._buffers[model_input.dtype][begin:end].reshape(count, place.width)
        return views

    # ---------------------------------------------------------------- filling

    def run(self, program: KernelProgram, rows: Int64Array, start: int) -> None:
        """Fill what a program finds in the named rows, whose payloads begin at byte ``start`` of their values."""
        found = np.zeros((2, program.spans, self._count), np.int64)
        blocks = np.empty((program.depth, 2), np.uint64)
        singles, doubles, wholes = self._buffers.values()
        avro_decode.decode(
            self._data, self._offsets, rows, start, *program.tables, singles, doubles, wholes, found, blocks, self.done
        )
        self._take_spans(program, rows, found)
        for late in program.late:
            self._fill_late(late, rows, found)

    def _take_spans(self, program: KernelProgram, rows: Int64Array, found: Int64Array) -> None:
        carried = len(self._plan.layout.carried)
        if len(rows) == self._count:
            self._starts, self._lengths = found[0, :carried], found[1, :carried]
        else:
            self._starts[:, rows], self._lengths[:, rows] = found[0, :carried, rows].T, found[1, :carried, rows].T
        for span, default in program.defaults:
            self._starts[span, rows], self._lengths[span, rows] = self._add(default), len(default)
        for rewrite in program.rewrites:
            self._rewrite(rewrite, rows)

    def _rewrite(self, rewrite: Rewrite, rows: Int64Array) -> None:
        for row in rows[self.done[rows]].tolist():
            start = int(self._starts[rewrite.span, row])
            written = self._bytes(start, int(self._lengths[rewrite.span, row]))
            try:
                rewritten, _ = rewrite.resolve(written, 0)
            except BadEvent:
                self.done[row] = False  # its walker says why
                continue
            self._put_bytes(rewrite.span, row, rewritten)

    def _fill_late(self, late: LateFeature, rows: Int64Array, found: Int64Array) -> None:
        done = rows[self.done[rows]]
        starts, lengths = found[:, late.span, done].tolist()
        values = [
            late.read(self._bytes(start, length), 0)[0] if length >= 0 else self._instead(late, length)
            for start, length in zip(starts, lengths, strict=True)
        ]
        for target in late.targets:
            self._fill(target, done, values)

    def _instead(self, late: LateFeature, length: int) -> Any:
        return late.absent if length == avro_decode.ABSENT_SPAN else None

    def fill_own(self, own: OwnColumn) -> None:
        """Fill the features that are the record's own (``$key`` and others); ``own`` gives their columns."""
        for target in self._plan.own:
            self._fill(target, np.arange(self._count), own(target.filler.feature.path))

    def _fill(self, target: Target, rows: Int64Array, values: Sequence[Any]) -> None:
        """Fill a feature's cells of some rows by its rule; those that it refuses are not done."""
        filler = target.filler
        whole = self.inputs[target.input_name]
        part = np.empty((len(rows), whole.shape[1]), whole.dtype)
        verdicts = Verdicts.all_ok(len(rows))
        filler.fill(values, part, verdicts)
        cells = slice(filler.start, filler.start + filler.feature.length)
        whole[rows, cells] = part[:, cells]
        self.done[rows[verdicts.status != Status.OK]] = False

    # ---------------------------------------------------------------- what was made elsewhere

    def rest(self) -> Int64Array:
        """The rows that are not done."""
        return (~self.done).nonzero()[0]

    def put(self, rows: Int64Array, decoded: Decoded) -> None:
        """Put in what somebody else made of the named rows."""
        for name, cells in decoded.inputs.items():
            self.inputs[name][rows] = cells
        self._verdicts.status[rows] = decoded.status
        numbers = rows.tolist()
        self._verdicts.details.update((numbers[place], detail) for place, detail in decoded.details.items())
        for span, column in enumerate(decoded.carried):
            for row, value in zip(numbers, column.values.to_list(), strict=True):
                self._put_bytes(span, row, value or b"")

    def decoded(self) -> Decoded:
        """The columns, when every row is done or put."""
        carried = len(self._starts)
        count = self._count
        ends = np.zeros(carried * count + 1, np.int64)
        np.cumsum(self._lengths.reshape(-1), out=ends[1:])
        joined = np.empty(int(ends[-1]), np.uint8)
        spans.gather(self._data, read_only(np.frombuffer(self._tail, np.uint8)), self._starts.reshape(-1), ends, joined)
        columns = tuple(
            Column(field.name, type_, "avro", Binary(joined, ends[span * count : (span + 1) * count + 1]))
            for span, (field, type_) in enumerate(zip(self._plan.layout.carried, self._plan.carried_types, strict=True))
        )
        return Decoded(self.inputs, self._verdicts.status, columns, self._verdicts.details)

    # ---------------------------------------------------------------- bytes

    def _bytes(self, start: int, length: int) -> bytes:
        return self._data[start : start + length].tobytes()

    def _put_bytes(self, span: int, row: int, value: bytes) -> None:
        self._starts[span, row], self._lengths[span, row] = self._add(value), len(value)

    def _add(self, value: bytes) -> int:
        """Keep bytes that are not in the events; where they begin, counted behind the events."""
        start = len(self._data) + len(self._tail)
        self._tail += value
        return start
