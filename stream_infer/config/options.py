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
class BenchOptions:
    """What ``stream-infer bench`` measures with."""

    events: Path
    """A file of sample events."""
    seconds: float = 5.0
    """Length of each of the first trials; later ones take half of it."""
    rates: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)
    """Loads to try, as shares of the throughput."""


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


@dataclass(frozen=True, slots=True)
class DeadLetterSelection:
    """Which dead letters are meant: those that meet every condition. The defaults mean all."""

    reasons: tuple[str, ...] = ()
    """One of these reasons; empty: any."""
    since_ms: int | None = None
    """Rejected at this time or later, in milliseconds since the epoch. Where nobody says when, the timestamp counts."""
    until_ms: int | None = None
    """Rejected before this time."""
    only: frozenset[tuple[int, int]] = frozenset()
    """At one of these places in the dead-letter topic (partition, offset); empty: anywhere."""


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """The dead letters of one reason and stage, as ``stream-infer dlq list`` shows them."""

    reason: str
    stage: str
    """``decode``, ``infer``, ``encode``, ``crash``, or what another tool says; empty where it says nothing."""
    count: int
    first_failed_at_ms: int
    """Milliseconds since the epoch, as is the next; -1 where unknown."""
    last_failed_at_ms: int
    topics: tuple[str, ...]
    """Input topics of the events, sorted."""
    example: tuple[int, int]
    """Partition and offset of the last one, in the dead-letter topic."""


@dataclass(frozen=True, slots=True)
class DeadLetterDetails:
    """One dead letter, as ``stream-infer dlq show`` shows it."""

    place: tuple[int, int]
    """Partition and offset in the dead-letter topic."""
    facts: Mapping[str, str | int | None]
    """What the headers say, by name; None where they say nothing."""
    headers: tuple[tuple[str, bytes | None], ...]
    """The event's own headers."""
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class ResendOptions:
    """What ``stream-infer dlq resend`` sends back."""

    selection: DeadLetterSelection = DeadLetterSelection()
    max_count: int | None = None
    """Stop after this many; None: no end."""
    max_attempts: int = 3
    """Leave out what was tried this often."""
    again: bool = False
    """Also what was sent back before."""


@dataclass(frozen=True, slots=True)
class ResendReport:
    """What ``stream-infer dlq resend`` sent back, or would."""

    sent: Mapping[str, int]
    """Events by input topic."""
    sent_before: int = 0
    """Left out: they were sent back before."""
    tried_too_often: int = 0
    """Left out: they were tried ``max_attempts`` times."""
    no_input: int = 0
    """Left out: their input topic is unknown, or not one of ``source.topics``."""
    not_selected: int = 0

    @property
    def total(self) -> int:
        """Events sent."""
        return sum(self.sent.values())


__all__ = [
    "Check",
    "DeadLetterDetails",
    "DeadLetterGroup",
    "DeadLetterSelection",
    "DemoOptions",
    "OutputFormat",
    "ResendOptions",
    "ResendReport",
    "RunOptions",
    "TopicReport",
]
