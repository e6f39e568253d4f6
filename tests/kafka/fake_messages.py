"""Messages in memory of our own, laid out as librdkafka does, and the functions that a kernel calls about them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

NO_ENTRY = 2**32 - 156
"""An error code in 32 bits. What stands above them in a register means nothing."""
NOISE = 0xABCD << 32

Header = tuple[bytes, bytes | None]


class Given(NamedTuple):
    """A message as a broker has it."""

    value: bytes | None
    key: bytes | None = None
    place: tuple[int, int] = (7, 0)
    offset: int = 0
    timestamp_ms: int = 1000
    headers: Sequence[Header] = ()
    error: int = 0


class FakeLibrary:
    """Messages in memory of our own, and the functions that a kernel calls about them."""

    def __init__(self, messages: Sequence[Given]) -> None:
        self._alive: list[Any] = []
        self.buffers: list[Any] = []
        """What values, keys and headers lie in."""
        self._given = list(messages)
        self.words = np.zeros((len(messages), 9), np.uint64)
        self.destroyed: list[int] = []
        for words, message in zip(self.words, messages, strict=True):
            words[:3] = NOISE | (message.error & 0xFFFFFFFF), message.place[0], NOISE | message.place[1]
            words[3:7] = *self._memory(message.value), *self._memory(message.key)
            words[7] = message.offset
        self.pointers = np.array([words.ctypes.data for words in self.words], np.uint64)
        self.functions = np.array(
            [
                self._function(2, self._timestamp),
                self._function(2, self._headers),
                self._function(5, self._header),
            ],
            np.uint64,
        )
        self.destroy = self._function(1, self._destroy)

    def _memory(self, content: bytes | None) -> tuple[int, int]:
        if content is None:
            return 0, 0
        buffer = ctypes.create_string_buffer(content, len(content) + 1)
        self.buffers.append(buffer)
        return ctypes.addressof(buffer), len(content)

    def _function(self, arguments: int, function: Any) -> int:
        prototype = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * arguments)
        made = prototype(function)
        self._alive.append(made)
        return ctypes.cast(made, ctypes.c_void_p).value or 0

    def _row(self, message: int) -> int:
        return int(np.flatnonzero(self.pointers == message)[0])

    def _timestamp(self, message: int, _kind: int) -> int:
        return self._given[self._row(message)].timestamp_ms & (2**64 - 1)

    def _headers(self, message: int, found: int) -> int:
        row = self._row(message)
        ctypes.c_uint64.from_address(found).value = row
        return NOISE if self._given[row].headers else NOISE | NO_ENTRY

    def _header(self, row: int, index: int, name: int, value: int, length: int) -> int:
        headers = self._given[row].headers
        if index >= len(headers):
            return NOISE | NO_ENTRY
        ctypes.c_uint64.from_address(name).value, _ = self._memory(headers[index][0])
        address, size = self._memory(headers[index][1])
        ctypes.c_uint64.from_address(value).value = address
        ctypes.c_uint64.from_address(length).value = size
        return NOISE

    def _destroy(self, message: int) -> int:
        self.destroyed.append(self._row(message))
        return 0
