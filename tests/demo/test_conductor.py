"""The conductor: when figures are shown, and when a demo is over."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from stream_infer.clock import SystemClock
from stream_infer.demo.conductor import STALL_SECONDS, Conductor
from stream_infer.demo.feed import Feed
from stream_infer.demo.figures import Figures, Totals
from stream_infer.demo.screen import View
from stream_infer.errors import SinkUnavailable
from stream_infer.testing.payments import PaymentStream

EVENTS = 100


class RecordingScreen:
    """Keeps the views; its reader may go away."""

    interval_seconds = 1.0

    def __init__(self) -> None:
        self.views: list[View] = []
        self.reader_gone = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, view: View) -> None:
        if self.reader_gone:
            raise BrokenPipeError
        self.views.append(view)


class NoSender:
    """A sender that is never used: the feeds of these tests are not started."""

    def send(self, key: bytes, value: bytes, timestamp_ms: int) -> None:
        raise AssertionError

    def serve(self) -> None:
        raise AssertionError

    def flush(self, timeout_s: float) -> None:
        raise AssertionError


class Stage:
    """A conductor over a feed that has sent everything and figures that a test sets."""

    def __init__(self) -> None:
        self.figures = Figures(EVENTS)
        self.screen = RecordingScreen()
        self.feed = Feed(
            NoSender(),
            PaymentStream(1),
            events=EVENTS,
            rate=1.0,
            prefix=b"",
            start_when=threading.Event(),
            settled=lambda: 0,
            clock=SystemClock(),
        )
        self.feed.produced, self.feed.began_at = EVENTS, 100.0
        self.conductor = Conductor(self.feed, self.figures, self.screen, EVENTS)

    def settle(self, events: int, batches: int) -> None:
        self.figures.totals = Totals(settled=events, batches=batches)


def test_views_come_at_the_screens_interval_with_figures_of_that_interval() -> None:
    stage = Stage()
    stage.conductor.ticked(100.5)
    stage.settle(30, batches=3)
    stage.conductor.ticked(101.0)
    stage.conductor.ticked(101.9)
    stage.settle(50, batches=4)
    stage.conductor.ticked(103.0)
    first, second = stage.screen.views
    assert (first.seconds, first.rate, first.batch_size, first.lag_events) == (1.0, 30.0, 10.0, 70)
    assert (second.seconds, second.rate, second.batch_size, second.lag_events) == (3.0, 10.0, 20.0, 50)


def test_the_last_view_is_of_the_whole_demo() -> None:
    stage = Stage()
    stage.settle(90, batches=9)
    stage.conductor.ticked(101.0)
    stage.settle(100, batches=10)
    stage.conductor.finish(102.0)
    assert (stage.screen.views[-1].rate, stage.screen.views[-1].batch_size) == (50.0, 10.0)


def test_a_demo_is_over_when_everything_is_settled() -> None:
    stage = Stage()
    stage.settle(EVENTS - 1, batches=1)
    assert not stage.conductor.stopping()
    stage.settle(EVENTS, batches=2)
    assert stage.conductor.stopping()
    assert stage.conductor.complete


def test_a_demo_is_over_when_what_is_missing_will_not_come() -> None:
    stage = Stage()
    stage.settle(EVENTS - 1, batches=1)
    stage.conductor.ticked(101.0)
    stage.conductor.ticked(101.0 + STALL_SECONDS - 0.1)
    assert not stage.conductor.stopping()
    stage.conductor.ticked(101.0 + STALL_SECONDS)
    assert stage.conductor.stopping()
    assert not stage.conductor.complete


def test_a_demo_is_over_when_its_producer_fails() -> None:
    stage = Stage()
    stage.feed.error = SinkUnavailable("no answer")
    assert stage.conductor.stopping()


def test_a_demo_is_over_when_nobody_reads_and_the_instrument_does_not_raise() -> None:
    stage = Stage()
    stage.screen.reader_gone = True
    stage.conductor.ticked(101.0)
    assert stage.conductor.stopping()
