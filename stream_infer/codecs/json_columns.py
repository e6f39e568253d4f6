"""A batch of JSON events on its way into columns, filled by kernels.

Rule: a row is done, or it is not, and of one that is not nothing counts until `JsonColumns.put` has put in what
somebody else made of it. Nothing is rejected here.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.codecs.cells import read_only
from stream_infer.codecs.faults import Fault, Verdicts
from stream_infer.codecs.features import empty_input
from stream_infer.codecs.json_program import LateFeature, Program
from stream_infer.codecs.json_rows import RowDecoder, json_value
from stream_infer.codecs.layout import Layout, OwnColumn
from stream_infer.codecs.schema import type_json
from stream_infer.kernels import json_cells, json_spans, spans
from stream_infer.types import MAX_NESTING, Binary, BoolArray, Column, Decoded, Int64Array, Records


class JsonPlan:
    """What every batch of a layout needs: the kernels' tables, and what is done in Python after them."""

    def __init__(self, layout: Layout, program: Program, rows: RowDecoder) -> None:
        self.layout = layout
        self.program = program
        self.rows = rows
        self.types = [type_json(field.node) for field in layout.carried]
        texts = [b"" if isinstance(carrier.default, Fault) else carrier.default for carrier in rows.carriers]
        self.defaults = b"".join(texts)
        ends = list(accumulate(map(len, texts)))
        carried = zip(program.carried_spans, [0, *ends], ends, strict=False)  # the last end begins nothing
        self.carried = np.array(list(carried), np.int64).reshape(-1, 3)


class JsonColumns:
    """The columns of one batch."""

    def __init__(self, plan: JsonPlan, records: Records, readable: BoolArray) -> None:
        """Find and fill what the kernels are sure of.

        Args:
            plan: what to look for.
            records: the batch, of n records.
            readable: ``[n]``, False for values that are not looked at.
        """
        self._plan = plan
        self._data = read_only(records.values.data)
        self.done = readable.copy()
        self._verdicts = Verdicts.all_ok(len(records))
        self._tail = bytearray(plan.defaults)
        self._find_values(records.values.offsets)
        self._cells = np.empty((len(records), plan.program.width), np.float32)
        json_cells.fill_cells(self._data, self._found, plan.program.actions, self._cells, self.done)
        self.inputs = self._views(len(records))

    def _find_values(self, offsets: Int64Array) -> None:
        program = self._plan.program
        self._found = np.empty((len(self.done), program.spans, 2), np.int64)
        json_spans.find_values(
            self._data, offsets, MAX_NESTING, program.wanted, program.scratch(), self._found, self.done
        )

    def _views(self, count: int) -> dict[str, npt.NDArray[Any]]:
        views: dict[str, npt.NDArray[Any]] = {}
        bases = self._plan.program.bases
        for model_input, _ in self._plan.layout.inputs:
            base = bases.get(model_input.name)
            if base is None:
                views[model_input.name] = empty_input(model_input, count)
            else:
                views[model_input.name] = np.ascontiguousarray(self._cells[:, base : base + model_input.width])
        return views

    # ---------------------------------------------------------------- done in Python

    def fill_late(self, own: OwnColumn) -> None:
        """Fill and check what the kernels do not cover; ``own`` gives the columns of ``$`` paths."""
        for feature in self._plan.program.late:
            self._fill_late(feature, own)
        for place in self._plan.program.late_checks:
            self._check_late(place)

    def _fill_late(self, late: LateFeature, own: OwnColumn) -> None:
        column = own(late.filler.feature.path) if late.span < 0 else self._values(late)
        verdicts = Verdicts.all_ok(len(self.done))
        late.filler.fill(column, self.inputs[late.input_name], verdicts)
        self.done &= verdicts.status == 0

    def _values(self, late: LateFeature) -> list[Any]:
        """The values of a path; None also for rows that are not done."""
        steps, read = self._plan.layout.paths[late.path].steps, self._plan.rows.readers[late.path]
        column: list[Any] = [None] * len(self.done)
        rows = np.flatnonzero(self.done).tolist()
        for row in rows:
            begin, end = self._found[row, late.span].tolist()
            if begin >= 0:
                column[row] = read.converted(json_value(self._data[begin:end].tobytes()))
            elif begin != json_spans.NULL:
                column[row] = steps[json_spans.ABSENT - begin].absent
        return column

    def _check_late(self, place: int) -> None:
        check, span = self._plan.rows.carriers[place].checked, self._plan.program.carried_spans[place]
        for row in np.flatnonzero(self.done & (self._found[:, span, 0] >= 0)).tolist():
            begin, end = self._found[row, span].tolist()
            if isinstance(check(self._data[begin:end].tobytes()), Fault):
                self.done[row] = False

    # ---------------------------------------------------------------- the end

    def put(self, rows: Int64Array, decoded: Decoded) -> None:
        """Put in what somebody else made of the named rows, which are those that are not done."""
        for name, cells in decoded.inputs.items():
            self.inputs[name][rows] = cells
        self._verdicts.status[rows] = decoded.status
        numbers = rows.tolist()
        self._verdicts.details.update((numbers[place], detail) for place, detail in decoded.details.items())
        for span, column in zip(self._plan.program.carried_spans, decoded.carried, strict=True):
            values = column.values
            edges = len(self._data) + len(self._tail) + values.offsets - values.offsets[0]
            self._found[rows, span, 0], self._found[rows, span, 1] = edges[:-1], edges[1:]
            self._tail += values.data[values.offsets[0] : values.offsets[-1]].tobytes()

    def decoded(self) -> Decoded:
        """The columns, when every row is done or put."""
        count, carried = len(self.done), len(self._plan.types)
        begins, edges = np.empty(carried * count, np.int64), np.empty(carried * count + 1, np.int64)
        json_cells.measure_carried(self._found, self._plan.carried, len(self._data), begins, edges)
        joined = np.empty(int(edges[-1]), np.uint8)
        spans.gather(self._data, read_only(np.frombuffer(self._tail, np.uint8)), begins, edges, joined)
        columns = tuple(
            Column(field.name, type_, "json", Binary(joined, edges[place * count : (place + 1) * count + 1]))
            for place, (field, type_) in enumerate(zip(self._plan.layout.carried, self._plan.types, strict=True))
        )
        return Decoded(self.inputs, self._verdicts.status, columns, self._verdicts.details)
