"""JSON objects to spans: where the values stand that are needed.

Rule: an event is "done" only if all of it is JSON by the letter of RFC 8259, in good UTF-8, and no needed key stands in
it twice. One thing is left to whoever reads a span: whether what is expected to be a number, or a list of numbers, is
that, and ends where it seems to. Whatever else an event may be is "not sure", and is looked at again by slower code,
which knows what is wrong.

A position beyond the end of the event (`BAD`) says "not sure". Nobody reads at a position without comparing it with the
end, so it finds its way out by itself.

Events of one stream spell the same keys in the same order. So a key is first compared with the one that stood in its
place in the event before; what was found out about that one is true of the same bytes again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stream_infer.kernels.compiled import kernel
from stream_infer.kernels.json_tables import BoolArray, Int64Array, Scratch, UInt8Array, Wanted

NULL = -1
"""Where a span begins if a record around the value is null."""
ABSENT = -2
"""Where a span begins if the value is absent, less the level at which the way to it ends: 0 in the event itself."""

BAD = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
"""Behind the end of every event."""
SPAN_READ, NUMBER_READ, LIST_READ = 0, 1, 2
"""What the reader of a field's span checks: nothing, that a number is one, that a list is one of numbers."""

_IS_PLAIN = np.array([byte >= 32 and byte < 128 and byte not in b'"\\' for byte in range(256)], np.bool_)
_IS_ESCAPE = np.array([byte in b'"\\/bfnrt' for byte in range(256)], np.bool_)
_HEX_DIGITS = np.array([int(chr(byte), 16) if byte in b"0123456789abcdefABCDEF" else -1 for byte in range(256)])
_LITERALS = np.frombuffer(b"nulltruefalse", np.uint8)
_ONE, _EIGHT = np.uint64(1), np.uint64(8)
_EACH, _HIGH_BITS = np.uint64(0x0101_0101_0101_0101), np.uint64(0x8080_8080_8080_8080)
_PLACES = np.uint64(0x0001_0203_0405_0607)
_QUOTE, _BACKSLASH, _COMMA, _COLON, _DOT, _SPACE = 34, 92, 44, 58, 46, 32
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST = 123, 125, 91, 93
_PLUS, _MINUS, _ZERO, _NINE, _SMALL_E, _BIG_E = 43, 45, 48, 57, 101, 69
_SMALL_N, _SMALL_T, _SMALL_F, _SMALL_U = 110, 116, 102, 117


@kernel
def place_keys(names: UInt8Array, keys: Int64Array, slots: Int64Array) -> None:
    """Fill ``slots``, all -1, for the keys in ``names``; see `Wanted`."""
    mask = np.uint64(len(slots) - 1)
    for key in range(len(keys)):
        slot = _hash(names, np.uint64(keys[key, 1]), np.uint64(keys[key, 2]), keys[key, 0]) & mask
        while slots[slot] >= 0:
            slot = (slot + _ONE) & mask
        slots[slot] = key


@kernel
def find_values(
    data: UInt8Array,
    offsets: Int64Array,
    max_depth: int,
    wanted: Wanted,
    scratch: Scratch,
    found: Int64Array,
    done: BoolArray,
) -> None:
    """Find the needed values of n events.

    Args:
        data: the events' bytes.
        offsets: ``[n + 1]``, where the events begin and end: ascending, within ``data``.
        max_depth: levels of nesting allowed, at most 64.
        wanted: what is needed.
        scratch: used as memory.
        found: ``[n, s, 2]``, filled for the rows that are done: where each value begins and ends; where there is none
            the first says why, and the second means nothing.
        done: ``[n]``, True for the events to look at; filled with whether they are done.
    """
    for row in range(len(done)):
        if done[row]:
            begin, end = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
            done[row] = _event(data, begin, end, row, max_depth, wanted, scratch, found)


@kernel
def _event(
    data: UInt8Array, at: Any, end: Any, row: int, max_depth: int, wanted: Wanted, scratch: Scratch, found: Int64Array
) -> bool:
    at = _past_space(data, at, end)
    if at >= end or data[at] != _OPEN:
        return False
    at += _ONE
    seen, path = scratch.seen, scratch.path
    level, place, is_first = 0, 0, True
    path[0] = 0
    while level >= 0:
        at = _past_space(data, at, end)
        if at >= end:
            return False
        if data[at] == _CLOSE:
            _mark_absent(path[level], level, row, wanted, seen, found)
            at += _ONE
            level, is_first = level - 1, False
            continue
        if not is_first:
            if data[at] != _COMMA:
                return False
            at = _past_space(data, at + _ONE, end)
        field, at = _read_key(data, at, end, path[level], place, wanted, scratch.before)
        if at >= end or (field >= 0 and seen[field] == row + 1):
            return False
        place, is_first = place + 1, False
        below = np.int64(-1)
        if field >= 0:
            seen[field] = row + 1
            below = wanted.fields[field, 0]
        is_entered, behind = below >= 0 and data[at] == _OPEN, at
        if not is_entered or wanted.fields[field, 1] >= 0:  # a record may be needed as a whole as well
            behind = _leaf_end(data, at, end, row, field, max_depth - level - 1, wanted, found)
            if behind > end:
                return False
        at = at + _ONE if is_entered else behind
        if is_entered:
            level, is_first = level + 1, True
            path[level] = below
    return bool(_past_space(data, at, end) == end)


@kernel
def _leaf_end(
    data: UInt8Array, at: Any, end: Any, row: int, field: int, depth: int, wanted: Wanted, found: Int64Array
) -> Any:
    """Where a value ends; its span is kept if somebody needs it."""
    checked = SPAN_READ if field < 0 else wanted.fields[field, 4]
    if checked == NUMBER_READ and (data[at] == _MINUS or _ZERO <= data[at] <= _NINE):
        behind = _bare_end(data, at, end)
    elif checked == LIST_READ and data[at] == _OPEN_LIST:
        behind = _flat_list_end(data, at + _ONE, end)
    else:
        behind = _value_end(data, at, end, depth)
    if field < 0:
        return behind
    if wanted.fields[field, 0] >= 0 and data[at] != _OPEN:
        if data[at] != _SMALL_N:
            return BAD
        for span in range(wanted.fields[field, 2], wanted.fields[field, 3]):
            found[row, span, 0] = NULL
    if wanted.fields[field, 1] >= 0:
        found[row, wanted.fields[field, 1], 0] = np.int64(at)
        found[row, wanted.fields[field, 1], 1] = np.int64(behind)
    return behind


@kernel
def _mark_absent(group: int, level: int, row: int, wanted: Wanted, seen: Int64Array, found: Int64Array) -> None:
    """At the end of an object: the fields that it lacks."""
    for field in range(wanted.objects[group, 0], wanted.objects[group, 1]):
        if seen[field] != row + 1:
            for span in range(wanted.fields[field, 2], wanted.fields[field, 3]):
                found[row, span, 0] = ABSENT - level


@kernel
def _read_key(
    data: UInt8Array, at: Any, end: Any, group: int, place: int, wanted: Wanted, before: Int64Array
) -> tuple[int, Any]:
    """The field that a key names (-1 for one that nobody needs), and where its value begins."""
    if at >= end or data[at] != _QUOTE:
        return -1, BAD
    is_kept = place < len(before)
    if is_kept and before[place, 0] == group:
        begin, length = np.uint64(before[place, 2]), np.uint64(before[place, 3] - before[place, 2])
        if 0 < length <= end - at and _is_same(data, begin, data, at, length):
            return before[place, 1], _past_space(data, at + length, end)
    behind = _text_end(data, at + _ONE, end, False)
    if behind >= end:
        return -1, BAD
    field = _find(data, at + _ONE, behind - _ONE, group, wanted)
    colon = _past_space(data, behind, end)
    if colon >= end or data[colon] != _COLON:
        return -1, BAD
    if is_kept:
        before[place, 0], before[place, 1] = group, field
        before[place, 2], before[place, 3] = np.int64(at), np.int64(colon + _ONE)
    return field, _past_space(data, colon + _ONE, end)


@kernel
def _hash(data: UInt8Array, begin: Any, end: Any, group: int) -> Any:
    """A number from a text's length, five of its bytes and its object; the texts are compared anyway."""
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
def _find(data: UInt8Array, begin: Any, end: Any, group: int, wanted: Wanted) -> Any:
    """The field that a key names in its object, or -1."""
    mask = np.uint64(len(wanted.slots) - 1)
    slot = _hash(data, begin, end, group) & mask
    while wanted.slots[slot] >= 0:
        key = np.uint64(wanted.slots[slot])
        name, length = np.uint64(wanted.keys[key, 1]), np.uint64(wanted.keys[key, 2] - wanted.keys[key, 1])
        is_it = wanted.keys[key, 0] == group and length == end - begin
        if is_it and _is_same(wanted.names, name, data, begin, length):
            return wanted.keys[key, 3]
        slot = (slot + _ONE) & mask
    return -1


@kernel
def _is_same(left: UInt8Array, first: Any, right: UInt8Array, second: Any, length: Any) -> bool:
    """Whether bytes are the same, ``length`` from ``first`` on and from ``second`` on."""
    while length >= _EIGHT:
        if _word(left, first) != _word(right, second):
            return False
        first, second, length = first + _EIGHT, second + _EIGHT, length - _EIGHT
    while length > 0:
        if left[first] != right[second]:
            return False
        first, second, length = first + _ONE, second + _ONE, length - _ONE
    return True


# ------------------------------------------------------------------ any value


@kernel
def _value_end(data: UInt8Array, at: Any, end: Any, max_depth: int) -> Any:
    """Where any value ends. Which of the open brackets are braces is kept in bits, the innermost lowest."""
    depth, braces = 0, np.uint64(0)
    while True:
        at = _past_space(data, at, end)
        if at >= end:
            return BAD
        if data[at] == _OPEN or data[at] == _OPEN_LIST:
            if depth == max_depth:
                return BAD
            is_object = data[at] == _OPEN
            depth, braces = depth + 1, (braces << _ONE) | np.uint64(is_object)
            inner = _past_space(data, at + _ONE, end)
            if inner >= end:
                return BAD
            if data[inner] != (_CLOSE if is_object else _CLOSE_LIST):
                at = _past_key(data, inner, end) if is_object else inner
                continue
            at = inner
        else:
            at = _scalar_end(data, at, end)
            if depth > 0:
                at = _past_space(data, at, end)
        while depth > 0 and at < end and data[at] == (_CLOSE if braces & _ONE else _CLOSE_LIST):
            at, depth, braces = at + _ONE, depth - 1, braces >> _ONE
            if depth > 0:
                at = _past_space(data, at, end)
        if depth == 0:
            return at
        if at >= end or data[at] != _COMMA:
            return BAD
        at = _past_key(data, _past_space(data, at + _ONE, end), end) if braces & _ONE else at + _ONE


@kernel
def _flat_list_end(data: UInt8Array, at: Any, end: Any) -> Any:
    """Behind the bracket that ends a list of numbers. What stands in it is not looked at."""
    while at < end and end - at >= _EIGHT and not _equal(_word(data, at), _CLOSE_LIST) & _HIGH_BITS:
        at += _EIGHT
    while at < end and data[at] != _CLOSE_LIST:
        at += _ONE
    return at + _ONE if at < end else BAD


@kernel
def _bare_end(data: UInt8Array, at: Any, end: Any) -> Any:
    """Where a number ends: at a comma, a brace or white space. What stands before that is not looked at."""
    while at < end and end - at >= _EIGHT:
        word = _word(data, at)
        marks = (_equal(word, _COMMA) | _equal(word, _CLOSE) | _below(word, _SPACE + 1)) & _HIGH_BITS
        if marks:
            return at + _first(marks)
        at += _EIGHT
    while at < end and data[at] > _SPACE and data[at] != _COMMA and data[at] != _CLOSE:
        at += _ONE
    return at


@kernel
def _past_key(data: UInt8Array, at: Any, end: Any) -> Any:
    if at >= end or data[at] != _QUOTE:
        return BAD
    at = _past_space(data, _text_end(data, at + _ONE, end, True), end)
    return at + _ONE if at < end and data[at] == _COLON else BAD


@kernel
def _scalar_end(data: UInt8Array, at: Any, end: Any) -> Any:
    first, place, letters = data[at], 0, 4
    if first == _QUOTE:
        return _text_end(data, at + _ONE, end, True)
    if first == _SMALL_T:
        place = 4
    elif first == _SMALL_F:
        place, letters = 8, 5
    elif first != _SMALL_N:
        return _number_end(data, at, end)
    length = np.uint64(letters)
    is_literal = end - at >= length and _is_same(_LITERALS, np.uint64(place), data, at, length)
    return at + length if is_literal else BAD


@kernel
def _number_end(data: UInt8Array, at: Any, end: Any) -> Any:
    """Where a number ends; how large it is does not matter. What follows a first 0 is left to whoever looks next."""
    if data[at] == _MINUS:
        at += _ONE
    is_zero = at < end and data[at] == _ZERO
    at = at + _ONE if is_zero else _digits_end(data, at, end)
    if at < end and data[at] == _DOT:
        at = _digits_end(data, at + _ONE, end)
    if at < end and (data[at] == _SMALL_E or data[at] == _BIG_E):
        at += _ONE
        if at < end and (data[at] == _PLUS or data[at] == _MINUS):
            at += _ONE
        at = _digits_end(data, at, end)
    return at


@kernel
def _digits_end(data: UInt8Array, at: Any, end: Any) -> Any:
    """Behind one digit or more."""
    first = at
    while at < end and _ZERO <= data[at] <= _NINE:
        at += _ONE
    return at if at > first else BAD


@kernel
def _past_space(data: UInt8Array, at: Any, end: Any) -> Any:
    while at < end and data[at] <= _SPACE and (data[at] == 32 or data[at] == 10 or data[at] == 13 or data[at] == 9):
        at += _ONE
    return at


# ------------------------------------------------------------------ text


@kernel
def _text_end(data: UInt8Array, at: Any, end: Any, may_escape: bool) -> Any:
    """Behind the quote that ends a text."""
    while at < end:
        at = _past_plain(data, at, end)
        if at >= end:
            return BAD
        if data[at] == _QUOTE:
            return at + _ONE
        if may_escape and data[at] == _BACKSLASH:
            at = _escape_end(data, at + _ONE, end)
        else:
            at = _character_end(data, at, end)
    return BAD


@kernel
def _past_plain(data: UInt8Array, at: Any, end: Any) -> Any:
    """Where the first byte stands that is a quote, a backslash, a control, or no ASCII; or the end."""
    while end - at >= _EIGHT:
        word = _word(data, at)
        marks = (word | _equal(word, _QUOTE) | _equal(word, _BACKSLASH) | _below(word, _SPACE)) & _HIGH_BITS
        if marks:
            return at + _first(marks)
        at += _EIGHT
    while at < end and _IS_PLAIN[data[at]]:
        at += _ONE
    return at


@kernel
def _escape_end(data: UInt8Array, at: Any, end: Any) -> Any:
    """Where an escape ends, from behind its backslash."""
    if at >= end:
        return BAD
    if data[at] != _SMALL_U:
        return at + _ONE if _IS_ESCAPE[data[at]] else BAD
    if end - at < np.uint64(5):
        return BAD
    code = np.int64(0)
    for place in range(1, 5):
        digit = _HEX_DIGITS[data[at + np.uint64(place)]]
        if digit < 0:
            return BAD
        code = code * 16 + digit
    # Half of a surrogate pair needs its other half; let somebody else look for it.
    return BAD if 0xD800 <= code <= 0xDFFF else at + np.uint64(5)


@kernel
def _character_end(data: UInt8Array, at: Any, end: Any) -> Any:
    """Behind a character of two to four bytes of UTF-8: the shortest spelling, and no half of a surrogate pair."""
    lead = data[at]
    length = 2 + (lead >= 0xE0) + (lead >= 0xF0)
    if lead < 0xC2 or lead > 0xF4 or end - at < np.uint64(length):
        return BAD
    low = 0xA0 if lead == 0xE0 else (0x90 if lead == 0xF0 else 0x80)
    high = 0x9F if lead == 0xED else (0x8F if lead == 0xF4 else 0xBF)
    if data[at + _ONE] < low or data[at + _ONE] > high:
        return BAD
    for byte in range(2, length):
        if data[at + np.uint64(byte)] & 0xC0 != 0x80:
            return BAD
    return at + np.uint64(length)


# ------------------------------------------------------------------ eight bytes at once


@kernel
def _word(data: UInt8Array, at: Any) -> Any:
    """Eight bytes, the first of them lowest. The compiler makes one load of it."""
    word = np.uint64(data[at])
    for place in range(1, 8):
        word |= np.uint64(data[at + np.uint64(place)]) << np.uint64(8 * place)
    return word


@kernel
def _below(word: Any, limit: int) -> Any:
    """In the highest bit of the first byte below ``limit`` 1; before it 0, behind it anything; other bits anything."""
    return (word - _EACH * np.uint64(limit)) & ~word


@kernel
def _equal(word: Any, byte: int) -> Any:
    """As `_below`, for the first byte that is ``byte``."""
    return _below(word ^ (_EACH * np.uint64(byte)), 1)


@kernel
def _first(marks: Any) -> Any:
    """The place of the first byte that is marked in its highest bit; one is, and no other bit is set."""
    return (((marks & (~marks + _ONE)) >> np.uint64(7)) * _PLACES) >> np.uint64(56)
