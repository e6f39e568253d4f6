"""Protobuf's wire format: as much of it as it takes to read an ONNX file, and to put another one together.

Rule: every length is checked against what is left, and nothing is interpreted: what a number means is said by whoever
reads it. Values that are messages, text or bytes come as views of the file, copied by nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Value = int | memoryview

EMPTY = memoryview(b"")

RUN = 0
"""The number under which `fields` gives what its ``runs`` match; no field has it."""

_VARINT, _FIXED64, _SIZED, _FIXED32 = 0, 1, 2, 5


class Damaged(ValueError):
    """The bytes are not the protobuf message that is expected here."""


def fields(message: Value, runs: re.Pattern[bytes] | None = None) -> Iterator[tuple[int, Value]]:
    """Number and value of each field: an int for varints, a view of the bytes for everything else.

    Args:
        message: the message's bytes.
        runs: what it matches comes as one value, keys and all, under the number `RUN`. A repeated number is a field of
            its own each time; reading a million of them one by one is slow.

    Raises:
        Damaged: the bytes are no message.
    """
    if isinstance(message, int):
        raise Damaged("a number stands where a message is expected")
    position, end = 0, len(message)
    while position < end:
        if runs is not None and (run := runs.match(message, position)):
            yield RUN, message[position : run.end()]
            position = run.end()
            continue
        key, position = _read_varint(message, position)
        if key >> 3 == RUN:
            raise Damaged(f"a field of number 0 before byte {position}")
        if key & 7 == _VARINT:
            value, position = _read_varint(message, position)
            yield key >> 3, value
            continue
        length, position = _length(message, key & 7, position)
        if length > end - position:
            raise Damaged(f"a field of {length} bytes at byte {position} of {end}")
        yield key >> 3, message[position : position + length]
        position += length


def as_text(value: Value) -> str:
    """A field's value as text.

    Raises:
        Damaged: it is a number.
        UnicodeDecodeError: it is not UTF-8.
    """
    if isinstance(value, int):
        raise Damaged("a number stands where text is expected")
    return bytes(value).decode("utf-8")


def as_number(value: Value) -> int:
    """A field's value as a number.

    Raises:
        Damaged: it is something else.
    """
    if not isinstance(value, int):
        raise Damaged("bytes stand where a number is expected")
    return value


def encode_field(number: int, value: int | bytes | memoryview) -> bytes:
    """One field: a varint, or a length and bytes (a message, text, packed numbers)."""
    if isinstance(value, int):
        return _varint(number << 3 | _VARINT) + _varint(value)
    return _varint(number << 3 | _SIZED) + _varint(len(value)) + bytes(value)


def _length(message: memoryview, wire_type: int, position: int) -> tuple[int, int]:
    """Bytes of a value, and where it starts."""
    if wire_type == _SIZED:
        return _read_varint(message, position)
    if wire_type in (_FIXED64, _FIXED32):
        return (8 if wire_type == _FIXED64 else 4), position
    raise Damaged(f"wire type {wire_type} at byte {position}")


def _read_varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(message[position : position + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise Damaged(f"a number without end at byte {position}")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


__all__ = ["EMPTY", "RUN", "Damaged", "Value", "as_number", "as_text", "encode_field", "fields"]
