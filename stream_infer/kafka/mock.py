"""librdkafka's built-in mock cluster in a child process: a broker for the demo and for tests, with nothing to install.

Rule: a toy that speaks the protocol. It keeps everything in memory, drops the oldest data beyond 5 MB (or 100,000
batches) of a partition without a word, and knows neither transactions nor topic administration nor security.

The child ends when its standard input does, so it cannot outlive the process that started it, however that one
ends. Run by hand: ``python -m stream_infer.kafka.mock --topic payments=4`` prints the address and waits.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from confluent_kafka import cimpl

from stream_infer.errors import FatalError

MOCK_CLIENT: Mapping[str, Any] = {"consumer": {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500}}
"""A ``kafka.client`` table for it: the mock's group coordinator takes ``session.timeout.ms`` to rebalance."""

_STOP_TIMEOUT_S = 5.0
_PRODUCER = 0  # rd_kafka_type_t
_ERROR_BYTES = 512


class MockCluster:
    """A mock cluster for as long as the ``with`` block lasts.

    Args:
        topics: name -> number of partitions. Other topics come into being, with four, when they are asked for.
        brokers: number of brokers.
    """

    def __init__(self, topics: Mapping[str, int], brokers: int = 1) -> None:
        self._topics = topics
        self._brokers = brokers
        self._child: subprocess.Popen[str] | None = None
        self.bootstrap_servers = ""

    def start(self) -> str:
        """Start the child; returns ``bootstrap_servers``.

        Raises:
            FatalError: it did not come up.
        """
        arguments = [f"--topic={name}={partitions}" for name, partitions in self._topics.items()]
        self._child = subprocess.Popen(
            [sys.executable, "-m", "stream_infer.kafka.mock", f"--brokers={self._brokers}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": _python_path()},
            # Ctrl-C is for the parent, which stops the child after it has drained.
            start_new_session=True,
        )
        assert self._child.stdout is not None, "opened as a pipe"
        self.bootstrap_servers = self._child.stdout.readline().strip()
        if not self.bootstrap_servers:
            self.stop()
            raise FatalError("the mock cluster did not start; its output above says why")
        return self.bootstrap_servers

    def stop(self) -> None:
        """End the child. Its data is gone."""
        if self._child is None:
            return
        child, self._child = self._child, None
        try:
            child.communicate(timeout=_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a mock cluster until standard input ends."""
    parser = argparse.ArgumentParser(description="A Kafka mock cluster on a free port of 127.0.0.1.")
    parser.add_argument("--topic", action="append", default=[], metavar="NAME=PARTITIONS", help="create this topic")
    parser.add_argument("--brokers", type=int, default=1, help="number of brokers (default: 1)")
    options = parser.parse_args(arguments)
    print(_start_cluster(dict(_topic(parser, text) for text in options.topic), options.brokers), flush=True)
    sys.stdin.read()


def _topic(parser: argparse.ArgumentParser, text: str) -> tuple[str, int]:
    name, _, partitions = text.rpartition("=")
    if not name or not partitions.isdecimal() or int(partitions) < 1:
        parser.error(f"--topic {text}: NAME=PARTITIONS expected")
    return name, int(partitions)


def _start_cluster(topics: Mapping[str, int], brokers: int) -> str:
    """Start a cluster that lives as long as this process; returns its address.

    The functions are librdkafka's own (``rdkafka_mock.h``): the client's extension module is linked with the
    library and passes their names on.
    """
    library = ctypes.CDLL(cimpl.__file__)
    library.rd_kafka_conf_new.restype = ctypes.c_void_p
    library.rd_kafka_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p

    error = ctypes.create_string_buffer(_ERROR_BYTES)
    configuration = ctypes.c_void_p(library.rd_kafka_conf_new())
    # Errors only: it warns that it has no broker to connect to, which is the point.
    library.rd_kafka_conf_set(configuration, b"log_level", b"3", error, _ERROR_BYTES)
    client = ctypes.c_void_p(library.rd_kafka_new(_PRODUCER, configuration, error, _ERROR_BYTES))
    cluster = ctypes.c_void_p(library.rd_kafka_mock_cluster_new(client, brokers))
    if not client.value or not cluster.value:
        raise SystemExit(f"the mock cluster did not start: {error.value.decode()}")
    for name, partitions in topics.items():
        code = library.rd_kafka_mock_topic_create(cluster, name.encode(), partitions, 1)
        if code:
            raise SystemExit(f"the mock cluster did not create topic {name} (code {code})")
    library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0)
    address: bytes = library.rd_kafka_mock_cluster_bootstraps(cluster)
    return address.decode()


def _python_path() -> str:
    """Where the child finds this package, installed or not."""
    ours = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return f"{ours}{os.pathsep}{inherited}" if inherited else ours


if __name__ == "__main__":
    main()
