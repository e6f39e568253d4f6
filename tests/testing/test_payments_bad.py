"""Bad events: every kind gets its status from the real decoders, and good payments among them stay good."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

import numpy as np
import pytest

from stream_infer.codecs import AvroDecoder, FramedSchemas, JsonDecoder
from stream_infer.ports import Decoder
from stream_infer.projection import Feature, ModelInput, Projection
from stream_infer.testing import records
from stream_infer.testing.payments import PaymentStream
from stream_infer.testing.payments_bad import AVRO_KINDS, JSON_KINDS, VARIANT_SCHEMAS, BadEvents
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA
from stream_infer.types import Status

SCHEMA_IDS = {name: number for number, name in enumerate(VARIANT_SCHEMAS, 100)}
MAX_EVENT_BYTES = 4_096
FEATURES = (
    Feature("amount", "amount", missing="error"),
    Feature("category", "merchant_category", categories=("grocery", "cash")),
    Feature("lat", "geo.lat"),
    Feature("authenticated", "authenticated"),
    Feature("event_time", "event_time"),
)
PROJECTION = Projection(
    inputs=(ModelInput("X", "float32", FEATURES),),
    reader_schema=PAYMENT_SCHEMA,
    carried=("transaction_id", "card_id"),
)


class VariantSource:
    """The variants' schemas by their ids."""

    def __init__(self, schema_ids: Mapping[str, int]) -> None:
        self._schemas = {number: json.dumps(VARIANT_SCHEMAS[name]) for name, number in schema_ids.items()}

    def by_id(self, schema_id: int) -> str | None:
        return self._schemas.get(schema_id)

    def by_guid(self, guid: str) -> str | None:
        raise AssertionError(f"no event names a GUID, but {guid} was asked for")

    def register(self, subject: str, schema: str) -> int:
        raise AssertionError(f"nothing is registered, but {subject} was, with {len(schema)} characters")


@pytest.fixture(scope="module")
def bad() -> BadEvents:
    return BadEvents(seed=3, schema_ids=SCHEMA_IDS, oversize_bytes=MAX_EVENT_BYTES + 1)


@pytest.fixture(scope="module")
def avro_decoder() -> Decoder:
    return AvroDecoder(PROJECTION, FramedSchemas(VariantSource(SCHEMA_IDS)), max_event_bytes=MAX_EVENT_BYTES)


@pytest.fixture(scope="module")
def json_decoder() -> Decoder:
    return JsonDecoder(PROJECTION, max_event_bytes=MAX_EVENT_BYTES)


@pytest.mark.parametrize("kind", AVRO_KINDS)
def test_every_avro_kind_gets_its_status(kind: str, bad: BadEvents, avro_decoder: Decoder) -> None:
    events = [bad.avro(kind) for _ in range(25)]
    status = avro_decoder.decode(records([event.value for event in events])).status
    assert [Status(code).name for code in status.tolist()] == [event.status.name for event in events]


@pytest.mark.parametrize("kind", JSON_KINDS)
def test_every_json_kind_gets_its_status(kind: str, bad: BadEvents, json_decoder: Decoder) -> None:
    events = [bad.json(kind) for _ in range(25)]
    status = json_decoder.decode(records([event.value for event in events])).status
    assert [Status(code).name for code in status.tolist()] == [event.status.name for event in events]


def test_there_are_more_than_a_dozen_kinds_of_each() -> None:
    assert len(AVRO_KINDS) > 12
    assert len(JSON_KINDS) > 12


def test_good_payments_between_bad_events_are_decoded(bad: BadEvents, avro_decoder: Decoder) -> None:
    payments = PaymentStream(seed=8).columns(len(AVRO_KINDS))
    good = payments.to_avro(struct.pack(">bI", 0, SCHEMA_IDS["payment"]))
    mixed = [value for pair in zip(good, (bad.avro(kind).value for kind in AVRO_KINDS), strict=True) for value in pair]
    decoded = avro_decoder.decode(records(mixed))
    assert decoded.status[::2].tolist() == [Status.OK] * len(good)
    np.testing.assert_array_equal(decoded.inputs["X"][::2, 0], payments.amount.astype(np.float32))


def test_kinds_whose_schema_is_not_registered_are_left_out() -> None:
    bad = BadEvents(seed=3)
    assert "truncated" in bad.avro_kinds
    assert "wrong_type" not in bad.avro_kinds
    with pytest.raises(KeyError):
        bad.avro("wrong_type")


def test_the_same_seed_makes_the_same_bad_events() -> None:
    first, second = BadEvents(seed=3), BadEvents(seed=3)
    for kind in first.avro_kinds:
        assert first.avro(kind) == second.avro(kind)
