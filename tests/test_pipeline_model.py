"""The line against a model, with generated actions, for both guarantees.

Whatever happens in whatever order (records arrive, batches finish in any order or fail, deliveries and commits
fail or hang, partitions come and go), these hold:

1. an offset is committed only when everything below it is safe (acknowledged, or committed with it) or passed over;
2. what lies between poll and settle is bounded;
3. per partition, safe offsets ascend: exactly once always, at least once except where a rewind or a rebalance
   starts them again;
4. in the end every event has ended as scored, rejected or passed over; exactly once: no event twice.
"""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Mapping, Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stream_infer.core.flow import FlowLimits
from stream_infer.delivery import AtLeastOnce, Delivery, DeliverySettings, ExactlyOnce
from stream_infer.errors import CommitFailed, RegistryUnavailable, SinkUnavailable, SourceUnavailable
from stream_infer.pipeline import Pipeline, Settings
from stream_infer.testing import (
    FakeClock,
    FakeSink,
    FakeSource,
    FakeTransactionalSink,
    FakeWork,
    Killed,
    ManualExecutor,
    RecordingInstrument,
)
from stream_infer.testing.fake_sinks import Published
from stream_infer.types import Commit, Records, Split

PARTITIONS = 3
LIMITS = FlowLimits(max_records=12, max_bytes=10_000, low_ratio=0.5, pause_after_s=0.5)
SETTINGS = Settings(
    max_batch_size=4, max_batch_bytes=1_000, linger_s=0.005, max_in_flight=3, flow=LIMITS, drain_timeout_s=0.2
)
DELIVERY = DeliverySettings(
    commit_interval_s=0.02, publish_timeout_s=0.1, commit_timeout_s=0.1, max_uncommitted=30, watch_records=42
)
CAPACITY = 40


def no_jitter() -> float:
    return 0.5


class LineMachine(RuleBasedStateMachine):
    """Generated histories of one pipeline."""

    @initialize()
    def begin(self) -> None:
        self.clock = FakeClock()
        self.source = FakeSource(self.clock, PARTITIONS)
        self.source.on_commit = self.check_commit
        self.executor = ManualExecutor(self.clock)
        self.work = FakeWork()
        self.instrument = RecordingInstrument()
        self.produced: dict[int, list[bytes | None]] = {partition: [] for partition in range(PARTITIONS)}
        self.arrived: list[Published] = []
        self.kills: Counter[tuple[int, int]] = Counter()
        self.begin_again()

    def begin_again(self) -> None:
        self.pipeline = Pipeline(
            self.source,
            self.make_delivery(),
            self.work,
            self.executor,
            SETTINGS,
            self.clock,
            self.instrument,
            jitter=no_jitter,
        )
        self.pipeline.start()

    @abc.abstractmethod
    def make_delivery(self) -> Delivery: ...

    @abc.abstractmethod
    def pending(self) -> Sequence[Published]: ...

    @abc.abstractmethod
    def safe(self) -> Sequence[Published]: ...

    @abc.abstractmethod
    def forget_failures(self) -> None: ...

    def being_committed(self) -> Sequence[Published]:
        """What becomes safe together with the commit that is being checked."""
        return ()

    def ended(self, partition: int, events: Sequence[Published]) -> set[int]:
        passed_over = {offset for offset, value in enumerate(self.produced[partition]) if value is None}
        return passed_over | {event.offset for event in events if event.split.partition == partition}

    def check_commit(self, commits: Mapping[Split, Commit]) -> None:
        events = [*self.safe(), *self.being_committed()]
        for split, (offset, _) in commits.items():
            missing = set(range(offset)) - self.ended(split.partition, events)
            assert not missing, f"committed {offset} of {split} ahead of {missing}"

    @rule(partition=st.integers(0, PARTITIONS - 1), kinds=st.lists(st.sampled_from("gggbbttk"), min_size=1, max_size=6))
    def produce(self, partition: int, kinds: list[str]) -> None:
        values = [{"g": b"good", "b": b"bad", "t": None, "k": b"kill"}[kind] for kind in kinds]
        self.produced[partition] += values
        self.source.append(partition, *values)

    @rule(count=st.integers(1, 8))
    def step(self, count: int) -> None:
        for _ in range(count):
            self.pipeline.step()

    @rule(count=st.integers(1, 40), choices=st.lists(st.integers(0, 2), min_size=1, max_size=4))
    def run(self, count: int, choices: list[int]) -> None:
        """A stretch of ordinary work, batches finishing in a mixed order."""
        for turn in range(count):
            self.finish_one(choices[turn % len(choices)])
            self.pipeline.step()

    @rule(partition=st.integers(0, PARTITIONS - 1), failures=st.integers(1, 2))
    def work_through_a_failed_delivery(self, partition: int, failures: int) -> None:
        self.produce(partition, ["g", "b", "g"])
        for _ in range(failures):
            self.delivery_fails()
        self.run(30, [1, 0])

    @precondition(lambda self: self.executor.waiting)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.finish_one(data.draw(st.integers(0, len(self.executor.waiting) - 1)))

    def finish_one(self, choice: int) -> None:
        """Finish one batch, if one is being worked on. The process dies where it holds an event that kills."""
        if not self.executor.waiting:
            return
        index = choice % len(self.executor.waiting)
        _, _, (records,) = self.executor.waiting[index]
        try:
            self.executor.finish(index)
        except Killed:
            assert isinstance(records, Records)
            self.kills.update(
                (records.split(row).partition, int(records.offset[row]))
                for row in range(len(records))
                if records.values[row] == b"kill"
            )
            assert max(self.kills.values()) <= 3, self.kills
            self.crash()

    @rule()
    def registry_fails(self) -> None:
        self.work.failures.append(RegistryUnavailable("scripted"))

    @rule()
    @abc.abstractmethod
    def delivery_fails(self) -> None: ...

    @rule()
    def commit_fails(self) -> None:
        self.source.commit_failures.append(CommitFailed("scripted"))

    @rule(hang=st.booleans())
    @abc.abstractmethod
    def sink_hangs(self, hang: bool) -> None: ...

    @rule(hang=st.booleans())
    def commits_hang(self, hang: bool) -> None:
        self.source.hang_commits = hang

    @rule(seconds=st.floats(0.001, 1.0))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(partition=st.integers(0, PARTITIONS - 1), lost=st.booleans())
    def taken_away(self, partition: int, lost: bool) -> None:
        self.source.script(lambda: self.take(partition, lost))
        self.pipeline.step()

    @rule(partition=st.integers(0, PARTITIONS - 1), lost=st.booleans(), choices=st.lists(st.integers(0, 2), min_size=1))
    def taken_away_by_a_commit(self, partition: int, lost: bool, choices: list[int]) -> None:
        """A call that commits serves the client, too."""
        self.produce(partition, ["g", "b", "g"])
        self.source.script_at_commit(lambda: self.take(partition, lost))
        self.run(10, choices)

    def take(self, partition: int, lost: bool) -> None:
        if partition in self.source.owned():
            self.source.lose(partition) if lost else self.source.revoke(partition)

    @rule(partition=st.integers(0, PARTITIONS - 1))
    def given_back(self, partition: int) -> None:
        def give() -> None:
            if partition not in self.source.owned():
                self.source.assign(partition)
                self.source.resume()

        self.source.script(give)

    @rule()
    def crash(self) -> None:
        """The process dies, and another one takes everything over."""
        self.executor.waiting.clear()
        self.source.scripted_no_more()
        self.begin_again()

    @invariant()
    def buffer_is_bounded(self) -> None:
        if hasattr(self, "pipeline"):
            assert self.pipeline._open_records() <= LIMITS.max_records
            assert len(self.pending()) <= CAPACITY

    def teardown(self) -> None:
        if not hasattr(self, "pipeline"):
            return
        self.sink_hangs(False)
        self.forget_failures()
        self.source.scripted_no_more()
        self.source.hang_commits = False
        self.source.commit_failures.clear()
        self.work.failures.clear()
        for partition in range(PARTITIONS):
            self.given_back(partition)
        for _ in range(4000):
            self.finish_one(0)
            self.pipeline.step()
            if self.all_committed():
                break
        for partition, values in self.produced.items():
            assert self.ended(partition, self.safe()) == set(range(len(values))), f"partition {partition} did not end"
        assert self.all_committed()

    def all_committed(self) -> bool:
        return all(self.source.commits.get(p, Commit(0)).offset == len(values) for p, values in self.produced.items())


class AtLeastOnceMachine(LineMachine):
    """Acknowledged, then committed."""

    def make_delivery(self) -> Delivery:
        self.sink = FakeSink(self.clock, CAPACITY)
        self.sink.acknowledged = self.arrived
        return AtLeastOnce(self.source, self.sink, DELIVERY, self.clock, self.instrument, no_jitter)

    def pending(self) -> Sequence[Published]:
        return self.sink.pending

    def safe(self) -> Sequence[Published]:
        return self.arrived

    def delivery_fails(self) -> None:
        self.sink.failures.append(SinkUnavailable("scripted"))

    def forget_failures(self) -> None:
        self.sink.failures.clear()

    def sink_hangs(self, hang: bool) -> None:
        self.sink.hang = hang

    @invariant()
    def order_holds_within_a_generation(self) -> None:
        if hasattr(self, "sink"):
            last: dict[Split, int] = {}
            for event in self.arrived:
                assert event.offset > last.get(event.split, -1), f"{event} after {last[event.split]}"
                last[event.split] = event.offset


class ExactlyOnceMachine(LineMachine):
    """Everything in transactions."""

    def make_delivery(self) -> Delivery:
        self.sink = FakeTransactionalSink(self.clock, self.source, CAPACITY)
        self.sink.visible = self.arrived
        return ExactlyOnce(self.source, self.sink, DELIVERY, self.clock, self.instrument, no_jitter)

    def pending(self) -> Sequence[Published]:
        return self.sink.pending

    def safe(self) -> Sequence[Published]:
        return self.arrived

    def being_committed(self) -> Sequence[Published]:
        return self.sink.pending

    def delivery_fails(self) -> None:
        self.sink.failures.append((SinkUnavailable("scripted"), False))

    @rule()
    def commit_gets_no_answer(self) -> None:
        self.sink.failures.append((SinkUnavailable("scripted"), True))

    @rule()
    def abort_fails(self) -> None:
        self.sink.abort_failures.append(SinkUnavailable("scripted"))

    @rule()
    def lookup_fails(self) -> None:
        self.source.lookup_failures.append(SourceUnavailable("scripted"))

    def forget_failures(self) -> None:
        self.sink.failures.clear()
        self.sink.abort_failures.clear()
        self.source.lookup_failures.clear()

    def sink_hangs(self, hang: bool) -> None:
        self.sink.hang = hang

    @invariant()
    def nothing_is_seen_twice_and_order_holds(self) -> None:
        if hasattr(self, "sink"):
            last: dict[int, int] = {}
            for event in self.arrived:
                before = last.get(event.split.partition, -1)
                assert event.offset > before, f"{event} after {before}"
                last[event.split.partition] = event.offset


_SETTINGS = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
AtLeastOnceMachine.TestCase.settings = ExactlyOnceMachine.TestCase.settings = _SETTINGS
TestAtLeastOnce = AtLeastOnceMachine.TestCase
TestExactlyOnce = ExactlyOnceMachine.TestCase
