"""The schema of a generated payment, in one place.

Rule: the Avro encoder, the JSON text, the labels and `schemas/payment.avsc` all follow this one description.
"""

from __future__ import annotations

import json
from typing import Any

from stream_infer.testing.payments_patterns import CHANNELS
from stream_infer.testing.payments_world import CATEGORY_NAMES


def _nullable(inner: Any) -> list[Any]:
    return ["null", inner]


def _field(name: str, type_: Any, doc: str) -> dict[str, Any]:
    field = {"name": name, "type": type_, "doc": doc}
    # A nullable field defaults to null, so that a producer may leave it out of its schema.
    return field | {"default": None} if isinstance(type_, list) else field


_GEO = {
    "type": "record",
    "name": "Geo",
    "fields": [
        _field("lat", "double", "Degrees north."),
        _field("lon", "double", "Degrees east."),
    ],
}

PAYMENT_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Payment",
    "namespace": "stream_infer.payments",
    "doc": "One card payment, with what an upstream system knows of the card and the merchant.",
    "fields": [
        _field("transaction_id", "string", "Unique; ends in the payment's number in its stream."),
        _field("card_id", "string", "The key of the event."),
        _field("merchant_id", "string", "Who is paid."),
        _field(
            "merchant_category",
            {"type": "enum", "name": "MerchantCategory", "symbols": list(CATEGORY_NAMES)},
            "Line of trade.",
        ),
        _field("amount", "double", "In euros."),
        _field("currency", "string", "ISO 4217 code of the card's account."),
        _field("event_time", {"type": "long", "logicalType": "timestamp-millis"}, "When the card was used."),
        _field("channel", {"type": "enum", "name": "Channel", "symbols": list(CHANNELS)}, "How the card was used."),
        _field("country", "string", "ISO 3166 code of the merchant's country."),
        _field("geo", _nullable(_GEO), "Where the terminal stands; null without a terminal."),
        _field("local_hour", "int", "Hour of the day at the cardholder's home, 0 to 23."),
        _field("card_age_days", "int", "Days since the card was issued."),
        _field("credit_limit", "float", "Of the card, in euros."),
        _field("device_id", _nullable("string"), "Phone or browser; null without one."),
        _field("device_age_days", _nullable("float"), "Days since this card first used the device."),
        _field("authenticated", "boolean", "PIN, biometry or a second factor was given."),
        _field("cross_border", "boolean", "The merchant's country is not the card's."),
        _field("seconds_since_last", _nullable("long"), "Since the card's last payment; null for its first."),
        _field("payments_last_hour", "int", "Payments of this card in the hour before this one."),
        _field("merchant_tiny_last_hour", "int", "Payments below 5 at this merchant in the hour before this one."),
        _field("amount_ratio", "float", "Amount divided by the card's usual amount."),
        _field("distance_from_home_km", _nullable("float"), "From the cardholder's home to the terminal."),
    ],
}
"""The writer's schema of every payment, as parsed JSON."""

PAYMENT_SCHEMA_JSON = json.dumps(PAYMENT_SCHEMA, indent=2) + "\n"
"""The same as text: the content of ``schemas/payment.avsc``."""
