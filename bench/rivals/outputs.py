"""What outputs say, whoever wrote them.

Rule: read by fastavro and the standard library, by nothing of stream_infer's.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import fastavro

from bench.rivals.contract import OUTPUT_FRAME


class Scored(NamedTuple):
    """What an output says."""

    id: str
    score: float
    flagged: bool | None
    """None where it does not say."""


Reader = Callable[[Sequence[bytes]], list[Scored]]


def json_reader(id_field: str) -> Reader:
    """Reads JSON."""

    def read(values: Sequence[bytes]) -> list[Scored]:
        return [_scored(json.loads(value), id_field) for value in values]

    return read


def avro_reader(schema: Mapping[str, Any], id_field: str) -> Reader:
    """Reads framed Avro; the reader raises ValueError for another frame."""
    parsed = fastavro.parse_schema(dict(schema))

    def read(values: Sequence[bytes]) -> list[Scored]:
        return [_scored(_event(value, parsed), id_field) for value in values]

    return read


def _event(value: bytes, schema: Any) -> Any:
    if value[: len(OUTPUT_FRAME)] != OUTPUT_FRAME:
        raise ValueError("an output does not begin with the frame of schema 2")
    return fastavro.schemaless_reader(io.BytesIO(value[len(OUTPUT_FRAME) :]), schema, None)


def _scored(event: Mapping[str, Any], id_field: str) -> Scored:
    return Scored(str(event[id_field]), event["score"], event.get("flagged"))
