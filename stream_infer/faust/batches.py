"""A batch of Faust's events as columns, and its scored events as bytes: the service's own code does the work.

Rule: events are read from the record's bytes, whatever type their topic has in Faust, so that decoding, scoring,
rejecting and encoding are those of `stream_infer.work`. Only where features are joined are fields decoded one by one.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import fastavro
import msgspec
import numpy as np

from stream_infer.clock import Clock, SystemClock
from stream_infer.codecs import (
    AvroDecoder,
    AvroEncoder,
    FixedSchema,
    JsonDecoder,
    JsonEncoder,
    decode_mappings,
    output_schema,
)
from stream_infer.faust.intake import Fields, Parse, Taken
from stream_infer.faust.parts import Message
from stream_infer.ports import Decoder, Encoder
from stream_infer.scoring import Scorer
from stream_infer.types import (
    NO_TIMESTAMP,
    AvroType,
    Binary,
    BoolArray,
    Decoded,
    HeaderList,
    HeaderRows,
    Int64Array,
    ModelIdentity,
    Records,
    ScoredBatch,
    ScoredColumns,
    Split,
    Status,
)
from stream_infer.work import Work

MAX_EVENT_BYTES = 1024 * 1024
"""Longest event; the default of the service's ``source.max_event_bytes``."""


@dataclass(frozen=True, slots=True)
class Format:
    """How events are read and scored events are written.

    Args:
        events: ``"json"``, or the Avro schema that the events (bare, without framing) were written with.
        scored: ``"json"`` or ``"avro"`` (bare).
        carry: top-level fields of the event that every scored event brings along, as the service's ``sink.fields``.
    """

    events: str | AvroType = "json"
    scored: Literal["json", "avro"] = "json"
    carry: tuple[str, ...] = ()


class BatchScoring:
    """Scores batches with one model. Call it from one thread at a time.

    Args:
        scorer: the model.
        form: how events are read and written.
        clock: says when an event was scored.

    Raises:
        ConfigError: a carried field is not in the bundle's input schema.
    """

    def __init__(self, scorer: Scorer, form: Format, clock: Clock | None = None) -> None:
        self._scorer = scorer
        self._clock = clock or SystemClock()
        bundle = scorer.bundle
        self._projection = bundle.projection(form.carry)
        self._decoder: Decoder
        if form.events == "json":
            self._decoder = JsonDecoder(self._projection, max_event_bytes=MAX_EVENT_BYTES)
        else:
            writer = FixedSchema(form.events)
            self._decoder = AvroDecoder(self._projection, writer, max_event_bytes=MAX_EVENT_BYTES)
        output = output_schema(bundle.input_schema, form.carry, bundle.manifest.multi_class)
        self._encoder: Encoder = JsonEncoder(output) if form.scored == "json" else AvroEncoder(output)

    @property
    def identity(self) -> ModelIdentity:
        """The model."""
        return self._scorer.identity

    def __call__(self, batch: Sequence[Taken]) -> ScoredBatch:
        """Score a batch: a row for each event, in order.

        Raises:
            StreamInferError: as `stream_infer.work.Work.score`.
        """
        records = to_records([taken.event.message for taken in batch], self._clock.wall_ms())
        return Work(_JoinedScorer(self, batch), self._encoder, self._clock).score(records).batch

    def decode(self, records: Records, batch: Sequence[Taken]) -> Decoded:
        """Records to columns; where features were joined, from the fields."""
        if all(taken.fields is None for taken in batch):
            return self._decoder.decode(records)
        decoded = decode_mappings(self._projection, [_own(taken) for taken in batch])
        unread = np.flatnonzero([taken.fields is None for taken in batch])
        return self._with_verdicts(decoded, records, unread.astype(np.int64)) if len(unread) else decoded

    def _with_verdicts(self, decoded: Decoded, records: Records, unread: Int64Array) -> Decoded:
        """The same with what the decoder says of rows that have no fields."""
        verdicts = self._decoder.decode(records.take(unread))
        status, details = decoded.status.copy(), dict(decoded.details)
        status[unread] = np.where(verdicts.status == Status.OK, Status.MALFORMED, verdicts.status)
        for place, row in enumerate(unread.tolist()):
            details.pop(row, None)
            if place in verdicts.details:
                details[row] = verdicts.details[place]
        return replace(decoded, status=status, details=details)

    def infer(self, decoded: Decoded, shed: BoolArray | None = None) -> ScoredColumns:
        """Columns to scores and decisions."""
        return self._scorer.infer(decoded, shed)


class _JoinedScorer:
    """The scorer of one batch: `stream_infer.work.BatchScorer`."""

    def __init__(self, scoring: BatchScoring, batch: Sequence[Taken]) -> None:
        self.identity = scoring.identity
        self.infer = scoring.infer
        self._scoring = scoring
        self._batch = batch

    def decode(self, records: Records) -> Decoded:
        return self._scoring.decode(records, self._batch)


def to_records(messages: Sequence[Message], received_ms: int) -> Records:
    """Messages as records; ``received_ms`` stands in where one has no timestamp."""
    splits: dict[Split, int] = {}
    index = [splits.setdefault(Split(message.topic, message.partition), len(splits)) for message in messages]
    return Records(
        values=Binary.from_values([message.value for message in messages]),
        keys=Binary.from_values([message.key for message in messages]),
        splits=tuple(splits),
        split_index=np.array(index, np.int32),
        offset=np.array([message.offset for message in messages], np.int64),
        timestamp_ms=np.array([_milliseconds(message.timestamp) for message in messages], np.int64),
        received_ms=received_ms,
        headers=HeaderRows([_headers(message) for message in messages]),
    )


def _milliseconds(timestamp: float | None) -> int:
    """Faust divides milliseconds by 1000; rounding finds them again, which cutting off does not."""
    return NO_TIMESTAMP if timestamp is None or timestamp < 0 else round(timestamp * 1000)


def _headers(message: Message) -> HeaderList:
    headers = message.headers
    if headers is None:
        return []
    return list(headers.items() if hasattr(headers, "items") else headers)


def _own(taken: Taken) -> Fields:
    """An event's fields, and under their names what the record itself says."""
    message = taken.event.message
    own: dict[str, object] = {f"$headers.{name}": _text(value) for name, value in _headers(message)}
    own["$key"] = _text(message.key)
    own["$timestamp"] = None if message.timestamp is None or message.timestamp < 0 else message.timestamp
    return {**own, **(taken.fields or {})}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def parser(form: Format) -> Parse:
    """What reads an event's fields for features. It has no verdict on those that it cannot read: the decoder has."""
    if form.events == "json":
        return _parse_json
    schema = fastavro.parse_schema(json.loads(form.events) if isinstance(form.events, str) else form.events)

    def parse_avro(value: bytes | None) -> Fields | None:
        if not value or len(value) > MAX_EVENT_BYTES:
            return None
        stream = io.BytesIO(value)
        try:
            fields = fastavro.schemaless_reader(stream, schema, None)
        except Exception:  # whatever bytes may do to a reader that expects none of it
            return None
        return fields if isinstance(fields, dict) and stream.tell() == len(value) else None

    return parse_avro


def _parse_json(value: bytes | None) -> Fields | None:
    if not value or len(value) > MAX_EVENT_BYTES:
        return None
    try:
        fields = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None
