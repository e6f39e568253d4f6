"""Where a feature's value stands in an event, and what stands in for it.

Rule: a path names fields of the reader's schema, level by level through records. What an event lacks at some
level is what the reader's schema gives as default there, else it is missing; a null on the way is missing.
``$key``, ``$timestamp`` and ``$headers.NAME`` are not fields but the record's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from stream_infer.codecs.faults import BadEvent, SchemaRefused, wrong_type
from stream_infer.codecs.meaning import Conversion, avro_conversion, plain_conversion, python_value
from stream_infer.codecs.schema import NO_DEFAULT, Field, Node
from stream_infer.codecs.walk import reader
from stream_infer.codecs.write import default_bytes
from stream_infer.errors import ModelLoadError
from stream_infer.types import NO_TIMESTAMP, Records

HEADER_PREFIX = "$headers."


@dataclass(frozen=True, slots=True)
class Step:
    """One level of a path: the field, and the value of the whole path where this level is absent."""

    field: Field
    absent: Any


@dataclass(frozen=True, slots=True)
class EventPath:
    """A path into the event."""

    path: str
    steps: tuple[Step, ...]

    @property
    def leaf(self) -> Node:
        """The reader's type at the end of the path."""
        return self.steps[-1].field.node


def is_own(path: str) -> bool:
    """True for a path that is not in the event but the record's own (``$key`` and others)."""
    return path.startswith("$")


def event_path(schema: Node, path: str) -> EventPath:
    """Find a path in the reader's schema.

    Raises:
        ModelLoadError: it is not there, or leads to a record or a map; the message names the nearest field.
    """
    fields: list[Field] = []
    record: Node | None = schema
    for name in path.split("."):
        if record is None:
            raise ModelLoadError(f"feature path {path}: {fields[-1].name} is no record, so it has no field {name}")
        fields.append(_field(record, name, path))
        record = record_of(fields[-1].node)
    if record is not None or any(branch.kind == "map" for branch in fields[-1].node.branches):
        raise ModelLoadError(f"feature path {path}: it leads to a record or a map; name one of the fields in it")
    return EventPath(path, tuple(Step(field, _absent(fields[level:])) for level, field in enumerate(fields)))


def _field(record: Node, name: str, path: str) -> Field:
    field = record.field(name)
    if field is None:
        near = get_close_matches(name, [known.name for known in record.fields], n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ModelLoadError(f"feature path {path}: the input schema has no field {name}{hint}")
    return field


def record_of(node: Node) -> Node | None:
    """The record that a type is, or that a union holds."""
    return next((branch for branch in node.branches if branch.kind == "record"), None)


def _absent(fields: Sequence[Field]) -> Any:
    """The value of a path whose first field is absent: drawn from that field's default."""
    first = fields[0]
    if first.default is NO_DEFAULT:
        return None
    try:
        encoded = default_bytes(first)
    except BadEvent as bad:
        raise SchemaRefused(f"the default of field {first.name} does not fit its type: {bad.detail}") from None
    value, _ = reader(first.node, avro_conversion(fields[-1].node))(encoded, 0)
    for field in fields[1:]:
        value = None if value is None else value[field.name]
    return value


class PlainReader:
    """Reads one path out of events that are mappings (parsed JSON, Python dicts)."""

    def __init__(self, path: EventPath, from_python: bool = False) -> None:
        self._steps = [(step.field.names, step.absent) for step in path.steps]
        self._leaf = path.leaf
        self._convert: Conversion | None = plain_conversion(path.leaf)
        self._from_python = from_python

    def __call__(self, event: Mapping[str, Any]) -> Any:
        """The value for the feature rules: None where it is missing, a Fault where the path leads nowhere."""
        value: Any = event
        for names, absent in self._steps:
            if value is None:
                return None
            if not isinstance(value, Mapping):
                return wrong_type("a record", value)
            for name in names:
                if name in value:
                    value = value[name]
                    break
            else:
                return absent
        return self.converted(value)

    def converted(self, value: Any) -> Any:
        """A value found at the end of the path, as the feature rules take it."""
        if self._from_python:
            value = python_value(value, self._leaf)
        return value if self._convert is None else self._convert(value)


def own_column(records: Records, path: str) -> list[Any]:
    """The values of ``$key`` (text), ``$timestamp`` (seconds) or ``$headers.NAME`` (text), a row each.

    Bytes that are not UTF-8 become text that equals no category and that a string input refuses.
    """
    if path == "$key":
        return [_as_text(key) for key in records.keys.to_list()]
    if path == "$timestamp":
        return [None if stamp == NO_TIMESTAMP else stamp / 1e3 for stamp in records.timestamp_ms.tolist()]
    name = path.removeprefix(HEADER_PREFIX)
    return [_as_text(_last_header(records, row, name)) for row in range(len(records))]


def check_own_path(path: str) -> None:
    """Refuse a ``$`` path that does not exist. Raises ModelLoadError."""
    known = path in ("$key", "$timestamp") or (path.startswith(HEADER_PREFIX) and len(path) > len(HEADER_PREFIX))
    if not known:
        raise ModelLoadError(f"feature path {path}: a path with $ is $key, $timestamp or $headers.NAME")


def _last_header(records: Records, row: int, name: str) -> bytes | None:
    """The last header of a name counts, as in Kafka's own clients."""
    if records.headers is None:
        return None
    return next((value for key, value in reversed(records.headers[row]) if key == name), None)


def _as_text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="surrogateescape")
