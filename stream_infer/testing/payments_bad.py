"""Events that cannot be scored, each of a named kind with the status it must get.

    bad = BadEvents(seed=3, schema_ids={"payment": 1, "without_amount": 2})
    event = bad.avro("truncated")        # BadEvent(kind, value, status)
    event = bad.json("deep_nesting")

Rule: every bad event is a good payment with exactly one thing wrong, so that the status is not in doubt. The
statuses hold for a model that needs ``amount`` (missing = "error") and an output that carries
``transaction_id`` and ``card_id``, as the demo's do.
"""

from __future__ import annotations

import copy
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from stream_infer.testing.payments import PaymentColumns, PaymentStream
from stream_infer.testing.payments_avro import long
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA
from stream_infer.types import MAX_NESTING, Status

UNKNOWN_SCHEMA_ID = 2_000_000_000
DEFAULT_OVERSIZE_BYTES = 1_048_577
"""One more than the default of ``source.max_event_bytes``."""

_POOL = 512
"""Good payments that bad ones are made from."""


@dataclass(frozen=True, slots=True)
class BadEvent:
    """A bad event: its kind, its bytes, and the status that it must get."""

    kind: str
    value: bytes
    status: Status


def _without(name: str) -> dict[str, Any]:
    return PAYMENT_SCHEMA | {"fields": [field for field in PAYMENT_SCHEMA["fields"] if field["name"] != name]}


def _with_text_amount() -> dict[str, Any]:
    schema = copy.deepcopy(PAYMENT_SCHEMA)
    next(field for field in schema["fields"] if field["name"] == "amount")["type"] = "string"
    return schema


def _recursive() -> dict[str, Any]:
    before = {"name": "before", "type": ["null", "stream_infer.payments.Payment"], "default": None}
    return PAYMENT_SCHEMA | {"fields": [*PAYMENT_SCHEMA["fields"], before]}


VARIANT_SCHEMAS: Mapping[str, dict[str, Any]] = {
    "payment": PAYMENT_SCHEMA,
    "without_amount": _without("amount"),
    "without_transaction_id": _without("transaction_id"),
    "text_amount": _with_text_amount(),
    "recursive": _recursive(),
}
"""Writers' schemas that the framed kinds are written with. Only ``payment`` makes good events."""

Fields = dict[str, bytes]


def _set(**damage: bytes) -> Callable[[Fields], bytes]:
    """A payment with some encoded fields replaced."""
    return lambda fields: b"".join((fields | damage).values())


def _drop(name: str) -> Callable[[Fields], bytes]:
    return lambda fields: b"".join(value for key, value in fields.items() if key != name)


def _varint(number: int) -> bytes:
    return long(np.array([number])).data.tobytes()


# Kinds written with the payment's own schema, or with the variant named by `_VARIANT_OF`.
_AVRO_DAMAGE: Mapping[str, tuple[Status, Callable[[Fields], bytes]]] = {
    "trailing_bytes": (Status.TRAILING_BYTES, lambda fields: b"".join(fields.values()) + b"\0\1"),
    "invalid_utf8": (Status.INVALID_UTF8, _set(card_id=_varint(4) + b"\xc3\x28\xff\xfe")),
    "enum_out_of_range": (Status.MALFORMED, _set(merchant_category=_varint(99))),
    "enum_negative": (Status.MALFORMED, _set(merchant_category=_varint(-1))),
    "union_out_of_range": (Status.MALFORMED, _set(geo=_varint(2))),
    "union_negative": (Status.MALFORMED, _set(geo=_varint(-1))),
    "boolean_not_0_or_1": (Status.MALFORMED, _set(authenticated=b"\2")),
    "overlong_varint": (Status.MALFORMED, _set(event_time=b"\x80" * 10 + b"\x01")),
    "negative_length": (Status.MALFORMED, _set(transaction_id=_varint(-5))),
    "length_beyond_end": (Status.TRUNCATED, _set(card_id=_varint(1 << 24))),
    "nan_feature": (Status.MISSING_FEATURE, _set(amount=struct.pack("<d", float("nan")))),
    "infinite_feature": (Status.NOT_FINITE, _set(amount=struct.pack("<d", float("inf")))),
    "missing_feature": (Status.MISSING_FEATURE, _drop("amount")),
    "missing_field": (Status.MISSING_FIELD, _drop("transaction_id")),
    "wrong_type": (Status.WRONG_TYPE, _set(amount=_varint(4) + b"12.5")),
    "recursive_schema": (Status.SCHEMA_REFUSED, lambda fields: b"".join(fields.values()) + b"\0"),
}
_VARIANT_OF: Mapping[str, str] = {
    "missing_feature": "without_amount",
    "missing_field": "without_transaction_id",
    "wrong_type": "text_amount",
    "recursive_schema": "recursive",
}

Payment = dict[str, Any]


def _text(payment: Payment) -> bytes:
    return msgspec.json.encode(payment)


def _spliced(name: str, literal: bytes) -> Callable[[Payment], bytes]:
    """A payment in which a field's value is this literal text."""
    return lambda payment: _text(payment | {name: 0}).replace(
        b'"%s":0' % name.encode(), b'"%s":%s' % (name.encode(), literal)
    )


_JSON_DAMAGE: Mapping[str, tuple[Status, Callable[[Payment], bytes]]] = {
    "not_json": (Status.MALFORMED, lambda payment: b"amount=" + str(payment["amount"]).encode()),
    "bad_syntax": (Status.MALFORMED, lambda payment: _text(payment).replace(b":", b";", 1)),
    "not_an_object": (Status.WRONG_TYPE, lambda payment: b"[" + _text(payment) + b"]"),
    "invalid_utf8": (Status.INVALID_UTF8, _spliced("card_id", b'"\xc3\x28\xff"')),
    "wrong_type": (Status.WRONG_TYPE, _spliced("amount", b'"12.50"')),
    "null_feature": (Status.MISSING_FEATURE, _spliced("amount", b"null")),
    "nan_literal": (Status.NOT_FINITE, _spliced("amount", b"NaN")),
    "infinity_literal": (Status.NOT_FINITE, _spliced("amount", b"-Infinity")),
    "huge_number": (Status.NOT_FINITE, _spliced("amount", b"1e400")),
    "deep_nesting": (Status.TOO_DEEP, _spliced("geo", b"[" * (2 * MAX_NESTING) + b"]" * (2 * MAX_NESTING))),
    "missing_feature": (Status.MISSING_FEATURE, lambda p: _text({k: v for k, v in p.items() if k != "amount"})),
    "missing_field": (Status.MISSING_FIELD, lambda p: _text({k: v for k, v in p.items() if k != "transaction_id"})),
}

AVRO_KINDS: Mapping[str, Status] = {
    "empty": Status.EMPTY,
    "oversize": Status.OVERSIZE,
    "wrong_magic": Status.BAD_MAGIC,
    "unknown_schema": Status.UNKNOWN_SCHEMA,
    "truncated": Status.TRUNCATED,
    **{kind: status for kind, (status, _) in _AVRO_DAMAGE.items()},
}
"""Every kind of a framed Avro event and its status."""
JSON_KINDS: Mapping[str, Status] = {
    "empty": Status.EMPTY,
    "oversize": Status.OVERSIZE,
    "truncated": Status.TRUNCATED,
    **{kind: status for kind, (status, _) in _JSON_DAMAGE.items()},
}
"""Every kind of a JSON event and its status."""


class BadEvents:
    """Makes bad events, each from another good payment.

    Args:
        seed: of the payments and of what is damaged.
        schema_ids: schema id of each of `VARIANT_SCHEMAS` that is registered; ``payment`` must be.
        oversize_bytes: size of an oversize event, default `DEFAULT_OVERSIZE_BYTES`.
    """

    def __init__(
        self, seed: int, *, schema_ids: Mapping[str, int] | None = None, oversize_bytes: int = DEFAULT_OVERSIZE_BYTES
    ) -> None:
        self._rng = np.random.default_rng([seed, 2])
        self._payments: PaymentColumns = PaymentStream(seed, cards=200, merchants=100).columns(_POOL)
        self._schema_ids = {"payment": 1} if schema_ids is None else schema_ids
        self._oversize_bytes = oversize_bytes

    @property
    def avro_kinds(self) -> tuple[str, ...]:
        """Kinds of `AVRO_KINDS` that can be written with the registered schemas."""
        return tuple(kind for kind in AVRO_KINDS if _VARIANT_OF.get(kind, "payment") in self._schema_ids)

    def avro(self, kind: str) -> BadEvent:
        """A bad event in Confluent framing: a zero byte, the schema's id, Avro.

        Raises:
            KeyError: no such kind, or the schema that it is written with has no id.
        """
        status = AVRO_KINDS[kind]
        fields = self._payments.avro_fields(self._row())
        good = b"".join(fields.values())
        if kind in _AVRO_DAMAGE:
            return BadEvent(
                kind, self._prefix(_VARIANT_OF.get(kind, "payment")) + _AVRO_DAMAGE[kind][1](fields), status
            )
        return BadEvent(kind, self._damaged_framing(kind, fields, good), status)

    def json(self, kind: str) -> BadEvent:
        """A bad event that should have been a JSON object.

        Raises:
            KeyError: no such kind.
        """
        status = JSON_KINDS[kind]
        row = self._row()
        payment = self._payments.slice(row, row + 1).to_dicts()[0]
        if kind in _JSON_DAMAGE:
            return BadEvent(kind, _JSON_DAMAGE[kind][1](payment), status)
        return BadEvent(kind, self._damaged_text(kind, payment), status)

    def _damaged_framing(self, kind: str, fields: Fields, good: bytes) -> bytes:
        prefix = self._prefix("payment")
        if kind == "empty":
            return b""
        if kind == "oversize":
            note = b"x" * self._oversize_bytes
            return prefix + _set(card_id=_varint(len(note)) + note)(fields)
        if kind == "wrong_magic":
            return b"\x01" + prefix[1:] + good
        if kind == "unknown_schema":
            return struct.pack(">bI", 0, UNKNOWN_SCHEMA_ID) + good
        return prefix + good[: int(self._rng.integers(1, len(good)))]

    def _damaged_text(self, kind: str, payment: Payment) -> bytes:
        if kind == "empty":
            return b""
        if kind == "oversize":
            return _text(payment | {"card_id": "x" * self._oversize_bytes})
        good = _text(payment)
        return good[: int(self._rng.integers(1, len(good)))]

    def _prefix(self, schema: str) -> bytes:
        return struct.pack(">bI", 0, self._schema_ids[schema])

    def _row(self) -> int:
        return int(self._rng.integers(_POOL))
