"""The producer of the demo: a thread that sends the generator's payments at a steady rate.

Rule: librdkafka's mock cluster keeps 5 MB a partition and drops the oldest data without a word. The feed
therefore never runs more than `MAX_BACKLOG_BYTES` ahead of what is settled, whatever the rate.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np

from stream_infer.clock import Clock
from stream_infer.errors import StreamInferError
from stream_infer.testing.payments import PaymentStream

MAX_BACKLOG_BYTES = 1_500_000
"""Below a third of what the mock keeps of one partition, should all payments be of one partition."""
_PAYMENT_BYTES = 300
"""A framed payment (some 130 bytes), its key and Kafka's overhead, generously."""
MAX_BACKLOG_EVENTS = MAX_BACKLOG_BYTES // _PAYMENT_BYTES
_BLOCK_PAYMENTS = 4_096
_TURN_SECONDS = 0.002
"""Payments that are due are sent this often: short against the latencies that the demo shows."""
_FLUSH_SECONDS = 10.0


class EventSender(Protocol):
    """What the feed needs of a `stream_infer.kafka.producer.EventProducer`."""

    def send(self, key: bytes, value: bytes, timestamp_ms: int) -> None:
        """Queue one event."""
        ...

    def serve(self) -> None:
        """Hear of deliveries; raises what went wrong."""
        ...

    def flush(self, timeout_s: float) -> None:
        """Wait until everything is acknowledged."""
        ...


class Feed:
    """Sends payments until all are sent or `stop` is called.

    Args:
        sender: where they go; used by the feed's thread only.
        stream: the payments.
        events: how many.
        rate: payments a second.
        prefix: framing before each Avro payment.
        start_when: the feed waits for this event, so that no payment grows old while the group forms.
        settled: how many are done, asked from the feed's thread.
        clock: paces the feed.
    """

    def __init__(
        self,
        sender: EventSender,
        stream: PaymentStream,
        *,
        events: int,
        rate: float,
        prefix: bytes,
        start_when: threading.Event,
        settled: Callable[[], int],
        clock: Clock,
    ) -> None:
        self._sender = sender
        self._stream = stream
        self._events = events
        self._rate = rate
        self._prefix = prefix
        self._start_when = start_when
        self._settled = settled
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-feed", daemon=True)
        self._ready: deque[tuple[bytes, bytes]] = deque()
        self._generated = 0
        self.is_fraud = np.zeros(events, np.bool_)
        """The truth of every payment sent so far, by number."""
        self.produced = 0
        """How many were sent."""
        self.began_at: float | None = None
        """When the first was sent, on the monotonic clock; None before."""
        self.error: StreamInferError | None = None
        """What ended the feed early; None if nothing did."""

    @property
    def finished(self) -> bool:
        """True once nothing more will be sent."""
        return not self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait up to ``timeout_s`` for the feed to end by itself."""
        self._thread.join(timeout_s)

    def stop(self) -> None:
        """End the feed and wait for it."""
        self._stopping.set()
        self._start_when.set()
        self._thread.join()

    def _run(self) -> None:
        self._generate()
        self._start_when.wait()
        try:
            self._send_all()
        except StreamInferError as error:
            self.error = error

    def _send_all(self) -> None:
        self.began_at = self._clock.monotonic()
        while self.produced < self._events and not self._stopping.is_set():
            due = min(self._events, self._due(self._clock.monotonic() - self.began_at))
            self._send(min(due, self._settled() + MAX_BACKLOG_EVENTS))
            self._sender.serve()
            self._stopping.wait(_TURN_SECONDS)
        self._sender.flush(_FLUSH_SECONDS)

    def _due(self, elapsed_seconds: float) -> int:
        return 1 + int(elapsed_seconds * self._rate)

    def _send(self, end: int) -> None:
        """Send payments up to number ``end``, all of one turn with one timestamp."""
        now_ms = self._clock.wall_ms()
        while self.produced < end:
            if not self._ready:
                self._generate()
            key, value = self._ready.popleft()
            self._sender.send(key, value, now_ms)
            self.produced += 1

    def _generate(self) -> None:
        count = min(_BLOCK_PAYMENTS, self._events - self._generated)
        payments = self._stream.columns(count)
        self.is_fraud[self._generated : self._generated + count] = payments.is_fraud
        self._generated += count
        self._ready.extend(zip(payments.keys(), payments.to_avro(self._prefix), strict=True))
