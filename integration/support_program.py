"""The real command-line program as a process: started, watched through its metrics, ended by its own id.

Rule: nothing here waits without a deadline, and every failure to wait shows the last words of the program.
"""

from __future__ import annotations

import http.client
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import TimeoutExpired

from prometheus_client.parser import text_string_to_metric_families

from integration.processes import LOOPBACK, GuardedProcess

_HTTP_TIMEOUT_S = 5.0
_POLL_S = 0.05
_LAST_WORDS = 25
# Standard error goes to the log of `GuardedProcess`, standard output to a file of its own.
_SPLIT_OUTPUT = ("/bin/sh", "-c", 'out=$0; exec "$@" >"$out"')


@dataclass(frozen=True, slots=True)
class Metrics:
    """One reading of ``/metrics``: value by name and labels."""

    samples: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    def value(self, name: str, **labels: str) -> float:
        """The sum of all series called ``name`` (as exposed, counters with ``_total``) that have these labels."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self.samples.items() if found == name and wanted <= has)

    @property
    def settled(self) -> int:
        """Events scored, shed, rejected or passed over so far."""
        return int(self.value("stream_infer_events_settled_total"))

    @property
    def assigned_partitions(self) -> int:
        """Partitions that the process owns."""
        return int(self.value("stream_infer_assigned_partitions"))


class Program(GuardedProcess):
    """``python -m stream_infer ARGUMENTS`` in a session (and process group) of its own.

    Args:
        arguments: words after the program's name.
        directory: gets ``NAME.out`` and ``NAME.err``.
        name: tells several programs of one test apart.
        http_port: where it serves its metrics, when it does.
        environment: variables set on top of this process's own.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        directory: Path,
        name: str = "program",
        http_port: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self._out = directory / f"{name}.out"
        self._http_port = http_port
        words = [str(argument) for argument in arguments]
        command = [*_SPLIT_OUTPUT, str(self._out), sys.executable, "-m", "stream_infer", *words]
        super().__init__(command, directory / f"{name}.err", environment)

    # ------------------------------------------------------------------ end

    def wait(self, timeout_s: float) -> int:
        """Wait for its end. The exit code; minus the signal's number where a signal ended it.

        Raises:
            TimeoutError: it still runs after ``timeout_s``.
        """
        try:
            code = self._guard.wait(timeout_s)
        except TimeoutExpired:
            raise TimeoutError(f"{self.name} still runs after {timeout_s:.0f} s:\n{self.last_words()}") from None
        # The guard exits with what it was told, modulo 256; exit codes of the program stay far below.
        return code - 256 if code > 256 - signal.NSIG else code

    def ended_well(self, timeout_s: float) -> None:
        """Wait for its end, which must have exit code 0."""
        code = self.wait(timeout_s)
        assert code == 0, f"{self.name} ended with exit code {code}:\n{self.last_words()}"

    # ------------------------------------------------------------------ watch

    @property
    def stdout(self) -> str:
        """What it wrote to standard output so far."""
        return self._out.read_text(errors="replace") if self._out.exists() else ""

    @property
    def stderr(self) -> str:
        """What it wrote to standard error so far."""
        return self.log.read_text(errors="replace")

    def last_words(self) -> str:
        """The last lines of its standard error."""
        return "\n".join(self.stderr.splitlines()[-_LAST_WORDS:])

    def wait_for(self, condition: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Wait until ``condition()``.

        Raises:
            AssertionError: the program ended first, or ``timeout_s`` passed. ``what`` is in the message.
        """
        give_up = time.monotonic() + timeout_s
        while not condition():
            assert self.running, f"{self.name} ended before {what}:\n{self.last_words()}"
            assert time.monotonic() < give_up, f"no {what} after {timeout_s:.0f} s:\n{self.last_words()}"
            time.sleep(_POLL_S)

    def get(self, path: str) -> tuple[int, str]:
        """Status code and body of ``/metrics``, ``/livez`` or ``/readyz``; code 0 while nothing listens."""
        assert self._http_port is not None, f"{self.name} serves no metrics"
        connection = http.client.HTTPConnection(LOOPBACK, self._http_port, timeout=_HTTP_TIMEOUT_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""
        finally:
            connection.close()

    def metrics(self) -> Metrics:
        """The metrics now; none while it does not serve them yet, or any more."""
        code, body = self.get("/metrics")
        if code != 200:
            return Metrics({})
        return Metrics(
            {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(body)
                for sample in family.samples
            }
        )

    def wait_settled(self, count: int, timeout_s: float) -> None:
        """Wait until ``count`` events are settled."""
        self.wait_for(lambda: self.metrics().settled >= count, timeout_s, f"{count} settled events")

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Wait until ``/readyz`` says yes."""
        self.wait_for(lambda: self.get("/readyz")[0] == 200, timeout_s, "readiness")

    def cpu_seconds(self) -> float:
        """Processor time used so far, user and system."""
        # Fields 14 and 15 of stat; the second one, the command's name, may hold blanks.
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        """Resident memory now."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


__all__ = ["Metrics", "Program"]
