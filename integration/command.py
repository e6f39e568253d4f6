"""The command line as a user calls it: a subprocess, its exit code, and what it says.

Rule: every call has an end. A command that does not return in time fails the test with what it had said by then.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command."""

    code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Everything it said."""
        return self.stdout + self.stderr

    @property
    def error(self) -> str:
        """The last line on stderr: where a command says why it failed."""
        return self.stderr.rstrip().rpartition("\n")[2]


def call(*arguments: str | Path, timeout_s: float = TIMEOUT_S, environment: Mapping[str, str] | None = None) -> Outcome:
    """Run ``stream-infer`` with ``arguments`` to its end.

    Raises:
        subprocess.TimeoutExpired: it is still running after ``timeout_s``; it is ended.
    """
    command: Sequence[str | Path] = [sys.executable, "-m", "stream_infer", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, env=environment)
    return Outcome(done.returncode, done.stdout, done.stderr)


def fails(code: int, outcome: Outcome, *fragments: str) -> None:
    """Assert that a command failed as it should: exit code, one error with these fragments, no traceback."""
    assert outcome.code == code, outcome.output
    assert "Traceback" not in outcome.output
    missing = [fragment for fragment in fragments if fragment not in outcome.stderr]
    assert not missing, f"not said: {missing}\n{outcome.output}"
    assert outcome.stderr.count("Error: ") == 1, outcome.stderr
