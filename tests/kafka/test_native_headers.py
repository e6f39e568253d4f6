from __future__ import annotations

import struct

import numpy as np

from stream_infer.kafka.native_headers import NAME_ERRORS, CopiedHeaders
from stream_infer.types import Binary


def packed(*headers: tuple[bytes, bytes | None]) -> bytes:
    return b"".join(
        struct.pack("<ii", len(name), -1 if value is None else len(value)) + name + (value or b"")
        for name, value in headers
    )


ROWS = CopiedHeaders(
    Binary.from_values(
        [packed((b"trace", b"\x00\xff"), (b"trace", b"again")), b"", packed((b"null", None), (b"", b""))]
    )
)


def test_a_row_is_taken_apart_when_it_is_asked_for() -> None:
    assert ROWS[0] == [("trace", b"\x00\xff"), ("trace", b"again")]
    assert ROWS[1] == []
    assert ROWS[2] == [("null", None), ("", b"")]


def test_headers_follow_their_rows() -> None:
    assert ROWS.slice(1, 3)[1] == ROWS[2]
    assert ROWS.take(np.array([2, 0]))[1] == ROWS[0]
    assert ROWS.slice(0, 1).concat([ROWS.slice(1, 2), ROWS.slice(2, 3)])[2] == ROWS[2]


def test_a_name_that_is_no_text_keeps_its_bytes() -> None:
    [(name, _)] = CopiedHeaders(Binary.from_values([packed((b"caf\xe9", b""))]))[0]
    assert name.encode(errors=NAME_ERRORS) == b"caf\xe9"


def test_rows_without_headers_are_told_apart() -> None:
    assert ROWS.present().tolist() == [bool(ROWS[row]) for row in range(len(ROWS.packed))]
    assert set(ROWS.present().tolist()) == {True, False}
