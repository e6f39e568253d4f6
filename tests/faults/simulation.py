"""Correct services, simulated in a few lines each: what they write is what the checker must find nothing in.

One input partition at a time is gone through by a chain of owners. A plan is a list of steps (what happens, to how many
events); where a step makes no sense at its place, nothing happens. At the end all that is left is done in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from integration.faults.history import Outcome, Output, TopicRole

Letter: TypeAlias = Literal["g", "p", "t", "u"]
"""An input: good, poison, a tombstone, or good and unacknowledged."""
Action: TypeAlias = Literal["go", "commit", "die", "rewind", "fail", "freeze", "thaw", "return"]
Step: TypeAlias = tuple[Action, int]
Queue: TypeAlias = tuple[int, range]
"""What a frozen writer had not written yet."""

NUMBERS_OF_A_PARTITION = 1_000_000


@dataclass
class Logs:
    """The output topics. Dead letters all go to one partition: they have no order between input partitions."""

    records: list[Output] = field(default_factory=list)
    ends: dict[tuple[TopicRole, int], int] = field(default_factory=dict)

    def append(self, inputs: Sequence[Letter], partition: int, offset: int, writer: int, outcome: Outcome) -> None:
        """What comes of one event."""
        if inputs[offset] == "t":
            return
        role: TopicRole = "dead" if inputs[offset] == "p" else "scored"
        log = (role, 0 if role == "dead" else partition)
        place = self.ends.get(log, 0)
        self.ends[log] = place + 1
        number = None if role == "dead" else partition * NUMBERS_OF_A_PARTITION + offset
        visible = outcome in ("plain", "committed")
        self.records.append(Output(role, log[1], place, partition, offset, number, "", visible, writer, 0, outcome))


class AtLeastOnceService:
    """Publishes, then commits; owners die, rewind, lose deliveries, and thaw when nobody expects them any more."""

    def __init__(self, logs: Logs, partition: int, inputs: Sequence[Letter]) -> None:
        self._logs, self._partition, self._inputs = logs, partition, inputs
        self._writer = self._writers = partition * 1000
        self._position = self._committed = 0
        self._frozen: list[Queue] = []

    def run(self, steps: Sequence[Step]) -> None:
        for action, count in steps:
            getattr(self, f"_{action}")(count)
        while self._frozen:
            self._thaw(0)
        self._go(len(self._inputs))

    def _next(self, count: int) -> range:
        return range(self._position, min(self._position + count, len(self._inputs)))

    def _write(self, writer: int, offsets: range) -> None:
        for offset in offsets:
            self._logs.append(self._inputs, self._partition, offset, writer, "plain")

    def _go(self, count: int) -> None:
        offsets = self._next(count)
        self._write(self._writer, offsets)
        self._position = offsets.stop

    def _commit(self, _count: int) -> None:
        self._committed = self._position

    def _die(self, _count: int) -> None:
        self._writers += 1
        self._writer, self._position = self._writers, self._committed

    def _rewind(self, _count: int) -> None:
        self._position = self._committed

    def _fail(self, count: int) -> None:
        self._position = min(self._position + 1, len(self._inputs))  # this one is never delivered
        self._go(count)
        self._rewind(0)

    def _freeze(self, count: int) -> None:
        self._frozen.append((self._writer, self._next(count)))
        self._die(0)

    def _thaw(self, _count: int) -> None:
        if self._frozen:
            self._write(*self._frozen.pop())

    def _return(self, _count: int) -> None:
        """A frozen writer thaws, and is given the partition back in good order."""
        if self._frozen:
            writer = self._frozen[-1][0]
            self._thaw(0)
            self._commit(0)
            self._writer = writer


class ExactlyOnceService:
    """Publishes in transactions that carry the offsets; what is not committed is aborted."""

    def __init__(self, logs: Logs, partition: int, inputs: Sequence[Letter]) -> None:
        self._logs, self._partition, self._inputs = logs, partition, inputs
        self._writer = partition * 1000
        self._committed = 0

    def run(self, steps: Sequence[Step]) -> None:
        """``commit`` commits that many more events; every other step is an attempt that is aborted."""
        for action, count in steps:
            self._attempt(count, "committed" if action == "commit" else "aborted")
        self._attempt(len(self._inputs), "committed")

    def _attempt(self, count: int, outcome: Outcome) -> None:
        stop = min(self._committed + count, len(self._inputs))
        for offset in range(self._committed, stop):
            self._logs.append(self._inputs, self._partition, offset, self._writer, outcome)
        if outcome == "committed":
            self._committed = stop
        else:
            self._writer += 1
