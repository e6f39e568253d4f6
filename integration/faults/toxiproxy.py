"""Toxiproxy: a network between the replicas and the brokers that can be made bad, link by link.

Rule: a link is one proxy, from one lane of clients to one node. A link is healthy unless something was done to it
since the last `heal`, and nothing here decides when that is.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from integration.artifacts import toxiproxy_server
from integration.processes import LOOPBACK, GuardedProcess, free_port

_TIMEOUT_S = 5.0
_DIRECTIONS = ("upstream", "downstream")


class Toxiproxy:
    """A running server of Toxiproxy. A context manager.

    Args:
        directory: gets its log.

    Raises:
        ComponentUnavailable: it is not built yet and cannot be.
    """

    def __init__(self, directory: Path) -> None:
        self._port = free_port()
        command: list[str | Path] = [toxiproxy_server(), "-host", LOOPBACK, "-port", str(self._port)]
        # By default it logs every connection, and below "error" every one that it was told to break.
        self._process = GuardedProcess(command, directory / "toxiproxy.log", {"LOG_LEVEL": "error"})
        self._process.wait_until(self._answers, 20)

    def add_link(self, name: str, listen: str, upstream: str) -> None:
        """Make a healthy link ``name``: who connects to ``listen`` speaks to ``upstream`` (both ``host:port``)."""
        self._ask("POST", "/proxies", {"name": name, "listen": listen, "upstream": upstream, "enabled": True})

    def add_toxic(self, link: str, name: str, kind: str, **attributes: int) -> None:
        """Make both directions of a link bad in the same way.

        Args:
            link: its name.
            name: to remove the toxic by; no other on the link has it.
            kind: ``latency`` (``latency``, ``jitter`` in ms), ``bandwidth`` (``rate`` in KB/s), ``timeout``
                (``timeout`` in ms; 0: nothing passes and connections stay open), ``reset_peer`` (``timeout``).
            attributes: of the toxic.
        """
        for stream in _DIRECTIONS:
            toxic = {"name": f"{name}-{stream}", "type": kind, "stream": stream, "attributes": attributes}
            self._ask("POST", f"/proxies/{link}/toxics", toxic)

    def remove_toxic(self, link: str, name: str) -> None:
        """Take a toxic away."""
        for stream in _DIRECTIONS:
            self._ask("DELETE", f"/proxies/{link}/toxics/{name}-{stream}")

    def cut(self, link: str) -> None:
        """Close a link's connections and refuse new ones."""
        self._ask("POST", f"/proxies/{link}", {"enabled": False})

    def join(self, link: str) -> None:
        """Take connections again."""
        self._ask("POST", f"/proxies/{link}", {"enabled": True})

    def heal(self, link: str) -> None:
        """Make a link healthy, whatever was done to it."""
        for toxic in self._ask("GET", f"/proxies/{link}/toxics"):
            self._ask("DELETE", f"/proxies/{link}/toxics/{toxic['name']}")
        self.join(link)

    def close(self) -> None:
        """End the server."""
        self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answers(self) -> bool:
        try:
            self._ask("GET", "/proxies")
        except OSError:
            return False
        return True

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One call of its HTTP API; what it answers, None for nothing."""
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=_TIMEOUT_S)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"toxiproxy refused {method} {path}: {answer.status} {text[:200]!r}")
        return json.loads(text) if text else None


__all__ = ["Toxiproxy"]
