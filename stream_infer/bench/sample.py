"""A sample of the user's events, as bytes that a topic would hold.

Rule: files are read as `stream_infer.export` reads them; a line of JSON stays as it is, bad ones too, since what
becomes of those is measured as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from stream_infer.bundle.container import encode_rows
from stream_infer.bundle.golden import Envelope
from stream_infer.errors import UsageError
from stream_infer.export.sample import read_json_lines, read_sample


@dataclass(frozen=True, slots=True)
class Events:
    """n events: values and what the records carry beside them. ``schema`` is the writer's, None for JSON."""

    values: Sequence[bytes]
    envelopes: Sequence[Envelope]
    schema: Mapping[str, Any] | None = None


def json_events(path: Path) -> Events:
    """Events for a topic of JSON. Lines are taken as they are; rows of other files are written as JSON.

    Raises:
        ExportRefused: the file is absent, empty, damaged, or of no known kind.
    """
    if path.suffix == ".jsonl":
        lines = read_json_lines(path)
        return Events([value for value, _ in lines], [envelope for _, envelope in lines])
    sample = read_sample(path)
    return Events([msgspec.json.encode(row) for row in sample.rows], sample.envelopes)


def avro_events(path: Path, *, writer: Mapping[str, Any] | None, model: Mapping[str, Any], framed: bool) -> Events:
    """Events for a topic of Avro.

    Args:
        path: the sample.
        writer: the one schema with which all events of the topic are written; None where events name their own.
        model: the schema for what has none (JSON lines, Parquet) where ``writer`` is None.
        framed: put a schema id, 1, before each event.

    Raises:
        ExportRefused: the file is absent, empty, damaged, or of no known kind.
        UsageError: an event does not fit the schema.
    """
    sample = read_sample(path)
    schema = writer or (sample.schema if path.suffix == ".avro" else model)
    try:
        values = list(sample.values) if schema == sample.schema else encode_rows(schema, sample.rows)
    except ValueError as error:
        raise UsageError(f"{path}: {error} of the topic; give events of this topic as an Avro container") from error
    prefix = b"\x00\x00\x00\x00\x01" if framed else b""
    return Events([prefix + value for value in values], sample.envelopes, schema)
