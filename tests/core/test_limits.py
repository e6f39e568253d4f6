"""Rejects are capped in a row and by ratio, whatever batches they come in."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.core.limits import RejectLimit


def column(text: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """``x`` for a reject."""
    return np.array([letter == "x" for letter in text], np.bool_)


def test_rejects_in_a_row_count_across_batches() -> None:
    limit = RejectLimit(3, 1.0, 100)
    assert limit.excess(column("xx..xx")) is None
    assert limit.excess(column("")) is None
    assert limit.excess(column("x.")) is None
    assert limit.excess(column("xxx")) is None
    assert limit.excess(column("x")) == "4 events in a row were rejected, more than the 3 allowed"


def test_one_good_event_begins_the_row_anew() -> None:
    limit = RejectLimit(3, 1.0, 100)
    for _ in range(100):
        assert limit.excess(column("xxx.")) is None


def test_a_ratio_is_judged_once_the_window_was_seen() -> None:
    limit = RejectLimit(0, 0.5, 10)
    assert limit.excess(column("xxxxxx...")) is None, "nine events are no window"
    assert limit.excess(column(".")) == "6 of 10 events were rejected, more than the 0.5 of them that is allowed"


def test_exactly_the_ratio_is_allowed() -> None:
    limit = RejectLimit(0, 0.3, 10)
    assert limit.excess(column("xxx.......")) is None
    assert limit.excess(column("xxx")) is None
    assert limit.excess(column("x")) is not None


def test_a_ratio_is_exceeded_within_a_batch_though_not_at_its_end() -> None:
    limit = RejectLimit(0, 0.5, 4)
    assert limit.excess(column("....xxx....")) is not None


def test_what_exceeds_is_not_counted() -> None:
    limit = RejectLimit(2, 0.5, 4)
    assert limit.excess(column("x...")) is None
    for _ in range(3):
        assert limit.excess(column("xxx")) is not None
    assert limit.excess(column("xx")) is None


def test_a_rewind_forgets() -> None:
    limit = RejectLimit(2, 0.5, 4)
    assert limit.excess(column("..xx")) is None
    limit.reset()
    assert limit.excess(column("xx.")) is None
    assert limit.excess(column(".")) is None


def test_caps_that_are_off_allow_everything() -> None:
    limit = RejectLimit(0, 1.0, 10)
    for _ in range(5):
        assert limit.excess(column("x" * 100)) is None


def test_nothing_is_kept_of_clean_batches_and_no_more_than_a_window_of_rejects() -> None:
    limit = RejectLimit(0, 1.0, 50)
    for _ in range(10):
        limit.excess(column("x" * 20))
    assert len(limit._rejects) == 50
    limit.excess(column("." * 50))
    assert len(limit._rejects) == 0


class OneByOne:
    """The rule said plainly: every event, one after the other."""

    def __init__(self, max_consecutive: int, max_ratio: float, window: int) -> None:
        self.caps = max_consecutive, max_ratio, window
        self.seen: list[bool] = []

    def exceeds(self, rejected: list[bool]) -> bool:
        max_consecutive, max_ratio, window = self.caps
        seen = list(self.seen)
        for reject in rejected:
            seen.append(reject)
            if max_consecutive and seen[-max_consecutive - 1 :] == [True] * (max_consecutive + 1):
                return True
            if len(seen) >= window and sum(seen[-window:]) / window > max_ratio:
                return True
        self.seen = seen
        return False


@given(
    st.integers(0, 4),
    st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0]),
    st.integers(1, 12),
    st.lists(st.lists(st.booleans(), max_size=9), max_size=12),
)
def test_batches_are_judged_as_their_events_one_by_one(
    max_consecutive: int, max_ratio: float, window: int, batches: list[list[bool]]
) -> None:
    limit, model = RejectLimit(max_consecutive, max_ratio, window), OneByOne(max_consecutive, max_ratio, window)
    for batch in batches:
        assert (limit.excess(np.array(batch, np.bool_)) is not None) == model.exceeds(batch)
