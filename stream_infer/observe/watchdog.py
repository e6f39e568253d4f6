"""The watchdog: sees a stage that does not end, since the stage itself cannot.

Rule: the decision (`overdue`) is pure; the thread only waits and calls. A stage that overruns its timeout is
reported once and asked to end; if it is still inside ``grace_s`` later, it never will be, and the process has to go.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import NamedTuple

from stream_infer.clock import Clock
from stream_infer.ports import Instrument

CHECK_INTERVAL_SECONDS = 0.1
"""How late an overrun may be noticed. Ten looks a second at a handful of entries cost nothing."""


class Phase(enum.IntEnum):
    """How far a watched call has been dealt with."""

    RUNNING = 0
    OVERRUN = 1
    STUCK = 2


class Watched:
    """One call under watch, as a context manager. Made by `Watchdog.watch`, used once."""

    __slots__ = ("_watchdog", "deadline_at", "phase", "stage", "timeout_s")

    def __init__(self, watchdog: Watchdog, stage: str, timeout_s: float) -> None:
        self._watchdog = watchdog
        self.stage = stage
        self.timeout_s = timeout_s
        self.deadline_at = float("inf")
        self.phase = Phase.RUNNING

    def __enter__(self) -> Watched:
        self._watchdog.enter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watchdog.leave(self)


class Overdue(NamedTuple):
    """A watched call that has come to a new phase."""

    entry: Watched
    phase: Phase


def overdue(entries: Iterable[Watched], now: float, grace_s: float) -> list[Overdue]:
    """Which of ``entries`` have come to a new phase at ``now`` (monotonic seconds). Changes nothing.

    An entry never skips `Phase.OVERRUN`: it is asked to end before it is given up.
    """
    found = []
    for entry in entries:
        if entry.phase is Phase.RUNNING and now >= entry.deadline_at:
            found.append(Overdue(entry, Phase.OVERRUN))
        elif entry.phase is Phase.OVERRUN and now >= entry.deadline_at + grace_s:
            found.append(Overdue(entry, Phase.STUCK))
    return found


class Watchdog:
    """Watches calls of any number of threads; a watched call costs about a microsecond.

    Args:
        clock: monotonic seconds.
        instrument: told `stage_timed_out` once per overrun, from the watchdog's thread.
        on_overrun: called with the stage at its timeout; asks the stage to end, as in ``runtime.stop()``. Must be
            quick and must not raise.
        on_stuck: called with the stage when it is still inside ``grace_s`` after its timeout; ends the process.
        grace_s: seconds between the two.
    """

    def __init__(
        self,
        clock: Clock,
        instrument: Instrument,
        on_overrun: Callable[[str], None],
        on_stuck: Callable[[str], None],
        grace_s: float,
    ) -> None:
        self._clock = clock
        self._instrument = instrument
        self._on_overrun = on_overrun
        self._on_stuck = on_stuck
        self._grace_s = grace_s
        self._lock = threading.Lock()
        self._entries: dict[int, Watched] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def watch(self, stage: str, timeout_s: float) -> Watched:
        """Watch the body of a ``with``: it must end within ``timeout_s`` seconds."""
        return Watched(self, stage, timeout_s)

    def enter(self, entry: Watched) -> None:
        """Start watching; called by the ``with``."""
        entry.deadline_at = self._clock.monotonic() + entry.timeout_s
        with self._lock:
            self._entries[id(entry)] = entry

    def leave(self, entry: Watched) -> None:
        """Stop watching; called at the end of the ``with``."""
        with self._lock:
            del self._entries[id(entry)]

    def check(self) -> None:
        """Deal with every call that is overdue now. The thread does nothing else; a test calls it by hand."""
        with self._lock:
            entries = list(self._entries.values())
        for entry, phase in overdue(entries, self._clock.monotonic(), self._grace_s):
            entry.phase = phase
            if phase is Phase.OVERRUN:
                self._instrument.stage_timed_out(entry.stage, entry.timeout_s)
                self._on_overrun(entry.stage)
            elif self._inside(entry):
                self._on_stuck(entry.stage)

    def _inside(self, entry: Watched) -> bool:
        # `on_overrun` of another entry may have taken a while, in which this one came to its end.
        with self._lock:
            return id(entry) in self._entries

    def start(self) -> None:
        """Start the thread ``watchdog``."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; calls still under watch are no longer seen."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(CHECK_INTERVAL_SECONDS):
            self.check()
