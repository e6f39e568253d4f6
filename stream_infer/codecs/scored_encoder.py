"""What the encoders of scored events share: which rows are written, and the carried columns.

Rule: columns in, one buffer out; nothing is done per row in Python, unless a carried field must be spelt anew. Carried
bytes are copied where they already are in the output's encoding. The order of the columns is that of
`output.FIXED_FIELDS`, which a test holds against fastavro.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from stream_infer.codecs.faults import BadEvent
from stream_infer.codecs.output import OutputSchema
from stream_infer.codecs.resolve import resolver, same_encoding
from stream_infer.codecs.row_writer import RowWriter
from stream_infer.codecs.schema import Field, Node, parse_schema, type_json
from stream_infer.codecs.transcode import Transcode, transcoder
from stream_infer.types import Binary, BoolArray, Column, Float32Array, Int64Array, Records, ScoredColumns, Status

ABSENT = "absent"


class ScoredEncoder(ABC):
    """An encoder without its spelling: a subclass writes the columns that are not carried."""

    encoding = ""

    def __init__(self, output: OutputSchema) -> None:
        self._output = output
        self._transcoders: dict[tuple[str, str], Transcode | None] = {}

    def encode(self, records: Records, scored: ScoredColumns, scored_at_ms: int) -> tuple[Binary, Mapping[int, str]]:
        """One payload for every row that is OK or SHED; see `stream_infer.ports.Encoder`.

        Raises:
            ValueError: ``scored`` lacks a column that the output schema names, or its tables do not fit its columns.
        """
        keep = (scored.status == Status.OK) | (scored.status == Status.SHED)
        failures: dict[int, str] = {}
        carried = self._all_carried(scored, keep, failures)
        if failures:
            keep[list(failures)] = False
        rows = RowWriter(len(scored))
        self._write(rows, records, scored, scored_at_ms, carried)
        return rows.join(keep), failures

    @abstractmethod
    def _write(
        self, rows: RowWriter, records: Records, scored: ScoredColumns, scored_at_ms: int, carried: Sequence[Binary]
    ) -> None: ...

    def _all_carried(self, scored: ScoredColumns, keep: BoolArray, failures: dict[int, str]) -> list[Binary]:
        by_name = {column.name: column for column in scored.carried}
        for field in self._output.carried:
            if field.name not in by_name:
                raise ValueError(f"the scored columns lack the carried field {field.name}")
        return [self._carried(field, by_name[field.name], keep, failures) for field in self._output.carried]

    def _carried(self, field: Field, column: Column, keep: BoolArray, failures: dict[int, str]) -> Binary:
        """The column in the output's encoding; rows that have none are named in ``failures``."""
        missing = keep & _is_missing(field, column)
        for row in np.flatnonzero(missing).tolist():
            failures[row] = _failure(field, ABSENT)
        transcode = self._transcoder(field, column)
        return column.values if transcode is None else _transcoded(field, column, transcode, keep & ~missing, failures)

    def _transcoder(self, field: Field, column: Column) -> Transcode | None:
        key = (field.name, f"{column.encoding} {column.type}")
        if key not in self._transcoders:
            self._transcoders[key] = self._compile(field.node, column)
        return self._transcoders[key]

    def _compile(self, node: Node, column: Column) -> Transcode | None:
        if column.encoding == "avro" and column.type != type_json(node):
            written = parse_schema(column.type)
            if not same_encoding(written, node):
                return self._resolved(written, node)
        return transcoder(node, column.encoding, self.encoding)

    def _resolved(self, written: Node, node: Node) -> Transcode:
        resolve = resolver(written, node)
        finish = transcoder(node, "avro", self.encoding)
        if finish is None:
            return lambda span: resolve(span, 0)[0]
        return lambda span: finish(resolve(span, 0)[0])


def _is_missing(field: Field, column: Column) -> BoolArray:
    """Rows without the bytes that a value would have. Only Avro's empty types have none."""
    if column.encoding == "avro" and field.node.min_bytes == 0:
        return np.zeros(len(column.values), np.bool_)
    empty: BoolArray = column.values.lengths == 0
    return empty if column.values.valid is None else empty | ~column.values.valid


def _failure(field: Field, detail: str) -> str:
    return f"carried field {field.name}: {detail}"


def _transcoded(
    field: Field, column: Column, transcode: Transcode, wanted: BoolArray, failures: dict[int, str]
) -> Binary:
    pieces = []
    for row, (span, is_wanted) in enumerate(zip(column.values.to_list(), wanted.tolist(), strict=True)):
        try:
            pieces.append(transcode(span or b"") if is_wanted else b"")
        except BadEvent as bad:
            failures[row] = _failure(field, bad.detail)
            pieces.append(b"")
    return Binary.from_values(pieces)


def shed_rows(scored: ScoredColumns) -> BoolArray:
    """Which rows are published without a score, bool ``[n]``."""
    shed: BoolArray = scored.status == Status.SHED
    return shed


def verdict_index(scored: ScoredColumns, statuses: int) -> Int64Array:
    """One number for a row's model, status (0 scored, 1 shed) and flag: ``(model * statuses + status) * 2 + flag``."""
    index = scored.model_index.astype(np.int64)
    index *= statuses
    index += shed_rows(scored)
    index *= 2
    index += scored.flagged
    return index


def class_index(scored: ScoredColumns) -> Int64Array:
    """0 for a row that was shed, else 1 and the place of its most probable class, int64 ``[n]``."""
    return np.where(shed_rows(scored), 0, probabilities_of(scored).argmax(axis=1) + 1)


def probabilities_of(scored: ScoredColumns) -> Float32Array:
    """The probabilities ``[n, k]``. Raises ValueError where there are none."""
    if scored.probabilities is None:
        raise ValueError("the output schema is that of a multi-class model, and the scored columns have one class")
    return scored.probabilities


def spread(data: bytes, widths: Int64Array) -> Binary:
    """Bytes cut into one value for each row, of the given widths ``[n]``."""
    offsets = np.zeros(len(widths) + 1, np.int64)
    np.cumsum(widths, out=offsets[1:])
    return Binary(np.frombuffer(data, np.uint8), offsets)
