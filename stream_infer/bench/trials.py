"""One run of a line, with a backlog or under a load.

Rule: every trial has a new line with a source of its own, and ends by itself. Whoever builds the line says
which settings it has; time and processor time are read through what is passed in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stream_infer.bench.figures import Latency, Throughput, Timings, latency, poisson_s, throughput
from stream_infer.bench.source import Tape, TapeSource
from stream_infer.clock import Clock
from stream_infer.pipeline import Pipeline
from stream_infer.ports import Instrument, Source
from stream_infer.types import Float64Array

_PATIENCE = 2.0
"""A load that the line cannot keep up with is given up after this many times its length."""
_SEED = 1


@dataclass(frozen=True, slots=True)
class Variant:
    """Settings in place of the config's; None: as configured."""

    max_batch_size: int | None = None
    slo_ms: float | None = None
    workers: int | None = None


class Build(Protocol):
    """Makes the line that ``run`` would make, with another source, and a sink that keeps nothing."""

    def __call__(self, variant: Variant, source: Source, instrument: Instrument, work_clock: Clock) -> Pipeline:
        """``work_clock`` is what the stages of a batch are timed with."""
        ...


class Bench:
    """Runs trials.

    Args:
        tape: the events.
        build: makes the line.
        clock: time.
        stage_clock: its ``monotonic`` tells the processor time of the calling thread.
        cpu_s: the processor time of the process, in seconds.
    """

    def __init__(self, tape: Tape, build: Build, clock: Clock, stage_clock: Clock, cpu_s: Callable[[], float]) -> None:
        self._tape = tape
        self._build = build
        self._clock = clock
        self._stage_clock = stage_clock
        self._cpu_s = cpu_s

    def backlog(self, seconds: float, variant: Variant) -> Throughput:
        """There is always more, for ``seconds``."""
        return throughput(self._run(None, seconds, variant, self._stage_clock))

    def load(
        self, rate_per_s: float, seconds: float, variant: Variant, *, capacity_per_s: float, goal_ms: float
    ) -> Latency:
        """Events are due at random moments, ``rate_per_s`` in the mean, whatever the line does."""
        due_s = poisson_s(rate_per_s, seconds, _SEED)
        timings = self._run(due_s, _PATIENCE * float(due_s[-1]), variant, self._clock)
        return latency(due_s, timings, rate_per_s, capacity_per_s, goal_ms)

    def _run(self, due_s: Float64Array | None, limit_s: float, variant: Variant, work_clock: Clock) -> Timings:
        source, tally = TapeSource(self._tape, self._clock, due_s), _Tally(self._clock)
        pipeline = self._build(variant, source, tally, work_clock)
        try:
            pipeline.start()
            cpu_before_s = self._cpu_s()
            pipeline.run(lambda: self._clock.monotonic() - source.began_at >= limit_s)
            cpu_s, seconds = self._cpu_s() - cpu_before_s, self._clock.monotonic() - source.began_at
        finally:
            pipeline.close()
        done_s = np.array(tally.done_at) - source.began_at
        return Timings(np.array(tally.counts, np.int64), done_s, seconds, cpu_s, tally.stage_s)


class _Tally(Instrument):
    """Notes when how many events were published, and adds up what decoding, scoring and encoding took."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.counts: list[int] = []
        self.done_at: list[float] = []
        self.stage_s = (0.0, 0.0, 0.0)

    def batch_scored(self, count: int, decode_seconds: float, score_seconds: float, encode_seconds: float) -> None:
        self.counts.append(count)
        self.done_at.append(self._clock.monotonic())
        decode, score, encode = self.stage_s
        self.stage_s = (decode + decode_seconds, score + score_seconds, encode + encode_seconds)
