"""Rows of bytes, joined from columns: what scored events are made of.

Rule: every row is written by the same steps, in their order. A step writes a piece of a pool of bytes (the same for
all rows, one that the row picks, or the row's own), or a number of the row in Avro's or JSON's spelling. What the
pieces and numbers mean is not known here.

Piece ``p`` is ``pool[edges[p]:edges[p + 1]]``. No step reads beyond its pieces or writes beyond the target: where it
would, the tables are wrong, and `join` says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.kernels.compiled import kernel

UInt8Array = npt.NDArray[np.uint8]
Int64Array = npt.NDArray[np.int64]

CONSTANT = 0
"""The first piece of the step."""
PICKED = 1
"""The piece whose place within the step's pieces is the row's cell."""
OWN = 2
"""The piece whose place within the step's pieces is the row's number."""
OPTIONAL_FLOAT = 3
"""Avro's union of null and float; the cell holds the float's 32 bits, and NaN is null."""
LONG = 4
"""Avro's int, long or enum index."""
OPTIONAL_LONG = 5
"""Avro's union of null and long; -1 is null."""
DIGITS = 6
"""A whole number in JSON."""
OPTIONAL_DIGITS = 7
"""The same or null, which is -1."""

MAX_NUMBER_BYTES = 20
"""Longest number: 19 digits and a sign. Every other spelling is shorter."""

WRONG = -1

_FLOAT_SIGN_OFF = 0x7FFF_FFFF
_FLOAT_INFINITY = 0x7F80_0000
_ABSENT = -1
_ONE, _SEVEN, _TEN, _MORE = np.uint64(1), np.uint64(7), np.uint64(10), np.uint64(0x80)
_LOW_BITS, _ZERO_DIGIT, _MINUS = np.uint64(0x7F), np.uint64(48), np.uint8(45)


@kernel
def join(
    steps: Int64Array,
    pool: UInt8Array,
    edges: Int64Array,
    cells: Int64Array,
    keep: npt.NDArray[np.bool_],
    target: UInt8Array,
    offsets: Int64Array,
) -> int:
    """Write n rows, one after the other.

    Args:
        steps: ``[m, 4]``: what is done, the first of the step's pieces, how many it has (all of them lie within
            ``edges``), and its row of ``cells``.
        pool: the bytes of all pieces.
        edges: where the pieces begin, and where the last one ends.
        cells: ``[k, n]``: the places that the rows pick, and their numbers.
        keep: ``[n]``, False for a row that is not written and gets no bytes.
        target: filled with the rows.
        offsets: ``[n + 1]``, filled with where they begin and end.

    Returns:
        The bytes written, or `WRONG`: a piece that is not there, pieces that do not ascend within the pool, or too
        small a target.
    """
    at = np.uint64(0)
    offsets[0] = 0
    for row in range(len(keep)):
        if keep[row]:
            for step in range(len(steps)):
                cell = cells[steps[step, 3], row]
                if steps[step, 0] > OWN:
                    fits, at = _put_number(steps[step, 0], cell, target, at)
                else:
                    place = _place(steps[step, 0], cell, row)
                    if place >= np.uint64(steps[step, 2]):
                        return WRONG
                    fits, at = _put_piece(pool, edges, np.uint64(steps[step, 1]) + place, target, at)
                if not fits:
                    return WRONG
        offsets[row + 1] = np.int64(at)
    return int(offsets[len(keep)])


@kernel
def _place(code: int, cell: Any, row: int) -> Any:
    if code == CONSTANT:
        return np.uint64(0)
    return np.uint64(cell) if code == PICKED else np.uint64(row)


@kernel
def _put_piece(pool: UInt8Array, edges: Int64Array, piece: Any, target: UInt8Array, at: Any) -> tuple[bool, Any]:
    begin, end = np.uint64(edges[piece]), np.uint64(edges[piece + _ONE])
    if end < begin or end > np.uint64(len(pool)) or end - begin > np.uint64(len(target)) - at:
        return False, at
    for byte in range(end - begin):
        target[at + np.uint64(byte)] = pool[begin + np.uint64(byte)]
    return True, at + (end - begin)


@kernel
def _put_number(code: int, cell: Any, target: UInt8Array, at: Any) -> tuple[bool, Any]:
    if np.uint64(len(target)) - at < np.uint64(MAX_NUMBER_BYTES):
        return False, at
    if code == OPTIONAL_FLOAT:
        return True, _put_float(cell, target, at)
    if code in (LONG, OPTIONAL_LONG):
        return True, _put_avro_long(code, cell, target, at)
    return True, _put_json_number(code, cell, target, at)


@kernel
def _put_avro_long(code: int, cell: Any, target: UInt8Array, at: Any) -> Any:
    if code == LONG:
        return _put_long(cell, target, at)
    if cell == _ABSENT:
        target[at] = 0
        return at + _ONE
    target[at] = 2
    return _put_long(cell, target, at + _ONE)


@kernel
def _put_json_number(code: int, cell: Any, target: UInt8Array, at: Any) -> Any:
    if code == OPTIONAL_DIGITS and cell == _ABSENT:
        return _put_null(target, at)
    return _put_digits(cell, target, at)


@kernel
def _put_float(bits: Any, target: UInt8Array, at: Any) -> Any:
    if bits & _FLOAT_SIGN_OFF > _FLOAT_INFINITY:
        target[at] = 0
        return at + _ONE
    target[at] = 2
    for byte in range(4):
        target[at + np.uint64(byte + 1)] = (bits >> (8 * byte)) & 0xFF
    return at + np.uint64(5)


@kernel
def _put_long(number: Any, target: UInt8Array, at: Any) -> Any:
    rest = np.uint64((number << 1) ^ (number >> 63))
    while rest >= _MORE:
        target[at] = np.uint8(rest & _LOW_BITS | _MORE)
        rest >>= _SEVEN
        at += _ONE
    target[at] = np.uint8(rest)
    return at + _ONE


@kernel
def _put_digits(number: Any, target: UInt8Array, at: Any) -> Any:
    rest = np.uint64(number)
    if number < 0:
        rest = ~rest + _ONE  # two's complement, also of the number that has no positive counterpart
        target[at] = _MINUS
        at += _ONE
    count = _digit_count(rest)
    for digit in range(count):
        target[at + np.uint64(count - 1 - digit)] = np.uint8(rest % _TEN + _ZERO_DIGIT)
        rest //= _TEN
    return at + np.uint64(count)


@kernel
def _digit_count(rest: Any) -> int:
    count = 1
    while rest >= _TEN:
        rest //= _TEN
        count += 1
    return count


@kernel
def _put_null(target: UInt8Array, at: Any) -> Any:
    target[at], target[at + _ONE] = 110, 117
    target[at + np.uint64(2)] = target[at + np.uint64(3)] = 108
    return at + np.uint64(4)


__all__ = [
    "CONSTANT",
    "DIGITS",
    "LONG",
    "MAX_NUMBER_BYTES",
    "OPTIONAL_DIGITS",
    "OPTIONAL_FLOAT",
    "OPTIONAL_LONG",
    "OWN",
    "PICKED",
    "WRONG",
    "join",
]
