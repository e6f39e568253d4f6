"""Avro events to columns.

Rule: every event is checked byte by byte and ends in its own row, with a status; whatever is wrong with one
never touches another. The kernel reads all that it is sure of; the rest, bad events above all, is walked one by one,
and what the walker says counts. Checks come in this order: null value, no bytes, too long, framing, schema, bytes,
feature rules in the order of the feature list, carried fields.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from stream_infer.codecs.columnar import ColumnPlan, Columns
from stream_infer.codecs.faults import BadEvent, Fault, SchemaRefused, Verdicts, fail
from stream_infer.codecs.layout import Layout
from stream_infer.codecs.opcodes import KernelProgram
from stream_infer.codecs.paths import own_column
from stream_infer.codecs.program import Program, Row
from stream_infer.codecs.schema import Node
from stream_infer.codecs.writers import Writers, WriterSchemas
from stream_infer.projection import Projection
from stream_infer.types import Decoded, Int64Array, Records, Status


def check_size(value: bytes | None, max_event_bytes: int) -> bytes:
    """Pass a value that is there and of a sensible length; raise BadEvent for the others."""
    if value is None:
        raise BadEvent(Status.TOMBSTONE, "")
    if not value:
        raise BadEvent(Status.EMPTY, "the value has no bytes")
    if len(value) > max_event_bytes:
        raise BadEvent(Status.OVERSIZE, f"{len(value)} bytes are more than the {max_event_bytes} allowed")
    return value


class _Compiled(NamedTuple):
    """How events of one writer are read: by the kernel, and those that it is not sure of by the walker."""

    kernel: KernelProgram
    walker: Program


class AvroDecoder:
    """A `stream_infer.ports.Decoder` for Avro. May be used by several threads at once."""

    def __init__(self, projection: Projection, schemas: WriterSchemas, *, max_event_bytes: int) -> None:
        """Compile the projection; programs for writers' schemas are compiled as they appear.

        Args:
            projection: what the model and the output need.
            schemas: tells the schema an event was written with.
            max_event_bytes: longer values are rejected unread.

        Raises:
            ModelLoadError: the reader's schema or the feature list cannot be used.
            ConfigError: a carried field is not in the reader's schema.
        """
        self._layout = Layout(projection)
        self._plan = ColumnPlan(self._layout)
        self._schemas = schemas
        self._max_event_bytes = max_event_bytes
        self._programs: dict[Node, _Compiled | Fault] = {}

    def decode(self, records: Records) -> Decoded:
        """Decode every record; see `stream_infer.ports.Decoder`."""
        writers = self._schemas.writers(records)
        columns = Columns(self._plan, records)
        for schema, start, rows in writers.groups(self._readable(records)):
            program = self._program(schema)
            if not isinstance(program, Fault):
                columns.run(program.kernel, rows, start)
        columns.fill_own(partial(own_column, records))
        rest = columns.rest()
        if len(rest):
            columns.put(rest, self._walked(records, rest, writers))
        return columns.decoded()

    def _readable(self, records: Records) -> Int64Array:
        """Rows whose value is there and of a sensible length."""
        values = records.values
        lengths = values.lengths
        readable = (lengths > 0) & (lengths <= self._max_event_bytes)
        return (readable if values.valid is None else readable & values.valid).nonzero()[0]

    def _walked(self, records: Records, numbers: Int64Array, writers: Writers) -> Decoded:
        """Decode some of the records one by one."""
        verdicts = Verdicts.all_ok(len(numbers))
        width = len(self._layout.paths) + len(self._layout.carried)
        blank: Row = [None] * width
        rows: list[Row] = []
        for place, row in enumerate(numbers.tolist()):
            try:
                rows.append(self._row(row, records.values[row], writers))
            except BadEvent as bad:
                verdicts.reject(place, bad.fault)
                rows.append(blank)
        columns: list[Any] = list(zip(*rows, strict=True))
        split = len(self._layout.paths)
        own = partial(own_column, records.take(numbers) if self._layout.own else records)
        return self._layout.decoded(columns[:split], columns[split:], own, verdicts, "avro")

    def _row(self, row: int, value: bytes | None, writers: Writers) -> Row:
        value = check_size(value, self._max_event_bytes)
        written, start = writers.find(row, value)
        program = self._program(written)
        return fail(program) if isinstance(program, Fault) else program.walker.run(value, start)

    def _program(self, written: Node) -> _Compiled | Fault:
        # Two threads may both compile the programs of a new schema; they get equal ones, and the last ones stay.
        known = self._programs.get(written)
        if known is None:
            try:
                walker = Program(written, self._layout)
                known = _Compiled(self._plan.assemble(written), walker)
            except SchemaRefused as refused:
                known = Fault(Status.SCHEMA_REFUSED, str(refused))
            self._programs[written] = known
        return known
