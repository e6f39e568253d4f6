"""Avro events to cells and spans: a small machine that walks the bytes of many events.

Rule: an event is done, or the machine is not sure of it; it is never wrong. Of what is not done nothing that was
written means anything. Whatever it does not know, finds malformed, refused by a feature's rule or left over behind the
event is not done, and the caller's own walker says why.

A program is a list of instructions: an operation and three operands. A cell is a place in one row of an input, with the
rule of the feature that fills it. ``first`` and ``last`` are the cells that a value goes to (``last`` excluded); none
where a value is only passed. A position behind the end of the event says that reading failed.

What the tables promise (`stream_infer.codecs.opcodes` makes them so): operands name instructions, branches, cells,
codes, spans and blocks that exist; every loop of the program reads a block's head or an item of at least one byte; a
cell's place is in its buffer for every row; each table of categories has a free slot; offsets ascend within the data.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stream_infer.kernels.compiled import kernel

Bytes = npt.NDArray[np.uint8]
Int64Array = npt.NDArray[np.int64]

FAIL, JUMP, UNION, MISSING, MARK, SPAN_BEGIN, SPAN_END, BLOCK, NEXT = range(9)
"""Operations on the way, with their operands.

``FAIL``: not sure. ``JUMP``: instruction. ``UNION``: number of branches, first of them in ``branches``. ``MISSING``:
first, last. ``MARK``: span, none, its length. ``SPAN_BEGIN`` and ``SPAN_END``: span. ``BLOCK``: depth, instruction
behind the last block, least bytes of an item. ``NEXT`` item: depth, instruction of the block's head.
"""
BOOLEAN, INT, LONG, FLOAT, DOUBLE, BYTES, STRING, ENUM, FIXED, FLOATS, DOUBLES = range(16, 27)
"""Operations that read a value: first, last; then of ``ENUM`` its symbols, of ``FIXED`` its bytes.

``FLOATS`` and ``DOUBLES`` are arrays, and have one cell at most: the items go to it and those that follow.
"""

SINGLE_CELL, DOUBLE_CELL, WHOLE_CELL, EXACT_CELL = range(4)
"""Kinds of cells: float32, float64, int64 by way of a double, and int64 plus an int64."""
KIND, BASE, STRIDE, COLUMN, LENGTH, OFFSET, HAS_MISSING, WHOLE_MISSING, FIRST, MASK, UNSEEN = range(11)
"""Columns of ``cells``.

The cell of row r among n is ``BASE * n + r * STRIDE + COLUMN`` of its kind's buffer, and ``LENGTH`` cells begin there.
``FIRST`` is where the codes of an enum, or the slots of a table of categories, begin; ``MASK`` is one less than the
number of slots. Without ``HAS_MISSING`` a missing value is not sure.
"""
DIVISOR, ADDEND, SCALE, REAL_MISSING = range(4)
"""Columns of ``factors``."""
START, SIZE, CODE = range(3)
"""Columns of ``categories``: where a category stands in ``letters``, its bytes (-1: no category), its code."""

REFUSED = -(2**63)
"""The code of a category that the feature's rule refuses."""
NO_SPAN, ABSENT_SPAN = -1, -2
"""Lengths of spans: the field is null, or the record on the way is; the writer has no such field."""

_ZERO, _ONE, _FOUR, _SEVEN, _EIGHT = np.uint64(0), np.uint64(1), np.uint64(4), np.uint64(7), np.uint64(8)
_THIRTY_TWO, _LAST_SHIFT = np.uint64(32), np.uint64(63)
_LOW_BITS, _HIGH_BITS = np.uint64(0x7F), np.uint64(0x8080808080808080)
_ODD = np.uint64(0x9E3779B97F4A7C15)
_INT_MIN, _INT_MAX = -(2**31), 2**31 - 1
_LONG_MIN, _LONG_MAX, _LONG_END = -(2**63), 2**63 - 1, 2.0**63


class Cells(NamedTuple):
    """The cells of a program, and the buffers that they stand in."""

    cells: Any
    factors: Any
    codes: Any
    categories: Any
    letters: Any
    singles: Any
    doubles: Any
    wholes: Any
    rows: Any


@kernel
def decode(
    data: Bytes,
    offsets: Int64Array,
    rows: Int64Array,
    start: int,
    code: Int64Array,
    branches: Int64Array,
    cells: Int64Array,
    factors: npt.NDArray[np.float64],
    codes: Int64Array,
    categories: Int64Array,
    letters: Bytes,
    singles: npt.NDArray[np.float32],
    doubles: npt.NDArray[np.float64],
    wholes: Int64Array,
    spans: Int64Array,
    blocks: npt.NDArray[np.uint64],
    done: npt.NDArray[np.bool_],
) -> None:
    """Walk the named rows of n events.

    Args:
        data: the events' bytes.
        offsets: where they begin and end, ``[n + 1]``.
        rows: those that are walked.
        start: bytes of each before its payload.
        code: the program, ``[instructions, 4]``.
        branches: first instructions of the branches of unions.
        cells: whole numbers of cells, see `KIND`.
        factors: other numbers of cells, see `DIVISOR`.
        codes: of the symbols of enums.
        categories: hash tables, see `START`.
        letters: bytes of the categories.
        singles: filled, float32 cells of n rows.
        doubles: filled, float64 cells.
        wholes: filled, int64 cells.
        spans: filled with starts in ``data`` and lengths, ``[2, spans, n]``.
        blocks: scratch, ``[deepest nesting of arrays and maps, 2]``.
        done: filled for ``rows``, ``[n]``.
    """
    out = Cells(cells, factors, codes, categories, letters, singles, doubles, wholes, np.uint64(len(offsets) - 1))
    for number in range(len(rows)):
        row = np.uint64(rows[number])
        begin, end = np.uint64(offsets[row]) + np.uint64(start), np.uint64(offsets[row + _ONE])
        done[row] = begin <= end and _walk(data, begin, end, row, code, branches, spans, blocks, out)


@kernel
def _walk(
    data: Bytes, at: Any, end: Any, row: Any, code: Any, branches: Any, spans: Any, blocks: Any, out: Cells
) -> bool:
    """Run the program over one event; True when it is done."""
    ip = _ZERO
    while ip < np.uint64(len(code)):
        op, first, last = code[ip, 0], np.uint64(code[ip, 1]), np.uint64(code[ip, 2])
        extra = code[ip, 3]
        ip += _ONE
        if op >= BOOLEAN:
            at = _value(op, first, last, np.uint64(extra), data, at, end, row, out)
        elif op == SPAN_BEGIN:
            spans[0, first, row] = np.int64(at)
        elif op == SPAN_END:
            spans[1, first, row] = np.int64(at) - spans[0, first, row]
        elif op == UNION:
            index, at = _long(data, at, end)
            if index < 0 or np.uint64(index) >= first:
                return False
            ip = np.uint64(branches[last + np.uint64(index)])
        elif op == JUMP:
            ip = first
        elif op == MISSING:
            if not _put_missing(first, last, row, out):
                return False
        elif op == MARK:
            spans[1, first, row] = extra
        elif op == BLOCK:
            count, stop, at = _block(data, at, end, np.uint64(extra))
            blocks[first, 0], blocks[first, 1] = count, stop
            if count == _ZERO:
                ip = last
        elif op == NEXT:
            blocks[first, 0] -= _ONE
            if blocks[first, 0] > _ZERO:
                ip = last + _ONE
            elif blocks[first, 1] == _ZERO or blocks[first, 1] == at:
                ip = last
            else:
                return False
        else:
            return False
        if at > end:
            return False
    return bool(at == end)


# ------------------------------------------------------------------ bytes


@kernel
def _long(data: Bytes, at: Any, end: Any) -> Any:
    """A zigzag varint of 64 bits, and where it ends."""
    if at < end and data[at] < 0x80:
        byte = np.int64(data[at])
        return (byte >> 1) ^ -(byte & 1), at + _ONE
    value = _ZERO
    shift = _ZERO
    while at < end:
        group = np.uint64(data[at])
        at += _ONE
        if shift == _LAST_SHIFT and group > _ONE:
            break
        value |= (group & _LOW_BITS) << shift
        if group <= _LOW_BITS:
            return np.int64(value >> _ONE) ^ -np.int64(value & _ONE), at
        shift += _SEVEN
    return np.int64(0), end + _ONE


@kernel
def _word(data: Bytes, at: Any) -> Any:
    return data[at : at + _EIGHT].view(np.uint64)[0]


@kernel
def _real(data: Bytes, at: Any, size: Any) -> Any:
    """A float of four or eight bytes."""
    if size == _FOUR:
        return np.float64(data[at : at + _FOUR].view(np.float32)[0])
    return data[at : at + _EIGHT].view(np.float64)[0]


@kernel
def _is_utf8(data: Bytes, at: Any, end: Any) -> bool:
    """True for text that is well formed: shortest forms only, no surrogates, nothing beyond U+10FFFF."""
    while at < end:
        if end - at >= _EIGHT and _word(data, at) & _HIGH_BITS == _ZERO:
            at += _EIGHT
            continue
        lead = data[at]
        at += _ONE
        if lead < 0x80:
            continue
        if lead < 0xC2 or lead > 0xF4:
            return False
        more = _ONE if lead < 0xE0 else np.uint64(2) if lead < 0xF0 else np.uint64(3)
        lowest = 0xA0 if lead == 0xE0 else 0x90 if lead == 0xF0 else 0x80
        highest = 0x9F if lead == 0xED else 0x8F if lead == 0xF4 else 0xBF
        if more > end - at or data[at] < lowest or data[at] > highest:
            return False
        for follower in range(at + _ONE, at + more):
            if data[follower] & 0xC0 != 0x80:
                return False
        at += more
    return True


@kernel
def text_hash(data: Bytes, at: Any, end: Any) -> Any:
    """A hash of the bytes from ``at`` to ``end`` (both uint64), as uint64."""
    value = (end - at) * _ODD
    if end - at < _EIGHT:
        while at < end:
            value = (value ^ np.uint64(data[at])) * _ODD
            at += _ONE
    else:
        last = end - _EIGHT
        while at < last:
            value = (value ^ _word(data, at)) * _ODD
            value ^= value >> _THIRTY_TWO
            at += _EIGHT
        value = (value ^ _word(data, last)) * _ODD
    # A byte changes no bit below its own: without the second round texts that differ at their end share their low bits.
    value = (value ^ (value >> _THIRTY_TWO)) * _ODD
    return value ^ (value >> _THIRTY_TWO)


@kernel
def _block(data: Bytes, at: Any, end: Any, item_bytes: Any) -> Any:
    """A block's head: its items (0 ends the list), where it says that it ends (0: it does not), the first item."""
    count, at = _long(data, at, end)
    stop = _ZERO
    if count < 0:
        size, at = _long(data, at, end)
        if at > end or size < 0 or count == _LONG_MIN or np.uint64(size) > end - at:
            return _ZERO, _ZERO, end + _ONE
        count = -count
        stop = at + np.uint64(size)
    if at > end or np.uint64(count) > (end - at) // item_bytes:
        return _ZERO, _ZERO, end + _ONE
    return np.uint64(count), stop, at


# ------------------------------------------------------------------ values


@kernel
def _value(op: int, first: Any, last: Any, extra: Any, data: Bytes, at: Any, end: Any, row: Any, out: Cells) -> Any:
    """Read a value into its cells; where it ends, or behind the event's end where it is not sure."""
    if op in (STRING, BYTES):
        return _text(op, first, last, data, at, end, row, out)
    if op in (DOUBLE, FLOAT):
        size = _EIGHT if op == DOUBLE else _FOUR
        if size > end - at:
            return end + _ONE
        good = first == last or _put_number(_real(data, at, size), np.int64(0), first, last, row, out)
        return at + size if good else end + _ONE
    if op == FIXED:
        return at + extra if extra <= end - at else end + _ONE
    if op in (FLOATS, DOUBLES):
        return _numbers(op, first, last, data, at, end, row, out)
    if op == BOOLEAN:
        if at == end or data[at] > 1:
            return end + _ONE
        whole, after = np.int64(data[at]), at + _ONE
    else:
        whole, after = _long(data, at, end)
        if op == INT and (whole < _INT_MIN or whole > _INT_MAX):
            return end + _ONE
    if op == ENUM:
        if whole < 0 or np.uint64(whole) >= extra:
            return end + _ONE
        for cell in range(first, last):
            if not _put_code(out.codes[np.uint64(out.cells[cell, FIRST]) + np.uint64(whole)], cell, row, out):
                return end + _ONE
        return after
    return after if first == last or _put_number(np.float64(whole), whole, first, last, row, out) else end + _ONE


@kernel
def _text(op: int, first: Any, last: Any, data: Bytes, at: Any, end: Any, row: Any, out: Cells) -> Any:
    length, begin = _long(data, at, end)
    if begin > end or length < 0 or np.uint64(length) > end - begin:
        return end + _ONE
    stop = begin + np.uint64(length)
    if op == STRING and not _is_utf8(data, begin, stop):
        return end + _ONE
    if first < last:
        digest = text_hash(data, begin, stop)
        for cell in range(first, last):
            if not _put_code(_category(digest, data, begin, stop, cell, out), cell, row, out):
                return end + _ONE
    return stop


@kernel
def _category(digest: Any, data: Bytes, begin: Any, end: Any, cell: Any, out: Cells) -> Any:
    """The code of text."""
    first, mask = np.uint64(out.cells[cell, FIRST]), np.uint64(out.cells[cell, MASK])
    slot = digest & mask
    while out.categories[first + slot, SIZE] >= 0:
        start, size = out.categories[first + slot, START], out.categories[first + slot, SIZE]
        if np.uint64(size) == end - begin:
            at = begin
            while at < end and data[at] == out.letters[np.uint64(start) + at - begin]:
                at += _ONE
            if at == end:
                return out.categories[first + slot, CODE]
        slot = (slot + _ONE) & mask
    return out.cells[cell, UNSEEN]


@kernel
def _numbers(op: int, first: Any, last: Any, data: Bytes, at: Any, end: Any, row: Any, out: Cells) -> Any:
    """An array of floats or doubles."""
    size = _FOUR if op == FLOATS else _EIGHT
    kept = first < last
    place = _place(first, row, out) if kept else _ZERO
    room = np.uint64(out.cells[first, LENGTH]) if kept else _ZERO
    while True:
        count, stop, at = _block(data, at, end, size)
        if count == _ZERO:
            return at if room == _ZERO else end + _ONE
        after = at + count * size
        if (stop != _ZERO and stop != after) or (kept and count > room):
            return end + _ONE
        if kept:
            room -= count
        while kept and at < after:
            if not _put_real(_real(data, at, size), first, place, out):
                return end + _ONE
            place += _ONE
            at += size
        at = after


# ------------------------------------------------------------------ cells


@kernel
def _place(cell: Any, row: Any, out: Cells) -> Any:
    """Where a cell of a row stands in its buffer."""
    base, stride, column = out.cells[cell, BASE], out.cells[cell, STRIDE], out.cells[cell, COLUMN]
    return np.uint64(base) * out.rows + row * np.uint64(stride) + np.uint64(column)


@kernel
def _store(real: Any, whole: Any, cell: Any, place: Any, out: Cells) -> None:
    """Write ``real`` or, where the cell is an int64, ``whole``."""
    kind = out.cells[cell, KIND]
    if kind == SINGLE_CELL:
        out.singles[place] = np.float32(real)
    elif kind == DOUBLE_CELL:
        out.doubles[place] = real
    else:
        out.wholes[place] = whole


@kernel
def _put_number(real: Any, whole: Any, first: Any, last: Any, row: Any, out: Cells) -> bool:
    """Put a number into its cells: ``whole`` into those that take whole numbers as they are, ``real`` elsewhere."""
    for cell in range(first, last):
        place = _place(cell, row, out)
        if out.cells[cell, KIND] != EXACT_CELL:
            if not _put_real(real, cell, place, out):
                return False
            continue
        offset = out.cells[cell, OFFSET]
        if (offset > 0 and whole > _LONG_MAX - offset) or (offset < 0 and whole < _LONG_MIN - offset):
            return False
        out.wholes[place] = whole + offset
    return True


@kernel
def _put_real(real: Any, cell: Any, place: Any, out: Cells) -> bool:
    if real != real:
        return bool(_put_constant(cell, place, _ONE, out))
    if out.factors[cell, DIVISOR] != 1.0:
        real = real / out.factors[cell, DIVISOR]
    result = (real + out.factors[cell, ADDEND]) * out.factors[cell, SCALE]
    kind = out.cells[cell, KIND]
    if kind == SINGLE_CELL:
        single = np.float32(result)
        out.singles[place] = single
        return bool(np.isfinite(single))
    if kind == DOUBLE_CELL:
        out.doubles[place] = result
        return bool(np.isfinite(result))
    if result >= -_LONG_END and result < _LONG_END:
        out.wholes[place] = np.int64(result)
        return True
    return False


@kernel
def _put_missing(first: Any, last: Any, row: Any, out: Cells) -> bool:
    for cell in range(first, last):
        if not _put_constant(cell, _place(cell, row, out), np.uint64(out.cells[cell, LENGTH]), out):
            return False
    return True


@kernel
def _put_constant(cell: Any, place: Any, count: Any, out: Cells) -> bool:
    """Put what stands for a missing value into ``count`` cells."""
    if out.cells[cell, HAS_MISSING] == 0:
        return False
    for at in range(place, place + count):
        _store(out.factors[cell, REAL_MISSING], out.cells[cell, WHOLE_MISSING], cell, at, out)
    return True


@kernel
def _put_code(code: Any, cell: Any, row: Any, out: Cells) -> bool:
    if code != REFUSED:
        _store(np.float64(code), code, cell, _place(cell, row, out), out)
    return bool(code != REFUSED)
