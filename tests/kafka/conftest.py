from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from stream_infer.kafka import publisher as publisher_module
from stream_infer.kafka.transactions import TransactionalKafkaSink
from stream_infer.testing import FakeClock
from tests.kafka.scripted_cluster import Client, Cluster, new_sink


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(FakeClock())

    def connect(settings: dict[str, Any]) -> Client:
        made.producers.append(Client(made, settings))
        return made.producers[-1]

    monkeypatch.setattr(publisher_module, "Producer", connect)
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
