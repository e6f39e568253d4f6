"""The loop that most people write first: confluent-kafka, fastavro or json, dicts, onnxruntime.

Rule: nothing clever, nothing foolish: a batch a call of the model, one thread, one delivery callback for errors only.
Runs as its own process; its task comes from the environment (`bench.rivals.contract`).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from bench.rivals.contract import COMMIT_INTERVAL_S, Task
from bench.rivals.scorers import Scorer, scorer

_FULL_QUEUE_WAIT_S = 0.05
_FLUSH_TIMEOUT_S = 30.0

_NOW = 0

Produce = Callable[[Any, Any, int], None]
"""Value, key and timestamp in milliseconds; 0 is now."""
Handle = Callable[[Sequence[Message], Produce], None]


class Loop:
    """Consume, handle, produce; flush, then commit, every second.

    Args:
        task: what to do.
        handle: is given the messages that one call of the client returned, and produces what follows from them.
    """

    def __init__(self, task: Task, handle: Handle) -> None:
        self._task, self._handle = task, handle
        self._consumer = Consumer(
            {
                "bootstrap.servers": task.bootstrap,
                "group.id": task.group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 10,  # the default, 1000, starves a consumer with a small queue
            }
        )
        self._producer = Producer(
            {
                "bootstrap.servers": task.bootstrap,
                "enable.idempotence": True,
                "linger.ms": 20,
                "delivery.report.only.error": True,
                "on_delivery": self._delivered,
            }
        )
        self._failures: list[KafkaError] = []
        self._stopped = self._dirty = False

    def stop(self, *_signal: object) -> None:
        """End after the batch at hand."""
        self._stopped = True

    def run(self) -> None:
        """Until `stop`.

        Raises:
            KafkaException: the client gave up, or an event could not be delivered.
        """
        self._consumer.subscribe([self._task.input])
        committed_at = time.monotonic()
        while not self._stopped:
            self._pass_on(self._consumer.consume(self._task.batch, 0.1))
            if time.monotonic() - committed_at > COMMIT_INTERVAL_S:
                self._checkpoint()
                committed_at = time.monotonic()
        self._checkpoint()
        self._consumer.close()

    def _pass_on(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if error := message.error():
                raise KafkaException(error)
        if messages:
            self._handle(messages, self._produce)
            self._dirty = True
        self._producer.poll(0)

    def _produce(self, value: Any, key: Any, timestamp_ms: int) -> None:
        while True:
            try:
                self._producer.produce(self._task.output, value, key, timestamp=timestamp_ms)
            except BufferError:
                self._producer.poll(_FULL_QUEUE_WAIT_S)
            else:
                return

    def _checkpoint(self) -> None:
        unsent = self._producer.flush(_FLUSH_TIMEOUT_S)
        if self._failures:
            raise KafkaException(self._failures[0])
        if unsent:
            raise KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT, f"{unsent} events were not delivered"))
        if self._dirty:
            self._consumer.commit(asynchronous=False)
            self._dirty = False

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failures.append(error)


def scoring(score: Scorer) -> Handle:
    """Produces a scored event for each message, with its key."""

    def handle(messages: Sequence[Message], produce: Produce) -> None:
        scored = score([message.value() or b"" for message in messages])
        for message, value in zip(messages, scored, strict=True):
            produce(value, message.key(), _NOW)

    return handle


def main() -> int:
    """Run until SIGTERM."""
    task = Task.from_environment(os.environ)
    loop = Loop(task, scoring(scorer(task)))
    signal.signal(signal.SIGTERM, loop.stop)
    loop.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
