"""The endpoint on a real loopback socket."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse

import pytest
from prometheus_client import CollectorRegistry, Counter

from stream_infer.errors import ConfigError, FatalError
from stream_infer.observe import http as ops
from stream_infer.observe.health import Health
from stream_infer.observe.http import OpsServer, parse_address
from stream_infer.testing.fakes import FakeClock
from stream_infer.types import ModelIdentity


def healthy(clock: FakeClock) -> Health:
    health = Health("fraud <scorer>", clock)
    health.models_loaded(ModelIdentity("fraud", "7", "ab" * 32, 0.5))
    health.started("fraud-scorer")
    return health


@contextmanager
def serving(health: Health, host: str = "127.0.0.1") -> Iterator[OpsServer]:
    registry = CollectorRegistry()
    Counter("stream_infer_records_polled", "Records.", registry=registry).inc(7)
    server = OpsServer(host, 0, registry, health)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def server() -> Iterator[OpsServer]:
    """The endpoint of a healthy process."""
    with serving(healthy(FakeClock())) as running:
        yield running


def request(server: OpsServer, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(*parse_address(server.address), timeout=5)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def raw(server: OpsServer, data: bytes) -> bytes:
    """What comes back for these bytes, until the server closes."""
    with socket.create_connection(parse_address(server.address), timeout=5) as connection:
        connection.sendall(data)
        received = b""
        while chunk := connection.recv(4096):
            received += chunk
        return received


# ------------------------------------------------------------------ pages


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
def test_metrics_in_the_format_that_is_asked_for(server: OpsServer, accept: str, content_type: str) -> None:
    response, body = request(server, "/metrics?name=ignored", Accept=accept)
    assert response.status == 200
    assert response.headers["Content-Type"].startswith(content_type)
    assert b"stream_infer_records_polled_total 7.0\n" in body


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/startupz"])
def test_a_probe_of_a_healthy_process(server: OpsServer, path: str) -> None:
    response, body = request(server, path)
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(body)["status"] == "ok"


def test_a_broker_outage_leaves_it_live_but_not_ready(clock: FakeClock) -> None:
    health = healthy(clock)
    health.retry_scheduled("poll", 1, 1.0, "all brokers are down")
    clock.advance(11)
    health.ticked(clock.monotonic())

    with serving(health) as server:
        assert request(server, "/livez")[0].status == 200
        response, body = request(server, "/readyz")
    assert response.status == 503
    failing = [check for check in json.loads(body)["checks"] if not check["ok"]]
    assert [check["check"] for check in failing] == ["circuit.poll"]
    assert "all brokers are down" in failing[0]["message"]


def test_the_index_escapes_names(server: OpsServer) -> None:
    response, body = request(server, "/")
    assert response.headers["Content-Security-Policy"] == "default-src 'none'"
    assert b"<h1>fraud &lt;scorer&gt;</h1>" in body
    assert b"<li>fraud 7</li>" in body
    assert b'href="/metrics"' in body


def test_an_unknown_path(server: OpsServer) -> None:
    assert request(server, "/metrics/../etc")[0].status == 404


# ------------------------------------------------------------------ HTTP


def test_head_has_the_headers_of_get_and_no_body(server: OpsServer) -> None:
    get, body = request(server, "/readyz")
    head, nothing = request(server, "/readyz", method="HEAD")
    assert (head.status, head.headers["Content-Length"], nothing) == (200, get.headers["Content-Length"], b"")
    assert len(body) == int(get.headers["Content-Length"])


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_it_only_reads(server: OpsServer, method: str) -> None:
    response, _ = request(server, "/metrics", method=method)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


def test_the_server_does_not_tell_its_version(server: OpsServer) -> None:
    assert request(server, "/")[0].headers["Server"] == "stream-infer"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /livez\r\n\r\n", b"{"),  # HTTP/0.9: no status line
        (b"nonsense\r\n\r\n", b"Error code: 400"),
        (b"GET /livez HTTP/9.9\r\n\r\n", b" 505 "),
        (b"GET /livez HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b" 431 "),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", b" 431 "),
        (b"GET //[ HTTP/1.1\r\n\r\n", b" 404 "),
        (b"GET /livez HTTP/1.1\n\n", b" 200 "),
    ],
)
def test_odd_requests_get_an_answer(server: OpsServer, data: bytes, status: bytes) -> None:
    assert status in raw(server, data)


def test_clients_that_leave_early_are_no_error(server: OpsServer, capfd: pytest.CaptureFixture[str]) -> None:
    for data in (b"", b"GET /met"):
        with socket.create_connection(parse_address(server.address), timeout=5) as connection:
            connection.sendall(data)
    assert request(server, "/livez")[0].status == 200
    assert capfd.readouterr() == ("", "")


def test_a_request_that_trickles_in_is_cut_off(
    server: OpsServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ops, "REQUEST_SECONDS", 0.1)
    with socket.create_connection(parse_address(server.address), timeout=0.01) as connection:
        received = trickle(connection, seconds=2.0)
    assert received == b"", "the server closed without an answer"
    assert request(server, "/livez")[0].status == 200
    assert capfd.readouterr() == ("", "")


def trickle(connection: socket.socket, seconds: float) -> bytes | None:
    """Send a byte whenever nothing came back for the socket's timeout; None where the server never closed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            connection.sendall(b"A")
            return connection.recv(4096)
        except TimeoutError:
            continue
        except ConnectionError:
            return b""
    return None


def test_connections_at_once_are_bounded(server: OpsServer) -> None:
    address = parse_address(server.address)
    held = [socket.create_connection(address, timeout=5) for _ in range(ops.MAX_CONNECTIONS)]
    with socket.create_connection(address, timeout=5) as refused:
        assert b" 503 " in refused.recv(4096)
    for connection in held:
        connection.sendall(b"GET /livez HTTP/1.1\r\n\r\n")
    assert all(b" 200 " in connection.recv(4096) for connection in held)
    for connection in held:
        connection.close()


# ------------------------------------------------------------------ address


def test_stopping_ends_the_thread_and_frees_the_port(clock: FakeClock) -> None:
    before = set(threading.enumerate())
    with serving(healthy(clock)) as server:
        (thread,) = set(threading.enumerate()) - before
        assert thread.name == "ops"
        address = parse_address(server.address)
    assert not thread.is_alive()
    server.stop()  # twice does no harm
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)


def test_it_tells_the_port_the_system_chose(server: OpsServer) -> None:
    host, port = parse_address(server.address)
    assert host == "127.0.0.1"
    assert port > 0


def test_it_listens_on_no_other_address(server: OpsServer) -> None:
    _, port = parse_address(server.address)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


def test_ipv6(clock: FakeClock) -> None:
    with serving(healthy(clock), "::1") as server:
        assert server.address.startswith("[::1]:")
        assert request(server, "/livez")[0].status == 200


def test_a_port_that_is_taken_is_one_sentence(server: OpsServer, clock: FakeClock) -> None:
    _, port = parse_address(server.address)
    second = OpsServer("127.0.0.1", port, CollectorRegistry(), healthy(clock))
    with pytest.raises(FatalError, match=rf"^cannot listen on 127.0.0.1:{port} \(Address already in use\); choose"):
        second.start()


@pytest.mark.parametrize(
    ("address", "parsed"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:9464", ("::1", 9464)),
        ("[::]:65535", ("::", 65535)),
    ],
)
def test_addresses(address: str, parsed: tuple[str, int]) -> None:
    assert parse_address(address) == parsed


NO_ADDRESSES = (
    *("", "9464", ":9464", "localhost", "localhost:", "localhost:http"),
    *("h:65536", "h:-1", "h:²", "::1:9464", "[::1]", "[]:1", "[host]:1"),
)


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ConfigError, match=r"observe.http: .* is no host:port \(write "):
        parse_address(address)
