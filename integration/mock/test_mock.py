from __future__ import annotations

import subprocess
import sys
import time

import pytest

from stream_infer.clock import SystemClock
from stream_infer.errors import SourceUnavailable
from stream_infer.kafka import mock
from stream_infer.kafka.admin import KafkaAdmin
from stream_infer.kafka.mock import MockCluster
from stream_infer.kafka.properties import admin_properties

PARENT = """
from stream_infer.kafka.mock import MockCluster
cluster = MockCluster({"a": 1})
print(cluster.start(), cluster._child.pid, flush=True)
import os
os.kill(os.getpid(), 9)
"""


def admin_of(bootstrap_servers: str) -> KafkaAdmin:
    return KafkaAdmin(admin_properties(bootstrap_servers, {}, client_id="tests"), SystemClock())


def test_topics_have_the_partitions_asked_for_and_stopping_ends_the_broker() -> None:
    with MockCluster({"a": 3, "b": 1}) as cluster:
        admin = admin_of(cluster.bootstrap_servers)
        admin.wait_ready(5)
        assert {name: info.partitions for name, info in admin.topics(["a", "b"]).items()} == {"a": 3, "b": 1}
    with pytest.raises(SourceUnavailable, match=cluster.bootstrap_servers):
        admin_of(cluster.bootstrap_servers).wait_ready(0.1)


def test_who_has_no_patience_hears_of_a_refused_connection_at_once() -> None:
    with MockCluster({"a": 1}) as cluster:
        address = cluster.bootstrap_servers
    began = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"check kafka\.bootstrap_servers"):
        admin_of(address).wait_ready(30, patient=False)
    assert time.monotonic() - began < 5


def test_the_cluster_does_not_outlive_a_parent_that_is_killed() -> None:
    parent = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, check=False)
    address, _pid = parent.stdout.split()
    with pytest.raises(SourceUnavailable):
        admin_of(address).wait_ready(0.2)


@pytest.mark.parametrize("topic", ["a", "a=", "=3", "a=0", "a=x"])
def test_a_topic_without_a_number_is_refused(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        mock.main(["--topic", topic])
    assert "NAME=PARTITIONS expected" in capsys.readouterr().err
