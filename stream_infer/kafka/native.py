"""What the consumer and the producer on librdkafka's C API have in common: a handle, its callbacks, its log lines.

Rule: a callback runs inside a call of librdkafka's, through which no exception can pass. So it is caught there, kept,
and raised when the call is over (`Callbacks.raise_kept`). A fatal error of the client is raised the same way, from
whichever call serves callbacks, as confluent-kafka does.

All callbacks, log lines too (``log.queue``), are served by the thread that calls: librdkafka's own threads never enter
Python. A handle lives as long as its owner, and keeps its callbacks. A producer's do not know the producer, so that
it ends with its last reference.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from stream_infer.kafka import librdkafka
from stream_infer.kafka.client import OnError
from stream_infer.kafka.client_log import client_logger
from stream_infer.kafka.librdkafka import Address
from stream_infer.kafka.properties import Properties, PropertyValue

_LEVELS = (
    logging.CRITICAL,
    logging.CRITICAL,
    logging.CRITICAL,
    logging.ERROR,
    logging.WARNING,
    logging.INFO,
    logging.INFO,
    logging.DEBUG,
)
"""Levels of logging by syslog's, which librdkafka has."""


class Callbacks:
    """Python's functions for a client to call. They live for as long as its handle.

    Args:
        on_error: told what the client reports of itself.
    """

    def __init__(self, on_error: OnError) -> None:
        self._on_error = on_error
        self._kept: BaseException | None = None
        self.by_name: dict[str, Any] = {}
        """The callbacks, as `librdkafka.new_client` takes them."""
        self.add("error_cb", librdkafka.ERROR_CB, self._error)
        self.add("log_cb", librdkafka.LOG_CB, _log)

    def add(self, name: str, prototype: Callable[..., Any], function: Callable[..., None]) -> None:
        """One more. Where it raises, the client's call goes on."""

        def guarded(*arguments: Any) -> None:
            try:
                function(*arguments)
            # Whatever it is, Ctrl-C too: behind this frame is C, where it would be printed and forgotten.
            except BaseException as error:
                self._kept = self._kept or error

        self.by_name[name] = prototype(guarded)

    def raise_kept(self) -> None:
        """Raise what a callback raised since the last question."""
        kept, self._kept = self._kept, None
        if kept is not None:
            raise kept

    def _error(self, client: Address, code: int, reason: bytes, _opaque: object) -> None:
        if code == KafkaError._FATAL:
            raise KafkaException(librdkafka.fatal_error(client))
        self._on_error(librdkafka.error_of(code, reason))


class Handle:
    """A client of librdkafka's, destroyed with its last reference or by `destroy`.

    Args:
        kind: `librdkafka.PRODUCER` or `librdkafka.CONSUMER`.
        properties: of `stream_infer.kafka.properties`.
        callbacks: of the client.

    Raises:
        KafkaException: the properties are refused.
    """

    def __init__(self, kind: int, properties: Properties, callbacks: Callbacks) -> None:
        settings = {name: _text(value) for name, value in properties.items() if value is not None}
        address = librdkafka.new_client(kind, {**settings, "log.queue": "true"}, callbacks.by_name)
        librdkafka.library().rd_kafka_set_log_queue(address, None)
        self._address = address
        self._callbacks = callbacks
        self._parts: list[tuple[Any, Address]] = []
        # The callbacks are not among what is held for the end: they may lead to the owner, which could never end then.
        destroy = librdkafka.library().rd_kafka_destroy_flags
        self._end = weakref.finalize(self, _destroy, destroy, address, self._parts)
        # At the end of the process somebody may still be stuck in a call.
        self._end.atexit = False

    @property
    def address(self) -> Address:
        """The ``rd_kafka_t``.

        Raises:
            RuntimeError: it was destroyed.
        """
        if not self._end.alive:
            raise RuntimeError("the Kafka client is closed")
        return self._address

    @property
    def alive(self) -> bool:
        """False once it was destroyed."""
        return self._end.alive

    def owns(self, part: Address, end: Any) -> Address:
        """Something of this client's that has to be given back before it is destroyed, by ``end``."""
        self._parts.append((end, part))
        return part

    def destroy(self) -> None:
        """End it now. Nothing is flushed, and no group is left."""
        self._end()


def _destroy(destroy: Any, address: Address, parts: list[tuple[Any, Address]]) -> None:
    for end, part in reversed(parts):
        end(part)
    destroy(address, librdkafka.NO_CONSUMER_CLOSE)


def _log(client: Address, level: int, facility: bytes, text: bytes) -> None:
    name = librdkafka.library().rd_kafka_name(client)
    said = [part.decode(errors="replace") for part in (facility, name, text)]
    client_logger().log(_LEVELS[level], "%s [%s] %s", *said)


def _text(value: PropertyValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


__all__ = ["Callbacks", "Handle"]
