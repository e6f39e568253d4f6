"""A TCP proxy that can go bad: what a network does to a client, on demand.

Rule: bytes are never lost or reordered by the proxy itself. `Mode.BLACK_HOLE` holds them back, so that a
connection goes on where it stopped once the mode is `Mode.PASS` again; `Mode.RESET` ends connections the rude way.
"""

from __future__ import annotations

import contextlib
import enum
import select
import socket
import struct
import threading

from integration.processes import LOOPBACK

CHUNK_BYTES = 65536
LOOK_AGAIN_S = 0.2
"""How often a quiet connection checks whether it is to end."""


class Mode(enum.Enum):
    """What happens to connections, old and new."""

    PASS = "pass"
    """Bytes flow."""
    BLACK_HOLE = "black_hole"
    """Connections are accepted and stay open, and nothing arrives anywhere."""
    RESET = "reset"
    """Every connection ends with a TCP reset, new ones as soon as they are made."""


class TcpProxy:
    """Listens on the loopback interface and passes bytes on to ``upstream``.

    Args:
        upstream: ``host:port`` to connect to, once for each connection accepted.
        listen_port: port to listen on; 0 takes a free one.
    """

    def __init__(self, upstream: str, listen_port: int = 0) -> None:
        host, port = upstream.rsplit(":", 1)
        self._upstream = (host, int(port))
        self._listener = socket.create_server((LOOPBACK, listen_port))
        self.port = int(self._listener.getsockname()[1])
        self._mode = Mode.PASS
        self._changed = threading.Condition()
        self._open = True
        self._connections: set[socket.socket] = set()
        self._acceptor = threading.Thread(target=self._accept, name=f"proxy-{self.port}", daemon=True)
        self._acceptor.start()

    @property
    def address(self) -> str:
        """``host:port`` for clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def mode(self) -> Mode:
        """What happens to connections now."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        with self._changed:
            self._mode = mode
            self._changed.notify_all()
        if mode is Mode.RESET:
            self._reset_all()

    def close(self) -> None:
        """Stop listening and reset every connection."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        # Closing a listener does not wake a thread that waits in accept on it; shutting it down does.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        self._reset_all()

    def _accept(self) -> None:
        while self._open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name=f"proxy-{self.port}-c", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._changed:
            self._connections.add(client)
        if not self._may_pass():
            self._reset(client)
            return
        try:
            server = socket.create_connection(self._upstream, timeout=5)
        except OSError:
            self._reset(client)
            return
        with self._changed:
            self._connections.add(server)
        for end in (client, server):
            end.setblocking(False)
        back = threading.Thread(target=self._pump, args=(server, client), name=f"proxy-{self.port}-s", daemon=True)
        back.start()
        self._pump(client, server)
        back.join()
        for end in (client, server):
            self._reset(end)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        """Copy until either side ends or the connection is to be reset; an orderly end is passed on."""
        # A socket that another thread closes in between is an OSError or a ValueError (file descriptor -1).
        with contextlib.suppress(OSError, ValueError):
            while self._may_pass():
                if not _ready([source], []):
                    continue
                chunk = source.recv(CHUNK_BYTES)
                if not chunk:
                    target.shutdown(socket.SHUT_WR)
                    return
                self._send(target, memoryview(chunk))

    def _send(self, target: socket.socket, rest: memoryview) -> None:
        while rest and self._may_pass():
            if _ready([], [target]):
                rest = rest[target.send(rest) :]

    def _may_pass(self) -> bool:
        """Wait out a black hole. False when the connection is to be reset."""
        with self._changed:
            while self._open and self._mode is Mode.BLACK_HOLE:
                self._changed.wait()
            return self._open and self._mode is Mode.PASS

    def _reset_all(self) -> None:
        with self._changed:
            connections = list(self._connections)
        for connection in connections:
            self._reset(connection)

    def _reset(self, connection: socket.socket) -> None:
        """Close with a TCP reset: with a linger time of 0 the kernel drops what is queued and sends RST."""
        with self._changed:
            if connection not in self._connections:
                connection.close()
                return
            self._connections.discard(connection)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def _ready(readers: list[socket.socket], writers: list[socket.socket]) -> bool:
    """True when one of them can be used without waiting."""
    return any(select.select(readers, writers, [], LOOK_AGAIN_S))
