"""Builders shared by the codecs' tests."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import fastavro
import pytest

from stream_infer.projection import Feature, ModelInput, Projection


@pytest.fixture(scope="session")
def encode() -> Callable[[Any, Any], bytes]:
    """``encode(schema, value)``: bare Avro, by fastavro."""

    def encode_with_fastavro(schema: Any, value: Any) -> bytes:
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
        return out.getvalue()

    return encode_with_fastavro


@pytest.fixture(scope="session")
def project() -> Callable[..., Projection]:
    """``project(fields, features, carried, dtype)``: a projection with one input ``X``.

    ``fields`` maps names of the reader's record to types, or to pairs of type and default.
    """

    def projection(
        fields: Mapping[str, Any],
        features: Sequence[Feature] = (),
        carried: Sequence[str] = (),
        dtype: str = "float64",
    ) -> Projection:
        inputs = (ModelInput("X", dtype, tuple(features)),) if features else ()
        return Projection(inputs, tuple(carried), record_schema(fields))

    return projection


def record_schema(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": "Event", "fields": [_field(name, type_) for name, type_ in fields.items()]}


def _field(name: str, type_: Any) -> dict[str, Any]:
    if isinstance(type_, tuple):
        return {"name": name, "type": type_[0], "default": type_[1]}
    return {"name": name, "type": type_}


@pytest.fixture(scope="session")
def schema_of() -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """``schema_of(fields)``: a record schema, as `project` makes it."""
    return record_schema
