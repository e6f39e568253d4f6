"""Headers that were copied out of messages, as bytes, and are taken apart when somebody asks for a row's.

Rule: the bytes of a row are its headers one after the other: the lengths of name and value (int32, little endian; -1
for a null value), then name and value. A name that is not UTF-8 keeps its bytes as lone surrogates, and gets them back
where it is sent on.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from stream_infer.kernels.kafka_messages import HEADER_PREFIX
from stream_infer.types import Binary, BoolArray, HeaderList, Headers, Int64Array

_LENGTHS = struct.Struct("<ii")
NAME_ERRORS = "surrogateescape"
"""How names are decoded and encoded."""


@dataclass(frozen=True, slots=True)
class CopiedHeaders:
    """The headers of a run of records. Row i of ``packed`` holds those of record i."""

    packed: Binary

    def __getitem__(self, row: int) -> HeaderList:
        return _unpack(self.packed[row] or b"")

    def present(self) -> BoolArray:
        """Which records have headers, bool ``[n]``."""
        present: BoolArray = self.packed.lengths > 0
        return present

    def slice(self, start: int, stop: int) -> CopiedHeaders:
        """Rows ``start`` to ``stop``."""
        return CopiedHeaders(self.packed.slice(start, stop))

    def take(self, rows: Int64Array) -> CopiedHeaders:
        """The named rows."""
        return CopiedHeaders(self.packed.take(rows))

    def concat(self, others: Sequence[Headers]) -> CopiedHeaders:
        """These rows followed by those of the others (all must be ``CopiedHeaders``)."""
        parts = [self.packed]
        for other in others:
            assert isinstance(other, CopiedHeaders), "headers of one source are of one kind"
            parts.append(other.packed)
        return CopiedHeaders(Binary.concat(parts))


def _unpack(packed: bytes) -> list[tuple[str, bytes | None]]:
    headers: list[tuple[str, bytes | None]] = []
    at = 0
    while at < len(packed):
        name_length, value_length = _LENGTHS.unpack_from(packed, at)
        name_end = at + HEADER_PREFIX + name_length
        at, name = name_end + max(value_length, 0), packed[at + HEADER_PREFIX : name_end]
        headers.append((name.decode(errors=NAME_ERRORS), None if value_length < 0 else packed[name_end:at]))
    return headers


__all__ = ["NAME_ERRORS", "CopiedHeaders"]
