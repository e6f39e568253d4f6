"""A Kafka producer as a `stream_infer.ports.Sink`.

Rule: what `flushed` confirms has been acknowledged by all in-sync replicas, and nothing else is ever confirmed.

Theory of operation. Only failures are reported by the client (one callback for all), so "acknowledged" means that
the client's queue is empty and no failure came. The first failure condemns everything since the last flush: the
rest is abandoned, and whoever published it publishes it again.

Abandoning purges the queue of the *same* idempotent producer. A request that is still on its way then carries
an old sequence number, so the broker writes it before what follows or not at all. With a new producer in its
place the broker would take the late request for news and write it behind its own repetition.
"""

from __future__ import annotations

import logging

from stream_infer.clock import Clock, Deadline
from stream_infer.errors import SinkUnavailable, SourceUnavailable, StreamInferError
from stream_infer.kafka.admin import KafkaAdmin
from stream_infer.kafka.errors import to_error
from stream_infer.kafka.properties import Properties
from stream_infer.kafka.publisher import Outputs, Publisher
from stream_infer.types import ScoredBatch, Status

_LOGGER = logging.getLogger("stream_infer.kafka")

_PURGE_TIMEOUT_S = 1.0
"""Emptying the queue takes a millisecond; after this the producer is replaced."""


class KafkaSink:
    """Publishes scored events to topics and rejects to a dead-letter topic.

    Args:
        properties: of `producer_properties`.
        admin: asked whether the topics exist.
        outputs: where things go.
        clock: for ``failed_at``, and to bound waits.
    """

    def __init__(self, properties: Properties, admin: KafkaAdmin, *, outputs: Outputs, clock: Clock) -> None:
        self._admin = admin
        self._outputs = outputs
        self._clock = clock
        self._publisher = Publisher(properties, outputs, clock)

    # ------------------------------------------------------------------ life

    def start(self) -> None:
        """Connect and see that every topic exists.

        Raises:
            SinkUnavailable: no broker answers.
            FatalError: TopicMissing, NotAuthorized, or the client refuses its properties.
        """
        require_topics(self._admin, self._outputs)
        self._publisher.connect()

    def close(self) -> None:
        """Release the connection. Nothing is flushed."""
        self.abandon()
        self._publisher.disconnect()

    # ------------------------------------------------------------------ publish

    def room(self) -> int:
        """How many more events it takes now, each with its routes. Serves delivery reports."""
        return self._publisher.room()

    def publish(self, batch: ScoredBatch) -> list[tuple[int, Status]]:
        """Send every payload and every reject; see `stream_infer.ports.Publisher`.

        Raises:
            FatalError: a topic is gone or closed to us, or a dead letter is too large even for the client.
        """
        return self._publisher.publish(batch)

    # ------------------------------------------------------------------ acknowledgements

    def begin_flush(self) -> None:
        """Send what is queued now, without waiting for ``linger.ms``."""
        self._publisher.flush(0)

    def flushed(self, wait_s: float) -> bool:
        """Wait up to ``wait_s`` seconds for everything published to be acknowledged; True when it is.

        Raises:
            SinkUnavailable: something was not delivered; the rest is abandoned.
            FatalError: delivery is refused for good.
        """
        unacknowledged = self._publisher.flush(wait_s)
        failure = self._publisher.take_failure() or self._refusal(unacknowledged)
        if failure is not None:
            self.abandon()
            raise failure
        if not unacknowledged:
            self._publisher.watch.answered()
        return not unacknowledged

    def _refusal(self, unacknowledged: int) -> StreamInferError | None:
        """What makes waiting useless."""
        if self._publisher.fatal is not None:
            return to_error(self._publisher.fatal, "publishing", retriable=SinkUnavailable)
        return self._publisher.watch.refusal() if unacknowledged else None

    def abandon(self) -> None:
        """Forget everything not yet acknowledged. What is on its way may still arrive, as a duplicate in order."""
        producer = self._publisher.producer
        producer.purge()
        deadline = Deadline.after(_PURGE_TIMEOUT_S, self._clock.monotonic())
        while len(producer) and not deadline.passed(self._clock.monotonic()):
            self._publisher.serve(0.01)
        if len(producer):
            _LOGGER.warning("the producer was replaced: its queue could not be emptied")
            self._publisher.connect()
        self._publisher.take_failure()


def require_topics(admin: KafkaAdmin, outputs: Outputs) -> None:
    """See that every topic exists.

    Raises:
        SinkUnavailable: no broker answers.
        FatalError: TopicMissing, NotAuthorized.
    """
    try:
        admin.require_topics(outputs.topics)
    except SourceUnavailable as error:
        raise SinkUnavailable(str(error)) from error


__all__ = ["KafkaSink", "require_topics"]
