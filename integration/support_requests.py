"""A proxy that withholds requests of one kind from a broker: a stage hangs and the others go on.

Rule: a request that is withheld is neither lost nor answered. It reaches the broker when the proxy is told to let it
through, however late and whether or not the client still waits, as on a network that held it back.
"""

from __future__ import annotations

import contextlib
import enum
import select
import socket
import struct
import threading
import time

from integration.proxy import CHUNK_BYTES, LOOK_AGAIN_S, TcpProxy

_HEADER = struct.Struct(">ih")
"""Length of what follows, and the request's kind."""


class Api(enum.IntEnum):
    """Kafka's request kinds, as far as they are withheld here."""

    PRODUCE = 0
    OFFSET_COMMIT = 8
    ADD_OFFSETS_TO_TXN = 25
    END_TXN = 26
    TXN_OFFSET_COMMIT = 28


class RequestProxy(TcpProxy):
    """A `TcpProxy` for unencrypted Kafka connections that understands where a request begins and what kind it is.

    Args:
        upstream: ``host:port`` of the broker.
        listen_port: port to listen on; the broker must advertise it.
    """

    def __init__(self, upstream: str, listen_port: int) -> None:
        self._withheld: frozenset[Api] = frozenset()
        self._waiting: list[tuple[socket.socket, bytes]] = []
        self._gate = threading.RLock()
        self.withheld_requests = 0
        super().__init__(upstream, listen_port)

    def withhold(self, *kinds: Api) -> None:
        """Keep requests of these kinds back from now on; requests of another kind overtake them."""
        with self._gate:
            self._withheld = frozenset(kinds)

    def let_through(self, first: int | None = None) -> None:
        """Send what was kept, in the order in which it came, and keep nothing back from now on.

        With ``first`` only that many requests are sent, and the others stay withheld.
        """
        with self._gate:
            if first is None:
                self._withheld = frozenset()
            waiting, self._waiting = self._waiting[:first], [] if first is None else self._waiting[first:]
            for target, request in waiting:
                # The connection may have ended meanwhile: then the request is lost with it.
                with contextlib.suppress(OSError, ValueError):
                    self._send(target, memoryview(request))

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        if not self._leads_upstream(target):
            super()._pump(source, target)
            return
        with contextlib.suppress(OSError, ValueError):
            unread = b""
            while self._may_pass():
                if not select.select([source], [], [], LOOK_AGAIN_S)[0]:
                    continue
                chunk = source.recv(CHUNK_BYTES)
                if not chunk:
                    self._outlive_client(target)
                    target.shutdown(socket.SHUT_WR)
                    return
                unread = self._pass_requests(unread + chunk, target)

    def _leads_upstream(self, target: socket.socket) -> bool:
        with contextlib.suppress(OSError):
            return bool(target.getpeername() == self._upstream)
        return False

    def _outlive_client(self, target: socket.socket) -> None:
        """Keep the broker's side open for as long as a request for it is withheld."""
        while self._may_pass() and any(waiting is target for waiting, _ in list(self._waiting)):
            time.sleep(LOOK_AGAIN_S)

    def _pass_requests(self, data: bytes, target: socket.socket) -> bytes:
        """Send or keep every complete request; returns the rest."""
        while len(data) >= _HEADER.size:
            length, kind = _HEADER.unpack_from(data)
            end = 4 + length
            if len(data) < end:
                break
            self._pass(data[:end], kind, target)
            data = data[end:]
        return data

    def _pass(self, request: bytes, kind: int, target: socket.socket) -> None:
        with self._gate:
            if kind in self._withheld:
                self._waiting.append((target, request))
                self.withheld_requests += 1
            else:
                self._send(target, memoryview(request))


__all__ = ["Api", "RequestProxy"]
