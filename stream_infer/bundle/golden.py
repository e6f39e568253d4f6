"""The golden vectors: events and what the model must answer for each.

Rule: they prove the whole way from bytes to decision, so an event that is rejected on the way is a vector too: its
expected ``reason`` stands where the score would. Three files of a bundle, row for row: the events, what each record
carried beside its value (only where a feature reads ``$key``, ``$timestamp`` or ``$headers.NAME``), and the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream_infer.bundle.container import ContainerError, encode_rows, read_container, write_container
from stream_infer.errors import ModelLoadError
from stream_infer.types import (
    NO_TIMESTAMP,
    Binary,
    BoolArray,
    Float32Array,
    HeaderList,
    HeaderRows,
    Records,
    Split,
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a record carries beside its value. ``timestamp_ms`` is since the epoch, `NO_TIMESTAMP` for none."""

    key: bytes | None = None
    timestamp_ms: int = NO_TIMESTAMP
    headers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class GoldenEvents:
    """n events: bare Avro of ``schema``, and an envelope for each."""

    schema: dict[str, Any]
    values: tuple[bytes, ...]
    envelopes: tuple[Envelope, ...]

    def __len__(self) -> int:
        return len(self.values)

    def records(self) -> Records:
        """The events as a decoder takes them, offset = row."""
        n = len(self)
        return Records(
            values=Binary.from_values(self.values),
            keys=Binary.from_values([envelope.key for envelope in self.envelopes]),
            splits=(Split("golden", 0),),
            split_index=np.zeros(n, np.int32),
            offset=np.arange(n, dtype=np.int64),
            timestamp_ms=np.array([envelope.timestamp_ms for envelope in self.envelopes], np.int64),
            received_ms=0,
            headers=HeaderRows([envelope.headers for envelope in self.envelopes]),
        )


@dataclass(frozen=True, slots=True)
class GoldenAnswers:
    """What the model must answer: ``score`` float32 ``[n]`` (NaN where there is a reason), ``flagged`` bool ``[n]``.

    ``reasons[i]`` is the reject reason of row i, or None where it is scored. ``probabilities`` float32 ``[n, k]``
    for a multi-class model, else None.
    """

    score: Float32Array
    flagged: BoolArray
    reasons: tuple[str | None, ...]
    probabilities: Float32Array | None = None

    def __len__(self) -> int:
        return len(self.score)


def encode_events(events: GoldenEvents) -> bytes:
    """The bytes of ``golden/input.avro``."""
    return write_container(events.schema, events.values)


def encode_envelopes(envelopes: Sequence[Envelope]) -> bytes:
    """The bytes of ``golden/records.avro``."""
    rows = [{"key": e.key, "timestamp_ms": e.timestamp_ms, "headers": _header_rows(e.headers)} for e in envelopes]
    return write_container(_ENVELOPE_SCHEMA, encode_rows(_ENVELOPE_SCHEMA, rows))


def encode_answers(answers: GoldenAnswers) -> bytes:
    """The bytes of ``golden/expected.avro``."""
    schema = _answer_schema(answers.probabilities is not None)
    rows = [_answer_row(answers, row) for row in range(len(answers))]
    return write_container(schema, encode_rows(schema, rows))


def decode_events(data: bytes, envelopes: bytes | None, rows: int, source: str) -> GoldenEvents:
    """Read the events, and the envelopes where the bundle has them.

    Raises:
        ModelLoadError: a file is damaged or doesn't hold ``rows`` records.
    """
    events = _read(data, rows, f"{source}: golden/input.avro")
    if envelopes is None:
        return GoldenEvents(events[0], events[1], (Envelope(),) * rows)
    _, _, stored = _read(envelopes, rows, f"{source}: golden/records.avro")
    return GoldenEvents(events[0], events[1], tuple(_envelope(row, source) for row in stored))


def decode_answers(data: bytes, rows: int, source: str) -> GoldenAnswers:
    """Read the answers.

    Raises:
        ModelLoadError: the file is damaged or doesn't hold ``rows`` records.
    """
    _, _, stored = _read(data, rows, f"{source}: golden/expected.avro")
    try:
        reasons = tuple(row.get("reason") for row in stored)
        score = np.array([np.nan if row["score"] is None else row["score"] for row in stored], np.float32)
        flagged = np.array([row["flagged"] for row in stored], np.bool_)
        return GoldenAnswers(score, flagged, reasons, _probabilities(stored))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelLoadError(
            f"{source}: golden/expected.avro lacks score or flagged ({type(error).__name__}); export the model again"
        ) from error


_ENVELOPE_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "GoldenRecord",
    "namespace": "stream_infer",
    "fields": [
        {"name": "key", "type": ["null", "bytes"]},
        {"name": "timestamp_ms", "type": "long"},
        {
            "name": "headers",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Header",
                    "fields": [{"name": "name", "type": "string"}, {"name": "value", "type": ["null", "bytes"]}],
                },
            },
        },
    ],
}


def _answer_schema(multi_class: bool) -> dict[str, Any]:
    fields: list[dict[str, Any]] = [
        {"name": "score", "type": ["null", "float"]},
        {"name": "flagged", "type": "boolean"},
        {"name": "reason", "type": ["null", "string"]},
    ]
    if multi_class:
        fields.append({"name": "probabilities", "type": ["null", {"type": "array", "items": "float"}]})
    return {"type": "record", "name": "GoldenAnswer", "namespace": "stream_infer", "fields": fields}


def _answer_row(answers: GoldenAnswers, row: int) -> dict[str, Any]:
    reason = answers.reasons[row]
    answer: dict[str, Any] = {
        "score": None if reason is not None else float(answers.score[row]),
        "flagged": bool(answers.flagged[row]),
        "reason": reason,
    }
    if answers.probabilities is not None:
        answer["probabilities"] = None if reason is not None else answers.probabilities[row].tolist()
    return answer


def _header_rows(headers: HeaderList) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in headers]


def _envelope(row: dict[str, Any], source: str) -> Envelope:
    try:
        headers = tuple((header["name"], header["value"]) for header in row["headers"])
        return Envelope(row["key"], row["timestamp_ms"], headers)
    except (KeyError, TypeError) as error:
        raise ModelLoadError(f"{source}: golden/records.avro lacks a field; export the model again") from error


def _probabilities(stored: Sequence[dict[str, Any]]) -> Float32Array | None:
    width = next((len(row["probabilities"]) for row in stored if row.get("probabilities") is not None), None)
    if width is None:
        return None
    absent = [float("nan")] * width
    return np.array([row["probabilities"] or absent for row in stored], np.float32)


def _read(data: bytes, rows: int, place: str) -> tuple[dict[str, Any], tuple[bytes, ...], tuple[dict[str, Any], ...]]:
    try:
        container = read_container(data, rows + 1)
    except ContainerError as error:
        raise ModelLoadError(f"{place}: {error}; export the model again") from error
    if len(container.rows) != rows:
        raise ModelLoadError(f"{place} does not hold the {rows} records that bundle.json says; export the model again")
    return container.schema, container.encoded, container.rows
