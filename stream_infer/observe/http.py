"""The operations endpoint: metrics and health over HTTP, for machines on a trusted network.

Rule: nothing a client does can hurt the scoring. It reads only, answers one request a connection, and everything is
bounded: the size of a request, the time for it as a whole, and the connections at once. It listens on exactly the
address it was given.
"""

from __future__ import annotations

import html
import io
import json
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from stream_infer import __version__
from stream_infer.errors import ConfigError, ConfigProblem, FatalError
from stream_infer.observe.health import Health, Report

logger = logging.getLogger("stream_infer.observe")

MAX_REQUEST_BYTES = 8192
"""Request line and headers. Prometheus sends some 300 bytes."""
REQUEST_SECONDS = 5.0
"""To receive a request, and again to send its answer. A scrape takes milliseconds."""
MAX_CONNECTIONS = 16
"""Requests at once; the next is told to come back. Two Prometheus servers and the probes need five."""
CLOSE_SECONDS = 0.5
"""How long to wait for a client to close first; closing with bytes unread would make it lose the answer."""

TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Page:
    """An answer: status code, body and headers."""

    code: int
    content_type: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def parse_address(address: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[ipv6]:port``; port 0 lets the system choose.

    Raises:
        ConfigError: it is neither.
    """
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not (colon and bare and port.isascii() and port.isdigit() and int(port) < 65536) or (":" in bare) != bracketed:
        hint = 'write "127.0.0.1:9464", "[::1]:9464", or "0.0.0.0:9464" for every address'
        raise ConfigError([ConfigProblem("observe.http", f"{address!r} is no host:port", hint)])
    return bare, int(port)


def respond(path: str, accept: str, registry: CollectorRegistry, health: Health) -> Page:
    """The page at ``path`` (without query), for a client that takes ``accept``."""
    probes: dict[str, Callable[[], Report]] = {
        "/livez": health.live,
        "/readyz": health.ready,
        "/startupz": health.startup,
    }
    if path in probes:
        return _probe(probes[path]())
    if path == "/metrics":
        encode, content_type = choose_encoder(accept)
        return Page(200, content_type, encode(registry))
    if path == "/":
        return _index(health)
    return Page(404, TEXT, b"not found; see /\n")


def _probe(report: Report) -> Page:
    body = json.dumps(report.as_dict(), indent=2) + "\n"
    return Page(200 if report.ok else 503, "application/json", body.encode(), {"Cache-Control": "no-store"})


def _index(health: Health) -> Page:
    name = html.escape(health.name)
    models = "".join(f"<li>{html.escape(model.name)} {html.escape(model.version)}</li>" for model in health.models)
    links = "".join(f'<li><a href="{path}">{path}</a></li>' for path in ("/metrics", "/livez", "/readyz", "/startupz"))
    body = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><h1>{name}</h1>'
        f"<p>stream_infer {html.escape(__version__)}</p><h2>Models</h2><ul>{models}</ul>"
        f"<h2>Pages</h2><ul>{links}</ul></html>\n"
    )
    headers = {"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff"}
    return Page(200, "text/html; charset=utf-8", body.encode(), headers)


def _read_head(connection: socket.socket) -> bytes | None:
    """Request line and headers, or None when they are larger than `MAX_REQUEST_BYTES`; b"" when the client left.

    Raises TimeoutError after `REQUEST_SECONDS`.

    One deadline for all of it: a timeout for each read would let a client send a byte every few seconds for ever.
    """
    deadline = time.monotonic() + REQUEST_SECONDS
    head = b""
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        if len(head) > MAX_REQUEST_BYTES:
            return None
        remaining_s = deadline - time.monotonic()
        if remaining_s <= 0:
            raise TimeoutError(f"no complete request within {REQUEST_SECONDS:g} s")
        connection.settimeout(remaining_s)
        received = connection.recv(4096)
        if not received:
            return b""
        head += received
    return head


class _Handler(BaseHTTPRequestHandler):
    """Reads one request and answers it."""

    server: _Server
    # So that the answer to a request that cannot even be parsed has a form.
    command = ""
    requestline = ""
    request_version = "HTTP/1.0"

    def handle(self) -> None:
        head = _read_head(self.connection)
        self.connection.settimeout(REQUEST_SECONDS)
        if head is None:
            self._send(Page(431, TEXT, b"request too large\n"))
        elif head:
            self.rfile = io.BufferedReader(io.BytesIO(head))
            self.raw_requestline = self.rfile.readline()
            if self.parse_request():
                self._send(self._page())

    def _page(self) -> Page:
        if self.command not in ("GET", "HEAD"):
            return Page(405, TEXT, b"only GET and HEAD\n", {"Allow": "GET, HEAD"})
        path = self.path.partition("?")[0]
        return respond(path, self.headers.get("Accept", ""), self.server.registry, self.server.health)

    def _send(self, page: Page) -> None:
        self.send_response(page.code)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.send_header("Connection", "close")
        for name, value in page.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)

    def version_string(self) -> str:
        """The Server header: no version numbers to go by."""
        return "stream-infer"

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are of interest to debugging only; the base would print them."""
        logger.debug("http request answered", extra={"client": self.client_address[0], "request": format % args})


class _Server(socketserver.TCPServer):
    """Accepts connections, each served by a thread of its own, `MAX_CONNECTIONS` at most."""

    allow_reuse_address = True  # a restart need not wait for the old connections to time out
    request_queue_size = 64

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health) -> None:
        self.registry = registry
        self.health = health
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        if self.address_family == socket.AF_INET6:
            # Else "[::]" would listen on every IPv4 address as well.
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._free.acquire(blocking=False):
            threading.Thread(
                target=self._serve, args=(request, client_address), name="ops-request", daemon=True
            ).start()
            return
        request.settimeout(CLOSE_SECONDS)
        request.sendall(b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
        request.close()

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
            _close_in_order(request)
        except OSError as error:  # a client that hangs up or lingers is no error of ours
            logger.debug(
                "http client gave up or was too slow", extra={"client": client_address[0], "error": str(error)}
            )
        finally:
            request.close()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An error while accepting (the client is gone already); the base would print a traceback."""
        logger.debug("http connection failed", extra={"client": client_address[0]}, exc_info=True)


def _close_in_order(connection: socket.socket) -> None:
    """Say that the answer is complete, then wait a moment for the client to close."""
    connection.shutdown(socket.SHUT_WR)
    connection.settimeout(CLOSE_SECONDS)
    deadline = time.monotonic() + CLOSE_SECONDS
    while connection.recv(4096) and time.monotonic() < deadline:
        pass


class OpsServer:
    """Serves ``/metrics``, ``/livez``, ``/readyz``, ``/startupz`` and an index from the thread ``ops``.

    Args:
        host: address or name to listen on.
        port: port; 0 lets the system choose, see `address`.
        registry: what ``/metrics`` shows.
        health: what the probes show.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry, health: Health) -> None:
        self._host = host
        self._port = port
        self._registry = registry
        self._health = health
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """``host:port`` with the port in use; brackets round an IPv6 address."""
        port = self._port if self._server is None else self._server.server_address[1]
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{port}"

    def start(self) -> None:
        """Listen and serve.

        Raises:
            FatalError: the address is taken, unknown, or not allowed.
        """
        try:
            self._server = _Server(self._host, self._port, self._registry, self._health)
        except OSError as error:
            reason = error.strerror or str(error)
            message = f"cannot listen on {self.address} ({reason}); choose another observe.http or free this one"
            raise FatalError(message) from error
        # The interval bounds how long `stop` waits.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="ops", daemon=True)
        self._thread.start()
        logger.info("operations endpoint opened", extra={"url": f"http://{self.address}/"})

    def stop(self) -> None:
        """Stop listening. Answers under way are finished by their own threads."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = self._thread = None
