"""An event's time is its timestamp where that is plausible, else its arrival."""

import numpy as np

from stream_infer.core import age
from stream_infer.types import NO_TIMESTAMP, Binary, Records, Split

NOW = 1_800_000_000_000
DAY = 24 * 3600 * 1000


def arrived(*timestamps_ms: int) -> Records:
    count = len(timestamps_ms)
    empty = Binary.from_values([b""] * count)
    zeros = np.zeros(count, np.int64)
    return Records(
        empty, empty, (Split("t", 0),), zeros.astype(np.int32), zeros, np.array(timestamps_ms, np.int64), NOW
    )


def test_implausible_clocks_fall_back_to_arrival() -> None:
    records = arrived(NOW - 5_000, NOW - DAY, NOW - DAY - 1, NOW + 60_000, NOW + 60_001, NO_TIMESTAMP)
    assert age.plausible(records).tolist() == [True, True, False, True, False, False]
    assert age.event_times_ms(records).tolist() == [NOW - 5_000, NOW - DAY, NOW, NOW + 60_000, NOW, NOW]


def test_the_oldest_event_counts_and_only_believable_timestamps_do() -> None:
    assert age.oldest_s(arrived(NOW - 20, NOW - 1_500, NOW + 7)) == 1.5
    assert age.oldest_s(arrived(NOW - 20, NOW - DAY - 1, NO_TIMESTAMP)) == 0.02
    assert age.oldest_s(arrived(NO_TIMESTAMP)) == 0.0
    assert age.oldest_s(arrived(NOW + 7, NOW + DAY)) == 0.0


def test_only_events_beyond_the_age_are_old() -> None:
    records = arrived(NOW - 5_000, NOW - 5_001, NOW - 2 * DAY)
    assert age.older_than(records, 5_000, NOW).tolist() == [False, True, False]
