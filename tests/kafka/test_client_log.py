from __future__ import annotations

import logging

from stream_infer.kafka.client_log import RepeatFilter, client_logger


class ManualClock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall_ms(self) -> int:
        return 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def line(facility: str) -> logging.LogRecord:
    return logging.LogRecord("client", logging.ERROR, "", 0, "%s [%s] %s", (facility, "rdkafka#1", "refused"), None)


def test_a_flood_of_one_kind_becomes_a_line_and_a_reminder() -> None:
    clock = ManualClock()
    passes = RepeatFilter(clock, repeat_after_s=30).filter
    assert passes(line("FAIL"))
    assert not any(passes(line("FAIL")) for _ in range(100))
    clock.now = 30
    reminder = line("FAIL")
    assert passes(reminder)
    assert reminder.getMessage() == "FAIL [rdkafka#1] refused (100 more like this since the last)"


def test_another_kind_is_not_held_back() -> None:
    passes = RepeatFilter(ManualClock()).filter
    assert passes(line("FAIL"))
    assert passes(line("MAXPOLL"))


def test_the_logger_has_one_filter_however_often_it_is_asked_for() -> None:
    client_logger()
    assert sum(isinstance(known, RepeatFilter) for known in client_logger().filters) == 1
