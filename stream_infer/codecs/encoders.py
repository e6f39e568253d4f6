"""Scored columns to Avro or JSON.

Rule: column by column, then one join per event. What repeats (model, topic, partition) is encoded once per batch,
and carried bytes are copied where they already are in the output's encoding. The order of the columns is that of
`output.FIXED_FIELDS`, which a test holds against fastavro.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from stream_infer.codecs.faults import BadEvent
from stream_infer.codecs.output import STATUS_SYMBOLS, OutputSchema
from stream_infer.codecs.resolve import resolver, same_encoding
from stream_infer.codecs.schema import Field, Node, parse_schema, type_json
from stream_infer.codecs.transcode import Transcode, transcoder
from stream_infer.codecs.write import write_long
from stream_infer.types import NO_TIMESTAMP, Binary, Column, ModelIdentity, Records, ScoredColumns, Split, Status

Pieces = Sequence[bytes]
_SHED = STATUS_SYMBOLS.index("shed")


class ScoredEncoder(ABC):
    """What both encoders share: which rows are written, the carried columns, the join.

    A subclass writes one column of the fixed part at a time.
    """

    encoding = ""

    def __init__(self, output: OutputSchema) -> None:
        self._output = output
        self._transcoders: dict[tuple[str, str], Transcode | None] = {}

    def encode(self, records: Records, scored: ScoredColumns, scored_at_ms: int) -> tuple[Binary, Mapping[int, str]]:
        """One payload for every row that is OK or SHED; see `stream_infer.ports.Encoder`.

        Raises:
            ValueError: ``scored`` lacks a column that the output schema names.
        """
        rows = np.flatnonzero((scored.status == Status.OK) | (scored.status == Status.SHED)).tolist()
        failures: dict[int, str] = {}
        columns = self._fixed(records, scored, scored_at_ms, rows)
        if self._output.multi_class:
            columns += self._classes(scored, rows)
        by_name = {column.name: column for column in scored.carried}
        for field in self._output.carried:
            if field.name not in by_name:
                raise ValueError(f"the scored columns lack the carried field {field.name}")
            columns.append(self._carried(field, by_name[field.name], rows, failures))
        payloads: list[bytes | None] = [None] * len(scored)
        for row, pieces in zip(rows, zip(*columns, strict=True), strict=True):
            payloads[row] = None if row in failures else self._join(pieces)
        return Binary.from_values(payloads), failures

    @abstractmethod
    def _fixed(self, records: Records, scored: ScoredColumns, scored_at_ms: int, rows: list[int]) -> list[Pieces]: ...

    @abstractmethod
    def _classes(self, scored: ScoredColumns, rows: list[int]) -> list[Pieces]: ...

    @abstractmethod
    def _join(self, pieces: tuple[bytes, ...]) -> bytes: ...

    def _carried(self, field: Field, column: Column, rows: list[int], failures: dict[int, str]) -> Pieces:
        transcode = self._transcoder(field, column)
        empty_is_absent = column.encoding == "json" or field.node.min_bytes > 0
        values = column.values.to_list()
        pieces = []
        for row in rows:
            span = values[row] or b""
            try:
                if not span and empty_is_absent:
                    raise BadEvent(Status.MISSING_FIELD, "absent")
                pieces.append(span if transcode is None else transcode(span))
            except BadEvent as bad:
                failures[row] = f"carried field {field.name}: {bad.detail}"
                pieces.append(b"")
        return pieces

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

    def _join(self, pieces: tuple[bytes, ...]) -> bytes:
        return b"".join(pieces)

    def _fixed(self, records: Records, scored: ScoredColumns, scored_at_ms: int, rows: list[int]) -> list[Pieces]:
        models = _pick([_avro_model(model) for model in scored.models], scored.model_index, rows)
        splits = _pick([_avro_split(split) for split in records.splits], records.split_index, rows)
        scored_at = write_long(scored_at_ms)
        return [
            [self._prefix] * len(rows),
            _avro_scores(scored, rows),
            _pick([b"\x00", b"\x01"], scored.flagged, rows),
            _pick([write_long(0), write_long(_SHED)], scored.status == Status.SHED, rows),
            models,
            splits,
            [write_long(offset) for offset in records.offset[rows].tolist()],
            [_avro_timestamp(stamp) for stamp in records.timestamp_ms[rows].tolist()],
            [scored_at] * len(rows),
        ]

    def _classes(self, scored: ScoredColumns, rows: list[int]) -> list[Pieces]:
        names = [b"\x02" + _avro_text(name) for name in scored.classes]
        head = b"\x02" + write_long(len(names))
        probabilities = _probabilities(scored)[rows].astype("<f4")
        shed = (scored.status[rows] == Status.SHED).tolist()
        best = probabilities.argmax(axis=1).tolist()
        spans = [head + row.tobytes() + b"\x00" for row in probabilities]
        return [
            [b"\x00" if gone else names[place] for gone, place in zip(shed, best, strict=True)],
            [b"\x00" if gone else span for gone, span in zip(shed, spans, strict=True)],
        ]


class JsonEncoder(ScoredEncoder):
    """A `stream_infer.ports.Encoder` for JSON objects in UTF-8. May be used by several threads at once.

    Scores are written as the double that the float32 is, so that any reader gets the exact score.
    """

    encoding = "json"

    def __init__(self, output: OutputSchema) -> None:
        """Bind the schema that names the fields."""
        super().__init__(output)
        self._names = [_json(field["name"]) + b":" for field in output.avro["fields"]]

    def _join(self, pieces: tuple[bytes, ...]) -> bytes:
        return b"{" + b",".join([name + piece for name, piece in zip(self._names, pieces, strict=True)]) + b"}"

    def _fixed(self, records: Records, scored: ScoredColumns, scored_at_ms: int, rows: list[int]) -> list[Pieces]:
        models, model_index = scored.models, scored.model_index
        splits, split_index = records.splits, records.split_index
        stamps = records.timestamp_ms[rows].tolist()
        return [
            # A NaN (the score of an event that was shed) is written as null.
            [_json(score) for score in scored.score[rows].tolist()],
            _pick([b"false", b"true"], scored.flagged, rows),
            _pick([_json(symbol) for symbol in STATUS_SYMBOLS], scored.status == Status.SHED, rows),
            _pick([_json(model.threshold) for model in models], model_index, rows),
            _pick([_json(model.name) for model in models], model_index, rows),
            _pick([_json(model.version) for model in models], model_index, rows),
            _pick([_json(model.digest) for model in models], model_index, rows),
            _pick([_json(split.source) for split in splits], split_index, rows),
            _pick([_json(split.partition) for split in splits], split_index, rows),
            [_json(offset) for offset in records.offset[rows].tolist()],
            [b"null" if stamp == NO_TIMESTAMP else _json(stamp) for stamp in stamps],
            [_json(scored_at_ms)] * len(rows),
        ]

    def _classes(self, scored: ScoredColumns, rows: list[int]) -> list[Pieces]:
        probabilities = _probabilities(scored)[rows]
        shed = (scored.status[rows] == Status.SHED).tolist()
        names = [_json(name) for name in scored.classes]
        best = probabilities.argmax(axis=1).tolist()
        return [
            [b"null" if gone else names[place] for gone, place in zip(shed, best, strict=True)],
            [b"null" if gone else _json(row) for gone, row in zip(shed, probabilities.tolist(), strict=True)],
        ]


def _pick(pieces: Sequence[bytes], index: Any, rows: list[int]) -> Pieces:
    """The piece that each of the rows points to."""
    return [pieces[place] for place in index[rows].tolist()]


def _probabilities(scored: ScoredColumns) -> Any:
    if scored.probabilities is None:
        raise ValueError("the output schema is that of a multi-class model, and the scored columns have one class")
    return scored.probabilities


def _avro_scores(scored: ScoredColumns, rows: list[int]) -> Pieces:
    pack = struct.Struct("<Bf").pack
    return [b"\x00" if score != score else pack(2, score) for score in scored.score[rows].tolist()]


def _avro_text(text: str) -> bytes:
    encoded = text.encode()
    return write_long(len(encoded)) + encoded


def _avro_model(model: ModelIdentity) -> bytes:
    names = (model.name, model.version, model.digest)
    return struct.pack("<d", model.threshold) + b"".join(map(_avro_text, names))


def _avro_split(split: Split) -> bytes:
    return _avro_text(split.source) + write_long(split.partition)


def _avro_timestamp(stamp_ms: int) -> bytes:
    return b"\x00" if stamp_ms == NO_TIMESTAMP else b"\x02" + write_long(stamp_ms)


_json: Callable[[Any], bytes] = msgspec.json.Encoder().encode
