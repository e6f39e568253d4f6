"""The figures of `stream-infer bench`: latency from the moment an event is due, growth, the knee."""

from __future__ import annotations

import numpy as np
import pytest

from stream_infer.bench.figures import (
    PRECISION,
    Latency,
    Timings,
    growth,
    knee,
    latencies_s,
    latency,
    next_rate,
    poisson_s,
    throughput,
)


def timings(counts: list[int], done_s: list[float], seconds: float, cpu_s: float = 0.0) -> Timings:
    return Timings(np.array(counts, np.int64), np.array(done_s), seconds, cpu_s)


def served(rate_per_s: float, capacity_per_s: float, seconds: float) -> Latency:
    """A line that takes events one by one, each for the same time."""
    due_s = np.arange(1, round(rate_per_s * seconds) + 1) / rate_per_s
    done, done_s = 0.0, []
    for due in due_s.tolist():
        done = max(done, due) + 1 / capacity_per_s
        done_s.append(done)
    run = timings([1] * len(done_s), done_s, done_s[-1])
    return latency(due_s, run, rate_per_s, capacity_per_s, goal_ms=50.0)


def test_throughput_shares_the_processor_among_the_stages_and_the_rest() -> None:
    run = Timings(np.array([100, 300]), np.array([0.5, 2.0]), 2.0, 1.0, (0.4, 0.2, 0.1))
    found = throughput(run)
    assert (found.events_per_s, found.events_per_batch, found.cores) == (200.0, 200.0, 0.5)
    assert found.cpu_us_per_event == pytest.approx(2500)
    stages = (found.decode_us_per_event, found.score_us_per_event, found.encode_us_per_event, found.rest_us_per_event)
    assert stages == pytest.approx((1000, 500, 250, 750))


def test_latency_counts_from_the_moment_an_event_was_due() -> None:
    """Coordinated omission: a line that stood still for a second is late for all that was due meanwhile."""
    due_s = np.array([0.1, 0.2, 0.3, 1.2])
    waits = latencies_s(due_s, timings([1, 2, 1], [0.11, 1.1, 1.21], 1.3))
    assert waits.tolist() == pytest.approx([0.01, 0.9, 0.8, 0.01])


def test_what_was_never_done_counts_with_its_wait_so_far() -> None:
    due_s = np.array([0.1, 0.2, 0.9, 1.5])
    waits = latencies_s(due_s, timings([1], [0.15], 1.0))
    assert waits.tolist() == pytest.approx([0.05, 0.8, 0.1])


def test_percentiles_are_in_milliseconds() -> None:
    due_s = np.arange(101) / 100
    done_s = [due + wait / 1000 for wait, due in enumerate(due_s.tolist())]
    found = latency(due_s, timings([1] * 101, done_s, 2.0, cpu_s=0.101), 100.0, 400.0, goal_ms=99.5)
    assert (found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms) == pytest.approx((50, 95, 99, 100))
    assert (found.share_of_throughput, found.cpu_us_per_event, found.events) == pytest.approx((0.25, 1000, 101))


@pytest.mark.parametrize(("rate", "grows"), [(900.0, False), (1000.0, False), (1030.0, True), (2000.0, True)])
def test_a_load_beyond_capacity_is_seen_to_pile_up(rate: float, grows: bool) -> None:
    found = served(rate, 1000.0, seconds=2.0)
    assert found.backlog_grows is grows
    assert found.ok is not grows


def test_growth_is_the_share_of_the_load_that_is_too_much() -> None:
    due_s = np.arange(1000) / 1000
    assert growth(due_s, due_s * 0.2 + 0.005) == pytest.approx(0.2)
    assert growth(due_s[:5], due_s[:5]) == 0.0


def test_a_pause_of_the_machine_is_no_growth() -> None:
    waits_s = np.full(1000, 0.005)
    waits_s[800:900] = 0.3
    assert growth(np.arange(1000) / 1000, waits_s) == pytest.approx(0.0)


def test_the_load_is_random_but_the_same_each_time() -> None:
    due_s = poisson_s(1000.0, 4.0, seed=1)
    assert len(due_s) == 4000
    assert due_s[-1] == pytest.approx(4.0, rel=0.1)
    assert np.all(np.diff(due_s) > 0)
    assert np.array_equal(due_s, poisson_s(1000.0, 4.0, seed=1))
    assert len(poisson_s(0.1, 1.0, seed=1)) == 1


def test_the_knee_is_the_best_rate_and_never_above_the_throughput() -> None:
    assert knee({300.0: True, 700.0: True, 900.0: False}, 1000.0) == 700.0
    assert knee({1200.0: True}, 1000.0) == 1000.0
    assert knee({300.0: False}, 1000.0) is None


@pytest.mark.parametrize("true_knee", [310.0, 640.0, 899.0, 1000.0])
def test_bisection_closes_in_on_the_knee(true_knee: float) -> None:
    tried = {rate: rate <= true_knee for rate in (300.0, 500.0, 700.0, 900.0)}
    for _ in range(10):
        rate = next_rate(tried, 1000.0)
        if rate is None:
            break
        tried[rate] = rate <= true_knee
    found = knee(tried, 1000.0)
    assert found is not None
    assert true_knee - 1000.0 * PRECISION <= found <= true_knee


def test_nothing_is_tried_below_the_lowest_rate() -> None:
    assert next_rate({300.0: False, 500.0: False}, 1000.0) is None
