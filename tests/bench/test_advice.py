"""What is said of a line follows from its figures, and from nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stream_infer.bench import advice
from stream_infer.bench.figures import Latency, Throughput

BASE = Throughput(100_000, 10.0, 2.0, 5.0, 1.0, 2.0, cores=1.0, events_per_batch=500)
LOAD = Latency(0.5, 50_000, 1000, 5.0, 8.0, 10.0, 12.0, 100.0, 10.0, backlog_grows=False, ok=True)


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("decode", "Decoding the events: 60% of the CPU."),
        ("score", "The model: 60% of the CPU."),
        ("encode", "Encoding the scored events: 60% of the CPU."),
        ("rest", "The work around each batch (batching, bookkeeping, metrics): 60% of the CPU."),
    ],
)
def test_the_largest_stage_is_the_limit(stage: str, words: str) -> None:
    costs = dict.fromkeys(("decode", "score", "encode", "rest"), 4 / 3) | {stage: 6.0}
    found = replace(BASE, **{f"{name}_us_per_event": value for name, value in costs.items()})
    assert advice.limit(found, 0, None) == f"{words} One thread does the work, and its core is busy."


def test_the_fixed_cost_of_a_batch_is_the_limit_where_it_outweighs_every_stage() -> None:
    assert advice.limit(BASE, 0, 2400.0).startswith("The model: 50%")
    assert advice.limit(BASE, 0, 3000.0).startswith("The fixed cost of a batch: 60% of the CPU")


@pytest.mark.parametrize(
    ("cores", "workers", "words"),
    [
        (0.6, 0, "The process got only 0.60 of a core: other programs used the machine, or the model waits."),
        (1.2, 2, "2 workers used 1.2 cores: they wait for Python's lock, or for free cores."),
        (1.9, 2, "2 workers used 1.9 cores."),
    ],
)
def test_idle_processors_are_named(cores: float, workers: int, words: str) -> None:
    assert advice.limit(replace(BASE, cores=cores), workers, None) == f"The model: 50% of the CPU. {words}"


def test_the_fixed_cost_is_what_two_sizes_of_batch_say() -> None:
    def costing(size: float) -> Throughput:
        return replace(BASE, events_per_batch=size, cpu_us_per_event=800 / size + 3)

    assert advice.fixed_us_per_batch(costing(512), costing(2048)) == pytest.approx(800)
    assert advice.fixed_us_per_batch(costing(512), costing(600)) is None
    assert advice.fixed_us_per_batch(BASE, replace(BASE, events_per_batch=2000, cpu_us_per_event=11.0)) == 0.0


def test_larger_batches_are_advised_where_they_are_cheaper() -> None:
    found = advice.larger_batches(BASE, replace(BASE, cpu_us_per_event=7.5), 2048)
    assert found == advice.Suggestion(
        "batching", "max_batch_size", 2048, "25% less CPU per event with a backlog (10.00 -> 7.50 us)"
    )
    assert advice.larger_batches(BASE, replace(BASE, cpu_us_per_event=9.5), 2048) is None


def test_more_workers_must_be_faster_and_none_need_only_be_as_fast() -> None:
    faster, equal = replace(BASE, events_per_s=130_000), replace(BASE, events_per_s=101_000)
    found = advice.other_workers(BASE, faster, 2)
    assert found is not None
    assert (found.key, found.value, found.reason) == ("workers", 2, "100,000 -> 130,000 events/s with a backlog")
    assert advice.other_workers(BASE, equal, 2) is None
    assert advice.other_workers(BASE, equal, 0) is not None
    assert advice.other_workers(BASE, replace(BASE, events_per_s=99_000), 0) is None


@pytest.mark.parametrize(
    ("p99_ms", "cpu_us", "grows", "advised"),
    [
        (10.0, 8.0, False, True),
        (8.0, 10.0, False, True),
        (8.0, 12.0, False, False),
        (12.0, 8.0, False, False),
        (9.9, 9.9, False, False),
        (8.0, 8.0, True, False),
    ],
)
def test_a_goal_is_advised_where_it_wins_one_thing_and_loses_none(
    p99_ms: float, cpu_us: float, grows: bool, advised: bool
) -> None:
    then = replace(LOAD, p99_ms=p99_ms, cpu_us_per_event=cpu_us, backlog_grows=grows)
    assert (advice.goal_instead_of_linger(LOAD, then, 18) is not None) is advised


def test_a_goal_that_was_missed_is_replaced_by_one_that_can_be_kept() -> None:
    found = advice.attainable_goal(LOAD, 10.0, 8.0)
    assert found is not None
    assert (found.key, found.value) == ("slo_ms", 18)
    assert advice.attainable_goal(replace(LOAD, backlog_grows=True), 10.0, 8.0) is None
