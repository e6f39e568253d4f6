"""What a window says of an event is the same when the event is seen again."""

from __future__ import annotations

import numpy as np

from stream_infer.faust import WindowHistory
from tests.faust_adapter.fakes import FakeEvent, FakeMessage, FakeTable


def event(offset: int, seconds: float) -> FakeEvent:
    return FakeEvent(FakeMessage(offset, b"", timestamp=seconds))


def test_entries_of_the_window_up_to_the_event() -> None:
    history = WindowHistory(FakeTable())
    assert history.add(event(0, 1.0), "a", "x") == ["x"]
    assert history.add(event(1, 2.0), "b", "y") == ["y"]
    assert history.add(event(2, 9.0), "a", "z") == ["x", "z"]
    assert history.add(event(3, 11.0), "a", "next window") == ["next window"]


def test_an_event_that_is_seen_again_is_told_the_same() -> None:
    rng = np.random.default_rng(3)
    events = [(offset, float(rng.integers(0, 40)), str(rng.integers(0, 3))) for offset in range(200)]
    table = FakeTable()
    history = WindowHistory(table)
    first = [history.add(event(offset, seconds), key, offset) for offset, seconds, key in events]
    # A crash: the table has everything, the offsets stand further back.
    for begin in (150, 0, 199):
        again = [WindowHistory(table).add(event(*seen[:2]), seen[2], seen[0]) for seen in events[begin:]]
        assert again == first[begin:]


def test_an_entry_that_is_missing_finds_its_place() -> None:
    table = FakeTable()
    history = WindowHistory(table)
    for offset in (0, 4):
        history.add(event(offset, 1.0), "a", offset)
    assert history.add(event(2, 1.0), "a", 2) == [0, 2]
    assert history.add(event(5, 1.0), "a", 5) == [0, 2, 4, 5]
