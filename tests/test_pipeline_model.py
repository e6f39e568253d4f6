"""The line against a model, with generated actions.

Whatever happens in whatever order (records arrive, batches finish in any order or fail, deliveries and commits
fail or hang, partitions come and go), these hold:

1. an offset is committed only when everything below it is acknowledged, rejected or passed over;
2. what lies between poll and settle is bounded;
3. per partition, acknowledged offsets ascend, except where a rewind or a rebalance starts them again;
4. in the end every event has ended as scored, rejected or passed over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from stream_infer.core.flow import FlowLimits
from stream_infer.errors import CommitFailed, RegistryUnavailable, RetriableError, SinkUnavailable
from stream_infer.pipeline import Pipeline, Settings
from stream_infer.testing import FakeClock, FakeSink, FakeSource, ManualExecutor, RecordingInstrument, fake_work
from stream_infer.types import Split

PARTITIONS = 3
LIMITS = FlowLimits(max_records=12, max_bytes=10_000, low_ratio=0.5, pause_after_s=0.5)
SETTINGS = Settings(
    max_batch_size=4,
    max_batch_bytes=1_000,
    linger_s=0.005,
    max_in_flight=3,
    flow=LIMITS,
    commit_interval_s=0.02,
    publish_timeout_s=0.1,
    commit_timeout_s=0.1,
    drain_timeout_s=0.2,
)


class LineMachine(RuleBasedStateMachine):
    """Generated histories of one pipeline."""

    @initialize()
    def begin(self) -> None:
        self.clock = FakeClock()
        self.source = FakeSource(self.clock, PARTITIONS)
        self.source.on_commit = self.check_commit
        self.sink = FakeSink(self.clock, capacity=40)
        self.executor = ManualExecutor(self.clock)
        self.failures: deque[RetriableError] = deque()
        self.instrument = RecordingInstrument()
        self.produced: dict[int, list[bytes | None]] = {partition: [] for partition in range(PARTITIONS)}
        self.pipeline = Pipeline(
            self.source,
            self.sink,
            fake_work(self.failures),
            self.executor,
            SETTINGS,
            self.clock,
            self.instrument,
            jitter=lambda: 0.5,
        )
        self.pipeline.start()

    def acknowledged(self, partition: int) -> set[int]:
        return {event.offset for event in self.sink.acknowledged if event.split.partition == partition}

    def ended(self, partition: int) -> set[int]:
        passed_over = {offset for offset, value in enumerate(self.produced[partition]) if value is None}
        return self.acknowledged(partition) | passed_over

    def check_commit(self, offsets: Mapping[Split, int]) -> None:
        for split, offset in offsets.items():
            missing = set(range(offset)) - self.ended(split.partition)
            assert not missing, f"committed {offset} of {split} ahead of {missing}"

    @rule(partition=st.integers(0, PARTITIONS - 1), kinds=st.lists(st.sampled_from("gbt"), min_size=1, max_size=6))
    def produce(self, partition: int, kinds: list[str]) -> None:
        values = [{"g": b"good", "b": b"bad", "t": None}[kind] for kind in kinds]
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
            if self.executor.waiting:
                self.executor.finish(choices[turn % len(choices)] % len(self.executor.waiting))
            self.pipeline.step()

    @rule(partition=st.integers(0, PARTITIONS - 1), failures=st.integers(1, 2))
    def work_through_a_failed_delivery(self, partition: int, failures: int) -> None:
        self.produce(partition, ["g", "b", "g"])
        self.sink.failures.extend([SinkUnavailable("scripted")] * failures)
        self.run(30, [1, 0])

    @precondition(lambda self: self.executor.waiting)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.executor.finish(data.draw(st.integers(0, len(self.executor.waiting) - 1)))

    @rule()
    def registry_fails(self) -> None:
        self.failures.append(RegistryUnavailable("scripted"))

    @rule()
    def delivery_fails(self) -> None:
        self.sink.failures.append(SinkUnavailable("scripted"))

    @rule()
    def commit_fails(self) -> None:
        self.source.commit_failures.append(CommitFailed("scripted"))

    @rule(hang=st.booleans())
    def sink_hangs(self, hang: bool) -> None:
        self.sink.hang = hang

    @rule(hang=st.booleans())
    def commits_hang(self, hang: bool) -> None:
        self.source.hang_commits = hang

    @rule(seconds=st.floats(0.001, 1.0))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(partition=st.integers(0, PARTITIONS - 1), lost=st.booleans())
    def taken_away(self, partition: int, lost: bool) -> None:
        if partition in self.source.owned():
            self.source.script(lambda: self.source.lose(partition) if lost else self.source.revoke(partition))
            self.pipeline.step()

    @rule(partition=st.integers(0, PARTITIONS - 1))
    def given_back(self, partition: int) -> None:
        def give() -> None:
            if partition not in self.source.owned():
                self.source.assign(partition)
                self.source.resume()

        self.source.script(give)

    @invariant()
    def buffer_is_bounded(self) -> None:
        if hasattr(self, "pipeline"):
            assert self.pipeline._open_records() <= LIMITS.max_records
            assert len(self.sink.pending) <= 40

    @invariant()
    def order_holds_within_a_generation(self) -> None:
        if hasattr(self, "sink"):
            last: dict[Split, int] = {}
            for event in self.sink.acknowledged:
                assert event.offset > last.get(event.split, -1), f"{event} after {last[event.split]}"
                last[event.split] = event.offset

    def teardown(self) -> None:
        if not hasattr(self, "pipeline"):
            return
        self.sink.hang = self.source.hang_commits = False
        self.sink.failures.clear()
        self.source.commit_failures.clear()
        self.failures.clear()
        for partition in range(PARTITIONS):
            self.given_back(partition)
        for _ in range(3000):
            if self.executor.waiting:
                self.executor.finish(0)
            self.pipeline.step()
            if all(self.source.committed.get(p, 0) == len(values) for p, values in self.produced.items()):
                break
        for partition, values in self.produced.items():
            assert self.ended(partition) == set(range(len(values))), f"partition {partition} did not end"
            assert self.source.committed.get(partition, 0) == len(values)


LineMachine.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLine = LineMachine.TestCase
