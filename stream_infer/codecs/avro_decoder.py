"""Avro events to columns.

Rule: every event is checked byte by byte and ends in its own row, with a status; whatever is wrong with one
never touches another. Checks come in this order: null value, no bytes, too long, framing, schema, bytes, feature
rules in the order of the feature list, carried fields.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from stream_infer.codecs.faults import BadEvent, Fault, SchemaRefused, Verdicts, fail
from stream_infer.codecs.layout import Layout
from stream_infer.codecs.paths import own_column
from stream_infer.codecs.program import Program, Row
from stream_infer.codecs.schema import Node
from stream_infer.codecs.writers import Lookup, WriterSchemas
from stream_infer.projection import Projection
from stream_infer.types import Decoded, Records, Status


def check_size(value: bytes | None, max_event_bytes: int) -> bytes:
    """Pass a value that is there and of a sensible length; raise BadEvent for the others."""
    if value is None:
        raise BadEvent(Status.TOMBSTONE, "")
    if not value:
        raise BadEvent(Status.EMPTY, "the value has no bytes")
    if len(value) > max_event_bytes:
        raise BadEvent(Status.OVERSIZE, f"{len(value)} bytes are more than the {max_event_bytes} allowed")
    return value


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
        self._schemas = schemas
        self._max_event_bytes = max_event_bytes
        self._programs: dict[Node, Program | Fault] = {}

    def decode(self, records: Records) -> Decoded:
        """Decode every record; see `stream_infer.ports.Decoder`."""
        verdicts = Verdicts.all_ok(len(records))
        lookup = self._schemas.lookup(records)
        width = len(self._layout.paths) + len(self._layout.carried)
        blank: Row = [None] * width
        rows: list[Row] = []
        for row, value in enumerate(records.values.to_list()):
            try:
                rows.append(self._row(row, value, lookup))
            except BadEvent as bad:
                verdicts.reject(row, bad.fault)
                rows.append(blank)
        columns: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * width
        split = len(self._layout.paths)
        own = partial(own_column, records)
        return self._layout.decoded(columns[:split], columns[split:], own, verdicts, "avro")

    def _row(self, row: int, value: bytes | None, lookup: Lookup) -> Row:
        value = check_size(value, self._max_event_bytes)
        written, start = lookup(row, value)
        program = self._programs.get(written)
        if program is None:
            program = self._compile(written)
        return fail(program) if isinstance(program, Fault) else program.run(value, start)

    def _compile(self, written: Node) -> Program | Fault:
        # Two threads may both compile the program of a new schema; they get equal ones, and the last one stays.
        try:
            program: Program | Fault = Program(written, self._layout)
        except SchemaRefused as refused:
            program = Fault(Status.SCHEMA_REFUSED, str(refused))
        self._programs[written] = program
        return program
