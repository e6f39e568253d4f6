"""Processes of real components: started, waited for, stopped by their own id.

Rule: a process is only ever signalled through the object that started it, and ends with this interpreter
whatever happens to it (see `integration.guard`). Everything listens on 127.0.0.1.
"""

from __future__ import annotations

import abc
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"
GUARD = Path(__file__).with_name("guard.py")


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def free_ports(count: int) -> list[int]:
    """``count`` different free ports."""
    probes = [socket.create_server((LOOPBACK, 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class GuardedProcess:
    """A running command with its output in a file.

    Args:
        command: program and arguments.
        log: file that standard output and standard error are appended to.
        environment: variables set on top of this process's own.
    """

    def __init__(self, command: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as output:
            self._guard = subprocess.Popen(
                [sys.executable, GUARD, *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env={**os.environ, **(environment or {})},
                # Ctrl-C is for the starter, which then stops its processes in order.
                start_new_session=True,
            )
        assert self._guard.stdout is not None
        self.pid = int(self._guard.stdout.readline())

    @property
    def running(self) -> bool:
        """True until the command has ended."""
        return self._guard.poll() is None

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until ``ready()``.

        Raises:
            RuntimeError: the command ended first. Its last words are in the message.
            TimeoutError: it is not ready after ``timeout_s``.
        """
        give_up = time.monotonic() + timeout_s
        while not ready():
            if not self.running:
                raise RuntimeError(f"the process ended with code {self._guard.returncode}:\n{self._last_words()}")
            if time.monotonic() > give_up:
                raise TimeoutError(f"not ready after {timeout_s:.0f} s; see {self.log}:\n{self._last_words()}")
            time.sleep(0.05)

    def stop(self, timeout_s: float = 30.0) -> None:
        """End the command with SIGTERM, and with SIGKILL after ``timeout_s``. Does nothing when it has ended."""
        if self.running:
            self.send(signal.SIGTERM)
        try:
            self._guard.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
        self._close_pipes()

    def send(self, number: signal.Signals) -> bool:
        """Send a signal and return at once; False where the command has ended, which its guard sees a moment later."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """End the command with SIGKILL, as a crash would."""
        if self.running:
            self.send(signal.SIGKILL)
        self._guard.wait()
        self._close_pipes()

    def pause(self) -> None:
        """Stop the command where it is (SIGSTOP): connections stay, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused command go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _close_pipes(self) -> None:
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None:
                pipe.close()

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])


class Component(abc.ABC):
    """Something made of such processes. A context manager: started on entry, stopped on exit."""

    @abc.abstractmethod
    def start(self, timeout_s: float = 90.0) -> None:
        """Start it and wait until it answers."""

    @abc.abstractmethod
    def stop(self) -> None:
        """End whatever of it runs."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
