"""A pipeline over fakes, and the fakes, for both guarantees."""

from __future__ import annotations

import abc
from collections.abc import Callable

import pytest

from stream_infer.core.flow import FlowLimits
from stream_infer.delivery import AtLeastOnce, Delivery, DeliverySettings, ExactlyOnce
from stream_infer.executors import InlineExecutor
from stream_infer.pipeline import Pipeline, Settings
from stream_infer.testing import (
    FakeClock,
    FakeSink,
    FakeSource,
    FakeTransactionalSink,
    FakeWork,
    ManualExecutor,
    RecordingInstrument,
)

SETTINGS = Settings(
    max_batch_size=4,
    max_batch_bytes=1_000_000,
    linger_s=0.005,
    max_in_flight=2,
    flow=FlowLimits(max_records=8, max_bytes=1_000_000, low_ratio=0.5, pause_after_s=8.0),
    drain_timeout_s=30.0,
)
DELIVERY = DeliverySettings(commit_interval_s=1.0, publish_timeout_s=3.0, commit_timeout_s=2.0)


class AnyLine(abc.ABC):
    """A pipeline over a fake source.

    Args:
        manual: batches finish when the test says so.
        settings, delivery: numbers.
        capacity: of the sink.
        source: one that another line has worked on.
    """

    def __init__(
        self,
        *,
        manual: bool = False,
        settings: Settings = SETTINGS,
        delivery: DeliverySettings = DELIVERY,
        capacity: int = 100_000,
        source: FakeSource | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.executor = ManualExecutor(self.clock)
        self.source = source or FakeSource(self.clock, partitions=2)
        self.facts = RecordingInstrument()
        self.work = FakeWork()
        self.work_failures = self.work.failures
        self.delivery = self.make_delivery(delivery, capacity)
        self.pipeline = Pipeline(
            self.source,
            self.delivery,
            self.work,
            self.executor if manual else InlineExecutor(),
            settings,
            self.clock,
            self.facts,
            jitter=no_jitter,
        )

    @abc.abstractmethod
    def make_delivery(self, settings: DeliverySettings, capacity: int) -> Delivery: ...

    @abc.abstractmethod
    def delivered(self) -> list[tuple[int, int]]:
        """Partition and offset of every event that is safe, in order."""

    @property
    def committed(self) -> dict[int, int]:
        """Committed offset of each partition with progress. (A mark commits the offset 0.)"""
        return {partition: commit.offset for partition, commit in self.source.commits.items() if commit.offset}

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.pipeline.step()

    def steps_until(self, condition: Callable[[], bool], limit: int = 2000) -> None:
        for _ in range(limit):
            if condition():
                return
            self.pipeline.step()
        pytest.fail(f"not reached in {limit} steps")

    def fill(self, count: int = 10, partitions: int = 2) -> None:
        for partition in range(partitions):
            self.source.append(partition, *[f"{partition}-{i}".encode() for i in range(count)])


class Line(AnyLine):
    """At least once."""

    def make_delivery(self, settings: DeliverySettings, capacity: int) -> Delivery:
        self.sink = FakeSink(self.clock, capacity)
        return AtLeastOnce(self.source, self.sink, settings, self.clock, self.facts, no_jitter)

    def delivered(self) -> list[tuple[int, int]]:
        return [(event.split.partition, event.offset) for event in self.sink.acknowledged]


class ExactLine(AnyLine):
    """Exactly once."""

    def make_delivery(self, settings: DeliverySettings, capacity: int) -> Delivery:
        self.sink = FakeTransactionalSink(self.clock, self.source, capacity)
        return ExactlyOnce(self.source, self.sink, settings, self.clock, self.facts, no_jitter)

    def delivered(self) -> list[tuple[int, int]]:
        return [(event.split.partition, event.offset) for event in self.sink.visible]


def no_jitter() -> float:
    return 0.0
