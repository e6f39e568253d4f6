"""Which of the two clients is taken.

Rule: librdkafka's C API wherever it can be had and covers what is asked for; else confluent-kafka's classes, and the
log says why. The environment variable ``STREAM_INFER_KAFKA_CLIENT=confluent`` asks for the latter: for comparisons, and
as a way out.
"""

from __future__ import annotations

import functools
import logging
import os

from stream_infer.kafka import librdkafka
from stream_infer.kafka.client import ConsumerClient, OnCommit, OnError, OnFailed, ProducerClient
from stream_infer.kafka.confluent_client import ConfluentConsumer, ConfluentProducer
from stream_infer.kafka.native_consumer import NativeConsumer
from stream_infer.kafka.native_producer import NativeProducer
from stream_infer.kafka.properties import Properties

_LOGGER = logging.getLogger("stream_infer.kafka")
CLIENT_VARIABLE = "STREAM_INFER_KAFKA_CLIENT"


def open_consumer(properties: Properties, *, on_error: OnError, on_commit: OnCommit) -> ConsumerClient:
    """A consumer.

    Args:
        properties: of `consumer_properties`.
        on_error: told of connections.
        on_commit: told how commits end.

    Raises:
        KafkaException: the properties are refused.
    """
    if _native(properties):
        return NativeConsumer(properties, on_error=on_error, on_commit=on_commit)
    return ConfluentConsumer(properties, on_error=on_error, on_commit=on_commit)


def open_producer(properties: Properties, *, on_error: OnError, on_failed: OnFailed) -> ProducerClient:
    """A producer.

    Args:
        properties: of `producer_properties`.
        on_error: told of connections.
        on_failed: told of messages that are not delivered.

    Raises:
        KafkaException: the properties are refused.
    """
    if _native(properties):
        return NativeProducer(properties, on_error=on_error, on_failed=on_failed)
    return ConfluentProducer(properties, on_error=on_error, on_failed=on_failed)


def compile_kernels() -> str:
    """Compile, or load, the client's kernels, without a broker. Returns why there are none, or nothing."""
    reason = librdkafka.unusable()
    if not reason:
        # Both do so when they are made.
        NativeProducer({}, on_error=_ignore, on_failed=_ignore)
        NativeConsumer({"group.id": "none"}, on_error=_ignore, on_commit=_ignore).close()
    return reason


def _ignore(*_told: object) -> None:
    """These clients connect to nobody."""


def why_confluent(properties: Properties) -> str:
    """Why confluent-kafka's classes are taken; empty where librdkafka's C API is."""
    if os.environ.get(CLIENT_VARIABLE) == "confluent":
        return f"{CLIENT_VARIABLE} says so"
    mechanisms = (str(properties.get(name, "")) for name in ("sasl.mechanism", "sasl.mechanisms"))
    if any(mechanism.upper() == "OAUTHBEARER" for mechanism in mechanisms):
        return "it fetches the tokens of OAUTHBEARER"
    return librdkafka.unusable()


def _native(properties: Properties) -> bool:
    reason = why_confluent(properties)
    if reason:
        _say_once(reason)
    return not reason


@functools.cache
def _say_once(reason: str) -> None:
    _LOGGER.info("confluent-kafka's own classes are used instead of librdkafka's C API", extra={"reason": reason})


__all__ = ["CLIENT_VARIABLE", "compile_kernels", "open_consumer", "open_producer", "why_confluent"]
