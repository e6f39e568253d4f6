"""How old an event is, for shedding, for latency, and for how long it may wait.

Rule: an event's time is its timestamp while that lies in a plausible window before its arrival, and its
arrival otherwise. Producers with skewed or historic clocks must not make every event late.
"""

from __future__ import annotations

import numpy as np

from stream_infer.types import BoolArray, Int64Array, Records

PLAUSIBLE_PAST_MS = 24 * 3600 * 1000
"""Older than this on arrival is taken for a wrong or historic clock, not for a delay of a day."""
PLAUSIBLE_FUTURE_MS = 60 * 1000
"""Clocks of producers run ahead by seconds, not by more than a minute."""


def plausible(records: Records) -> BoolArray:
    """Bool ``[n]``: the timestamp may be believed."""
    behind = records.received_ms - records.timestamp_ms
    return (behind <= PLAUSIBLE_PAST_MS) & (behind >= -PLAUSIBLE_FUTURE_MS)


def event_times_ms(records: Records) -> Int64Array:
    """Int64 ``[n]``, milliseconds since the epoch: the timestamp where plausible, else the arrival."""
    return np.where(plausible(records), records.timestamp_ms, records.received_ms)


def older_than(records: Records, max_age_ms: int, now_ms: int) -> BoolArray:
    """Bool ``[n]``: the event is older than ``max_age_ms`` at ``now_ms``."""
    return now_ms - event_times_ms(records) > max_age_ms


def oldest_s(records: Records) -> float:
    """Age in seconds, on arrival, of the oldest event of at least one; never below 0."""
    behind_ms = records.received_ms - int(records.timestamp_ms.min())
    if behind_ms > PLAUSIBLE_PAST_MS:
        behind_ms = records.received_ms - int(event_times_ms(records).min())
    return max(0, behind_ms) / 1000
