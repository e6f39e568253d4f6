"""What a goal for latency does on a broker: at 70 % of the knee, and against the best fixed settings.

    python -m bench.rivals.goal knee
    python -m bench.rivals.goal fixed --capacity 150000

Rule: the whole line on a real broker, under an open load, from append to append (`bench.rivals.open_load`). Load,
broker and service share the machine, so its knee is that of all three. ``TMPDIR`` says where the broker keeps its
topics: on a slow disk latency tells when that is written to.

*knee*: the highest rate at which the goal is kept and latency does not rise while the load lasts, as
`stream-infer bench` has it, found by halves; then 70 % of it. *fixed*: the three loads of `bench.simulate_batching`,
each with a goal and with the three fixed settings that come nearest to it in the simulation, in turns. A fixed setting
beats the goal where it is better in both, 99th percentile and CPU.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from bench import CACHE, simulate_batching
from bench.rivals.latency import Latency, measure
from bench.rivals.runner import Stage
from bench.rivals.subjects import SUBJECTS, Subject, with_batching
from bench.rivals.workloads import WORKLOADS, prepare
from bench.simulate_batching import COSTS, LINGERS_MS, LOADS, SEEDS, Case, Grid, Outcome
from integration.local_kafka import LocalKafka
from integration.topics import Topics
from stream_infer.bench.figures import GROWTH_LIMIT, knee, next_rate, poisson_s
from stream_infer.types import Float64Array

_EVENTS = 200_000
"""Different ones; a longer load begins again with the first."""
_WARM_UP_S = 5.0
_SHARE_OF_KNEE = 0.7
_LOWEST_SHARE = 1 / 16
"""Of the highest rate, the first that is tried."""
_FIRST_RATE_PER_S, _FIRST_S = 50_000, 40.0
"""A load before any that counts, in which the broker's own code is compiled."""
_CONTENDERS = 3
_MODEL = "whole line"


class Bench:
    """A broker, and payments to send.

    Args:
        stage: where subjects run.
        directory: for what they need.
    """

    def __init__(self, stage: Stage, directory: Path) -> None:
        self._stage = stage
        self._directory = directory

    def run(self, subject: Subject, due_s: Float64Array) -> Latency:
        """One subject under one load, told on a line."""
        folder = Path(tempfile.mkdtemp(dir=self._directory))
        found = measure(self._stage, subject, folder, due_s, _WARM_UP_S)
        rate = len(due_s) / due_s[-1]
        print(
            f"{subject.title:48s}{rate:9,.0f}/s  p50 {found.p50_ms:g} ms, p99 {found.p99_ms:g} ms, "
            f"{found.cpu_us:.2f} us an event, rises {1000 * found.rises:.1f} ms/s, "
            f"load late by {found.sender_late_ms:.0f} ms",
            flush=True,
        )
        return found


def find_knee(bench: Bench, slo_ms: float, highest_per_s: float, seconds: float) -> float:
    """The highest rate, in events a second, that keeps the goal and piles nothing up.

    Raises:
        SystemExit: the lowest that was tried does not.
    """
    subject, tried = with_batching(slo_ms=slo_ms), dict[float, bool]()
    rate: float | None = highest_per_s * _LOWEST_SHARE
    while rate is not None:
        found = bench.run(subject, poisson_s(rate, seconds + _WARM_UP_S, len(tried)))
        tried[rate] = found.rises <= GROWTH_LIMIT and found.p99_ms <= slo_ms
        rate = next_rate(tried, highest_per_s)
    if (highest := knee(tried, highest_per_s)) is None:
        raise SystemExit(f"{min(tried):,.0f} events/s are too many already")
    return highest


def contenders(load: str, slo_ms: float) -> list[tuple[int, float]]:
    """Sizes and lingers, in ms, that come nearest to the goal in the simulation, in that in which they are worse.

    Of each linger the best size.
    """
    cases = [Case(load, COSTS[_MODEL], seed) for seed in SEEDS]
    goal = Outcome(*np.mean([case.goal(slo_ms) for case in cases], axis=0))
    grids: list[Grid] = [case.grid() for case in cases]
    worse: dict[tuple[int, float], float] = {}
    for key in grids[0]:
        mean = Outcome(*np.mean([grid[key] for grid in grids], axis=0))
        worse[key] = max(mean.p99_ms / goal.p99_ms, mean.cpu_us / goal.cpu_us)
    # Where sizes make no difference three of them would be one setting.
    by_linger = [
        min((key for key in worse if key[1] == linger_ms), key=lambda key: (worse[key], -key[0]))
        for linger_ms in LINGERS_MS
    ]
    return sorted(by_linger, key=worse.__getitem__)[:_CONTENDERS]


def loads(capacity_per_s: float, seconds: float, seed: int) -> Mapping[str, Float64Array]:
    """When events are due in each of the three loads, ascending."""
    rng = np.random.default_rng(seed)
    return {
        "steady": simulate_batching.poisson(rng, 2000, 0, seconds),
        "bursts": simulate_batching.bursts(rng, capacity_per_s, seconds),
        "trickle": simulate_batching.poisson(rng, 20, 0, seconds),
    }


def compare(bench: Bench, load: str, slo_ms: float, times: list[Float64Array]) -> bool:
    """A goal against fixed settings under one load, in turns; True where a fixed setting is better in both."""
    goal = with_batching(slo_ms=slo_ms)
    fixed = [with_batching(max_batch_size=size, linger_ms=linger_ms) for size, linger_ms in contenders(load, slo_ms)]
    found: dict[str, list[Outcome]] = {subject.title: [] for subject in (goal, *fixed)}
    for due_s, subject in itertools.product(times, (goal, *fixed)):
        one = bench.run(subject, due_s)
        found[subject.title].append(Outcome(one.p99_ms, one.cpu_us, 0.0))
    middles = {
        title: Outcome(statistics.median(o.p99_ms for o in runs), statistics.median(o.cpu_us for o in runs), 0.0)
        for title, runs in found.items()
    }
    print(f"\n{load}, medians of {len(times)}")
    for title, middle in middles.items():
        verdict = "  BETTER IN BOTH" if middle.beats(middles[goal.title]) else ""
        print(f"{title:48s} p99 {middle.p99_ms:g} ms, {middle.cpu_us:.2f} us an event{verdict}", flush=True)
    return any(middle.beats(middles[goal.title]) for middle in middles.values())


@contextmanager
def opened() -> Iterator[Bench]:
    """A broker of its own, and payments."""
    prepared = prepare(WORKLOADS["payment"], _EVENTS, CACHE)
    with (
        tempfile.TemporaryDirectory(prefix="stream-infer-bench.") as directory,
        LocalKafka(Path(directory) / "kafka") as kafka,
    ):
        stage = Stage(kafka.bootstrap_servers, Topics(kafka.bootstrap_servers), "", prepared)
        bench = Bench(stage, Path(directory))
        bench.run(SUBJECTS["stream_infer"], poisson_s(_FIRST_RATE_PER_S, _FIRST_S, seed=0))
        yield bench


def main() -> int:
    """Measure and judge; 1 where the goal is missed, or beaten."""
    parser = argparse.ArgumentParser(prog="python -m bench.rivals.goal", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("knee", "fixed"))
    parser.add_argument("--slo-ms", type=float, default=None, help="50 at the knee, 25 against fixed settings")
    parser.add_argument("--highest", type=float, default=400_000, help="events a second beyond which nobody looks")
    parser.add_argument("--capacity", type=float, default=100_000, help="events a second that bursts go beyond")
    parser.add_argument("--seconds", type=float, default=20, help=f"of each run that count; {_WARM_UP_S:g} go before")
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    with opened() as bench:
        if options.what == "knee":
            return _at_the_knee(bench, options.slo_ms or 50.0, options)
        beaten = 0
        for load in LOADS:
            times = [
                loads(options.capacity, options.seconds + _WARM_UP_S, seed)[load] for seed in range(options.repetitions)
            ]
            beaten += compare(bench, load, options.slo_ms or 25.0, times)
        return 1 if beaten else 0


def _at_the_knee(bench: Bench, slo_ms: float, options: argparse.Namespace) -> int:
    highest = find_knee(bench, slo_ms, options.highest, options.seconds / 2)
    rate = _SHARE_OF_KNEE * highest
    print(f"the knee: {highest:,.0f} events/s; {_SHARE_OF_KNEE:.0%} of it:", flush=True)
    subject = with_batching(slo_ms=slo_ms)
    runs = [
        bench.run(subject, poisson_s(rate, options.seconds + _WARM_UP_S, seed)) for seed in range(options.repetitions)
    ]
    p99_ms = statistics.median(run.p99_ms for run in runs)
    print(f"median p99 {p99_ms:g} ms, goal {slo_ms:g} ms")
    return 0 if p99_ms <= slo_ms else 1


if __name__ == "__main__":
    sys.exit(main())
