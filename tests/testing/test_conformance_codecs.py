"""Our own decoders conform, and a decoder that does not is found out."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import fastavro
import pytest

from stream_infer.codecs import AvroDecoder, FixedSchema, JsonDecoder
from stream_infer.ports import Decoder
from stream_infer.projection import Projection
from stream_infer.testing.conformance_codecs import CONFORMANCE_SCHEMA, check_decoder
from stream_infer.types import Decoded, Records


def as_avro(event: Mapping[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(CONFORMANCE_SCHEMA), dict(event))
    return out.getvalue()


def as_json(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event).encode()


def make_avro(projection: Projection) -> Decoder:
    return AvroDecoder(projection, FixedSchema(CONFORMANCE_SCHEMA), max_event_bytes=1000)


def make_json(projection: Projection) -> Decoder:
    return JsonDecoder(projection, max_event_bytes=1000)


def test_the_avro_decoder_conforms() -> None:
    check_decoder(make_avro, as_avro)


def test_the_json_decoder_conforms() -> None:
    check_decoder(make_json, as_json)


class Forgetful:
    """Loses the status of bad events."""

    def __init__(self, projection: Projection) -> None:
        self.inner = make_avro(projection)

    def decode(self, records: Records) -> Decoded:
        decoded = self.inner.decode(records)
        decoded.status[:] = 0
        return decoded


def test_a_decoder_that_does_not_conform_is_found_out() -> None:
    with pytest.raises(AssertionError, match="costs its own row only"):
        check_decoder(Forgetful, as_avro)
