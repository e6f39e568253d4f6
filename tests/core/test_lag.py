"""Two lags: records behind, and the age of the oldest record that is held."""

from stream_infer.core.lag import lag, lags, oldest_timestamps
from stream_infer.testing import records
from stream_infer.types import NO_TIMESTAMP, Split

A, B = Split("t", 0), Split("t", 1)


def test_no_lag_is_zero_seconds() -> None:
    assert lag(100, 100, None, 5_000) == (0, 0.0)
    assert lag(101, 100, 1_000, 5_000) == (0, 0.0)


def test_lag_in_seconds_is_the_age_of_the_oldest_held_record() -> None:
    assert lag(90, 100, 2_000, 5_000) == (10, 3.0)
    assert lag(90, 100, 9_000, 5_000) == (10, 0.0), "a clock that runs ahead is no negative lag"


def test_unknown_is_not_zero() -> None:
    assert lag(90, 100, None, 5_000) == (10, None)
    assert lag(90, 100, NO_TIMESTAMP, 5_000) == (10, None)
    assert lag(90, -1, 2_000, 5_000) is None


def test_the_oldest_of_each_split_is_the_first_one_held() -> None:
    held = [
        records([b"x", b"y"], split=A, timestamp_ms=1_000),
        records([b"x"], split=B, timestamp_ms=3_000),
        records([b"z"], split=A, timestamp_ms=500),
    ]
    assert oldest_timestamps(held) == {A: 1_000, B: 3_000}
    assert lags({A: 1, B: 5}, {A: 3}, {A: 1_000}, 2_000) == {A: (2, 1.0)}
