"""A link passes bytes, goes bad in each way that faults need, and heals."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from integration.faults.toxiproxy import Toxiproxy
from integration.processes import LOOPBACK, free_port

LINK = "link"
TIMEOUT_S = 5.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toxiproxy]:
    with Toxiproxy(tmp_path_factory.mktemp("toxiproxy")) as server:
        yield server


@pytest.fixture(scope="module")
def address(running: Toxiproxy) -> Iterator[tuple[str, int]]:
    """Where a link listens that leads to a server which sends everything back."""
    port = free_port()
    with socket.create_server((LOOPBACK, 0)) as server:
        threading.Thread(target=_serve, args=(server,), daemon=True).start()
        running.add_link(LINK, f"{LOOPBACK}:{port}", f"{LOOPBACK}:{server.getsockname()[1]}")
        yield LOOPBACK, port
        server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(client,), daemon=True).start()


def _echo(client: socket.socket) -> None:
    with client:
        try:
            while chunk := client.recv(4096):
                client.sendall(chunk)
        except OSError:
            return


@pytest.fixture
def toxiproxy(running: Toxiproxy) -> Iterator[Toxiproxy]:
    """The same for all tests; what a test did to the link is mended."""
    yield running
    running.heal(LINK)


def round_trip_s(address: tuple[str, int], timeout_s: float = TIMEOUT_S) -> float:
    began = time.monotonic()
    with socket.create_connection(address, timeout=timeout_s) as connection:
        connection.sendall(b"there and back")
        if connection.recv(100) != b"there and back":
            raise ConnectionResetError("the connection ended")
    return time.monotonic() - began


def test_a_healthy_link_passes_bytes(address: tuple[str, int]) -> None:
    assert round_trip_s(address) < 1


def test_latency_counts_in_both_directions(toxiproxy: Toxiproxy, address: tuple[str, int]) -> None:
    toxiproxy.add_toxic(LINK, "slow", "latency", latency=100, jitter=0)
    assert round_trip_s(address) > 0.19
    toxiproxy.remove_toxic(LINK, "slow")
    assert round_trip_s(address) < 0.19


def test_nothing_leaves_a_black_hole(toxiproxy: Toxiproxy, address: tuple[str, int]) -> None:
    toxiproxy.add_toxic(LINK, "hole", "timeout", timeout=0)
    with pytest.raises(TimeoutError):
        round_trip_s(address, timeout_s=0.3)


@pytest.mark.parametrize("fault", ["reset", "cut"])
def test_connections_end(toxiproxy: Toxiproxy, address: tuple[str, int], fault: str) -> None:
    if fault == "cut":
        toxiproxy.cut(LINK)
    else:
        toxiproxy.add_toxic(LINK, "reset", "reset_peer", timeout=0)
    with pytest.raises(ConnectionError):
        round_trip_s(address)
    toxiproxy.heal(LINK)
    assert round_trip_s(address) < 1


def test_two_toxics_of_one_kind_are_told_apart(toxiproxy: Toxiproxy, address: tuple[str, int]) -> None:
    toxiproxy.add_toxic(LINK, "one", "latency", latency=50, jitter=0)
    toxiproxy.add_toxic(LINK, "two", "latency", latency=50, jitter=0)
    assert round_trip_s(address) > 0.19
    toxiproxy.remove_toxic(LINK, "one")
    assert round_trip_s(address) > 0.09


def test_a_refusal_is_an_error(running: Toxiproxy) -> None:
    with pytest.raises(RuntimeError, match="404"):
        running.cut(f"no-{LINK}")
