"""What a client says of its connections: told by librdkafka's error callback, asked by source, sink and admin.

Rule: librdkafka never gives up on a broker, so a wrong password looks to the caller like silence. `ConnectionWatch`
remembers the last word on it. Before the first contact a refusal is final; afterwards credentials were good
once, and a refusal is bad weather like any other (a broker that restarts, an authority that is away).
"""

from __future__ import annotations

import logging

from confluent_kafka import KafkaError

from stream_infer.errors import StreamInferError
from stream_infer.kafka.errors import AUTHENTICATION, TLS, describe, to_error

_LOGGER = logging.getLogger("stream_infer.kafka")


class ConnectionWatch:
    """The ``error_cb`` of one client. Called by the client on the thread that polls it.

    Args:
        address: ``bootstrap.servers``, for messages.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._refusal: KafkaError | None = None
        self._fatal: KafkaError | None = None
        self._last: KafkaError | None = None
        self._down = self._announced = False
        self._met = False

    def __call__(self, error: KafkaError) -> None:
        """Take note of an error that the client reports."""
        code = error.code()
        if error.fatal() or code == KafkaError._FATAL:
            self._fatal = error
        elif code == KafkaError._ALL_BROKERS_DOWN:
            self._down = True
        else:
            self._last = error
            if code in AUTHENTICATION or code in TLS:
                self._refusal = error

    @property
    def address(self) -> str:
        """``bootstrap.servers``."""
        return self._address

    @property
    def down(self) -> bool:
        """True from the moment no broker could be reached until something answered.

        The client's word may be old news: it waits in a queue until the client is polled. Whoever acts on it
        asks for a sign of life first.
        """
        return self._down

    def silent(self) -> None:
        """A sign of life was asked for and did not come."""
        if not self._announced:
            _LOGGER.warning("all brokers became unreachable", extra={"brokers": self._address})
        self._announced = True

    def answered(self) -> None:
        """A broker answered: the connection, and the credentials, are good."""
        if self._announced:
            _LOGGER.info("brokers were reached again", extra={"brokers": self._address})
        self._down = self._announced = False
        self._met = True
        self._refusal = None

    def received(self) -> None:
        """Messages came. While the client says that all brokers are down they may have been fetched before that."""
        if self._announced or not self._down:
            self.answered()

    def refusal(self) -> StreamInferError | None:
        """What ends the process: a fatal error of the client, or credentials that never were good."""
        if self._fatal is not None:
            return to_error(self._fatal, "using the cluster", where=f"at {self._address}")
        if self._refusal is not None and not self._met:
            return to_error(self._refusal, "connecting", where=f"to {self._address}")
        return None

    def reason(self) -> str:
        """Why no broker can be reached, in a sentence."""
        why = f": {describe(self._last)}" if self._last is not None else ""
        return f"no broker answers at {self._address}{why}"


__all__ = ["ConnectionWatch"]
