"""librdkafka's messages to columns, and columns to librdkafka's messages.

Rule: every address comes from librdkafka, or from an array that the caller holds. Sizes are measured by one kernel
(`measure`), memory is allocated by the caller, and the next (`gather`) fills exactly that.

Three kinds of things are done to memory here: a word is read, bytes are copied, a function of librdkafka is called by
its address. Each stands here twice: for compiled code, and as plain Python, in which the kernels are tested.

``rd_kafka_message_t`` is nine words of 64 bits: error (32 bits), topic handle, partition (32 bits), value, its length,
key, its length, offset, and one of librdkafka's own. ``rd_kafka_vu_t`` is nine as well: a type (32 bits), then what it
says, in the first word or two of the rest. 64 bits and little endian are taken for granted
(`stream_infer.kafka.librdkafka` sees to it).
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from stream_infer.kernels.compiled import kernel

UInt64Array = npt.NDArray[np.uint64]
Int64Array = npt.NDArray[np.int64]

WORD = np.uint64(8)
LOW_HALF = np.uint64(0xFFFFFFFF)
signed: Any = np.int64
NOTHING = np.uint64(0)
RKT = np.uint64(1 * 8)
PARTITION = np.uint64(2 * 8)
VALUE = np.uint64(3 * 8)
VALUE_LENGTH = np.uint64(4 * 8)
KEY = np.uint64(5 * 8)
KEY_LENGTH = np.uint64(6 * 8)
OFFSET = np.uint64(7 * 8)

TIMESTAMP_OF, HEADERS_OF, HEADER_AT = 0, 1, 2
"""Rows of ``functions``: ``rd_kafka_message_timestamp``, ``rd_kafka_message_headers``, ``rd_kafka_header_get_all``."""
HEADER_PREFIX = 8
"""Before a copied header stand the lengths of its name and of its value, int32 each; -1 for a null value."""

UNIT_PARTITION, UNIT_TIMESTAMP, UNIT_VALUE, UNIT_KEY = 0, 1, 2, 3
"""Rows of ``units`` that `produce` fills for every message; what follows them stays as it is."""


# ------------------------------------------------------------------ memory


def word_at(address: Any) -> Any:
    """The uint64 at an address."""
    return np.uint64(ctypes.c_uint64.from_address(int(address)).value)


def byte_at(address: Any) -> Any:
    """The byte at an address."""
    return np.uint8(ctypes.c_uint8.from_address(int(address)).value)


def copy(target: Any, source: Any, nbytes: Any) -> None:
    """Copy bytes from one address to another."""
    ctypes.memmove(int(target), int(source), int(nbytes))


def call(function: Any, arguments: Any) -> Any:
    """Call a C function of whole numbers and addresses; its result as uint64."""
    prototype = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * len(arguments))
    return np.uint64(prototype(int(function))(*[int(argument) for argument in arguments]))


_llvm: Any = cgutils


def _pointer(builder: Any, address: Any, bits: int) -> Any:
    return builder.inttoptr(address, _llvm.ir.IntType(bits).as_pointer())


def _loader(bits: int, result: Any) -> Any:
    def load(_context: Any, _address: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.load(_pointer(builder, arguments[0], bits))

        return result(types.uint64), generate

    return intrinsic(load)


_load_word = _loader(64, types.uint64)
_load_byte = _loader(8, types.uint8)


def _type_copy(_context: Any, _target: Any, _source: Any, _nbytes: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        target, source, nbytes = arguments
        _llvm.raw_memcpy(builder, _pointer(builder, target, 8), _pointer(builder, source, 8), nbytes, 1)
        return _context.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.uint64), generate


def _type_call(_context: Any, function: Any, arguments: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        address, packed = values
        word = _llvm.ir.IntType(64)
        unpacked = [builder.extract_value(packed, number) for number in range(len(arguments))]
        prototype = _llvm.ir.FunctionType(word, [word] * len(unpacked))
        return builder.call(builder.inttoptr(address, prototype.as_pointer()), unpacked)

    return types.uint64(function, arguments), generate


_copy_bytes: Any = intrinsic(_type_copy)
_call_function: Any = intrinsic(_type_call)


@overload(word_at, strict=False)
def _word_at(_address: Any) -> Any:
    return lambda address: _load_word(address)


@overload(byte_at, strict=False)
def _byte_at(_address: Any) -> Any:
    return lambda address: _load_byte(address)


@overload(copy, strict=False)
def _copy(_target: Any, _source: Any, _nbytes: Any) -> Any:
    return lambda target, source, nbytes: _copy_bytes(target, source, nbytes)


@overload(call, strict=False)
def _call(_function: Any, _arguments: Any) -> Any:
    return lambda function, arguments: _call_function(function, arguments)


# ------------------------------------------------------------------ messages -> columns


@kernel
def find_errors(pointers: UInt64Array, failed: npt.NDArray[np.bool_]) -> int:
    """Which of the messages at ``pointers`` ``[n]`` are errors: fills ``failed`` ``[n]``, returns their number."""
    count = 0
    for row in range(len(pointers)):
        failed[row] = word_at(pointers[row]) & LOW_HALF != NOTHING
        count += failed[row]
    return count


@kernel
def measure(
    pointers: UInt64Array,
    functions: UInt64Array,
    scratch: UInt64Array,
    scratch_address: int,
    places: UInt64Array,
    place_of: npt.NDArray[np.int32],
    numbers: Int64Array,
    ends: Int64Array,
    present: npt.NDArray[np.bool_],
) -> int:
    """What n messages without an error hold; returns the number of places.

    Args:
        pointers: the messages, ``[n]``.
        functions: addresses, see `TIMESTAMP_OF`.
        scratch: four words for librdkafka to write to, and their address.
        scratch_address: of ``scratch``.
        places: filled with topic handle and partition of each place met, ``[n, 2]``.
        place_of: filled with each message's row of ``places``, ``[n]``.
        numbers: filled with offsets and timestamps (milliseconds), ``[2, n]``.
        ends: filled with where each message's value, key and headers end in a buffer of all, ``[3, n + 1]``.
        present: filled with whether value and key are not null, ``[2, n]``.
    """
    count = 0
    values, keys, headers = np.int64(0), np.int64(0), np.int64(0)
    ends[0, 0] = ends[1, 0] = ends[2, 0] = 0
    for row in range(len(pointers)):
        message = pointers[row]
        place_of[row], count = _place(word_at(message + RKT), word_at(message + PARTITION) & LOW_HALF, places, count)
        numbers[0, row] = np.int64(word_at(message + OFFSET))
        numbers[1, row] = np.int64(call(functions[TIMESTAMP_OF], (message, NOTHING)))
        present[0, row] = word_at(message + VALUE) != NOTHING
        present[1, row] = word_at(message + KEY) != NOTHING
        if present[0, row]:
            values += np.int64(word_at(message + VALUE_LENGTH))
        if present[1, row]:
            keys += np.int64(word_at(message + KEY_LENGTH))
        headers += _headers_length(message, functions, scratch, scratch_address)
        ends[0, row + 1], ends[1, row + 1], ends[2, row + 1] = values, keys, headers
    return count


@kernel
def gather(
    pointers: UInt64Array,
    functions: UInt64Array,
    scratch: UInt64Array,
    scratch_address: int,
    ends: Int64Array,
    values_address: int,
    keys_address: int,
    headers: npt.NDArray[np.uint8],
) -> None:
    """Copy values, keys and headers of n messages to where `measure` said; arguments as there.

    ``values_address`` and ``keys_address`` have room for ``ends[0, n]`` and ``ends[1, n]`` bytes, ``headers`` for
    ``ends[2, n]``.
    """
    for row in range(len(pointers)):
        message = pointers[row]
        _copy_field(values_address, ends[0, row], ends[0, row + 1], word_at(message + VALUE))
        _copy_field(keys_address, ends[1, row], ends[1, row + 1], word_at(message + KEY))
        if ends[2, row] != ends[2, row + 1]:
            _copy_headers(message, functions, scratch, scratch_address, headers, ends[2, row])


@kernel
def destroy(pointers: UInt64Array, function: int) -> None:
    """Give messages back: ``rd_kafka_message_destroy`` for each."""
    for row in range(len(pointers)):
        call(np.uint64(function), (pointers[row],))


@kernel
def _place(rkt: Any, partition: Any, places: UInt64Array, count: int) -> tuple[int, int]:
    """The row of a place, and how many there are then. Messages come in runs, so the last one is the likeliest."""
    for row in range(count - 1, -1, -1):
        if places[row, 0] == rkt and places[row, 1] == partition:
            return row, count
    places[count, 0], places[count, 1] = rkt, partition
    return count, count + 1


@kernel
def _copy_field(target: int, begin: int, end: int, source: Any) -> None:
    if end > begin:
        copy(np.uint64(target) + np.uint64(begin), source, np.uint64(end - begin))


@kernel
def _text_length(address: Any) -> int:
    length = 0
    while byte_at(address + np.uint64(length)) != 0:
        length += 1
    return length


@kernel
def _read_header(index: int, functions: UInt64Array, scratch: UInt64Array, scratch_address: int) -> bool:
    """Put name, value and value's length of a header of the list ``scratch[0]`` behind it; False when there is none."""
    name = np.uint64(scratch_address) + WORD
    arguments = (scratch[0], np.uint64(index), name, name + WORD, name + WORD + WORD)
    return bool(call(functions[HEADER_AT], arguments) & LOW_HALF == NOTHING)


@kernel
def _headers_length(message: Any, functions: UInt64Array, scratch: UInt64Array, scratch_address: int) -> int:
    """Bytes that a message's headers take as copies; 0 without any."""
    if call(functions[HEADERS_OF], (message, np.uint64(scratch_address))) & LOW_HALF != NOTHING:
        return 0
    length, index = 0, 0
    while _read_header(index, functions, scratch, scratch_address):
        length += HEADER_PREFIX + _text_length(scratch[1])
        if scratch[2] != NOTHING:
            length += signed(scratch[3])
        index += 1
    return length


@kernel
def _copy_headers(
    message: Any,
    functions: UInt64Array,
    scratch: UInt64Array,
    scratch_address: int,
    headers: npt.NDArray[np.uint8],
    begin: int,
) -> None:
    call(functions[HEADERS_OF], (message, np.uint64(scratch_address)))
    at, index = begin, 0
    while _read_header(index, functions, scratch, scratch_address):
        name_length = _text_length(scratch[1])
        value_length = signed(scratch[3]) if scratch[2] != NOTHING else signed(-1)
        _write_int32(headers, at, name_length)
        _write_int32(headers, at + 4, value_length)
        at = _copy_bytewise(headers, at + HEADER_PREFIX, scratch[1], name_length)
        at = _copy_bytewise(headers, at, scratch[2], value_length)
        index += 1


@kernel
def _write_int32(target: npt.NDArray[np.uint8], at: int, value: int) -> None:
    for byte in range(4):
        target[at + byte] = (value >> (8 * byte)) & 0xFF


@kernel
def _copy_bytewise(target: npt.NDArray[np.uint8], at: int, source: Any, length: int) -> int:
    for byte in range(length):
        target[at + byte] = byte_at(source + np.uint64(byte))
    return at + max(length, 0)


# ------------------------------------------------------------------ columns -> messages


@kernel
def produce(
    rows: Int64Array,
    producer: int,
    function: int,
    units: UInt64Array,
    units_address: int,
    units_count: int,
    values_address: int,
    values: Int64Array,
    values_present: npt.NDArray[np.bool_],
    keys_address: int,
    keys: Int64Array,
    keys_present: npt.NDArray[np.bool_],
    partitions: npt.NDArray[np.int32],
    timestamps_ms: Int64Array,
) -> tuple[int, Any]:
    """Hand the named rows to a producer, in order, up to the first that it refuses.

    Args:
        rows: of the columns, in the order in which they are produced.
        producer: ``rd_kafka_t``.
        function: ``rd_kafka_produceva``.
        units: ``rd_kafka_vu_t`` by row, ``[m, 9]``: partition, timestamp, value and key are filled here; the rest
            (topic, flags, headers) is the same for all rows and stands there.
        units_address: of ``units``.
        units_count: how many of them are used.
        values_address: the values' bytes.
        values: offsets of the values in them.
        values_present: False where a value is null.
        keys_address: as the values.
        keys: as the values.
        keys_present: as the values.
        partitions: -1 for the partitioner's choice.
        timestamps_ms: 0 for now.

    Returns:
        How many rows were taken, and the ``rd_kafka_error_t`` of the next, or 0.
    """
    for number in range(len(rows)):
        row = rows[number]
        units[UNIT_PARTITION, 1] = np.uint64(partitions[row]) & LOW_HALF
        units[UNIT_TIMESTAMP, 1] = np.uint64(timestamps_ms[row])
        _point(units, UNIT_VALUE, values_address, values[row], values[row + 1], values_present[row])
        _point(units, UNIT_KEY, keys_address, keys[row], keys[row + 1], keys_present[row])
        error = call(np.uint64(function), (np.uint64(producer), np.uint64(units_address), np.uint64(units_count)))
        if error != NOTHING:
            return number, error
    return len(rows), NOTHING


@kernel
def _point(units: UInt64Array, unit: int, address: int, begin: int, end: int, present: bool) -> None:
    if present:
        units[unit, 1] = np.uint64(address) + np.uint64(begin)
        units[unit, 2] = np.uint64(end - begin)
    else:
        units[unit, 1] = units[unit, 2] = NOTHING


__all__ = [
    "HEADERS_OF",
    "HEADER_AT",
    "HEADER_PREFIX",
    "TIMESTAMP_OF",
    "UNIT_KEY",
    "UNIT_PARTITION",
    "UNIT_TIMESTAMP",
    "UNIT_VALUE",
    "destroy",
    "find_errors",
    "gather",
    "measure",
    "produce",
]
