"""Which dead letters of a partition were sent back to the input: remembered in the committed offset and its metadata.

Rule: exact, and never more than what was sent. The committed offset says that everything below it was sent back; the
metadata lists the ranges beyond. So sending back all and sending back some share one memory, and nothing goes back
twice by accident, whatever is selected in between.

The metadata is text: ``sent-back:`` and the ranges as distances and lengths, compressed. A broker takes 4096 bytes of
it (``offset.metadata.max.bytes``), which is room for some thousand ranges.
"""

from __future__ import annotations

import base64
import bisect
import itertools
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from stream_infer.errors import FatalError

_MARK = "sent-back:"
MAX_NOTE_BYTES = 4096
"""The broker's default of ``offset.metadata.max.bytes``."""


@dataclass(frozen=True, slots=True)
class SentBack:
    """What was sent back: everything below ``offset``, and the ``beyond`` it.

    ``beyond`` holds ranges (first, one behind the last), ascending, apart from each other and from ``offset``.
    """

    offset: int = 0
    beyond: tuple[tuple[int, int], ...] = ()

    def __contains__(self, offset: int) -> bool:
        later = bisect.bisect_right(self.beyond, offset, key=lambda found: found[0])
        return offset < self.offset or (later > 0 and offset < self.beyond[later - 1][1])

    def including(self, ranges: Iterable[tuple[int, int]]) -> SentBack:
        """With these ranges (first, one behind the last) as well, in any order."""
        merged = [(0, self.offset)]
        for first, end in sorted([*self.beyond, *ranges]):
            before = merged[-1]
            if first <= before[1]:
                merged[-1] = (before[0], max(end, before[1]))
            else:
                merged.append((first, end))
        return SentBack(merged[0][1], tuple(merged[1:]))

    def note(self) -> str:
        """The metadata that goes with ``offset``; empty where there is nothing beyond."""
        if not self.beyond:
            return ""
        edges = [self.offset, *itertools.chain.from_iterable(self.beyond)]
        distances = ",".join(str(later - earlier) for earlier, later in itertools.pairwise(edges))
        return _MARK + base64.b85encode(zlib.compress(distances.encode(), 9)).decode()

    @classmethod
    def read(cls, offset: int, note: str) -> SentBack:
        """What a committed offset and its metadata say.

        Raises:
            FatalError: the metadata is not ours.
        """
        if not note:
            return cls(offset)
        try:
            packed = base64.b85decode(note.removeprefix(_MARK))
            distances = [int(text) for text in zlib.decompress(packed).split(b",")]
            edges = list(itertools.accumulate(distances, initial=offset))[1:]
            beyond = tuple(zip(edges[::2], edges[1::2], strict=True))
        except (ValueError, zlib.error) as error:
            raise FatalError(
                "the offsets of the group that remembers which dead letters were sent back carry a note of somebody "
                "else; delete them (kafka-consumer-groups --delete-offsets) to begin anew"
            ) from error
        return cls(offset, beyond)


__all__ = ["MAX_NOTE_BYTES", "SentBack"]
