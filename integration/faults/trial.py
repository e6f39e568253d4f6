"""One trial: replicas at work, a storm of faults, a calm in which everything is finished, and the evidence.

Rule: a trial decides nothing. What it observed becomes a `History` for the checker; what no history can hold (a
replica that crashed by itself, a record that vanished) becomes a `Problem`. No wait is without an end.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self, TypeAlias

from confluent_kafka import KafkaException

from integration import support_log
from integration.faults import faults
from integration.faults.feeder import Feeder
from integration.faults.history import CommittedOffset, History, Output, TopicRole
from integration.faults.history import Fault as FaultDone
from integration.faults.log_dump import Place, RecordFate, read_fates
from integration.faults.plan import Fault, Plan
from integration.faults.reader import GroupOffsets, LiveReader, outputs, vanished
from integration.faults.replicas import Replica
from integration.faults.service import DRAIN_S, Service
from integration.faults.stage import Stage
from integration.support_log import Log

_TICK_S = 0.05
_START_S = 40.0
_HOPELESS_ENDS = 5
_DRAIN_WAIT_S = 90.0
_STALL_S = 20.0
"""Without any progress for this long nothing more will come: longer than any timeout of a transaction or a member."""
_END_S = DRAIN_S + 8.0
_STABLE_WAIT_S = 20.0
_LIVE_WAIT_S = 10.0
EXPECTED_EXIT_CODES = frozenset({0, 1, -9, -15, 143})
"""Of a replica in a storm: told to end (-15: before it could listen; 143: before it began to work, or twice), stopped
by an error that it names, killed by us. Anything else is a crash."""

GOOD_ENDS = frozenset({0, -15, 143})
"""Of a replica that is told once to end in good weather, at work or before."""


class Problem(NamedTuple):
    """Something wrong that the history does not show."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a trial leaves behind."""

    history: History
    problems: Sequence[Problem]
    seconds: float
    words: str
    """What the replicas said last."""


class Trial:
    """A plan on a stage. A context manager: whatever it started has ended on exit.

    Args:
        plan: what is to happen.
        stage: where; healthy.
        directory: gets configs and logs.
        package: directory to import another `stream_infer` from (a mutated one); None for the one at hand.

    Attributes:
        replicas: those that run from the beginning.
        live: the reader that sees what is committed.
        feeder: produces the input.
    """

    def __init__(self, plan: Plan, stage: Stage, directory: Path, package: Path | None = None) -> None:
        self._plan = plan
        self._stage = stage
        self._began = time.monotonic()
        self._problems: list[Problem] = []
        self._done: list[FaultDone] = []
        self._to_mend: list[Fault] = []
        self._service = Service(plan, stage, directory)
        *self.replicas, extra = (
            Replica(f"replica-{number}", self._service.write_config(number), package)
            for number in range(plan.replicas + 1)
        )
        servers = stage.bootstrap_servers
        self.feeder = Feeder(
            servers,
            self._service.input,
            plan.partitions,
            plan.events_per_s,
            with_poison=not plan.poison_waits,
            max_events=plan.max_events,
        )
        self.live = LiveReader(servers, self._service.scored, plan.partitions)
        self._offsets = GroupOffsets(servers, self._service.group_id, self._service.input, plan.partitions)
        self._arena = faults.Arena(stage, self._service, self.replicas, extra, self.feeder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for replica in self._everybody():
            replica.kill()
        self.feeder.close()
        self.live.close()
        self._offsets.close()
        self._service.delete_topics()

    def run(self, storm: Storm | None = None) -> Evidence:
        """Run it.

        Args:
            storm: what to do instead of the plan's faults.

        Raises:
            BrokersAtFault: the brokers lost an input event, or left a transaction without an end.
            RuntimeError, TimeoutError: the brokers do not come back.
            KafkaException: they refuse what a fault needs.
        """
        started = self._start()
        if started:
            (storm or Trial._storm)(self)
        self._calm()
        if started:
            self._drain()
        self._end()
        self._stage.check_markers(self._service.scored)
        history = self._collect()
        words = "\n".join(replica.last_words() for replica in self._everybody())
        return Evidence(history, self._problems, time.monotonic() - self._began, words)

    # ------------------------------------------------------------------ acts

    def _start(self) -> bool:
        for replica in self.replicas:
            replica.want()
        self.live.start()
        self.feeder.start()
        self.wait(lambda: self.live.count > 0 or self._hopeless(), _START_S)
        started = self.live.count > 0
        if not started:
            self._problem("NOT_STARTED", f"nothing was scored within {_START_S:.0f} s")
        return started

    def _hopeless(self) -> bool:
        """True where a replica ends again and again in good weather."""
        return any(len(replica.exit_codes) >= _HOPELESS_ENDS for replica in self.replicas)

    def _storm(self) -> None:
        begins = [(fault.at_s, 0, number) for number, fault in enumerate(self._plan.faults)]
        ends = [(fault.until_s, 1, number) for number, fault in enumerate(self._plan.faults)]
        storm_began = time.monotonic()
        for at_s, is_end, number in sorted(begins + ends):
            self.wait(lambda: False, storm_began + at_s - time.monotonic())
            fault = self._plan.faults[number]
            if not is_end:
                self._do(fault)
            elif fault in self._to_mend:
                with contextlib.suppress(KafkaException):
                    self._mend(fault)
        self.wait(lambda: False, storm_began + self._plan.storm_s - time.monotonic())

    def _do(self, fault: Fault) -> None:
        at_s = time.monotonic() - self._began
        try:
            done = faults.begin(self._arena, fault)
        except KafkaException:
            # Whether it was done is not known: it is not counted, and it is mended.
            self._to_mend.append(fault)
            return
        if done:
            self._to_mend.append(fault)
            self._done.append(FaultDone(round(at_s, 2), fault.kind, fault.victim))

    def _mend(self, fault: Fault) -> None:
        faults.end(self._arena, fault)
        self._to_mend.remove(fault)

    def _calm(self) -> None:
        self._arena.extra.retire()
        self._stage.mend()
        for fault in list(self._to_mend):
            self._mend(fault)
        for replica in self.replicas:
            replica.want()
        self.feeder.finish()

    def _drain(self) -> None:
        ends = support_log.ends(self._stage.bootstrap_servers, self._service.input)
        wanted = {partition: end for partition, end in ends.items() if end > 0}
        give_up = time.monotonic() + _DRAIN_WAIT_S
        while (committed := self._offsets.now()) != wanted:
            moved = self.wait(partial(self._moved_from, committed), _STALL_S)
            if not moved or time.monotonic() > give_up:
                self._problem("NOT_DRAINED", f"committed {committed} of {wanted} in good weather, then nothing more")
                return

    def _moved_from(self, committed: Mapping[int, int]) -> bool:
        return self._offsets.now() != committed

    def _end(self) -> None:
        in_the_storm = {replica.name: len(replica.exit_codes) for replica in self.replicas}
        for replica in self._everybody():
            replica.retire()
        deadline = time.monotonic() + _END_S
        for replica in self._everybody():
            if not replica.ended_by(deadline):
                self._problem("NO_END", f"{replica.name} did not end within {_END_S:.0f} s of SIGTERM")
        for replica in self.replicas:
            self._judge_ends(replica, in_the_storm[replica.name])

    def _judge_ends(self, replica: Replica, in_the_storm: int) -> None:
        strange = set(replica.exit_codes) - EXPECTED_EXIT_CODES
        last = replica.exit_codes[in_the_storm:]
        if strange:
            self._problem("CRASHED", f"{replica.name} ended with {sorted(strange)}")
        if set(last) - GOOD_ENDS:
            self._problem("BAD_END", f"{replica.name} ended with {last} when told to in good weather")
        if replica.tracebacks():
            self._problem("TRACEBACK", f"{replica.name} showed a traceback in {replica.tracebacks()} of its lives")

    # ------------------------------------------------------------------ evidence

    def _collect(self) -> History:
        plan, service = self._plan, self._service
        ends = support_log.ends(self._stage.bootstrap_servers, service.input)
        produced, attempted = self.feeder.facts(support_log.read(self._stage.bootstrap_servers, service.input))
        return History(
            plan.key.guarantee,
            plan.key.seed,
            plan.key.protocol,
            produced,
            attempted,
            self._outputs(),
            tuple(CommittedOffset(partition, offset) for partition, offset in self._offsets.now().items()),
            ends,
            tuple(self._done),
            {replica.name: tuple(replica.exit_codes) for replica in self._everybody()},
        )

    def _outputs(self) -> tuple[Output, ...]:
        servers = self._stage.bootstrap_servers
        topics: dict[TopicRole, str] = {"scored": self._service.scored, "dead": self._service.dead}
        if not self.wait(lambda: all(map(self._stable, topics.values())), _STABLE_WAIT_S):
            self._problem("LEFT_OPEN", f"a transaction is still open {_STABLE_WAIT_S:.0f} s after the end")
        everything = {topic: support_log.read(servers, topic, "read_uncommitted") for topic in topics.values()}
        visible = {topic: support_log.read(servers, topic) for topic in topics.values()}
        self._compare(visible[self._service.scored])
        fates = self._fates(everything)
        found = [outputs(role, everything[topic], visible[topic], fates[topic]) for role, topic in topics.items()]
        return tuple(itertools.chain(*found))

    def _stable(self, topic: str) -> bool:
        """True when no transaction is open on a topic: what is stable ends where the log ends."""
        servers = self._stage.bootstrap_servers
        return support_log.ends(servers, topic) == support_log.ends(servers, topic, "read_uncommitted")

    def _compare(self, visible: Log) -> None:
        seen = self.live.finish(len(visible), _LIVE_WAIT_S)
        for text in vanished(seen, visible):
            self._problem("VANISHED", text)

    def _fates(self, everything: Mapping[str, Log]) -> dict[str, dict[Place, RecordFate]]:
        """What the files of a node say that holds all of it; one that was just restarted may not, yet."""
        for node in self._stage.kafka.nodes:
            fates = read_fates(self._stage.kafka.data_directory(node), list(everything))
            if all(log.rows().keys() <= fates[topic].keys() for topic, log in everything.items()):
                return fates
        raise RuntimeError("no node's files hold all that a reader got")

    # ------------------------------------------------------------------ waiting

    def _everybody(self) -> list[Replica]:
        return [*self.replicas, self._arena.extra]

    def wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Tend the replicas until ``condition()``, or for ``timeout_s``; True when it came true."""
        give_up = time.monotonic() + timeout_s
        while True:
            for replica in self._everybody():
                replica.tend()
            if condition():
                return True
            if time.monotonic() >= give_up:
                return False
            time.sleep(min(_TICK_S, max(0.0, give_up - time.monotonic())))

    def _problem(self, name: str, text: str) -> None:
        self._problems.append(Problem(name, text))


Storm: TypeAlias = Callable[[Trial], None]
"""What happens while replicas are at work; waits with `Trial.wait`, which tends them."""

__all__ = ["Evidence", "Problem", "Storm", "Trial"]
