"""Fixtures for tests against real components.

Rule: a component that is missing fails the session with a sentence that says what to install; nothing is skipped.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from integration.artifacts import KAFKA_VERSION, ComponentUnavailable
from integration.brokers import DOCKER_IMAGE, DOCKER_KAFKA_VERSION, Kafka, LocalKafka, choose_kafka, running_kafka
from integration.proxy import TcpProxy
from integration.registry import LocalRegistry
from integration.scenario import Scenario
from integration.topics import Topics

KIND = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Choose the broker before anything runs, and make SIGTERM end the session in order, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        config.stash[KIND] = choose_kafka()
    except ComponentUnavailable as error:
        raise pytest.UsageError(str(error)) from error


def pytest_report_header(config: pytest.Config) -> str:
    """Say which broker the session uses."""
    described = {
        "given": "the one given by STREAM_INFER_TEST_KAFKA",
        "docker": f"{DOCKER_KAFKA_VERSION} in Docker ({DOCKER_IMAGE})",
        "process": f"{KAFKA_VERSION}, a local process",
    }
    return f"kafka: {described[config.stash[KIND]]}"


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """The session's broker. Tests that stop or freeze a broker take `start_kafka` instead."""
    with running_kafka(request.config.stash[KIND], tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture(scope="session")
def topics(kafka: Kafka) -> Iterator[Topics]:
    """Creates topics on the session's broker; deletes them at the end."""
    created = Topics(kafka.bootstrap_servers)
    yield created
    created.delete_all()


@pytest.fixture(scope="session")
def local_kafka(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """The session's broker where it is a process of ours, else one more that is."""
    if kafka.local is not None:
        yield kafka.local
        return
    with LocalKafka(tmp_path_factory.mktemp("local-kafka")) as local:
        yield local


@pytest.fixture(scope="session")
def secured_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker with a SASL_SSL listener, users and ACLs that allow nothing yet."""
    with LocalKafka(tmp_path_factory.mktemp("secured-kafka"), sasl_ssl=True, heap="256m") as local:
        yield local


@pytest.fixture
def start_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LocalKafka]]:
    """Starts brokers of a test's own; takes the options of `LocalKafka`."""
    started: list[LocalKafka] = []

    def start(**options: Any) -> LocalKafka:
        local = LocalKafka(tmp_path_factory.mktemp("own-kafka"), **options)
        started.append(local)
        local.start()
        return local

    yield start
    for local in started:
        local.stop()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRegistry]:
    """The session's schema registry. Schemas stay: use unique subjects."""
    with LocalRegistry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def make_scenario(
    kafka: Kafka, topics: Topics, registry: LocalRegistry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Scenario]]:
    """Makes scenarios on the session's broker and registry; takes the options of `Scenario`."""
    with contextlib.ExitStack() as made:

        def make(**options: Any) -> Scenario:
            directory = tmp_path_factory.mktemp("scenario")
            scenario = Scenario(directory, kafka.bootstrap_servers, topics, registry, **options)
            return made.enter_context(scenario)

        yield make


@pytest.fixture
def tcp_proxy() -> Iterator[Callable[..., TcpProxy]]:
    """Makes proxies; takes the arguments of `TcpProxy`."""
    made: list[TcpProxy] = []

    def make(upstream: str, listen_port: int = 0) -> TcpProxy:
        made.append(TcpProxy(upstream, listen_port))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


@pytest.fixture
def kafka_proxy(local_kafka: LocalKafka, tcp_proxy: Callable[..., TcpProxy]) -> TcpProxy:
    """A proxy before `local_kafka`. Clients that start at its ``address`` stay behind it."""
    advertised_port = int(local_kafka.advertised_address.rsplit(":", 1)[1])
    return tcp_proxy(local_kafka.proxied_address, advertised_port)
