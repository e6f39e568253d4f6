"""Where the schema of an event's writer comes from: one known schema, or an id in every event.

Rule: the events of a batch are sorted by their writers without looking at them one by one (`Writers.groups`), except
those that carry headers; what cannot be sorted is asked about by itself (`Writers.find`), which says why. A schema is
asked for once and kept for ever, for ids never change their meaning. An id that is not known is asked for once in every
batch that uses it, so a schema that is registered late is found, and a flood of garbage costs the registry one call per
id and batch. What the registry raises passes through: the batch is tried again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from stream_infer.codecs.cells import read_only
from stream_infer.codecs.faults import BadEvent, Fault, SchemaRefused, fail
from stream_infer.codecs.schema import Node, parse_schema
from stream_infer.errors import ConfigError, ConfigProblem
from stream_infer.kernels.spans import NO_ID, read_ids
from stream_infer.ports import SchemaSource
from stream_infer.types import AvroType, HeaderList, Int64Array, Records, Status

SchemaKey: TypeAlias = int | str

SCHEMA_ID_HEADER = "__value_schema_id"
"""Confluent's header for the schema of a value: 1 and the 16 bytes of a GUID, or 0 and a 4-byte id."""

PREFIX_BYTES = 5
"""The framing in the value itself: 0 and a 4-byte big-endian id."""


class Group(NamedTuple):
    """Rows of a batch that were written with one schema."""

    schema: Node
    start: int
    """Bytes of each value before its payload."""
    rows: Int64Array


class Writers(Protocol):
    """Tells the schemas that the events of one batch were written with.

    Both methods raise RegistryUnavailable or NotAuthorized where the source of schemas does.
    """

    def groups(self, rows: Int64Array) -> Iterator[Group]:
        """The named rows (none of them null) by schema, without those whose schema cannot be told."""
        ...

    def find(self, row: int, value: bytes) -> tuple[Node, int]:
        """The writer's schema of one row and its value (not empty), and where its payload starts.

        Raises:
            BadEvent: it cannot be told.
        """
        ...


class WriterSchemas(Protocol):
    """Tells the schema an event was written with."""

    def writers(self, records: Records) -> Writers:
        """Begin a batch."""
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

    def writers(self, records: Records) -> Writers:
        """The same answer for every event."""
        return _OneWriter(self._node)


class _OneWriter:
    def __init__(self, node: Node) -> None:
        self._node = node

    def groups(self, rows: Int64Array) -> Iterator[Group]:
        yield Group(self._node, 0, rows)

    def find(self, row: int, value: bytes) -> tuple[Node, int]:
        return self._node, 0


class FramedSchemas:
    """Confluent framing: the id in the ``__value_schema_id`` header where there is one, else before the payload."""

    def __init__(self, source: SchemaSource) -> None:
        self._source = source
        self._known: dict[SchemaKey, Node | Fault] = {}

    def writers(self, records: Records) -> Writers:
        """Begin a batch; ids that turn out unknown are not asked for again in it."""
        return _FramedWriters(self, records)

    def schema(self, key: SchemaKey, unknown: set[SchemaKey]) -> Node:
        """The schema of an id or GUID, asked for unless it is known, or one of ``unknown``; those grow.

        Raises:
            BadEvent: there is none, or it is refused.
        """
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


class _FramedWriters:
    def __init__(self, schemas: FramedSchemas, records: Records) -> None:
        self._schemas = schemas
        self._records = records
        self._unknown: set[SchemaKey] = set()

    def groups(self, rows: Int64Array) -> Iterator[Group]:
        tags = self._tags(rows)
        bare = rows[~np.isin(rows, list(tags))] if tags else rows
        found = [(key, PREFIX_BYTES, members) for key, members in self._by_prefix(bare)]
        found += [(key, 0, members) for key, members in _by_tag(tags)]
        # In the order of the events: so the registry is asked for what comes first first.
        for key, start, members in sorted(found, key=lambda group: int(group[2][0])):
            try:
                yield Group(self._schemas.schema(key, self._unknown), start, members)
            except BadEvent:
                continue  # `find` says it of each event

    def find(self, row: int, value: bytes) -> tuple[Node, int]:
        headers = self._records.headers
        tag = None if headers is None else _schema_header(headers[row])
        if tag is not None:
            return self._schemas.schema(_header_key(tag), self._unknown), 0
        return self._schemas.schema(_prefix_id(value), self._unknown), PREFIX_BYTES

    def _tags(self, rows: Int64Array) -> dict[int, bytes]:
        """The rows that have a schema's header, with it."""
        headers = self._records.headers
        if headers is None:
            return {}
        tagged = rows[headers.present()[rows]]
        tags = ((row, _schema_header(headers[row])) for row in tagged.tolist())
        return {row: tag for row, tag in tags if tag is not None}

    def _by_prefix(self, rows: Int64Array) -> Iterator[tuple[SchemaKey, Int64Array]]:
        values = self._records.values
        ids = np.empty(len(rows), np.int64)
        read_ids(read_only(values.data), values.offsets, rows, ids)
        begins = [0] if len(ids) else []
        if (ids[1:] != ids[:-1]).any():  # seldom: a topic has one writer at a time
            order = np.argsort(ids, kind="stable")
            ids, rows = ids[order], rows[order]
            begins += (np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist()
        for begin, end in pairwise([*begins, len(ids)]):
            if ids[begin] != NO_ID:
                yield int(ids[begin]), rows[begin:end]


def _by_tag(tags: dict[int, bytes]) -> Iterator[tuple[SchemaKey, Int64Array]]:
    members: dict[SchemaKey, list[int]] = {}
    for row, tag in tags.items():
        try:
            members.setdefault(_header_key(tag), []).append(row)
        except BadEvent:
            continue  # `Writers.find` says it of each event
    for key, rows in members.items():
        yield key, np.array(rows, np.int64)


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
