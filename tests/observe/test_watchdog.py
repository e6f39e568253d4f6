"""The decision under a fake clock, and one thread that really runs."""

from __future__ import annotations

import threading
import timeit

import pytest

from stream_infer.clock import SystemClock
from stream_infer.observe.watchdog import Overdue, Phase, Watchdog, overdue
from stream_infer.ports import Instrument
from stream_infer.testing.fakes import FakeClock


class Facts(Instrument):
    """Keeps what the watchdog does, in order."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def stage_timed_out(self, stage: str, seconds: float) -> None:
        self.seen.append(("timed out", f"{stage} after {seconds:g}"))

    def overran(self, stage: str) -> None:
        self.seen.append(("overrun", stage))

    def stuck(self, stage: str) -> None:
        self.seen.append(("stuck", stage))


@pytest.fixture
def facts() -> Facts:
    return Facts()


@pytest.fixture
def watchdog(clock: FakeClock, facts: Facts) -> Watchdog:
    return Watchdog(clock, facts, facts.overran, facts.stuck, grace_s=5.0)


# ------------------------------------------------------------------ the decision


@pytest.mark.parametrize(
    ("phase", "late_s", "expected"),
    [
        (Phase.RUNNING, -0.1, None),
        (Phase.RUNNING, 0.0, Phase.OVERRUN),
        (Phase.RUNNING, 100.0, Phase.OVERRUN),
        (Phase.OVERRUN, 4.9, None),
        (Phase.OVERRUN, 5.0, Phase.STUCK),
        (Phase.STUCK, 100.0, None),
    ],
)
def test_who_is_overdue(watchdog: Watchdog, phase: Phase, late_s: float, expected: Phase | None) -> None:
    entry = watchdog.watch("score", 30.0)
    entry.deadline_at, entry.phase = 1030.0, phase
    found = overdue([entry], 1030.0 + late_s, grace_s=5.0)
    assert found == ([] if expected is None else [Overdue(entry, expected)])
    assert entry.phase is phase, "deciding changes nothing"


# ------------------------------------------------------------------ what is done about it


def test_a_stage_in_time_is_left_alone(watchdog: Watchdog, facts: Facts, clock: FakeClock) -> None:
    with watchdog.watch("score", 30.0):
        clock.advance(29.9)
        watchdog.check()
    clock.advance(100)
    watchdog.check()
    assert facts.seen == []


def test_an_overrun_is_told_once_and_then_the_stage_is_stuck_once(
    watchdog: Watchdog, facts: Facts, clock: FakeClock
) -> None:
    with watchdog.watch("score", 30.0):
        for _ in range(100):
            clock.advance(1)
            watchdog.check()
            if clock.monotonic() < 1035:
                assert ("stuck", "score") not in facts.seen
    assert facts.seen == [("timed out", "score after 30"), ("overrun", "score"), ("stuck", "score")]


def test_a_stage_that_ends_in_its_grace_is_not_stuck(watchdog: Watchdog, facts: Facts, clock: FakeClock) -> None:
    with watchdog.watch("registry", 5.0):
        clock.advance(6)
        watchdog.check()
    clock.advance(100)
    watchdog.check()
    assert facts.seen == [("timed out", "registry after 5"), ("overrun", "registry")]


def test_each_worker_is_watched_for_itself(watchdog: Watchdog, facts: Facts, clock: FakeClock) -> None:
    with watchdog.watch("score", 30.0):
        clock.advance(20)
        with watchdog.watch("score", 30.0), watchdog.watch("commit", 5.0):
            clock.advance(10)
            watchdog.check()
    assert facts.seen == [
        ("timed out", "score after 30"), ("overrun", "score"), ("timed out", "commit after 5"), ("overrun", "commit"),
    ]  # fmt: skip


def test_an_entry_that_left_while_another_was_dealt_with_is_not_given_up(facts: Facts, clock: FakeClock) -> None:
    """`check` looks at both, the first one's end of grace releases the second, and only then is the second's turn."""

    def release(stage: str) -> None:
        facts.stuck(stage)
        if stage == "first":
            watchdog.leave(second)

    watchdog = Watchdog(clock, facts, facts.overran, release, grace_s=5.0)
    first, second = watchdog.watch("first", 1.0), watchdog.watch("second", 1.0)
    watchdog.enter(first)
    watchdog.enter(second)
    clock.advance(1)
    watchdog.check()
    clock.advance(5)
    watchdog.check()
    assert [fact for fact in facts.seen if fact[0] == "stuck"] == [("stuck", "first")]


def test_the_watch_ends_with_an_exception(watchdog: Watchdog, facts: Facts, clock: FakeClock) -> None:
    with pytest.raises(KeyError), watchdog.watch("publish", 1.0):
        raise KeyError("x")
    clock.advance(100)
    watchdog.check()
    assert facts.seen == []


# ------------------------------------------------------------------ the thread


def test_the_thread_sees_a_call_that_hangs() -> None:
    overran, stuck = threading.Event(), threading.Event()
    watchdog = Watchdog(SystemClock(), Instrument(), lambda _: overran.set(), lambda _: stuck.set(), grace_s=0.01)
    watchdog.start()
    assert "watchdog" in {thread.name for thread in threading.enumerate()}
    with watchdog.watch("score", 0.01):
        assert overran.wait(5)
        assert stuck.wait(5)
    watchdog.stop()
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}


def test_watching_is_cheap_enough_for_every_call(facts: Facts) -> None:
    watchdog = Watchdog(SystemClock(), facts, facts.overran, facts.stuck, grace_s=5.0)

    def watched() -> None:
        with watchdog.watch("score", 30.0):
            pass

    # Measured at 1 us; the limit leaves room for a machine that is busy with other things.
    assert min(timeit.repeat(watched, number=2000, repeat=5)) / 2000 < 20e-6
