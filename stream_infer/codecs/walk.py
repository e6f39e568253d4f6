"""Avro bytes to Python values: readers compiled from a schema, which check every byte they pass.

Rule: a reader accepts exactly the encodings the Avro specification allows, never reads outside the event, and
does work proportional to its length. It is our own because the libraries at hand are lenient where a stream
processor must not be (enum and union indices below zero, booleans other than 0 and 1, endless varints, item
counts without items, text that is no UTF-8, bytes after the event) and because one pass must yield both the
values that features need and the byte spans that are carried to the output. It costs about what fastavro
costs; fastavro is the oracle of its tests. Most events never come here: the decode kernel reads them, and of what it is
not sure the walker decides.

A reader is ``read(buffer, position) -> (value, next position)``. Logical types are not applied here, except
through the ``convert`` hook, which may name a conversion for each scalar type. Leaving the buffer raises
IndexError or struct.error; the record around it turns that into `Status.TRUNCATED` and names the field.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeAlias

from stream_infer.codecs.faults import BadEvent
from stream_infer.codecs.schema import Node
from stream_infer.types import Status

Read: TypeAlias = Callable[[bytes, int], tuple[Any, int]]
Convert: TypeAlias = Callable[[Node], Callable[[Any], Any] | None]

MAX_VARINT_BYTES = 10
"""A 64-bit number takes at most ten groups of seven bits."""

PAST_END = (IndexError, struct.error)
"""What reading past the end of the buffer raises."""

_FLOAT = struct.Struct("<f")
_DOUBLE = struct.Struct("<d")


def truncated() -> BadEvent:
    """The error for an event that ends too early."""
    return BadEvent(Status.TRUNCATED, "the value ends before the event does")


def read_long(buffer: bytes, position: int) -> tuple[int, int]:
    """A zigzag varint of 64 bits."""
    byte = buffer[position]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), position + 1
    return _read_long_tail(buffer, position)


def _read_long_tail(buffer: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    for at in range(position, position + MAX_VARINT_BYTES):
        byte = buffer[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return (value >> 1) ^ -(value & 1), at + 1
        shift += 7
    raise BadEvent(Status.MALFORMED, "a varint is longer than 64 bits")


def _read_null(_buffer: bytes, position: int) -> tuple[None, int]:
    return None, position


def _read_boolean(buffer: bytes, position: int) -> tuple[bool, int]:
    byte = buffer[position]
    if byte > 1:
        raise BadEvent(Status.MALFORMED, "a boolean is neither 0 nor 1")
    return byte == 1, position + 1


def _read_int(buffer: bytes, position: int) -> tuple[int, int]:
    value, position = read_long(buffer, position)
    if not -0x8000_0000 <= value <= 0x7FFF_FFFF:
        raise BadEvent(Status.MALFORMED, "an int is longer than 32 bits")
    return value, position


def _read_float(buffer: bytes, position: int) -> tuple[float, int]:
    return _FLOAT.unpack_from(buffer, position)[0], position + 4


def _read_double(buffer: bytes, position: int) -> tuple[float, int]:
    return _DOUBLE.unpack_from(buffer, position)[0], position + 8


def _read_bytes(buffer: bytes, position: int) -> tuple[bytes, int]:
    length, position = read_long(buffer, position)
    end = position + length
    if length < 0:
        raise BadEvent(Status.MALFORMED, "a length is negative")
    if end > len(buffer):
        raise truncated()
    return buffer[position:end], end


def _read_string(buffer: bytes, position: int) -> tuple[str, int]:
    value, position = _read_bytes(buffer, position)
    try:
        return value.decode(), position
    except UnicodeDecodeError:
        raise BadEvent(Status.INVALID_UTF8, "text is not UTF-8") from None


_PRIMITIVES: dict[str, Read] = {
    "null": _read_null,
    "boolean": _read_boolean,
    "int": _read_int,
    "long": read_long,
    "float": _read_float,
    "double": _read_double,
    "bytes": _read_bytes,
    "string": _read_string,
}


def _no_conversion(_: Node) -> None:
    return None


def reader(node: Node, convert: Convert = _no_conversion, *, keep: bool = True) -> Read:
    """Compile the reader of a type.

    Values are None, bool, int, float, str (also enum symbols), bytes (also fixed), list, and dict for maps and
    records.

    Args:
        node: the type as it was written.
        convert: called with every scalar type; what it returns, if anything, is applied to the values.
        keep: False to check the bytes only: lists and dicts stay empty, for a megabyte of Avro can make hundreds of
            Python objects.
    """
    return _Compiler(convert, keep).compile(node)


class _Compiler:
    """Shares the readers of shared nodes, so that compiling is linear in the schema's text."""

    def __init__(self, convert: Convert, keep: bool) -> None:
        self._convert = convert
        self._keep = keep
        self._done: dict[Node, Read] = {}

    def compile(self, node: Node) -> Read:
        if node not in self._done:
            self._done[node] = self._compile(node)
        return self._done[node]

    def _compile(self, node: Node) -> Read:
        if node.kind == "record":
            return _record(tuple((field.name, self.compile(field.node)) for field in node.fields), self._keep)
        if node.kind == "union":
            return _union(tuple(self.compile(branch) for branch in node.children))
        if node.kind == "map":
            return _map(self.compile(node.children[0]), node.children[0].min_bytes + 1, self._keep)
        if node.kind == "array":
            return self._array(node.children[0])
        return _converted(_scalar(node), self._convert(node))

    def _array(self, item: Node) -> Read:
        if item.kind in ("float", "double"):
            return _number_array("f" if item.kind == "float" else "d", item.min_bytes, self._keep)
        return _array(self.compile(item), item.min_bytes, self._keep)


def _scalar(node: Node) -> Read:
    if node.kind == "fixed":
        return _fixed(node.size)
    if node.kind == "enum":
        return _enum(node.symbols)
    return _PRIMITIVES[node.kind]


def _converted(read: Read, conversion: Callable[[Any], Any] | None) -> Read:
    if conversion is None:
        return read

    def read_converted(buffer: bytes, position: int) -> tuple[Any, int]:
        value, position = read(buffer, position)
        return conversion(value), position

    return read_converted


def _fixed(size: int) -> Read:
    def read_fixed(buffer: bytes, position: int) -> tuple[bytes, int]:
        end = position + size
        if end > len(buffer):
            raise truncated()
        return buffer[position:end], end

    return read_fixed


def _enum(symbols: tuple[str, ...]) -> Read:
    count = len(symbols)

    def read_enum(buffer: bytes, position: int) -> tuple[str, int]:
        index, position = read_long(buffer, position)
        if not 0 <= index < count:
            raise BadEvent(Status.MALFORMED, "an enum index is out of range")
        return symbols[index], position

    return read_enum


def _union(branches: tuple[Read, ...]) -> Read:
    count = len(branches)

    def read_union(buffer: bytes, position: int) -> tuple[Any, int]:
        index, position = read_long(buffer, position)
        if not 0 <= index < count:
            raise BadEvent(Status.MALFORMED, "a union index is out of range")
        return branches[index](buffer, position)

    return read_union


def _record(fields: tuple[tuple[str, Read], ...], keep: bool) -> Read:
    def read_record(buffer: bytes, position: int) -> tuple[dict[str, Any], int]:
        values: dict[str, Any] = {}
        name = ""
        try:
            for name, read in fields:
                value, position = read(buffer, position)
                if keep:
                    values[name] = value
        except BadEvent as bad:
            raise bad.within(name) from None
        except PAST_END:
            raise truncated().within(name) from None
        return values, position

    return read_record


def read_block(buffer: bytes, position: int, min_item_bytes: int) -> tuple[int, int, int]:
    """The head of a block of an array or map.

    Returns:
        The number of items (0 ends the list), the position of the first, and the position where the block
        must end (-1 where it does not say). The count is checked against the bytes that are left.
    """
    count, position = read_long(buffer, position)
    end = -1
    if count < 0:
        count = -count
        nbytes, position = read_long(buffer, position)
        if nbytes < 0:
            raise BadEvent(Status.MALFORMED, "a block has a negative size")
        end = position + nbytes
    if count * min_item_bytes > len(buffer) - position:
        raise truncated()
    return count, position, end


def check_block_end(position: int, end: int) -> None:
    """Refuse a block whose items do not end where its head says."""
    if end not in (-1, position):
        raise BadEvent(Status.MALFORMED, "a block does not end where it says")


def _array(item: Read, min_item_bytes: int, keep: bool) -> Read:
    def read_array(buffer: bytes, position: int) -> tuple[list[Any], int]:
        values: list[Any] = []
        while True:
            count, position, end = read_block(buffer, position, min_item_bytes)
            if count == 0:
                return values, position
            for _ in range(count):
                value, position = item(buffer, position)
                if keep:
                    values.append(value)
            check_block_end(position, end)

    return read_array


def _number_array(code: str, item_bytes: int, keep: bool) -> Read:
    """Arrays of floats and doubles (embeddings, pixels) in one call a block."""

    def read_number_array(buffer: bytes, position: int) -> tuple[list[float], int]:
        values: list[float] = []
        while True:
            count, position, end = read_block(buffer, position, item_bytes)
            if count == 0:
                return values, position
            if keep:
                values.extend(struct.unpack_from(f"<{count}{code}", buffer, position))
            position += count * item_bytes
            check_block_end(position, end)

    return read_number_array


def _map(item: Read, min_item_bytes: int, keep: bool) -> Read:
    def read_map(buffer: bytes, position: int) -> tuple[dict[str, Any], int]:
        values: dict[str, Any] = {}
        while True:
            count, position, end = read_block(buffer, position, min_item_bytes)
            if count == 0:
                return values, position
            for _ in range(count):
                key, position = _read_string(buffer, position)
                value, position = item(buffer, position)
                if keep:
                    values[key] = value
            check_block_end(position, end)

    return read_map
