"""Python values to Avro bytes: writers compiled from a schema.

Rule: a writer takes what JSON can say of a type and refuses everything else as a `BadEvent`, so it is at the
same time the check that a JSON value fits a type. Used for defaults, for carried fields that come from JSON or
from Python objects, and for nothing on the Avro-to-Avro path.

What stands for what: integers also as floats without a fraction; decimals as numbers or as text, exact to the
last digit; bytes as base64 text (in schema defaults: one character per byte, as the specification has it);
dates and times as their integers, or as Python's date and time objects. A union takes its first branch that fits,
but a double rather than a float.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import math
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

from stream_infer.codecs.faults import BadEvent, Fault, fail, wrong_type
from stream_infer.codecs.schema import NO_DEFAULT, Field, Node
from stream_infer.types import Status

Write: TypeAlias = Callable[[Any], bytes]
TextToBytes: TypeAlias = Callable[[str], bytes]

NUMBER_TEXT = re.compile(r"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?", re.ASCII)
"""A finite decimal number in text. Stricter than ``float()``: no ``inf``, no underscores, no other digits.

Nothing in it can be matched in two ways: if a digit could, text of 20,000 digits and a letter would take half a minute.
"""

MAX_DECIMAL_EXPONENT = 4_000
"""Bounds the size of 10^x. Text of ten bytes could otherwise ask for gigabytes of digits."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_MICROS_PER_TICK = {"millis": 1000, "micros": 1}


def write_long(value: int) -> bytes:
    """A zigzag varint. ``value`` must lie within int64."""
    number = (value << 1) ^ (value >> 63)
    if number < 0x80:
        return bytes((number,))
    groups = bytearray()
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def from_base64(text: str) -> bytes:
    """Bytes from standard base64 text. Raises BadEvent."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadEvent(Status.WRONG_TYPE, "expected base64 text, found other text") from None


def from_latin1(text: str) -> bytes:
    """Bytes from the form that schema defaults use: characters U+0000 to U+00FF. Raises BadEvent."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise BadEvent(Status.WRONG_TYPE, "expected one character per byte, found other text") from None


def writer(node: Node, schema_default: bool = False) -> Write:
    """Compile the writer of a type.

    Args:
        node: the type to write.
        schema_default: values are spelt as in a schema's defaults, where text stands for bytes one character each,
            decimals included.

    Returns:
        ``write(value) -> bytes``, which raises BadEvent (`Status.WRONG_TYPE`, `Status.OUT_OF_RANGE`,
        `Status.MISSING_FIELD`, `Status.INVALID_UTF8`) for a value that does not fit.
    """
    return _Compiler(schema_default).compile(node)


def default_bytes(field: Field) -> bytes:
    """The Avro encoding of a field's default. Raises BadEvent where the default does not fit the type."""
    return writer(field.node, schema_default=True)(field.default)


class _Compiler:
    def __init__(self, schema_default: bool) -> None:
        self._schema_default = schema_default
        self._done: dict[Node, Write] = {}

    def compile(self, node: Node) -> Write:
        if node not in self._done:
            self._done[node] = self._compile(node)
        return self._done[node]

    def _compile(self, node: Node) -> Write:
        if node.kind == "record":
            return _record([(field, self.compile(field.node)) for field in node.fields])
        if node.kind == "union":
            return _union(node.children, [self.compile(branch) for branch in node.children])
        if node.kind == "array":
            return _array(self.compile(node.children[0]))
        if node.kind == "map":
            return _map(self.compile(node.children[0]))
        return self._scalar(node)

    def _scalar(self, node: Node) -> Write:
        if node.logical == "decimal" and not self._schema_default:
            return _decimal(node)
        if node.kind in ("int", "long"):
            return _integer(node)
        if node.kind in ("bytes", "fixed"):
            return _binary(node, from_latin1 if self._schema_default else from_base64)
        if node.kind == "enum":
            return _enum(node)
        return _PRIMITIVES[node.kind]


def _write_null(value: Any) -> bytes:
    if value is not None:
        fail(wrong_type("null", value))
    return b""


def _write_boolean(value: Any) -> bytes:
    if not isinstance(value, bool):
        fail(wrong_type("a boolean", value))
    return b"\x01" if value else b"\x00"


def _as_double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        fail(wrong_type("a number", value))
    try:
        number = float(value)
    except OverflowError:
        raise BadEvent(Status.OUT_OF_RANGE, "the integer is beyond a double") from None
    if math.isinf(number) and isinstance(value, Decimal):
        raise BadEvent(Status.NOT_FINITE, "the number is beyond a double")
    return number


def _write_double(value: Any) -> bytes:
    return struct.pack("<d", _as_double(value))


def _write_float(value: Any) -> bytes:
    number = _as_double(value)
    try:
        return struct.pack("<f", number)
    except OverflowError:
        raise BadEvent(Status.OUT_OF_RANGE, "the number is beyond a float") from None


def _write_string(value: Any) -> bytes:
    if not isinstance(value, str):
        fail(wrong_type("text", value))
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        raise BadEvent(Status.INVALID_UTF8, "text holds half a surrogate pair") from None
    return write_long(len(encoded)) + encoded


_PRIMITIVES: dict[str, Write] = {
    "null": _write_null,
    "boolean": _write_boolean,
    "float": _write_float,
    "double": _write_double,
    "string": _write_string,
}


def _integer(node: Node) -> Write:
    bits = 32 if node.kind == "int" else 64
    limit = 1 << (bits - 1)
    logical = node.logical

    def write_integer(value: Any) -> bytes:
        number = whole_number(ticks(value, logical))
        if not -limit <= number < limit:
            fail(Fault(Status.OUT_OF_RANGE, f"the integer is longer than {bits} bits"))
        return write_long(number)

    return write_integer


def whole_number(value: Any) -> int:
    """An int from an int, or from a float or Decimal without a fraction. Raises BadEvent."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Decimal) and abs(value.adjusted()) < MAX_DECIMAL_EXPONENT and value == int(value):
        return int(value)
    raise BadEvent(Status.WRONG_TYPE, wrong_type("an integer", value).detail)


def ticks(value: Any, logical: str) -> Any:
    """A Python date or time as the integer of its logical type; any other value as it is.

    A datetime without a zone is taken as UTC.
    """
    if isinstance(value, dt.datetime) and "timestamp" in logical:
        moment = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
        return _in_units((moment - _EPOCH) // _MICROSECOND, logical)
    if isinstance(value, dt.time) and logical.startswith("time-"):
        micros = ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
        return _in_units(micros, logical)
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime) and logical == "date":
        return value.toordinal() - _EPOCH.toordinal()
    return value


def _in_units(micros: int, logical: str) -> int:
    unit = logical.rpartition("-")[2]
    return micros * 1000 if unit == "nanos" else micros // _MICROS_PER_TICK[unit]


def _decimal(node: Node) -> Write:
    def write_decimal(value: Any) -> bytes:
        number = unscaled(value, node.precision, node.scale)
        size = node.size if node.kind == "fixed" else (number.bit_length() + 8) // 8
        try:
            encoded = number.to_bytes(size, "big", signed=True)
        except OverflowError:
            raise BadEvent(Status.OUT_OF_RANGE, "the decimal does not fit its fixed size") from None
        return encoded if node.kind == "fixed" else write_long(size) + encoded

    return write_decimal


def unscaled(value: Any, precision: int, scale: int) -> int:
    """The integer that a decimal of ``scale`` stores: value * 10^scale, which must be exact.

    Args:
        value: int, float (its shortest digits), Decimal, or number text.
        precision: most digits allowed.
        scale: digits after the point.

    Raises:
        BadEvent: not a number (`Status.WRONG_TYPE`), or too many digits on either side of the point
            (`Status.OUT_OF_RANGE`).
    """
    sign, digits, exponent = as_decimal(value).as_tuple()
    assert isinstance(exponent, int), "as_decimal yields finite numbers"
    shift = exponent + scale
    if abs(shift) > MAX_DECIMAL_EXPONENT or len(digits) > MAX_DECIMAL_EXPONENT:
        fail(Fault(Status.OUT_OF_RANGE, "the decimal has too many digits"))
    number = int(Decimal((0, digits, 0)))
    power: int = 10 ** abs(shift)
    number, rest = (number * power, 0) if shift >= 0 else divmod(number, power)
    limit: int = 10**precision
    if rest or number >= limit:
        fail(Fault(Status.OUT_OF_RANGE, f"the decimal has more than {precision} digits, or {scale} after the point"))
    return -number if sign else number


def as_decimal(value: Any) -> Decimal:
    """A finite Decimal with exactly the digits of ``value``. Raises BadEvent."""
    if isinstance(value, str) and not NUMBER_TEXT.fullmatch(value):
        fail(Fault(Status.WRONG_TYPE, "expected a decimal, found other text"))
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        fail(wrong_type("a decimal", value))
    try:
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except InvalidOperation:
        raise BadEvent(Status.OUT_OF_RANGE, "the decimal has too many digits") from None
    if not number.is_finite():
        fail(Fault(Status.NOT_FINITE, "a decimal is not finite"))
    return number


def _binary(node: Node, text_to_bytes: TextToBytes) -> Write:
    def write_binary(value: Any) -> bytes:
        if not isinstance(value, (str, bytes)):
            fail(wrong_type("bytes", value))
        data = text_to_bytes(value) if isinstance(value, str) else value
        if node.kind == "bytes":
            return write_long(len(data)) + data
        if len(data) != node.size:
            fail(Fault(Status.WRONG_TYPE, f"expected {node.size} bytes, found another number of them"))
        return data

    return write_binary


def _enum(node: Node) -> Write:
    codes = {symbol: write_long(index) for index, symbol in enumerate(node.symbols)}

    def write_enum(value: Any) -> bytes:
        if not isinstance(value, str):
            fail(wrong_type("a symbol of an enum", value))
        code = codes.get(value)
        if code is None:
            fail(Fault(Status.WRONG_TYPE, f"expected a symbol of the enum {node.name}, found other text"))
        return code

    return write_enum


def _union(nodes: Sequence[Node], branches: list[Write]) -> Write:
    tries = [(write_long(index), write) for index, write in enumerate(branches)]
    if any(node.kind == "double" for node in nodes):
        # A float takes every number, but may round it.
        tries.sort(key=lambda each: each[1] is _write_float)

    def write_union(value: Any) -> bytes:
        fault = Fault(Status.WRONG_TYPE, "")
        for head, write in tries:
            try:
                return head + write(value)
            except BadEvent as bad:
                fault = bad.fault
        # With one real branch besides null its own words say more than a list of all that was tried.
        return fail(fault if value is not None and len(branches) == 2 else wrong_type("a branch of the union", value))

    return write_union


def _array(item: Write) -> Write:
    def write_array(value: Any) -> bytes:
        if not isinstance(value, (list, tuple)):
            fail(wrong_type("an array", value))
        if not value:
            return b"\x00"
        return b"".join([write_long(len(value)), *map(item, value), b"\x00"])

    return write_array


def _map(item: Write) -> Write:
    def write_map(value: Any) -> bytes:
        if not isinstance(value, Mapping):
            fail(wrong_type("an object", value))
        if not value:
            return b"\x00"
        return b"".join(
            [write_long(len(value)), *(_write_string(key) + item(entry) for key, entry in value.items()), b"\x00"]
        )

    return write_map


def _record(fields: list[tuple[Field, Write]]) -> Write:
    def write_record(value: Any) -> bytes:
        if not isinstance(value, Mapping):
            fail(wrong_type("an object", value))
        return b"".join([_write_field(field, write, value) for field, write in fields])

    return write_record


def _write_field(field: Field, write: Write, record: Mapping[str, Any]) -> bytes:
    try:
        for name in field.names:
            if name in record:
                return write(record[name])
        if field.default is NO_DEFAULT:
            raise BadEvent(Status.MISSING_FIELD, "absent and without a default")
        return default_bytes(field)
    except BadEvent as bad:
        raise bad.within(field.name) from None
