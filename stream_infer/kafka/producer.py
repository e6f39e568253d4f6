"""Plain events to one topic: for whoever feeds a pipeline (the demo, a load test), not for what leaves one.

Rule: nothing is lost in silence. A failed delivery is remembered and raised by the next call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from stream_infer.errors import SinkUnavailable, StreamInferError
from stream_infer.kafka.client_log import client_logger
from stream_infer.kafka.errors import place, to_error
from stream_infer.kafka.properties import producer_properties


class EventProducer:
    """A producer for one topic. One thread owns it.

    Args:
        bootstrap_servers: ``host:port[,host:port...]``.
        topic: where the events go; partitioned by their key, as Java clients do.
        client: further librdkafka properties.
        client_id: what the broker calls this client.
        publish_timeout_s: seconds after which an event that is not acknowledged has failed.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        topic: str,
        *,
        client: Mapping[str, Any] | None = None,
        client_id: str = "stream-infer-producer",
        publish_timeout_s: float = 30.0,
    ) -> None:
        properties = producer_properties(
            bootstrap_servers, client or {}, client_id=client_id, publish_timeout_s=publish_timeout_s
        )
        self._topic = topic
        self._failure: StreamInferError | None = None
        self._producer = Producer({**properties, "on_delivery": self._delivered}, logger=client_logger())

    def send(self, key: bytes, value: bytes, timestamp_ms: int) -> None:
        """Queue one event.

        Raises:
            SinkUnavailable: an earlier event was not delivered, or librdkafka's queue is full.
            FatalError: an earlier event was refused for good.
        """
        try:
            self._producer.produce(self._topic, value, key, timestamp=timestamp_ms)
        except BufferError as error:
            raise SinkUnavailable(f"producing to topic {self._topic} failed: too much is unacknowledged") from error

    def serve(self) -> None:
        """Hear of deliveries. Call it now and then.

        Raises:
            SinkUnavailable, FatalError: as `send`.
        """
        self._producer.poll(0)
        if self._failure is not None:
            raise self._failure

    def flush(self, timeout_s: float) -> None:
        """Wait until everything is acknowledged.

        Raises:
            SinkUnavailable: it was not within ``timeout_s``.
            FatalError: as `send`.
        """
        unacknowledged = self._producer.flush(timeout_s)
        self.serve()
        if unacknowledged:
            raise SinkUnavailable(
                f"producing to topic {self._topic} failed: {unacknowledged} events not acknowledged in {timeout_s:g} s"
            )

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None and self._failure is None:
            where = place(message.topic(), message.partition())
            self._failure = to_error(error, "producing", where=where, retriable=SinkUnavailable)
