"""What a command is asked to do beyond the config file, and what it answers: plain values.

Rule: the command line builds these, `stream_infer.app` and `stream_infer.demo` take and return them. No I/O here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

OutputFormat = Literal["text", "json"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How ``stream-infer run`` runs. The defaults run for ever."""

    dry_run: bool = False
    """Score and report, but publish and commit nothing."""
    max_events: int | None = None
    """Stop after this many input events have been settled; None: no end."""
    until_caught_up: bool = False
    """Stop once everything that was in the topic at the start is settled."""
    drain_timeout_seconds: float | None = None
    """Overrides ``timeouts.drain_seconds``; None: the config's."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How ``stream-infer demo`` runs."""

    rate: float | None = None
    """Payments produced a second; None: the demo's own pace."""
    events: int = 20_000
    """Payments in all."""
    http: str | None = None
    """``host:port`` of metrics and health; None: not served."""
    seed: int = 7
    """Seed of the payments generator: the same seed gives the same payments."""
    write: Path | None = None
    """Write the payments to this file or directory instead of scoring them; None: score."""
    format: OutputFormat = "text"
    """Of the progress lines and the summary."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding of ``stream-infer validate --connect``."""

    name: str
    """What was checked, such as ``broker`` or ``topic payments``."""
    ok: bool
    message: str
    """One sentence: what was found, and the remedy where it is not ok."""


@dataclass(frozen=True, slots=True)
class TopicReport:
    """One topic of a config, as ``stream-infer topics`` shows it."""

    topic: str
    role: str
    """``source``, ``sink``, ``route`` or ``dead_letter``."""
    exists: bool
    partitions: int | None = None
    replication_factor: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    """Topic settings worth showing (``retention.ms``, ``cleanup.policy``, ...); empty where not asked for."""
    note: str = ""
    """What was done or is odd, such as ``created``."""


__all__ = ["Check", "DemoOptions", "OutputFormat", "RunOptions", "TopicReport"]
