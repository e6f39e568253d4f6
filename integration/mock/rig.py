"""What tests of this room and of the real broker share: a listener, and batches to publish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stream_infer.types import (
    Binary,
    HeaderList,
    HeaderRows,
    ModelIdentity,
    Records,
    Reject,
    ScoredBatch,
    ScoredColumns,
    Split,
    Start,
    Status,
)

Event = tuple[bytes | None, bytes | None, int, HeaderList]
"""Key, value, partition, headers."""


class Listener:
    """Notes rebalances; ``owned`` holds the splits of the moment, ``starts`` where each ever began."""

    def __init__(self) -> None:
        self.told: list[tuple[str, tuple[Split, ...]]] = []
        self.owned: list[Split] = []
        self.starts: dict[Split, Start] = {}

    def splits_assigned(self, starts: Mapping[Split, Start]) -> None:
        self.told.append(("assigned", tuple(starts)))
        self.owned += starts
        self.starts |= starts

    def splits_revoked(self, splits: Sequence[Split]) -> None:
        self.told.append(("revoked", tuple(splits)))
        self.owned = [split for split in self.owned if split not in splits]

    def splits_lost(self, splits: Sequence[Split]) -> None:
        self.told.append(("lost", tuple(splits)))
        self.owned = [split for split in self.owned if split not in splits]

    def records_lost(self, split: Split, count: int) -> None:
        self.told.append((f"{count} records lost", (split,)))


def scored_batch(
    payloads: Sequence[bytes | None],
    *,
    flagged: Sequence[int] = (),
    status: Sequence[Status] = (),
    rejects: Sequence[Reject] = (),
    timestamp_ms: int = 5000,
) -> ScoredBatch:
    """One event for each payload: key k<row>, input value in<row>, from partition row % 2."""
    count = len(payloads)
    records = Records(
        values=Binary.from_values([b"in%d" % row for row in range(count)]),
        keys=Binary.from_values([b"k%d" % row for row in range(count)]),
        splits=(Split("payments", 0, 1), Split("payments", 1, 1)),
        split_index=np.arange(count, dtype=np.int32) % 2,
        offset=np.arange(count, dtype=np.int64),
        timestamp_ms=np.arange(count, dtype=np.int64) + timestamp_ms,
        received_ms=0,
        headers=HeaderRows([[("row", b"%d" % row)] for row in range(count)]),
    )
    scored = ScoredColumns(
        score=np.zeros(count, np.float32),
        flagged=np.isin(np.arange(count), list(flagged)),
        status=np.array(status or [Status.OK] * count, np.uint8),
        model_index=np.zeros(count, np.uint8),
        models=(ModelIdentity("fraud", "7", "ab" * 32, 0.9),),
    )
    return ScoredBatch(records, scored, Binary.from_values(list(payloads)), tuple(rejects))
