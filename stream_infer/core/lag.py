"""How far behind the line is, in records and in seconds.

Rule: record lag is the end of the split minus the first offset that is not settled. Time lag is now minus
the timestamp of the oldest record that is held and not settled: exact, because that record is in memory.
It is 0 when the record lag is 0, and unknown (None), never 0, when nothing of the split is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from stream_infer.types import NO_TIMESTAMP, Records, Split


def oldest_timestamps(held: Iterable[Records]) -> dict[Split, int]:
    """Timestamp (ms) of the first record of each split among ``held``, which come oldest first."""
    oldest: dict[Split, int] = {}
    for records in held:
        for index in np.unique(records.split_index).tolist():
            split = records.splits[index]
            if split not in oldest:
                oldest[split] = int(records.timestamp_ms[int(np.argmax(records.split_index == index))])
    return oldest


def lag(
    next_offset: int, end_offset: int, oldest_timestamp_ms: int | None, now_ms: int
) -> tuple[int, float | None] | None:
    """Lag of one split as (records, seconds); None when the end is not known."""
    if end_offset < 0:
        return None
    records = max(0, end_offset - next_offset)
    if records == 0:
        return 0, 0.0
    if oldest_timestamp_ms is None or oldest_timestamp_ms == NO_TIMESTAMP:
        return records, None
    return records, max(0.0, (now_ms - oldest_timestamp_ms) / 1000)


def lags(
    next_offsets: Mapping[Split, int], ends: Mapping[Split, int], oldest: Mapping[Split, int], now_ms: int
) -> dict[Split, tuple[int, float | None]]:
    """Lag of every split of which both offsets are known."""
    found = {split: lag(next_offsets[split], ends.get(split, -1), oldest.get(split), now_ms) for split in next_offsets}
    return {split: value for split, value in found.items() if value is not None}
