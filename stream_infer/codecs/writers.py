"""Where the schema of an event's writer comes from: one known schema, or an id in every event.

Rule: a schema is asked for once and kept for ever, for ids never change their meaning. An id that is not known
is asked for once in every batch that uses it, so a schema that is registered late is found, and a flood of
garbage costs the registry one call per id and batch. What the registry raises passes through: the batch is
tried again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Protocol, TypeAlias

from stream_infer.codecs.faults import BadEvent, Fault, SchemaRefused, fail
from stream_infer.codecs.schema import Node, parse_schema
from stream_infer.errors import ConfigError, ConfigProblem
from stream_infer.ports import SchemaSource
from stream_infer.types import AvroType, HeaderList, Records, Status

Lookup: TypeAlias = Callable[[int, bytes], tuple[Node, int]]
SchemaKey: TypeAlias = int | str

SCHEMA_ID_HEADER = "__value_schema_id"
"""Confluent's header for the schema of a value: 1 and the 16 bytes of a GUID, or 0 and a 4-byte id."""

PREFIX_BYTES = 5
"""The framing in the value itself: 0 and a 4-byte big-endian id."""


class WriterSchemas(Protocol):
    """Tells the schema an event was written with."""

    def lookup(self, records: Records) -> Lookup:
        """Begin a batch: a function of row and value (not empty) to the writer's schema and the payload's start.

        It raises BadEvent for an event whose schema cannot be told, RegistryUnavailable or NotAuthorized where
        the source of schemas does.
        """
        ...


class FixedSchema:
    """Bare Avro: every event is written with one schema, and nothing precedes its bytes."""

    def __init__(self, schema: AvroType) -> None:
        """Parse the writer's schema, JSON text or parsed.

        Raises:
            ConfigError: it is not valid or not safe to decode with.
        """
        try:
            self._node = parse_schema(schema)
        except SchemaRefused as refused:
            problem = ConfigProblem("source.codec.schema", str(refused), "name a valid Avro schema of a record")
            raise ConfigError([problem]) from refused

    def lookup(self, records: Records) -> Lookup:
        """The same answer for every event."""
        answer = (self._node, 0)
        return lambda _row, _value: answer


class FramedSchemas:
    """Confluent framing: the id in the ``__value_schema_id`` header where there is one, else before the payload."""

    def __init__(self, source: SchemaSource) -> None:
        self._source = source
        self._known: dict[SchemaKey, Node | Fault] = {}

    def lookup(self, records: Records) -> Lookup:
        """Begin a batch; ids that turn out unknown are not asked for again in it."""
        unknown: set[SchemaKey] = set()
        headers = records.headers

        def find(row: int, value: bytes) -> tuple[Node, int]:
            tag = None if headers is None else _schema_header(headers[row])
            if tag is not None:
                return self._schema(_header_key(tag), unknown), 0
            return self._schema(_prefix_id(value), unknown), PREFIX_BYTES

        return find

    def _schema(self, key: SchemaKey, unknown: set[SchemaKey]) -> Node:
        known = self._known.get(key)
        if known is None and key not in unknown:
            known = self._ask(key)
        if known is None:
            unknown.add(key)
            fail(Fault(Status.UNKNOWN_SCHEMA, f"the schema {key} is not known to the registry or the schema files"))
        return fail(known) if isinstance(known, Fault) else known

    def _ask(self, key: SchemaKey) -> Node | Fault | None:
        text = self._source.by_id(key) if isinstance(key, int) else self._source.by_guid(key)
        if text is None:
            return None
        try:
            schema: Node | Fault = parse_schema(text)
        except SchemaRefused as refused:
            schema = Fault(Status.SCHEMA_REFUSED, f"the schema {key} is refused: {refused}")
        self._known[key] = schema
        return schema


def _schema_header(headers: HeaderList) -> bytes | None:
    return next((value for name, value in headers if name == SCHEMA_ID_HEADER), None)


def _header_key(tag: bytes) -> SchemaKey:
    if len(tag) == 17 and tag[0] == 1:
        return str(uuid.UUID(bytes=tag[1:]))
    if len(tag) == PREFIX_BYTES and tag[0] == 0:
        return int.from_bytes(tag[1:], "big")
    raise BadEvent(Status.BAD_MAGIC, f"the header {SCHEMA_ID_HEADER} is neither 1 and a GUID nor 0 and an id")


def _prefix_id(value: bytes) -> int:
    if value[0] != 0:
        raise BadEvent(Status.BAD_MAGIC, "the first byte is not 0, so no schema id follows")
    if len(value) < PREFIX_BYTES:
        raise BadEvent(Status.TRUNCATED, "the value ends within the schema id")
    return int.from_bytes(value[1:PREFIX_BYTES], "big")
