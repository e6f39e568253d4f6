"""The registry client against the in-memory registry, and against HTTP servers that answer badly or not at all."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient

from stream_infer.errors import ConfigError, FatalError, NotAuthorized, RegistryUnavailable, StreamInferError
from stream_infer.kafka.registry import ConfluentSchemaSource

SCHEMA = '{"type": "record", "name": "Event", "fields": [{"name": "x", "type": "int"}]}'

Serve = Callable[[int, object], str]


class Server:
    """Answers every request with one status and one body; counts the requests."""

    def __init__(self, status: int, body: object) -> None:
        self.requests = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the base class wants this name
                server.requests += 1
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[[int, object], Server]]:
    servers: list[Server] = []

    def start(status: int, body: object) -> Server:
        servers.append(Server(status, body))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def source(url: str, *, auto_register: bool = False, timeout_s: float = 2.0) -> ConfluentSchemaSource:
    return ConfluentSchemaSource(url, {}, auto_register, timeout_s)


def test_a_registered_schema_is_found_by_id() -> None:
    registry = source("mock://by-id", auto_register=True)
    schema_id = registry.register("out-value", SCHEMA)
    assert json.loads(registry.by_id(schema_id) or "") == json.loads(SCHEMA)
    assert registry.register("out-value", SCHEMA) == schema_id


def test_a_registered_schema_is_found_by_guid() -> None:
    registry = source("mock://by-guid", auto_register=True)
    registry.register("out-value", SCHEMA)
    client: SchemaRegistryClient = registry._client
    guid = client.register_schema_full_response("out-value", Schema(SCHEMA, "AVRO")).guid
    assert guid is not None
    assert json.loads(registry.by_guid(guid) or "") == json.loads(SCHEMA)


def test_what_the_registry_does_not_know_is_none() -> None:
    registry = source("mock://unknown")
    assert registry.by_id(99) is None
    assert registry.by_guid("00000000-0000-0000-0000-000000000000") is None


def test_an_output_schema_that_is_not_registered_is_fatal_where_registering_is_not_allowed() -> None:
    with pytest.raises(FatalError, match=r"out-value.*auto_register"):
        source("mock://locked").register("out-value", SCHEMA)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_final(serve: Callable[[int, object], Server], status: int) -> None:
    with pytest.raises(NotAuthorized, match=str(status)):
        source(serve(status, {"error_code": status, "message": "no"}).url).by_id(1)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_trouble_of_the_registry_may_pass_and_is_asked_once(
    serve: Callable[[int, object], Server], status: int
) -> None:
    server = serve(status, {"error_code": status, "message": "later"})
    with pytest.raises(RegistryUnavailable):
        source(server.url).by_id(1)
    assert server.requests == 1


def test_an_unknown_schema_is_told_from_an_address_without_a_registry(
    serve: Callable[[int, object], Server],
) -> None:
    assert source(serve(404, {"error_code": 40403, "message": "Schema not found"}).url).by_id(1) is None
    with pytest.raises(RegistryUnavailable, match="check the path"):
        source(serve(404, {"error_code": 404, "message": "Not found"}).url).by_id(1)


def test_a_registry_without_guids_knows_none(serve: Callable[[int, object], Server]) -> None:
    assert source(serve(404, b"<html>").url).by_guid("00000000-0000-0000-0000-000000000000") is None


def test_an_answer_that_is_not_json_may_pass(serve: Callable[[int, object], Server]) -> None:
    with pytest.raises(RegistryUnavailable, match="not JSON"):
        source(serve(200, b"<html>hello</html>").url).by_id(1)


def test_a_schema_of_another_kind_is_not_known(serve: Callable[[int, object], Server]) -> None:
    server = serve(200, {"schema": "syntax = 'proto3';", "schemaType": "PROTOBUF"})
    assert source(server.url).by_id(1) is None


def test_a_schema_is_fetched_once(serve: Callable[[int, object], Server]) -> None:
    server = serve(200, {"schema": SCHEMA})
    registry = source(server.url)
    assert registry.by_id(1) == registry.by_id(1) == SCHEMA
    assert server.requests == 1


@pytest.mark.parametrize("status", [409, 422])
def test_a_schema_that_cannot_be_registered_is_fatal(serve: Callable[[int, object], Server], status: int) -> None:
    server = serve(status, {"error_code": status, "message": "no"})
    with pytest.raises(FatalError, match="out-value"):
        source(server.url, auto_register=True).register("out-value", SCHEMA)


def test_a_registry_that_is_away_may_come_back() -> None:
    with pytest.raises(RegistryUnavailable, match=r"127\.0\.0\.1:1 failed: ConnectError"):
        source("http://127.0.0.1:1").by_id(1)


def test_the_password_in_an_address_is_not_shown() -> None:
    with pytest.raises(StreamInferError) as caught:
        source("http://user:hunter2@127.0.0.1:1").by_id(1)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError) as refused:
        source("ftp://user:hunter2@127.0.0.1:1")
    assert "hunter2" not in str(refused.value)


def test_a_registry_that_never_answers_is_given_up_and_told_of() -> None:
    told: list[float] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        asked = ConfluentSchemaSource(url, {}, False, 0.1, told.append)
        with pytest.raises(RegistryUnavailable, match=r"schema id 7 at http://127.* failed: no answer in 0.1 s"):
            asked.by_id(7)
    assert told == [0.1]


@pytest.mark.parametrize("key", ["url", "timeout", "max.retries"])
def test_a_managed_property_names_the_key_that_governs_it(key: str) -> None:
    with pytest.raises(ConfigError, match=r"schema_registry\.url|timeouts\.registry_seconds"):
        ConfluentSchemaSource("mock://managed", {key: 1}, False, 1.0)
