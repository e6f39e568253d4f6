"""What the sink makes of a producer that ends. Everything else is shown on brokers: see integration/."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream_infer.errors import FatalError
from stream_infer.kafka import publisher as publisher_module
from stream_infer.kafka.properties import Properties, producer_properties
from stream_infer.kafka.publisher import Outputs
from stream_infer.kafka.sink import KafkaSink
from stream_infer.testing import FakeClock, FakeWork, records

BATCH = FakeWork().score(records([b"one", b"two"])).batch
ENDED = KafkaException(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, "sequence desynchronised", fatal=True))


class Topics:
    """An admin that knows every topic."""

    def require_topics(self, names: list[str]) -> None:
        """All are there."""


class EndedClient:
    """A producer with a fatal error: it refuses messages, and says why from wherever it serves callbacks."""

    def __init__(self, _properties: Properties, *, masked: bool, **_callbacks: Any) -> None:
        self._masked = masked

    def __len__(self) -> int:
        return 0

    def poll(self, timeout_s: float) -> None:
        self._say()

    def flush(self, timeout_s: float) -> int:
        self._say()
        return 0

    def produce(self, *arguments: Any) -> tuple[int, KafkaError]:
        return 0, KafkaError(KafkaError._FATAL, "Local: Fatal error")

    def purge(self) -> None:
        """There is nothing to purge."""

    def _say(self) -> None:
        if self._masked:
            raise SystemError("code() returned a result with an exception set") from ENDED
        raise ENDED


@pytest.mark.parametrize("masked", [False, True])
def test_the_end_of_the_producer_is_a_fatal_error_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, masked: bool
) -> None:
    monkeypatch.setattr(publisher_module, "NativeProducer", functools.partial(EndedClient, masked=masked))
    admin: Any = Topics()
    properties = producer_properties("127.0.0.1:9", {}, client_id="svc", publish_timeout_s=30)
    sink = KafkaSink(properties, admin, outputs=Outputs("scored", "dead", "group"), clock=FakeClock())
    sink.start()
    assert sink.room() > 0
    sink.publish(BATCH)
    sink.begin_flush()
    with pytest.raises(FatalError, match="sequence desynchronised"):
        sink.flushed(0.1)
