"""The fakes keep the promises of the real ones, and a check can fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from stream_infer.clock import Deadline
from stream_infer.testing import FakeClock, FakeSink, FakeSource, FakeTransactionalSink, FakeWork, records
from stream_infer.testing.conformance import (
    Ownership,
    check_runtime,
    check_sink,
    check_source,
    check_transactional_sink,
)
from stream_infer.types import Split

BATCH = FakeWork().score(records([b"one", b"bad", b"two", None])).batch


def filled(clock: FakeClock) -> FakeSource:
    source = FakeSource(clock, partitions=2)
    for partition in (0, 1):
        source.append(partition, *[str(i).encode() for i in range(10)])
    return source


def test_the_fake_source_conforms() -> None:
    clock = FakeClock()
    check_source(filled(clock), clock, 20)


def test_a_source_that_keeps_its_generation_does_not() -> None:
    class Careless(FakeSource):
        def rewind(self, offsets: Mapping[Split, int]) -> Mapping[Split, Split]:
            return {split: split for split in offsets}

    clock = FakeClock()
    source = Careless(clock, partitions=1)
    source.append(0, *[b"x"] * 12)
    with pytest.raises(AssertionError, match="new generation"):
        check_source(source, clock, 12)


def test_the_fake_sink_conforms() -> None:
    clock = FakeClock()
    sink = FakeSink(clock)
    check_sink(sink, clock, BATCH, lambda: [e.payload for e in sink.acknowledged if e.payload is not None])


def test_a_sink_that_loses_an_event_does_not() -> None:
    clock = FakeClock()
    sink = FakeSink(clock)
    with pytest.raises(AssertionError, match="has arrived, once"):
        check_sink(sink, clock, BATCH, lambda: [b"one"])


def check_transactions(sink_class: type[FakeTransactionalSink]) -> None:
    clock = FakeClock()
    source = filled(clock)
    source.start(Ownership())
    sink = sink_class(clock, source)
    check_transactional_sink(
        sink, source, clock, BATCH, lambda: [e.payload for e in sink.visible if e.payload is not None]
    )


def test_the_fake_transactional_sink_conforms() -> None:
    check_transactions(FakeTransactionalSink)


def test_a_sink_that_shows_what_was_aborted_does_not() -> None:
    class Leaky(FakeTransactionalSink):
        def abort(self, deadline: Deadline) -> None:
            self.visible += self.pending
            super().abort(deadline)

    with pytest.raises(AssertionError, match="what was aborted is never seen"):
        check_transactions(Leaky)


class Half:
    """A runtime that answers half of its input, or half of the batch's mean."""

    def __init__(self, *, leaks: bool) -> None:
        self._leaks = leaks

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        cells = inputs["x"][:, 0]
        return np.full_like(cells, cells.mean()) if self._leaks else cells / 2

    def stop(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing is held."""


def test_a_runtime_answers_row_by_row() -> None:
    inputs = {"x": np.arange(6, dtype=np.float32)[:, None]}
    check_runtime(Half(leaks=False), inputs)
    with pytest.raises(AssertionError, match="neighbours"):
        check_runtime(Half(leaks=True), inputs)
