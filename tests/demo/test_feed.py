"""The feed: every payment once, in order, never further ahead than the broker in memory keeps."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from stream_infer.demo.feed import MAX_BACKLOG_EVENTS, Feed
from stream_infer.errors import SinkUnavailable
from stream_infer.testing import FakeClock
from stream_infer.testing.payments import PaymentStream


class CollectingSender:
    """Keeps what it is given; fails in `serve` when told to."""

    def __init__(self, failure: SinkUnavailable | None = None) -> None:
        self.sent: list[tuple[bytes, bytes, int]] = []
        self.flushed = False
        self._failure = failure

    def send(self, key: bytes, value: bytes, timestamp_ms: int) -> None:
        self.sent.append((key, value, timestamp_ms))

    def serve(self) -> None:
        if self._failure is not None:
            raise self._failure

    def flush(self, timeout_s: float) -> None:
        assert timeout_s > 0
        self.flushed = True


class RunningClock(FakeClock):
    """Moves a millisecond every time it is read."""

    def monotonic(self) -> float:
        self.advance(0.001)
        return super().monotonic()


def make_feed(
    sender: CollectingSender, *, events: int, settled: Callable[[], int] = lambda: 0, rate: float = 1e6
) -> Feed:
    ready = threading.Event()
    ready.set()
    return Feed(
        sender,
        PaymentStream(6),
        events=events,
        rate=rate,
        prefix=b"\0\0\0\0\1",
        start_when=ready,
        settled=settled,
        clock=RunningClock(),
    )


def wait_for(feed: Feed) -> None:
    feed.start()
    feed.join(timeout_s=10)
    assert feed.finished


def test_the_feed_sends_every_payment_once_in_order_with_its_key() -> None:
    sender = CollectingSender()
    feed = make_feed(sender, events=700)
    wait_for(feed)
    payments = PaymentStream(6).columns(700)
    assert [value for _, value, _ in sender.sent] == payments.to_avro(b"\0\0\0\0\1")
    assert [key for key, _, _ in sender.sent] == payments.keys()
    assert sender.flushed
    np.testing.assert_array_equal(feed.is_fraud, payments.is_fraud)


def test_the_feed_never_runs_further_ahead_than_the_mock_keeps() -> None:
    sender = CollectingSender()
    turns = 0
    many_turns = threading.Event()

    def nothing_settled() -> int:
        nonlocal turns
        turns += 1
        if turns == 20:
            many_turns.set()
        return 0

    feed = make_feed(sender, events=MAX_BACKLOG_EVENTS + 5000, settled=nothing_settled)
    feed.start()
    assert many_turns.wait(10)
    feed.stop()
    assert len(sender.sent) == MAX_BACKLOG_EVENTS == feed.produced


def test_the_feed_ends_with_the_error_of_its_sender() -> None:
    feed = make_feed(CollectingSender(SinkUnavailable("no answer")), events=100, rate=10)
    wait_for(feed)
    assert isinstance(feed.error, SinkUnavailable)
    assert feed.produced == 1
