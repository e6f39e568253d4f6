"""Framing: which schema an event was written with, and how often it is asked for."""

from __future__ import annotations

import json
import struct
import uuid
from typing import Any

import pytest

from stream_infer.codecs import AvroDecoder, FixedSchema, FramedSchemas
from stream_infer.errors import ConfigError, RegistryUnavailable
from stream_infer.projection import Feature, ModelInput, Projection
from stream_infer.testing import records
from stream_infer.types import Decoded, Status

SCHEMA = {"type": "record", "name": "E", "fields": [{"name": "n", "type": "long"}]}
GUID = "89791762-2336-4186-9674-299b90a802e2"
HEADER = "__value_schema_id"
PAYLOAD = b"\x0e"


class Registry:
    """A schema source that counts, and can be made unavailable."""

    def __init__(self, schemas: dict[int | str, Any]) -> None:
        self.schemas = schemas
        self.asked: list[int | str] = []
        self.up = True

    def _get(self, key: int | str) -> str | None:
        self.asked.append(key)
        if not self.up:
            raise RegistryUnavailable("the schema registry did not answer")
        schema = self.schemas.get(key)
        return schema if schema is None or isinstance(schema, str) else json.dumps(schema)

    def by_id(self, schema_id: int) -> str | None:
        return self._get(schema_id)

    def by_guid(self, guid: str) -> str | None:
        return self._get(guid)

    def register(self, subject: str, schema: str) -> int:
        raise AssertionError(f"{subject}: a decoder never registers ({len(schema)} characters)")


def framed(schema_id: int, payload: bytes = PAYLOAD) -> bytes:
    return struct.pack(">bI", 0, schema_id) + payload


def decoder(registry: Registry) -> AvroDecoder:
    projection = Projection((ModelInput("X", "int64", (Feature("n", "n"),)),), (), SCHEMA)
    return AvroDecoder(projection, FramedSchemas(registry), max_event_bytes=100)


def names(decoded: Decoded) -> list[str]:
    return [Status(code).name for code in decoded.status.tolist()]


def test_the_id_before_the_payload() -> None:
    registry = Registry({7: SCHEMA, 2**32 - 1: SCHEMA})
    decoded = decoder(registry).decode(records([framed(7), framed(2**32 - 1), framed(7, b"\x02")]))
    assert decoded.inputs["X"][:, 0].tolist() == [7, 7, 1]


def test_a_known_schema_is_asked_for_once_and_for_ever() -> None:
    registry = Registry({7: SCHEMA})
    decode = decoder(registry).decode
    for _ in range(3):
        decode(records([framed(7)] * 5))
    assert registry.asked == [7]


def test_an_unknown_schema_is_asked_for_once_a_batch_until_it_is_there() -> None:
    registry = Registry({})
    decode = decoder(registry).decode
    decoded = decode(records([framed(9), framed(8), framed(9)]))
    assert names(decoded) == ["UNKNOWN_SCHEMA"] * 3
    assert "9" in decoded.details[0]
    assert registry.asked == [9, 8]
    registry.schemas[9] = SCHEMA
    assert names(decode(records([framed(9), framed(9)]))) == ["OK", "OK"]
    assert registry.asked == [9, 8, 9]


def test_a_registry_that_is_down_is_weather_not_data() -> None:
    registry = Registry({7: SCHEMA})
    registry.up = False
    decode = decoder(registry).decode
    with pytest.raises(RegistryUnavailable):
        decode(records([framed(7)]))
    registry.up = True
    assert names(decode(records([framed(7)]))) == ["OK"]


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (b"\x01\x00\x00\x00\x07\x0e", "BAD_MAGIC"),
        (b"{", "BAD_MAGIC"),
        (b"\x00", "TRUNCATED"),
        (b"\x00\x00\x00\x00", "TRUNCATED"),
        (framed(7, b""), "TRUNCATED"),
        (framed(7, b"\x0e\x00"), "TRAILING_BYTES"),
    ],
)
def test_framing_that_is_wrong(value: bytes, status: str) -> None:
    assert names(decoder(Registry({7: SCHEMA})).decode(records([value]))) == [status]


def test_the_header_comes_first_and_leaves_the_payload_bare() -> None:
    registry = Registry({GUID: SCHEMA, 7: SCHEMA})
    guid = b"\x01" + uuid.UUID(GUID).bytes
    headers: list[list[tuple[str, bytes | None]]] = [
        [("other", b"x"), (HEADER, guid)],
        [],
        [(HEADER, framed(7, b""))],
        [(HEADER, None)],
    ]
    decoded = decoder(registry).decode(records([PAYLOAD, framed(7), PAYLOAD, framed(7)], headers=headers))
    assert names(decoded) == ["OK"] * 4
    assert registry.asked == [GUID, 7]


@pytest.mark.parametrize("tag", [b"", b"\x01short", b"\x02" + bytes(16), b"\x01" + bytes(17), b"\x00\x00"])
def test_a_header_that_is_wrong(tag: bytes) -> None:
    decoded = decoder(Registry({})).decode(records([framed(7)], headers=[[(HEADER, tag)]]))
    assert names(decoded) == ["BAD_MAGIC"]
    assert HEADER in decoded.details[0]


def test_an_unknown_guid_is_named() -> None:
    tag = b"\x01" + uuid.UUID(GUID).bytes
    decoded = decoder(Registry({})).decode(records([PAYLOAD], headers=[[(HEADER, tag)]]))
    assert names(decoded) == ["UNKNOWN_SCHEMA"]
    assert GUID in decoded.details[0]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "record", "name": "E", "fields": [{"name": "n", "type": ["null", "E"]}]},
        {"type": "array", "items": "null"},
        '"long"',
        "{",
    ],
)
def test_a_schema_that_is_refused_is_refused_for_ever(schema: Any) -> None:
    registry = Registry({7: schema, 8: SCHEMA})
    decode = decoder(registry).decode
    for _ in range(2):
        assert names(decode(records([framed(7), framed(8)]))) == ["SCHEMA_REFUSED", "OK"]
    assert registry.asked == [7, 8]


def test_a_fixed_schema_is_checked_when_it_is_named() -> None:
    with pytest.raises(ConfigError, match=r"source.codec.schema: the record E contains itself"):
        FixedSchema({"type": "record", "name": "E", "fields": [{"name": "n", "type": ["null", "E"]}]})
