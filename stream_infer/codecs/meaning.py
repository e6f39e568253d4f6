"""What a field of an event means as a number or text, whatever it was encoded in.

Rule: one meaning per type for Avro, JSON and Python objects alike. Booleans are 0 and 1, enum symbols are
text, a decimal is the nearest double, times and timestamps are seconds as a double (``double(n) / 10^k``),
a date is the days since the epoch; everything else is itself. The reader's schema says which of these a
field is; for Avro the writer's schema says in which unit or scale, where it names one of the same family, so
a producer may go from milliseconds to microseconds without changing a feature.

Values are None, bool, int, float, str, bytes, lists of those, or a `Fault` in place of what has no meaning.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

import numpy as np

from stream_infer.codecs.faults import BadEvent, Fault, describe
from stream_infer.codecs.resolve import PROMOTIONS
from stream_infer.codecs.schema import Node
from stream_infer.codecs.walk import Convert
from stream_infer.codecs.write import as_decimal, ticks
from stream_infer.types import Status

Conversion: TypeAlias = Callable[[Any], Any]

TICKS_PER_SECOND = {"millis": 1e3, "micros": 1e6, "nanos": 1e9}


def _family(logical: str) -> str:
    """``timestamp``, ``time``, ``date``, ``decimal``, ... : the logical type without its unit."""
    name = logical.removeprefix("local-")
    return name.rpartition("-")[0] or name


def _is_time(logical: str) -> bool:
    return _family(logical) in ("timestamp", "time")


def avro_conversion(read: Node) -> Convert:
    """The ``convert`` hook of `walk.reader` for a field that the reader's schema describes as ``read``."""
    candidates = tuple(read.scalars())

    def convert(written: Node) -> Conversion | None:
        kinds = PROMOTIONS.get(written.kind, (written.kind,))
        fitting = [node for node in candidates if node.kind in kinds]
        target = min(fitting, key=lambda node: kinds.index(node.kind), default=None)
        return None if target is None else _avro_scalar(written, target)

    return convert


def _avro_scalar(written: Node, target: Node) -> Conversion | None:
    unit = written if _family(written.logical) == _family(target.logical) else target
    if _is_time(target.logical):
        return _seconds(unit.logical)
    if target.logical == "decimal":
        return _decimal_bytes(unit.scale)
    if written.kind == "bytes" and target.kind == "string":
        return _text
    if written.kind == "enum" and target.default_symbol is not None:
        return _known_symbol(target)
    return None


def _seconds(logical: str) -> Conversion:
    per_second = TICKS_PER_SECOND[logical.rpartition("-")[2]]
    return lambda value: value / per_second


def _decimal_bytes(scale: int) -> Conversion:
    divisor = 10**scale

    def nearest_double(value: bytes) -> Any:
        try:
            # Dividing two ints rounds once, to the nearest double.
            return int.from_bytes(value, "big", signed=True) / divisor
        except OverflowError:
            return Fault(Status.OUT_OF_RANGE, "the decimal is beyond a double")

    return nearest_double


def _text(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return Fault(Status.INVALID_UTF8, "text is not UTF-8")


def _known_symbol(target: Node) -> Conversion:
    symbols = frozenset(target.symbols)
    return lambda symbol: symbol if symbol in symbols else target.default_symbol


def plain_conversion(read: Node) -> Conversion | None:
    """The conversion of a JSON or Python value of a field that the reader's schema describes as ``read``.

    None where the value means itself. Times are numbers in the unit of the schema, decimals numbers or number
    text. Of a union the first logical type counts.
    """
    logical = _plain_logical(read)
    if not logical:
        return None
    return _each(_plain_decimal if logical == "decimal" else _plain_seconds(logical))


def plain_divisor(read: Node) -> float:
    """What `plain_conversion` divides a number by; a boolean is not divided."""
    logical = _plain_logical(read)
    return TICKS_PER_SECOND[logical.rpartition("-")[2]] if _is_time(logical) else 1.0


def _plain_logical(read: Node) -> str:
    return next((node.logical for node in read.scalars() if _is_time(node.logical) or node.logical == "decimal"), "")


def _each(convert: Conversion) -> Conversion:
    """Apply a conversion to a value, or to every item of an array."""
    return lambda value: [convert(item) for item in value] if isinstance(value, list) else convert(value)


def _plain_seconds(logical: str) -> Conversion:
    per_second = TICKS_PER_SECOND[logical.rpartition("-")[2]]

    def seconds(value: Any) -> Any:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                return value / per_second
            except OverflowError:
                return Fault(Status.OUT_OF_RANGE, "the time is beyond a double")
        return value

    return seconds


def _plain_decimal(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return float(as_decimal(value))
    except BadEvent as bad:
        return bad.fault


def python_value(value: Any, read: Node) -> Any:
    """A value from a dict or a table as one of JSON's types.

    numpy scalars and arrays become Python's, Decimal the nearest double, dates and times the integer that the
    reader's logical type stores. Anything else stays, and is refused
    by the rules that follow.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [python_value(item, read) for item in value]
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (dt.date, dt.time)):
        return _date_or_time(value, [node.logical for node in read.scalars() if node.logical])
    return value


def _date_or_time(value: dt.date | dt.time, logicals: Sequence[str]) -> Any:
    if value != value:  # a missing date (pandas' NaT) is a date that differs from itself
        return None
    for logical in logicals:
        number = ticks(value, logical)
        if isinstance(number, int):
            return number
    return Fault(Status.WRONG_TYPE, f"expected a number or text, found {describe(value)}")
