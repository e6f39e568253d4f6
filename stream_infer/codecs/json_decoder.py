"""JSON events to columns.

Rule: an event is one JSON object in UTF-8; the reader's schema says what its fields mean. Of a repeated key the last
one counts. NaN and Infinity are refused wherever they stand; a number beyond a double or int64 only where it is used.
The kernels read all that they are sure of; the rest, bad events above all, is parsed one by one (`json_rows`), and what
that says counts.

A carried field keeps its own JSON text. It is checked against the reader's type all the same, so that an event
does not pass or fail by what the output is encoded in.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from stream_infer.codecs.json_columns import JsonColumns, JsonPlan
from stream_infer.codecs.json_program import compile_layout
from stream_infer.codecs.json_rows import RowDecoder
from stream_infer.codecs.layout import Layout
from stream_infer.codecs.paths import own_column
from stream_infer.projection import Projection
from stream_infer.types import BoolArray, Decoded, Records


class JsonDecoder:
    """A `stream_infer.ports.Decoder` for JSON objects. May be used by several threads at once."""

    def __init__(self, projection: Projection, *, max_event_bytes: int) -> None:
        """Compile the projection.

        Args:
            projection: what the model and the output need.
            max_event_bytes: longer values are rejected unread.

        Raises:
            ModelLoadError: the reader's schema or the feature list cannot be used.
            ConfigError: a carried field is not in the reader's schema.
        """
        layout = Layout(projection)
        self._rows = RowDecoder(layout, max_event_bytes)
        self._max_event_bytes = max_event_bytes
        program = compile_layout(layout)
        self._plan = None if program is None else JsonPlan(layout, program, self._rows)

    def decode(self, records: Records) -> Decoded:
        """Decode every record; see `stream_infer.ports.Decoder`."""
        if self._plan is None:
            return self._rows.decode(records)
        columns = JsonColumns(self._plan, records, self._readable(records))
        columns.fill_late(partial(own_column, records))
        rest = np.flatnonzero(~columns.done)
        if len(rest):
            columns.put(rest, self._rows.decode(records.take(rest)))
        return columns.decoded()

    def _readable(self, records: Records) -> BoolArray:
        """Which values are there and of a sensible length."""
        values = records.values
        lengths = values.lengths
        readable: BoolArray = (lengths > 0) & (lengths <= self._max_event_bytes)
        return readable if values.valid is None else readable & values.valid
