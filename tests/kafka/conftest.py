from __future__ import annotations

from collections.abc import Iterator

import pytest

from stream_infer.kafka import publisher as publisher_module
from stream_infer.kafka.client import OnError, OnFailed
from stream_infer.kafka.properties import Properties
from stream_infer.kafka.transactions import TransactionalKafkaSink
from stream_infer.testing import FakeClock
from tests.kafka.scripted_cluster import Client, Cluster, new_sink


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(FakeClock())

    def connect(_properties: Properties, *, on_failed: OnFailed, **_callbacks: OnError) -> Client:
        made.producers.append(Client(made, on_failed))
        return made.producers[-1]

    monkeypatch.setattr(publisher_module, "NativeProducer", connect)
    return made


@pytest.fixture
def sink(cluster: Cluster) -> Iterator[TransactionalKafkaSink]:
    made = new_sink(cluster)
    made.start()
    cluster.calls.clear()
    yield made
    for errors in cluster.script.values():
        errors.clear()
    made.close()
