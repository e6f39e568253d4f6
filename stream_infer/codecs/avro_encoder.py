"""Scored columns to Avro.

Rule: what a model, a split or a class is called is spelt once and kept; a row only says which it is.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from stream_infer.codecs.output import STATUS_SYMBOLS, OutputSchema
from stream_infer.codecs.row_writer import RowWriter
from stream_infer.codecs.scored_encoder import (
    ScoredEncoder,
    class_index,
    probabilities_of,
    shed_rows,
    spread,
    verdict_index,
)
from stream_infer.codecs.write import write_long
from stream_infer.types import Binary, ModelIdentity, Records, ScoredColumns

_NULL = write_long(0)
_PRESENT = write_long(1)
_FALSE, _TRUE = b"\x00", b"\x01"
_END_OF_ARRAY = b"\x00"


class AvroEncoder(ScoredEncoder):
    """A `stream_infer.ports.Encoder` for Avro. May be used by several threads at once."""

    encoding = "avro"

    def __init__(self, output: OutputSchema, prefix: bytes = b"") -> None:
        """Bind the schema.

        Args:
            output: the schema to write.
            prefix: what precedes every payload: 0 and the 4-byte id, or nothing.
        """
        super().__init__(output)
        self._prefix = prefix

    def _write(
        self, rows: RowWriter, records: Records, scored: ScoredColumns, scored_at_ms: int, carried: Sequence[Binary]
    ) -> None:
        rows.constant(self._prefix)
        rows.optional_float(scored.score)
        verdicts = [verdict for model in scored.models for verdict in _verdicts(model)]
        rows.picked(verdicts, verdict_index(scored, len(STATUS_SYMBOLS)))
        rows.picked([_place(split.source, split.partition) for split in records.splits], records.split_index)
        rows.long(records.offset)
        rows.optional_long(records.timestamp_ms)
        rows.constant(write_long(scored_at_ms))
        if self._output.multi_class:
            _write_classes(rows, scored)
        for column in carried:
            rows.own(column)


def _write_classes(rows: RowWriter, scored: ScoredColumns) -> None:
    """``predicted_class`` and ``probabilities``, which are both null for a row that was shed."""
    head = _PRESENT + write_long(len(scored.classes))
    names = [_PRESENT + _text(name) + head for name in scored.classes]
    rows.picked([_NULL + _NULL, *names], class_index(scored))
    scores = probabilities_of(scored)
    shed = shed_rows(scored)
    cells = np.zeros((len(scored) - int(shed.sum()), scores.shape[1] * 4 + len(_END_OF_ARRAY)), np.uint8)
    cells[:, : -len(_END_OF_ARRAY)] = np.ascontiguousarray(scores[~shed], "<f4").view(np.uint8)
    rows.own(spread(cells.tobytes(), np.where(shed, 0, cells.shape[1])))


@lru_cache(maxsize=64)
def _verdicts(model: ModelIdentity) -> tuple[bytes, ...]:
    """Flag, status and model: one piece for each combination, in the order of `verdict_index`."""
    names = (model.name, model.version, model.digest)
    said = struct.pack("<d", model.threshold) + b"".join(map(_text, names))
    return tuple(flag + write_long(status) + said for status in range(len(STATUS_SYMBOLS)) for flag in (_FALSE, _TRUE))


@lru_cache(maxsize=4096)
def _place(source: str, partition: int) -> bytes:
    return _text(source) + write_long(partition)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return write_long(len(encoded)) + encoded
