"""What is run, in which order, and what comes of it.

Rule: a bounded number of trials, known in advance: throughput, each rate, `BISECTIONS` between them, and one trial or
two for each setting that might be advised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stream_infer.bench import advice
from stream_infer.bench.advice import Suggestion
from stream_infer.bench.figures import Latency, Throughput, knee, next_rate
from stream_infer.bench.trials import Bench, Variant

BISECTIONS = 4
_SHORT = 0.5
"""Length of a further trial, as a share of the first ones'."""
_WARM_UP = 0.1
_SENSIBLE_LOAD = 0.7
"""Share of the knee at which settings for latency are compared: what a service should be asked for day by day."""
_CONFIGURED = Variant()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to find out.

    Args:
        seconds: length of a trial.
        shares: of the throughput, the rates to try; ascending.
        goal_ms: what the 99th percentile of latency has to keep within, before publishing.
        publish_ms: what publishing is taken to add.
        slo_ms, workers: as configured.
        larger_batch: a larger ``max_batch_size`` to try; None where the config allows none.
        cpus: processors that the process may use.
    """

    seconds: float
    shares: Sequence[float]
    goal_ms: float
    publish_ms: float
    slo_ms: float | None
    workers: int
    larger_batch: int | None
    cpus: int


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. ``knee_per_s`` is None where no rate was ok; ``rates`` is ascending, refinements included."""

    throughput: Throughput
    fixed_us_per_batch: float | None
    goal_ms: float
    rates: tuple[Latency, ...]
    knee_per_s: float | None
    limit: str
    suggestions: tuple[Suggestion, ...]


def study(bench: Bench, plan: Plan, progress: Callable[[str], None]) -> Report:
    """Run all trials, one after the other; ``progress`` is told before each."""
    return _Study(bench, plan, progress).run()


class _Study:
    def __init__(self, bench: Bench, plan: Plan, progress: Callable[[str], None]) -> None:
        self._bench = bench
        self._plan = plan
        self._progress = progress

    def run(self) -> Report:
        found = self._backlog("throughput", 1.0, _CONFIGURED)
        rates = self._rates(found.events_per_s)
        best = knee(_verdicts(rates), found.events_per_s)
        fixed_us, about_batches = self._about_batches(found)
        suggestions = (
            about_batches,
            self._about_workers(found),
            self._about_goal(found, rates, best),
        )
        return Report(
            throughput=found,
            fixed_us_per_batch=fixed_us,
            goal_ms=self._plan.goal_ms,
            rates=tuple(rates),
            knee_per_s=best,
            limit=advice.limit(found, self._plan.workers, fixed_us),
            suggestions=tuple(suggestion for suggestion in suggestions if suggestion),
        )

    def _rates(self, capacity_per_s: float) -> list[Latency]:
        rates = [self._load(share * capacity_per_s, capacity_per_s, 1.0, _CONFIGURED) for share in self._plan.shares]
        for _ in range(BISECTIONS):
            rate = next_rate(_verdicts(rates), capacity_per_s)
            if rate is None:
                break
            rates.append(self._load(rate, capacity_per_s, _SHORT, _CONFIGURED))
        return sorted(rates, key=lambda latency: latency.offered_per_s)

    def _about_batches(self, found: Throughput) -> tuple[float | None, Suggestion | None]:
        """The fixed cost of a batch in microseconds, and whether larger ones would be better."""
        size = self._plan.larger_batch
        if size is None:
            return None, None
        larger = self._backlog(f"batches of {size}", _SHORT, Variant(max_batch_size=size))
        return advice.fixed_us_per_batch(found, larger), advice.larger_batches(found, larger, size)

    def _about_workers(self, found: Throughput) -> Suggestion | None:
        workers = 0 if self._plan.workers else 2
        if workers > self._plan.cpus:
            return None
        return advice.other_workers(
            found, self._backlog(f"{workers} workers", _SHORT, Variant(workers=workers)), workers
        )

    def _about_goal(self, found: Throughput, rates: Sequence[Latency], best: float | None) -> Suggestion | None:
        plan, capacity_per_s = self._plan, found.events_per_s
        if plan.slo_ms is not None:
            return None if best is not None else advice.attainable_goal(rates[0], plan.slo_ms, plan.publish_ms)
        if best is None:
            return None
        rate = _SENSIBLE_LOAD * best
        now = self._load(rate, capacity_per_s, _SHORT, _CONFIGURED)
        slo_ms = advice.goal_to_try(now, plan.publish_ms)
        then = self._load(rate, capacity_per_s, _SHORT, Variant(slo_ms=slo_ms))
        return advice.goal_instead_of_linger(now, then, slo_ms)

    def _backlog(self, name: str, length: float, variant: Variant) -> Throughput:
        self._progress(name)
        self._bench.backlog(_WARM_UP * self._plan.seconds, variant)
        return self._bench.backlog(length * self._plan.seconds, variant)

    def _load(self, rate_per_s: float, capacity_per_s: float, length: float, variant: Variant) -> Latency:
        goal = "" if variant.slo_ms is None else f", goal {variant.slo_ms:g} ms"
        self._progress(f"latency at {rate_per_s:,.0f} events/s{goal}")
        seconds = length * self._plan.seconds
        return self._bench.load(rate_per_s, seconds, variant, capacity_per_s=capacity_per_s, goal_ms=self._plan.goal_ms)


def _verdicts(rates: Sequence[Latency]) -> dict[float, bool]:
    return {latency.offered_per_s: latency.ok for latency in rates}
