"""A real Apache Kafka: given by address, in Docker, or as a plain Java process.

Rule: the first of the three that is to be had is used, in that order, and said out loud; with none of them the
caller gets a `ComponentUnavailable` that names what to install. A broker is never silently left out.

Run as a program (``python -m integration.brokers``) it starts a broker to play with and stops it on Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

from integration.artifacts import KAFKA_JAVA, KAFKA_VERSION, ComponentUnavailable, find_java, kafka_jars
from integration.local_kafka import COMMON_SETTINGS, LocalKafka, replication_settings
from integration.processes import LOOPBACK, free_port
from integration.registry import LocalRegistry

GIVEN_ADDRESS = "STREAM_INFER_TEST_KAFKA"
DOCKER_IMAGE = "confluentinc/cp-kafka:8.1.0"
DOCKER_KAFKA_VERSION = "4.1.0"
DOCKER_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Kafka:
    """A broker in use by a test session. ``local`` is there when it is a process of ours."""

    kind: str
    """``given``, ``docker`` or ``process``."""
    version: str
    bootstrap_servers: str
    local: LocalKafka | None = None


def choose_kafka() -> str:
    """Which kind of broker is to be had: ``given``, ``docker`` or ``process``.

    Raises:
        ComponentUnavailable: none; says what to install.
    """
    if os.environ.get(GIVEN_ADDRESS):
        return "given"
    if docker_answers():
        return "docker"
    try:
        find_java(KAFKA_JAVA)
        kafka_jars()
    except ComponentUnavailable as error:
        raise ComponentUnavailable(
            f"No Kafka for the tests. Any one of these will do: {GIVEN_ADDRESS}=host:port, a running Docker engine, "
            f"or Java {KAFKA_JAVA} with Maven.\n{GIVEN_ADDRESS} is not set; no Docker engine answers; {error}"
        ) from error
    return "process"


def docker_answers() -> bool:
    """True when a Docker engine can be used."""
    # Where no engine listens, the client forgets to close the socket it tried. It is collected here, so that the
    # warning does not turn up in a test that has nothing to do with it.
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        answers = _ping_docker()
        gc.collect()
    return answers


def _ping_docker() -> bool:
    try:
        with contextlib.closing(docker.from_env(timeout=DOCKER_TIMEOUT_S)) as client:
            return bool(client.ping())
    except DockerException:
        return False


@contextlib.contextmanager
def running_kafka(kind: str, directory: Path) -> Iterator[Kafka]:
    """A broker of the kind `choose_kafka` found, for as long as the block runs."""
    if kind == "given":
        yield Kafka(kind, "of unknown version", os.environ[GIVEN_ADDRESS])
    elif kind == "docker":
        with _docker_kafka() as kafka:
            yield kafka
    else:
        with LocalKafka(directory) as local:
            yield Kafka(kind, KAFKA_VERSION, local.bootstrap_servers, local)


@contextlib.contextmanager
def _docker_kafka() -> Iterator[Kafka]:
    # Imported late: it looks for an engine.
    from testcontainers.community.kafka import KafkaContainer

    container = KafkaContainer(DOCKER_IMAGE).with_kraft()
    for key, value in (COMMON_SETTINGS | replication_settings(nodes=1)).items():
        container.with_env("KAFKA_" + key.upper().replace(".", "_"), value)
    with container:
        yield Kafka("docker", DOCKER_KAFKA_VERSION, container.get_bootstrap_server())


def main(arguments: Sequence[str] | None = None) -> int:
    """Start a broker (and a schema registry), print where, and wait for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="make kafka", description="A real local Kafka to play with.")
    parser.add_argument("--port", type=int, default=9092, help="port of the broker; a free one when it is taken")
    parser.add_argument("--registry", action="store_true", help="start a schema registry, too")
    parser.add_argument("--registry-port", type=int, default=8081, help="port of the registry")
    options = parser.parse_args(arguments)
    # Set both, since a shell starts a background job with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    directory = Path(tempfile.mkdtemp(prefix="stream-infer-kafka."))
    try:
        _play(directory, options)
    except KeyboardInterrupt:
        print("\nstopped")
    except (ComponentUnavailable, RuntimeError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


def _play(directory: Path, options: argparse.Namespace) -> None:
    with LocalKafka(directory, port=_port_or_free(options.port)) as kafka:
        print(f"Kafka {KAFKA_VERSION}: {kafka.bootstrap_servers}", flush=True)
        if not options.registry:
            _wait_for_interrupt()
        with LocalRegistry(directory, port=_port_or_free(options.registry_port)) as registry:
            print(f"Schema registry (Apicurio {registry.version}): {registry.url}", flush=True)
            _wait_for_interrupt()


def _port_or_free(port: int) -> int:
    """``port`` where nobody listens on it (0: any), else a free one."""
    try:
        with socket.create_server((LOOPBACK, port)) as probe:
            return int(probe.getsockname()[1])
    except OSError:
        return free_port()


def _wait_for_interrupt() -> None:
    print("Ctrl-C stops it; its data is thrown away then.", flush=True)
    threading.Event().wait()


__all__ = ["Kafka", "LocalKafka", "choose_kafka", "docker_answers", "running_kafka"]

if __name__ == "__main__":
    sys.exit(main())
