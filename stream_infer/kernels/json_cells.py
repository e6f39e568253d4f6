"""Spans of JSON to cells: numbers, categories and lists of numbers, and whether a carried value fits its type.

Rule: a cell is filled only where its value is certain: text without escapes where it is compared, and numbers whose
nearest double is certain. Of everything else the row is "not sure".

A number's double is its digits times a power of ten. Up to 2^53 and 10^22 both are doubles, and one operation rounds
once. Beyond, the power is taken to 128 bits, too small by less than 2^-127 of itself, and the product is rounded where
that cannot make a difference.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stream_infer.kernels.compiled import kernel
from stream_infer.kernels.json_tables import Actions, BoolArray, Int64Array, UInt8Array

NUMBER, CATEGORY, ARRAY, CSV, CHECK = 0, 1, 2, 3, 4
"""What is done with a value: it fills a cell, or as many as there are in a list, or it is checked only."""
NULL, BOOLEAN, INT32, INT64, FLOAT32, FLOAT64, TEXT, SYMBOL, ANYTHING = 1, 2, 4, 8, 16, 32, 64, 128, 256
"""What a checked value may be, as bits."""
NOT_SURE = -1

BAD = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
"""Behind the end of every span."""


_MAX_POWER = 64
_CLINGER_POWER = 22
_CLINGER_DIGITS = np.uint64(2**53)
_MAX_DIGITS = np.uint64(19)
_MAX_INTEGER_DIGITS = np.uint64(18)
_INT32_LIMIT = 2**31
_TENS = np.array([10.0**power for power in range(_CLINGER_POWER + 1)])
_MIN_TWO = -400
_TWOS = np.array([2.0**power for power in range(_MIN_TWO, -_MIN_TWO + 1)])


def _wide_power(power: int) -> tuple[int, int, int]:
    """``10 ** power`` as high and low half of 128 bits, the highest of them set, and the power of two they lack."""
    five: int = 5 ** abs(power)
    bits = five.bit_length()
    wide = (five << 256) >> (bits + 128) if power >= 0 else (1 << (127 + bits)) // five
    return wide >> 64, wide & (2**64 - 1), power + (bits - 128 if power >= 0 else -127 - bits)


_WIDE = [_wide_power(power) for power in range(-_MAX_POWER, _MAX_POWER + 1)]
_WIDE_HIGH = np.array([high for high, _, _ in _WIDE], np.uint64)
_WIDE_LOW = np.array([low for _, low, _ in _WIDE], np.uint64)
_WIDE_TWOS = np.array([twos for _, _, twos in _WIDE], np.int64)

_ONE, _TEN, _U32, _LOW_HALF = np.uint64(1), np.uint64(10), np.uint64(32), np.uint64(0xFFFF_FFFF)
_QUOTE, _BACKSLASH, _COMMA, _DOT, _OPEN_LIST, _CLOSE_LIST = 34, 92, 44, 46, 91, 93
_PLUS, _MINUS, _ZERO, _NINE, _SMALL_E, _BIG_E = 43, 45, 48, 57, 101, 69
_SMALL_N, _SMALL_T, _SMALL_F = 110, 116, 102


@kernel
def place_texts(names: UInt8Array, texts: Int64Array, slots: Int64Array) -> None:
    """Fill ``slots``, all -1, for the texts in ``names``; see `Actions`."""
    mask = np.uint64(len(slots) - 1)
    for text in range(len(texts)):
        slot = _hash(names, np.uint64(texts[text, 1]), np.uint64(texts[text, 2]), texts[text, 0]) & mask
        while slots[slot] >= 0:
            slot = (slot + _ONE) & mask
        slots[slot] = text


@kernel
def fill_cells(
    data: UInt8Array,
    found: Int64Array,
    actions: Actions,
    cells: npt.NDArray[np.float32],
    done: BoolArray,
) -> None:
    """Fill the cells of n events.

    Args:
        data: the events' bytes.
        found: ``[n, s, 2]``, where the values begin and end; below 0 a begin is -1 less the place in the action's
            fills.
        actions: what is done.
        cells: ``[n, w]``, filled; in rows that are not done they mean nothing.
        done: ``[n]``, True for the events to look at; False afterwards where that could not be done.
    """
    for row in range(len(done)):
        action = 0
        while done[row] and action < len(actions.actions):
            span = actions.actions[action, 1]
            begin = found[row, span, 0]
            if begin < 0:
                done[row] = _fill(-1 - begin, action, row, actions, cells)
            else:
                done[row] = _act(data, np.uint64(begin), np.uint64(found[row, span, 1]), action, row, actions, cells)
            action += 1


@kernel
def _act(
    data: UInt8Array, at: Any, end: Any, action: int, row: int, actions: Actions, cells: npt.NDArray[np.float32]
) -> bool:
    code = actions.actions[action, 0]
    if code == CHECK:
        return _fits(data, at, end, action, actions)
    if data[at] == _SMALL_N:
        return _fill(0, action, row, actions, cells)
    if code == NUMBER:
        return _fill_number(data, at, end, action, row, actions, cells)
    if code == CATEGORY:
        return _fill_category(data, at, end, action, row, actions, cells)
    return _fill_list(data, at, end, action, row, actions, cells)


@kernel
def _fill(place: int, action: int, row: int, actions: Actions, cells: npt.NDArray[np.float32]) -> bool:
    """Fill in what stands for an absent value."""
    constant = actions.fills[actions.actions[action, 7] + place]
    if constant == NOT_SURE:
        return False
    if actions.actions[action, 0] != CHECK:
        for cell in range(actions.actions[action, 3]):
            cells[row, actions.actions[action, 2] + cell] = actions.constants[constant + cell]
    return True


@kernel
def _put(number: float, action: int, row: int, cell: int, actions: Actions, cells: npt.NDArray[np.float32]) -> bool:
    value = (number / actions.rules[action, 0] + actions.rules[action, 1]) * actions.rules[action, 2]
    cells[row, cell] = value
    return bool(np.isfinite(cells[row, cell]))


@kernel
def _fill_number(
    data: UInt8Array, at: Any, end: Any, action: int, row: int, actions: Actions, cells: npt.NDArray[np.float32]
) -> bool:
    if data[at] == _SMALL_T or data[at] == _SMALL_F:
        # A boolean is no time, so nothing divides it.
        number: Any = np.float64(data[at] == _SMALL_T)
        is_number = actions.rules[action, 0] == 1
    else:
        behind, _, number, _ = _read_number(data, at, end, True)
        is_number = behind == end
    return is_number and _put(number, action, row, actions.actions[action, 2], actions, cells)


@kernel
def _fill_category(
    data: UInt8Array, at: Any, end: Any, action: int, row: int, actions: Actions, cells: npt.NDArray[np.float32]
) -> bool:
    if not _is_plain_text(data, at, end):
        return False
    place = _find(data, at + _ONE, end - _ONE, actions.actions[action, 4], actions)
    code = actions.texts[place, 3] if place >= 0 else actions.actions[action, 5]
    cells[row, actions.actions[action, 2]] = np.float64(code)
    return bool(place >= 0 or actions.actions[action, 6] == 1)


@kernel
def _fill_list(
    data: UInt8Array, at: Any, end: Any, action: int, row: int, actions: Actions, cells: npt.NDArray[np.float32]
) -> bool:
    """An array of numbers, or text of numbers joined by commas: as many as there are cells."""
    is_array = actions.actions[action, 0] == ARRAY
    closing = _CLOSE_LIST if is_array else _QUOTE
    if data[at] != (_OPEN_LIST if is_array else _QUOTE):
        return False
    first, last = actions.actions[action, 2], actions.actions[action, 2] + actions.actions[action, 3] - 1
    for cell in range(first, last + 1):
        at = _past_space(data, at + _ONE, end, is_array)
        at, _, number, _ = _read_number(data, at, end, is_array)
        at = _past_space(data, at, end, is_array)
        if at >= end or data[at] != (closing if cell == last else _COMMA):
            return False
        if not _put(number, action, row, cell, actions, cells):
            return False
    return bool(at + _ONE == end)


@kernel
def _past_space(data: UInt8Array, at: Any, end: Any, is_json: bool) -> Any:
    """Behind JSON's white space; in text, which holds no line breaks, behind blanks."""
    while at < end and (data[at] == 32 or (is_json and (data[at] == 10 or data[at] == 13 or data[at] == 9))):
        at += _ONE
    return at


@kernel
def _fits(data: UInt8Array, at: Any, end: Any, action: int, actions: Actions) -> bool:
    """Whether a value is one of those that the output can hold."""
    allowed = actions.actions[action, 3]
    first = data[at]
    if allowed & ANYTHING:
        return True
    if first == _QUOTE:
        group = actions.actions[action, 4]
        if allowed & TEXT:
            return True
        may_be_symbol = bool(allowed & SYMBOL) and _is_plain_text(data, at, end)
        return may_be_symbol and _find(data, at + _ONE, end - _ONE, group, actions) >= 0
    if first == _SMALL_N:
        return bool(allowed & NULL)
    if first in (_SMALL_T, _SMALL_F):
        return bool(allowed & BOOLEAN)
    behind, is_integer, double, integer = _read_number(data, at, end, True)
    if behind != end:
        return False
    fits = bool(allowed & FLOAT64) or (bool(allowed & FLOAT32) and bool(np.isfinite(np.float32(double))))
    if is_integer and not fits:
        fits = bool(allowed & INT64) or (bool(allowed & INT32) and -_INT32_LIMIT <= integer < _INT32_LIMIT)
    return fits


@kernel
def measure_carried(
    found: Int64Array, carried: Int64Array, events_end: int, begins: Int64Array, edges: Int64Array
) -> None:
    """Say where the bytes of the carried fields stand, and where they go when they are joined field by field.

    Args:
        found: as in `fill_cells`.
        carried: ``[c, 3]``: span, and begin and end of the default, counted from ``events_end``.
        events_end: the length of the events, behind which the defaults stand.
        begins: ``[c * n]``, filled.
        edges: ``[c * n + 1]``, filled.
    """
    number, edge = 0, np.int64(0)
    edges[0] = 0
    for place in range(len(carried)):
        for row in range(len(found)):
            begin, end = found[row, carried[place, 0], 0], found[row, carried[place, 0], 1]
            if begin < 0:
                begin, end = events_end + carried[place, 1], events_end + carried[place, 2]
            edge += end - begin
            begins[number], edges[number + 1] = begin, edge
            number += 1


# ------------------------------------------------------------------ text


@kernel
def _is_plain_text(data: UInt8Array, at: Any, end: Any) -> bool:
    """True for text without escapes."""
    if data[at] != _QUOTE:
        return False
    while at < end and data[at] != _BACKSLASH:
        at += _ONE
    return bool(at == end)


@kernel
def _hash(data: UInt8Array, begin: Any, end: Any, group: int) -> Any:
    """A number from a text's length, five of its bytes, and its group; the texts are compared anyway."""
    length = end - begin
    number = (length << np.uint64(8)) ^ (np.uint64(group) << np.uint64(20))
    if length > 0:
        quarter = length >> np.uint64(2)
        number ^= np.uint64(data[begin])
        number ^= np.uint64(data[end - _ONE]) << np.uint64(3)
        number ^= np.uint64(data[begin + quarter]) << np.uint64(6)
        number ^= np.uint64(data[begin + quarter + quarter]) << np.uint64(9)
        number ^= np.uint64(data[end - _ONE - quarter]) << np.uint64(12)
    return number ^ (number >> np.uint64(7)) ^ (number >> np.uint64(15))


@kernel
def _find(data: UInt8Array, begin: Any, end: Any, group: int, actions: Actions) -> Any:
    """The row of a text in its group, or -1."""
    mask = np.uint64(len(actions.slots) - 1)
    slot = _hash(data, begin, end, group) & mask
    while actions.slots[slot] >= 0:
        key = np.uint64(actions.slots[slot])
        if actions.texts[key, 0] == group and _same_text(data, begin, end, key, actions):
            return np.int64(key)
        slot = (slot + _ONE) & mask
    return -1


@kernel
def _same_text(data: UInt8Array, begin: Any, end: Any, key: Any, actions: Actions) -> bool:
    name, behind = np.uint64(actions.texts[key, 1]), np.uint64(actions.texts[key, 2])
    if end - begin != behind - name:
        return False
    for byte in range(end - begin):  # noqa: SIM110 - generators are not compiled
        if data[begin + np.uint64(byte)] != actions.names[name + np.uint64(byte)]:
            return False
    return True


# ------------------------------------------------------------------ numbers


@kernel
def _read_digits(data: UInt8Array, at: Any, end: Any, digits: Any) -> tuple[Any, Any]:
    while at < end and _ZERO <= data[at] <= _NINE:
        digits = digits * _TEN + np.uint64(data[at] - _ZERO)
        at += _ONE
    return at, digits


@kernel
def _read_number(data: UInt8Array, at: Any, end: Any, is_json: bool) -> tuple[Any, Any, Any, Any]:
    """Where a number ends, whether it is whole, its double, and its integer if it is whole.

    Args:
        data: the bytes.
        at: where it begins.
        end: of the event.
        is_json: False for the looser spelling in text: ``+1``, ``01``, ``1.`` and ``.1``.
    """
    is_negative = at < end and data[at] == _MINUS
    if is_negative or (not is_json and at < end and data[at] == _PLUS):
        at += _ONE
    first = at
    at, digits = _read_digits(data, first, end, np.uint64(0))
    count = at - first
    if is_json and (count == 0 or (count > _ONE and data[first] == _ZERO)):
        return BAD, False, 0.0, 0
    power: Any = 0
    is_integer = True
    if at < end and data[at] == _DOT:
        point = at
        at, digits = _read_digits(data, point + _ONE, end, digits)
        power, is_integer = -np.int64(at - point - _ONE), False
        count += at - point - _ONE
        if is_json and power == 0:
            return BAD, False, 0.0, 0
    if count == 0 or (count > _MAX_DIGITS and count - _leading_zeros(data, first, end) > _MAX_DIGITS):
        return BAD, False, 0.0, 0
    if at < end and (data[at] == _SMALL_E or data[at] == _BIG_E):
        at, exponent = _read_exponent(data, at + _ONE, end)
        power, is_integer = power + exponent, False
    if is_integer:
        if count > _MAX_INTEGER_DIGITS:
            return BAD, True, 0.0, 0
        integer = -np.int64(digits) if is_negative else np.int64(digits)
        return at, True, np.float64(integer), integer
    double = _nearest_double(digits, power)
    if np.isnan(double):
        return BAD, False, 0.0, 0
    return at, False, -double if is_negative else double, 0


@kernel
def _leading_zeros(data: UInt8Array, at: Any, end: Any) -> Any:
    """How many digits are 0 before the first that is not."""
    zeros = np.uint64(0)
    while at < end and (data[at] == _ZERO or data[at] == _DOT):
        zeros += np.uint64(data[at] == _ZERO)
        at += _ONE
    return zeros


@kernel
def _read_exponent(data: UInt8Array, at: Any, end: Any) -> tuple[Any, Any]:
    is_negative = at < end and data[at] == _MINUS
    if is_negative or (at < end and data[at] == _PLUS):
        at += _ONE
    behind, digits = _read_digits(data, at, end, np.uint64(0))
    if behind == at or behind - at > _MAX_INTEGER_DIGITS:
        return BAD, 0
    return behind, -np.int64(digits) if is_negative else np.int64(digits)


@kernel
def _nearest_double(digits: Any, power: Any) -> Any:
    """The double nearest to ``digits * 10 ** power``, or NaN where that is not certain."""
    if digits == 0:
        return 0.0
    if digits <= _CLINGER_DIGITS and -_CLINGER_POWER <= power <= _CLINGER_POWER:
        number = np.float64(digits)
        return number / _TENS[-power] if power < 0 else number * _TENS[power]
    if power < -_MAX_POWER or power > _MAX_POWER:
        return np.nan
    place = power + _MAX_POWER
    twos = _WIDE_TWOS[place]
    while digits >> np.uint64(63) == 0:
        digits <<= _ONE
        twos -= 1
    high, middle = _multiply(digits, _WIDE_HIGH[place])
    carried, _ = _multiply(digits, _WIDE_LOW[place])
    middle += carried
    high += np.uint64(middle < carried)
    return _rounded(high, middle, twos + 128)


@kernel
def _rounded(high: Any, middle: Any, twos: Any) -> Any:
    """``(high + middle / 2^64) * 2^twos`` to 53 bits; NaN where two more units of ``middle`` could matter."""
    shift = np.uint64(10) + (high >> np.uint64(63))
    half = _ONE << (shift - _ONE)
    rest = high & (half + half - _ONE)
    if (rest == half and middle == 0) or (rest == half - _ONE and middle >= BAD - _ONE):
        return np.nan  # it may be the middle between two doubles, or beyond it
    mantissa = (high >> shift) + np.uint64(rest >= half)
    return np.float64(mantissa) * _TWOS[twos + np.int64(shift) - _MIN_TWO]


@kernel
def _multiply(left: Any, right: Any) -> tuple[Any, Any]:
    """The product of two uint64 as high and low half."""
    left_high, left_low = left >> _U32, left & _LOW_HALF
    right_high, right_low = right >> _U32, right & _LOW_HALF
    low, cross, other = left_low * right_low, left_low * right_high, left_high * right_low
    middle = (low >> _U32) + (cross & _LOW_HALF) + (other & _LOW_HALF)
    high = left_high * right_high + (cross >> _U32) + (other >> _U32) + (middle >> _U32)
    return high, (middle << _U32) | (low & _LOW_HALF)
