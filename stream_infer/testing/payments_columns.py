"""Payments as columns, and their ways out: dictionaries, Avro, JSON, keys and labels.

Rule: a column holds numbers only; text such as a card's id is spelt out when a payment leaves. All three forms
of one payment carry the same values: numbers that are Avro floats are rounded to what a float32 keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from stream_infer.testing import payments_avro as avro
from stream_infer.testing.payments_patterns import CHANNELS, Pattern
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA
from stream_infer.testing.payments_world import CATEGORY_NAMES, COUNTRIES, CURRENCIES
from stream_infer.types import Binary, BoolArray, Float64Array, Int32Array, Int64Array, UInt8Array

TRANSACTION_DIGITS = 12
CARD_DIGITS = 8
MERCHANT_DIGITS = 6
DEVICE_DIGITS = 12


@dataclass(frozen=True, slots=True)
class PaymentColumns:
    """n payments in the order of their event times. Every column has n rows.

    NaN stands for null in float columns, -1 in ``device`` and ``seconds_since_last``. ``is_fraud``,
    ``pattern`` (see `Pattern`) and ``label_known_at_ms`` (milliseconds since the epoch) are the truth, which
    no event holds: an issuer learns it days later.
    """

    number: Int64Array
    card: Int32Array
    merchant: Int32Array
    merchant_category: Int32Array
    amount: Float64Array
    currency: Int32Array
    event_time_ms: Int64Array
    channel: UInt8Array
    country: Int32Array
    lat: Float64Array
    lon: Float64Array
    local_hour: Int32Array
    card_age_days: Int32Array
    credit_limit: Float64Array
    device: Int64Array
    device_age_days: Float64Array
    authenticated: BoolArray
    cross_border: BoolArray
    seconds_since_last: Int64Array
    payments_last_hour: Int32Array
    merchant_tiny_last_hour: Int32Array
    amount_ratio: Float64Array
    distance_from_home_km: Float64Array
    pattern: UInt8Array
    label_known_at_ms: Int64Array

    def __len__(self) -> int:
        return len(self.number)

    @property
    def is_fraud(self) -> BoolArray:
        """True where the payment is fraudulent, bool ``[n]``."""
        is_fraud: BoolArray = self.pattern != Pattern.HONEST
        return is_fraud

    def slice(self, start: int, stop: int) -> PaymentColumns:
        """Rows ``start`` to ``stop``; nothing is copied."""
        return PaymentColumns(*(getattr(self, field.name)[start:stop] for field in fields(self)))

    @staticmethod
    def concat(parts: Sequence[PaymentColumns]) -> PaymentColumns:
        """All rows of all parts, in order."""
        names = [field.name for field in fields(PaymentColumns)]
        return PaymentColumns(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def keys(self) -> list[bytes]:
        """The Kafka key of each payment: its card's id, UTF-8."""
        return [f"card-{card:0{CARD_DIGITS}d}".encode() for card in self.card.tolist()]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Each payment as a dictionary in the order of the schema; timestamps are milliseconds (int)."""
        columns = self._python_columns()
        names = tuple(columns)
        return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def to_json(self) -> list[bytes]:
        """Each payment as one JSON object, UTF-8."""
        encode = msgspec.json.Encoder().encode
        return [encode(payment) for payment in self.to_dicts()]

    def to_avro(self, prefix: bytes = b"") -> list[bytes]:
        """Each payment in Avro's binary encoding, after ``prefix`` (the framing; default none)."""
        return [value or b"" for value in self.to_avro_column(prefix).to_list()]

    def to_avro_column(self, prefix: bytes = b"") -> Binary:
        """The same as one column of byte strings."""
        return avro.join_rows([avro.constant(prefix, len(self)), *self._avro_columns()])

    def avro_fields(self, row: int) -> dict[str, bytes]:
        """The encoded fields of one payment by name, in the order of the schema: what a test may damage."""
        names = [field["name"] for field in PAYMENT_SCHEMA["fields"]]
        one = self.slice(row, row + 1)._avro_columns()
        return {name: cells.data[0, : int(cells.length[0])].tobytes() for name, cells in zip(names, one, strict=True)}

    def labels(self) -> list[dict[str, Any]]:
        """The truth of each payment: transaction_id, is_fraud, pattern, label_known_at (milliseconds)."""
        patterns = [pattern.name.lower() for pattern in Pattern]
        rows = zip(self.number.tolist(), self.pattern.tolist(), self.label_known_at_ms.tolist(), strict=True)
        return [
            {
                "transaction_id": transaction_id(number),
                "is_fraud": pattern != Pattern.HONEST,
                "pattern": patterns[pattern],
                "label_known_at": known_at,
            }
            for number, pattern, known_at in rows
        ]

    def _python_columns(self) -> Mapping[str, list[Any]]:
        """Python values by field name, in the order of the schema."""
        pairs = zip(self.lat.tolist(), self.lon.tolist(), strict=True)
        return {
            "transaction_id": [transaction_id(number) for number in self.number.tolist()],
            "card_id": [f"card-{card:0{CARD_DIGITS}d}" for card in self.card.tolist()],
            "merchant_id": [f"merchant-{merchant:0{MERCHANT_DIGITS}d}" for merchant in self.merchant.tolist()],
            "merchant_category": _spelt(self.merchant_category, CATEGORY_NAMES),
            "amount": self.amount.tolist(),
            "currency": _spelt(self.currency, CURRENCIES),
            "event_time": self.event_time_ms.tolist(),
            "channel": _spelt(self.channel, CHANNELS),
            "country": _spelt(self.country, COUNTRIES),
            "geo": [None if lat != lat else {"lat": lat, "lon": lon} for lat, lon in pairs],
            "local_hour": self.local_hour.tolist(),
            "card_age_days": self.card_age_days.tolist(),
            "credit_limit": self.credit_limit.tolist(),
            "device_id": [None if d < 0 else f"device-{d:0{DEVICE_DIGITS}d}" for d in self.device.tolist()],
            "device_age_days": _nan_as_none(self.device_age_days),
            "authenticated": self.authenticated.tolist(),
            "cross_border": self.cross_border.tolist(),
            "seconds_since_last": [None if s < 0 else s for s in self.seconds_since_last.tolist()],
            "payments_last_hour": self.payments_last_hour.tolist(),
            "merchant_tiny_last_hour": self.merchant_tiny_last_hour.tolist(),
            "amount_ratio": self.amount_ratio.tolist(),
            "distance_from_home_km": _nan_as_none(self.distance_from_home_km),
        }

    def _avro_columns(self) -> list[avro.Cells]:
        """Encoded fields, in the order of the schema."""
        present = ~np.isnan(self.lat)
        geo = avro.side_by_side(avro.double(self.lat), avro.double(self.lon))
        return [
            avro.numbered_text("tx-", self.number, TRANSACTION_DIGITS),
            avro.numbered_text("card-", self.card, CARD_DIGITS),
            avro.numbered_text("merchant-", self.merchant, MERCHANT_DIGITS),
            avro.long(self.merchant_category),
            avro.double(self.amount),
            avro.listed_text(self.currency, CURRENCIES),
            avro.long(self.event_time_ms),
            avro.long(self.channel),
            avro.listed_text(self.country, COUNTRIES),
            avro.nullable(present, geo),
            avro.long(self.local_hour),
            avro.long(self.card_age_days),
            avro.float32(self.credit_limit),
            avro.nullable(self.device >= 0, avro.numbered_text("device-", self.device, DEVICE_DIGITS)),
            avro.nullable(~np.isnan(self.device_age_days), avro.float32(self.device_age_days)),
            avro.boolean(self.authenticated),
            avro.boolean(self.cross_border),
            avro.nullable(self.seconds_since_last >= 0, avro.long(self.seconds_since_last)),
            avro.long(self.payments_last_hour),
            avro.long(self.merchant_tiny_last_hour),
            avro.float32(self.amount_ratio),
            avro.nullable(~np.isnan(self.distance_from_home_km), avro.float32(self.distance_from_home_km)),
        ]


def transaction_id(number: int) -> str:
    """The id of payment ``number`` of a stream."""
    return f"tx-{number:0{TRANSACTION_DIGITS}d}"


def as_float32(values: Float64Array) -> Float64Array:
    """The nearest float32 of each value, still as float64, so that Avro floats and JSON numbers agree exactly."""
    return values.astype(np.float32).astype(np.float64)


def _spelt(codes: npt.NDArray[np.integer], words: Sequence[str]) -> list[str]:
    return [words[code] for code in codes.tolist()]


def _nan_as_none(values: Float64Array) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
