"""Scored columns to JSON objects.

Rule: an event is a template with gaps. The names, and what a model, a split or a class is called, are spelt once and
kept; numbers are spelt by the kernel if they are whole, and by msgspec, for a whole column at once, if they are not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
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
from stream_infer.types import Binary, Float32Array, Int64Array, ModelIdentity, Records, ScoredColumns

_json: Callable[[Any], bytes] = msgspec.json.Encoder().encode
_COMMA, _END_OF_ARRAY = b",]"


class JsonEncoder(ScoredEncoder):
    """A `stream_infer.ports.Encoder` for JSON objects in UTF-8. May be used by several threads at once.

    Scores are written as the double that the float32 is, so that any reader gets the exact score.
    """

    encoding = "json"

    def __init__(self, output: OutputSchema) -> None:
        """Bind the schema that names the fields."""
        super().__init__(output)
        self._carried_names = [b"," + _name(field.name) for field in output.carried]

    def _write(
        self, rows: RowWriter, records: Records, scored: ScoredColumns, scored_at_ms: int, carried: Sequence[Binary]
    ) -> None:
        rows.constant(b"{" + _name("score"))
        texts, edges = number_texts(scored.score)
        rows.own(spread(texts, np.diff(edges)))
        verdicts = [verdict for model in scored.models for verdict in _verdicts(model)]
        rows.picked(verdicts, verdict_index(scored, len(STATUS_SYMBOLS)))
        rows.picked([_place(split.source, split.partition) for split in records.splits], records.split_index)
        rows.digits(records.offset)
        rows.constant(b"," + _name("event_timestamp"))
        rows.optional_digits(records.timestamp_ms)
        rows.constant(b"," + _member("scored_at", scored_at_ms))
        if self._output.multi_class:
            _write_classes(rows, scored)
        for name, column in zip(self._carried_names, carried, strict=True):
            rows.constant(name)
            rows.own(column)
        rows.constant(b"}")


def _write_classes(rows: RowWriter, scored: ScoredColumns) -> None:
    """``predicted_class`` and ``probabilities``, which are both null for a row that was shed."""
    nothing = b"," + _member("predicted_class", None) + b"," + _member("probabilities", None)
    open_array = b"," + _name("probabilities") + b"["
    names = [b"," + _member("predicted_class", name) + open_array for name in scored.classes]
    rows.picked([nothing, *names], class_index(scored))
    scores = probabilities_of(scored)
    shed = shed_rows(scored)
    texts, edges = number_texts(scores[~shed].ravel())
    ends = edges[:: scores.shape[1]]
    closed = np.frombuffer(texts, np.uint8).copy()
    closed[ends[1:] - 1] = _END_OF_ARRAY
    widths = np.zeros(len(scored), np.int64)
    widths[~shed] = np.diff(ends)
    rows.own(spread(closed.tobytes(), widths))


def number_texts(numbers: Float32Array) -> tuple[bytes, Int64Array]:
    """Numbers in JSON, each followed by a comma; a NaN or infinite one is null.

    Args:
        numbers: ``[n]``.

    Returns:
        The texts joined, and where they begin and end, int64 ``[n + 1]``.
    """
    joined = _json(numbers.tolist())
    texts = joined[1:-1] + b"," if len(numbers) else b""
    edges = np.zeros(len(numbers) + 1, np.int64)
    edges[1:] = np.flatnonzero(np.frombuffer(texts, np.uint8) == _COMMA) + 1
    return texts, edges


@lru_cache(maxsize=64)
def _verdicts(model: ModelIdentity) -> tuple[bytes, ...]:
    """Flag, status and model: one piece for each combination, in the order of `verdict_index`."""
    said = [
        _member("threshold", model.threshold),
        _member("model_name", model.name),
        _member("model_version", model.version),
        _member("model_digest", model.digest),
    ]
    return tuple(
        b",".join([_member("flagged", flag), _member("status", status), *said, b""])
        for status in STATUS_SYMBOLS
        for flag in (False, True)
    )


@lru_cache(maxsize=4096)
def _place(source: str, partition: int) -> bytes:
    """Topic and partition, and the name of the offset that follows."""
    return b",".join([_member("input_topic", source), _member("input_partition", partition), _name("input_offset")])


def _member(name: str, value: Any) -> bytes:
    return _name(name) + _json(value)


def _name(name: str) -> bytes:
    return _json(name) + b":"
