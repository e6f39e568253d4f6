"""Replicas of the real program, started again whenever they end, as Kubernetes would.

Rule: a replica is what stays; the processes it has one after the other are its lives. Nothing waits here: `tend` is
called often, and does what is due.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

from integration.support_program import Program

_RESTART_DELAY_S = 0.7
_END_POLL_S = 0.02
_WORDS = 12


class Replica:
    """One replica of the service: its config, and the process it has now, if any.

    Args:
        name: of the replica; its logs are called ``NAME-LIFE.err``.
        config: its config file.
        package: directory to import `stream_infer` from before any other; None for the installed one.
    """

    def __init__(self, name: str, config: Path, package: Path | None = None) -> None:
        self.name = name
        self.exit_codes: list[int] = []
        self._config = config
        self._environment: dict[str, str] = {}
        if package is not None:
            # Without the safe path the working directory, where another `stream_infer` is, would come first.
            self._environment = {"PYTHONPATH": str(package), "PYTHONSAFEPATH": "1"}
        self._program: Program | None = None
        self._lives: list[Program] = []
        self._wanted = False
        self._start_at = 0.0
        # A second SIGTERM means to stop at once, which nobody wants who only wants it to end.
        self._ending = False

    @property
    def running(self) -> bool:
        """True while a process is there, frozen or not."""
        return self._program is not None and self._program.running

    def want(self) -> None:
        """Have it run from now on."""
        self._wanted = True
        self.tend()

    def tend(self) -> None:
        """Note an end, and start again what has ended, after a short delay."""
        now = time.monotonic()
        if self._program is not None and not self._program.running:
            self._note_end(self._program)
            self._start_at = now + _RESTART_DELAY_S
        if self._program is None and self._wanted and now >= self._start_at:
            self._program = Program(
                ["run", self._config],
                self._config.parent,
                f"{self.name}-{len(self._lives)}",
                environment=self._environment,
            )
            self._lives.append(self._program)
            self._ending = False

    def _note_end(self, program: Program) -> None:
        self.exit_codes.append(program.wait(timeout_s=5))
        # Closes its pipes.
        program.kill()
        self._program = None

    # ------------------------------------------------------------------ what is done to it

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal; False where there is no process."""
        if self._program is None or not self.running or not self._program.send(number):
            return False
        self._ending |= number == signal.SIGTERM
        return True

    def retire(self) -> bool:
        """End it in order, and do not start it again; False where there is no process, or it is ending already."""
        self._wanted = False
        return not self._ending and self.signal(signal.SIGTERM)

    def ended_by(self, deadline: float) -> bool:
        """Wait for the end of a retired replica, to a moment of the monotonic clock; then it is killed."""
        while self.running and time.monotonic() < deadline:
            time.sleep(_END_POLL_S)
        in_time = not self.running
        if not in_time:
            self.signal(signal.SIGKILL)
        if self._program is not None:
            self._note_end(self._program)
        return in_time

    def kill(self) -> None:
        """End it for good, whatever it does."""
        self._wanted = False
        if self._program is not None:
            self._program.kill()
            self._program = None

    # ------------------------------------------------------------------ what it said

    def tracebacks(self) -> int:
        """How many of its lives showed a traceback."""
        return sum("Traceback (most recent call last)" in life.stderr for life in self._lives)

    def last_words(self) -> str:
        """The last lines of its latest life."""
        if not self._lives:
            return f"{self.name} never ran"
        lines = self._lives[-1].stderr.splitlines()[-_WORDS:]
        return "\n".join([f"--- {self.name}, life {len(self._lives)}, exit codes {self.exit_codes}:", *lines])


__all__ = ["Replica"]
