"""The schema source on a real registry: there, incompatible, down, and hanging."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from integration.processes import free_port
from integration.proxy import Mode, TcpProxy
from integration.registry import LocalRegistry
from integration.topics import unique_name
from stream_infer.clock import SystemClock
from stream_infer.errors import FatalError, RegistryUnavailable
from stream_infer.kafka.registry import ConfluentSchemaSource

CLOCK = SystemClock()
Open = Callable[..., ConfluentSchemaSource]


def schema(*fields: str, kind: str = "int") -> str:
    return json.dumps({"type": "record", "name": "Scored", "fields": [{"name": name, "type": kind} for name in fields]})


@pytest.fixture
def source() -> Iterator[Open]:
    """Opens schema sources; closes them at the end."""
    opened: list[ConfluentSchemaSource] = []

    def start(url: str, *, auto_register: bool = True, timeout_s: float = 5) -> ConfluentSchemaSource:
        opened.append(ConfluentSchemaSource(url, {}, auto_register, timeout_s))
        return opened[-1]

    yield start
    for made in opened:
        made.close()


def test_a_schema_is_registered_once_and_found_by_its_id(registry: LocalRegistry, source: Open) -> None:
    subject = f"{unique_name('scored')}-value"
    schema_id = source(registry.url).register(subject, schema("a"))
    assert source(registry.url).register(subject, schema("a")) == schema_id
    assert source(registry.url, auto_register=False).register(subject, schema("a")) == schema_id
    text = source(registry.url).by_id(schema_id)
    assert text is not None
    assert json.loads(text)["fields"] == [{"name": "a", "type": "int"}]


def test_what_the_registry_does_not_know_is_none(registry: LocalRegistry, source: Open) -> None:
    assert source(registry.url).by_id(2_000_000_000) is None
    assert source(registry.url).by_guid("00000000-0000-0000-0000-000000000000") is None


def test_a_schema_that_is_not_registered_is_fatal_where_it_must_not_be(registry: LocalRegistry, source: Open) -> None:
    subject = f"{unique_name('scored')}-value"
    locked = source(registry.url, auto_register=False)
    with pytest.raises(FatalError, match=rf"{subject}.*auto_register"):
        locked.register(subject, schema("a"))
    source(registry.url).register(subject, schema("a"))
    with pytest.raises(FatalError, match=subject):
        locked.register(subject, schema("a", "b"))


def test_an_incompatible_schema_is_fatal(registry: LocalRegistry, source: Open) -> None:
    subject = f"{unique_name('scored')}-value"
    registered = source(registry.url)
    registered.register(subject, schema("a"))
    # Apicurio checks nothing unless it is told to.
    registered._client.set_compatibility(subject, "BACKWARD")
    with pytest.raises(FatalError, match="incompatible"):
        registered.register(subject, schema("a", kind="string"))


def test_a_wrong_path_is_not_taken_for_unknown_schemas(registry: LocalRegistry, source: Open) -> None:
    with pytest.raises(RegistryUnavailable, match="check the path"):
        source(f"http://{registry.address}/nothing/here").by_id(1)


def test_a_registry_that_is_down_may_come_back(source: Open) -> None:
    with pytest.raises(RegistryUnavailable, match="ConnectError"):
        source(f"http://127.0.0.1:{free_port()}").by_id(1)


def test_a_registry_that_hangs_ends_at_the_timeout_and_works_again(
    registry: LocalRegistry, tcp_proxy: Callable[..., TcpProxy], source: Open
) -> None:
    schema_id = source(registry.url).register(f"{unique_name('scored')}-value", schema("a"))
    proxy = tcp_proxy(registry.address)
    behind = source(registry.url_at(proxy.address), timeout_s=1)
    proxy.mode = Mode.BLACK_HOLE
    began = CLOCK.monotonic()
    with pytest.raises(RegistryUnavailable, match="no answer in 1 s"):
        behind.by_id(schema_id)
    assert CLOCK.monotonic() - began < 2
    proxy.mode = Mode.PASS
    assert behind.by_id(schema_id) is not None
