"""The goal for latency against a grid of fixed sizes and lingers, under three shapes of load, in simulated time.

Rule: the batcher and its policies are the real ones of `stream_infer.core`; what is simulated is the line round them
(one thread: poll, wait, score, publish, as `stream_infer.pipeline` does with ``workers = 0``), the arrivals and the
machine. Nothing here depends on where or when it runs: the same arguments print the same tables.

    python -m bench.simulate_batching                               # 3 loads, 2 models, 3 goals, 5 seeds
    python -m bench.simulate_batching --slo-ms 25 --seeds 1 --grid  # with the whole grid of each case

Latency is from an event's timestamp to its being written, CPU is what the line's thread spends. A fixed setting *beats*
the goal where both its 99th percentile of latency and its CPU per event are lower by more than `MARGIN`, in the mean
over the seeds: the 99th percentile of one run hangs on a few bursts. Single runs in which it was so are told as well.
Every setting meets the same arrivals on the same machine, which is slower at the same moments: none is lucky. Ends with
1 if any setting beats the goal in any case.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from stream_infer.core.batching import Batcher
from stream_infer.core.latency_goal import LatencyGoal
from stream_infer.core.waiting import Linger, WaitPolicy
from stream_infer.types import Binary, Float64Array, Records, Split

SIZES = (32, 64, 128, 256, 512)
LINGERS_MS = (0.0, 1.0, 2.0, 5.0, 20.0)
SLOS_MS = (10.0, 25.0, 50.0)
SEEDS = (1, 2, 3, 4, 5)
MARGIN = 0.01
"""A difference below this share is noise: other seeds move a 99th percentile by more."""
_MAX_BATCH_BYTES = 1 << 30
_TRANSIT_S = 0.001
"""From an event's timestamp until the client has it."""
_PUBLISH_S = 0.006
"""From publishing until it is written: the producer's linger and a round trip."""
_EPOCH_MS = 1_800_000_000_000


@dataclass(frozen=True, slots=True)
class Costs:
    """What things take on an undisturbed machine, in seconds: measured on the real line.

    Args:
        fixed_s: a batch, before its first event.
        per_event_s: scoring of one event.
        client_s: taking one event from the client and handing it back.
        poll_s: a poll that brings something, before its first event.
        wait_s: CPU of a wait, however long (timers, waking up).
    """

    fixed_s: float
    per_event_s: float
    client_s: float = 3e-6
    poll_s: float = 26e-6
    wait_s: float = 28e-6

    def batch_s(self, count: int) -> float:
        """A batch of ``count`` events."""
        return self.fixed_s + (self.per_event_s + self.client_s) * count

    def capacity_per_s(self) -> float:
        """Events a second with nothing but full batches of the largest size."""
        return SIZES[-1] / (self.poll_s + self.batch_s(SIZES[-1]))


COSTS: Mapping[str, Costs] = {
    "tree kernel": Costs(60e-6, 1.2e-6),
    "ONNX Runtime": Costs(20e-6, 3e-6),
    # What a batch costs between poll and publish besides kernels, most of it Python: docs/performance.md.
    "whole line": Costs(500e-6, 0.9e-6, client_s=0.7e-6),
}


class Outcome(NamedTuple):
    """What a run came to: 99th percentile of latency, CPU per event, mean events in a batch."""

    p99_ms: float
    cpu_us: float
    batch_size: float

    def beats(self, other: Outcome) -> bool:
        """Better in both by more than `MARGIN`."""
        share = 1 - MARGIN
        return self.p99_ms < share * other.p99_ms and self.cpu_us < share * other.cpu_us


Grid = Mapping[tuple[int, float], Outcome]
"""Outcomes of the fixed settings, by size and linger in milliseconds."""


# ------------------------------------------------------------------ loads: times of events in seconds, ascending


def poisson(rng: np.random.Generator, rate_per_s: float, begin_s: float, end_s: float) -> Float64Array:
    """Events that know nothing of each other."""
    count = rng.poisson(rate_per_s * (end_s - begin_s))
    return np.sort(rng.uniform(begin_s, end_s, count))


def steady(rng: np.random.Generator, _capacity_per_s: float) -> Float64Array:
    """2,000 events a second for 5 s."""
    return poisson(rng, 2000, 0, 5)


def bursts(rng: np.random.Generator, capacity_per_s: float, seconds: float = 3.0) -> Float64Array:
    """Every half second: 0.1 s at 110 % of what the line can do, then 0.4 s at 10 %."""
    parts = []
    for begin_s in np.arange(0.0, seconds, 0.5).tolist():
        parts += [poisson(rng, 1.1 * capacity_per_s, begin_s, begin_s + 0.1)]
        parts += [poisson(rng, 0.1 * capacity_per_s, begin_s + 0.1, begin_s + 0.5)]
    return np.concatenate(parts)


def trickle(rng: np.random.Generator, _capacity_per_s: float) -> Float64Array:
    """20 events a second for 100 s."""
    return poisson(rng, 20, 0, 100)


Load = Callable[[np.random.Generator, float], Float64Array]
LOADS: Mapping[str, Load] = {"steady": steady, "bursts": bursts, "trickle": trickle}


# ------------------------------------------------------------------ the machine and the line


class Machine:
    """A processor that is now faster, now slower, and at times stands still: the same for every setting.

    Args:
        rng: decides when it is how fast.
        seconds: for which its speed is made up; it keeps the last one from then on.
    """

    TICK_S = 0.001
    """Its speed changes so often."""
    SPREAD = 0.1
    """Standard deviation of the logarithm of its speed."""
    PAUSES_PER_S, PAUSE_S = 2.0, 0.003
    """How often it stands still, and for how long."""

    def __init__(self, rng: np.random.Generator, seconds: float) -> None:
        ticks = int(seconds / self.TICK_S) + 1
        speeds = rng.lognormal(0.0, self.SPREAD, ticks)
        for begin_s in poisson(rng, self.PAUSES_PER_S, 0.0, seconds).tolist():
            first = int(begin_s / self.TICK_S)
            speeds[first : first + round(self.PAUSE_S / self.TICK_S)] = 0.0
        speeds[-1] = 1.0
        self._times_s = np.arange(ticks + 1) * self.TICK_S
        self._done_s = np.concatenate([[0.0], np.cumsum(speeds) * self.TICK_S])

    def end_of(self, work_s: float, begin_s: float) -> float:
        """When work is done that takes ``work_s`` of an undisturbed machine and begins at ``begin_s``."""
        if begin_s >= self._times_s[-1]:
            return begin_s + work_s
        done_s = np.interp(begin_s, self._times_s, self._done_s) + work_s
        beyond_s = max(0.0, done_s - self._done_s[-1])
        return float(np.interp(done_s, self._done_s, self._times_s) + beyond_s)


class Line:
    """One thread that polls, waits, scores and publishes.

    Args:
        events_s: times of the events, ascending.
        batcher: the real one.
        costs: what things take.
        machine: what they take it of.
    """

    def __init__(self, events_s: Float64Array, batcher: Batcher, costs: Costs, machine: Machine) -> None:
        self._events_s = events_s
        self._arrivals_s = events_s + _TRANSIT_S
        self._records = _records(events_s)
        self._batcher = batcher
        self._costs = costs
        self._machine = machine
        self._now = self._cpu_s = 0.0
        self._polled = self._settled = self._batches = 0
        self._latency_s = np.empty(len(events_s))

    def run(self) -> Outcome:
        """Until every event is written."""
        while self._settled < len(self._events_s):
            self._wait()
            self._poll()
            self._score()
        p99_ms = 1000 * float(np.quantile(self._latency_s, 0.99))
        return Outcome(p99_ms, 1e6 * self._cpu_s / self._settled, self._settled / self._batches)

    def _wait(self) -> None:
        if len(self._batcher):
            wait_s = self._batcher.seconds_to_nap(self._now)
        else:
            wait_s = max(0.0, self._arrivals_s[self._polled] - self._now)
        if wait_s > 0:
            self._now += wait_s
            self._work(self._costs.wait_s)

    def _poll(self) -> None:
        there = int(np.searchsorted(self._arrivals_s, self._now, side="right"))
        end = min(there, self._polled + self._batcher.missing())
        if end > self._polled:
            self._work(self._costs.poll_s)
            received_ms = _EPOCH_MS + int(1000 * self._now)
            self._batcher.add(replace(self._records.slice(self._polled, end), received_ms=received_ms), self._now)
            self._polled = end

    def _score(self) -> None:
        batch = self._batcher.take(self._now)
        if batch is None:
            return
        count, began_at = len(batch), self._now
        self._work(self._costs.batch_s(count))
        self._batcher.scored(count, self._now - began_at)
        done = slice(self._settled, self._settled + count)
        self._latency_s[done] = self._now + _PUBLISH_S - self._events_s[done]
        self._settled += count
        self._batches += 1

    def _work(self, seconds: float) -> None:
        self._cpu_s += seconds
        self._now = self._machine.end_of(seconds, self._now)


def _records(events_s: Float64Array) -> Records:
    count = len(events_s)
    nothing = Binary(np.zeros(0, np.uint8), np.zeros(count + 1, np.int64))
    timestamps_ms = _EPOCH_MS + (1000 * events_s).astype(np.int64)
    index = np.zeros(count, np.int32)
    return Records(nothing, nothing, (Split("simulated", 0),), index, np.arange(count), timestamps_ms, 0)


# ------------------------------------------------------------------ the comparison


class Case:
    """One load on one machine, for any policy.

    Args:
        load: a name of `LOADS`.
        costs: what things take.
        seed: of arrivals and of the machine.
    """

    def __init__(self, load: str, costs: Costs, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._events_s = LOADS[load](rng, costs.capacity_per_s())
        self._machine = Machine(rng, float(self._events_s[-1]) + 1.0)
        self._costs = costs

    def goal(self, slo_ms: float) -> Outcome:
        """With a goal for latency."""
        return self._run(SIZES[-1], LatencyGoal(slo_ms / 1000, _PUBLISH_S))

    def grid(self) -> Grid:
        """With every fixed setting."""
        return {
            (size, linger_ms): self._run(size, Linger(linger_ms / 1000)) for size in SIZES for linger_ms in LINGERS_MS
        }

    def _run(self, size: int, policy: WaitPolicy) -> Outcome:
        return Line(self._events_s, Batcher(size, _MAX_BATCH_BYTES, policy), self._costs, self._machine).run()


def _grid_lines(goal: Outcome, grid: Grid) -> Iterable[str]:
    yield "  size \\ linger" + "".join(f"{linger_ms:>15g} ms" for linger_ms in LINGERS_MS)
    for size in SIZES:
        cells = [(grid[size, linger_ms], "*" if grid[size, linger_ms].beats(goal) else " ") for linger_ms in LINGERS_MS]
        yield f"{size:15d}" + "".join(f"{o.p99_ms:9.2f} /{o.cpu_us:6.2f}{mark}" for o, mark in cells)


def _row(slo_ms: float, goals: Sequence[Outcome], grids: Sequence[Grid]) -> tuple[str, int, int]:
    """Means over the seeds, of the goal and the fixed settings near it; how many beat it in the mean, and in runs."""
    goal = Outcome(*np.mean(goals, axis=0))
    means = [Outcome(*np.mean([grid[key] for grid in grids], axis=0)) for key in grids[0]]
    fastest = min((o.p99_ms for o in means if o.cpu_us <= goal.cpu_us), default=float("nan"))
    cheapest = min((o.cpu_us for o in means if o.p99_ms <= goal.p99_ms), default=float("nan"))
    beaten = sum(mean.beats(goal) for mean in means)
    single = sum(outcome.beats(goal) for goal, grid in zip(goals, grids, strict=True) for outcome in grid.values())
    row = (
        f"{slo_ms:6g}{goal.p99_ms:10.2f}{goal.cpu_us:10.2f}{goal.batch_size:9.1f}{fastest:14.2f}{cheapest:14.2f}"
        f"{beaten:7d} of {len(means)}{single:8d} of {len(grids) * len(means)}"
    )
    return row, beaten, single


def main() -> int:
    """Print the tables; 1 if a fixed setting beats the goal."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulate_batching", description=__doc__.splitlines()[0])
    parser.add_argument("--slo-ms", type=float, nargs="+", default=SLOS_MS, help="the goals")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of arrivals and machines")
    parser.add_argument("--grid", action="store_true", help="print every fixed setting: p99 ms / CPU us; * beats")
    options = parser.parse_args()
    beaten = single = 0
    for model, costs in COSTS.items():
        for load in LOADS:
            cases = [Case(load, costs, seed) for seed in options.seeds]
            grids = [case.grid() for case in cases]
            print(f"\n{model}, {load}")
            print("slo_ms    p99 ms    CPU us    batch  p99 for CPU   CPU for p99     beaten  single runs")
            for slo_ms in options.slo_ms:
                goals = [case.goal(slo_ms) for case in cases]
                row, beaten_here, single_here = _row(slo_ms, goals, grids)
                print(row, flush=True)
                beaten += beaten_here
                single += single_here
                if options.grid:
                    for goal, grid in zip(goals, grids, strict=True):
                        print("\n".join(_grid_lines(goal, grid)))
    print(f"\nA fixed setting beat the goal {beaten} times in the mean over the seeds, {single} times in a single run")
    return 1 if beaten else 0


if __name__ == "__main__":
    sys.exit(main())
