"""Avro container files as runs of bare records.

Rule: values stay as the bytes and numbers that are stored; no logical type is applied here, since the one meaning of a
timestamp or a decimal lives in the decoders (`stream_infer.codecs`).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fastavro

from stream_infer.types import AvroType

SYNC_MARKER = b"stream_infer 1.0"
"""Sixteen bytes between blocks. Fixed, so that the same records are the same file."""

_MAGIC = b"Obj\x01"
_READ_ERRORS = (
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    StopIteration,
    fastavro.schema.SchemaParseException,
)


class ContainerError(ValueError):
    """The bytes are not a readable Avro container file."""


@dataclass(frozen=True, slots=True)
class Container:
    """``schema`` is the writer's; ``encoded[i]`` is the bare Avro record whose stored values are ``rows[i]``."""

    schema: dict[str, Any]
    encoded: tuple[bytes, ...]
    rows: tuple[dict[str, Any], ...]


def read_container(data: bytes, max_rows: int) -> Container:
    """The first ``max_rows`` records of a container file.

    Raises:
        ContainerError: it is damaged, or doesn't hold records.
    """
    try:
        blocks = fastavro.block_reader(io.BytesIO(data))
        schema = json.loads(blocks.metadata["avro.schema"])
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise ContainerError("it holds no records")
        return Container(schema, *_split(blocks, schema, max_rows))
    except _READ_ERRORS as error:
        raise ContainerError(f"it is not a readable Avro container ({type(error).__name__}: {error})") from error


def _split(
    blocks: Iterable[Any], schema: dict[str, Any], max_rows: int
) -> tuple[tuple[bytes, ...], tuple[dict[str, Any], ...]]:
    plain = fastavro.parse_schema(without_logical_types(schema))
    encoded: list[bytes] = []
    rows: list[dict[str, Any]] = []
    for block in blocks:
        content = block.bytes_.getvalue()
        stream = io.BytesIO(content)
        for _ in range(min(block.num_records, max_rows - len(rows))):
            start = stream.tell()
            row = fastavro.schemaless_reader(stream, plain, None)
            assert isinstance(row, dict), "a record is read as a dict"
            rows.append(row)
            encoded.append(content[start : stream.tell()])
        if len(rows) == max_rows:
            break
    return tuple(encoded), tuple(rows)


def write_container(schema: Mapping[str, Any], encoded: Sequence[bytes]) -> bytes:
    """A container file of bare records that were encoded with ``schema``: one block, not compressed."""
    header = {"avro.codec": b"null", "avro.schema": json.dumps(schema).encode()}
    metadata = b"".join(_sized(key.encode()) + _sized(value) for key, value in header.items())
    start = _MAGIC + _long(len(header)) + metadata + _long(0) + SYNC_MARKER
    if not encoded:
        return start
    return start + _long(len(encoded)) + _sized(b"".join(encoded)) + SYNC_MARKER


def encode_rows(schema: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """Bare Avro records from stored values (a timestamp is its number, a decimal its bytes).

    Raises:
        ValueError: a row does not fit the schema.
    """
    plain = fastavro.parse_schema(without_logical_types(dict(schema)))
    encoded = []
    for index, row in enumerate(rows):
        stream = io.BytesIO()
        try:
            fastavro.schemaless_writer(stream, plain, row)
        except (ValueError, TypeError, AttributeError, OverflowError, KeyError) as error:
            raise ValueError(f"record {index} does not fit the schema ({type(error).__name__})") from error
        encoded.append(stream.getvalue())
    return encoded


def without_logical_types(schema: AvroType) -> Any:
    """The same schema with every ``logicalType`` taken off."""
    if isinstance(schema, list):
        return [without_logical_types(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: value for key, value in schema.items() if key not in ("logicalType", "precision", "scale")}
    for key in ("type", "items", "values"):
        if key in kept:
            kept[key] = without_logical_types(kept[key])
    if "fields" in kept:
        kept["fields"] = [{**field, "type": without_logical_types(field["type"])} for field in kept["fields"]]
    return kept


def _sized(value: bytes) -> bytes:
    return _long(len(value)) + value


def _long(value: int) -> bytes:
    """Avro's zigzag varint of a number that is not negative."""
    remaining = value << 1
    encoded = bytearray()
    while remaining > 0x7F:
        encoded.append(remaining & 0x7F | 0x80)
        remaining >>= 7
    encoded.append(remaining)
    return bytes(encoded)
