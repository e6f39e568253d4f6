"""What a batch costs is learned from timings of which some are wrong."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.core.cost_model import ENOUGH, FIT_EVERY, KEPT, BatchCost, CostModel

TREES = BatchCost(60e-6, 1.2e-6)
ODD_TIMES = st.floats(allow_nan=True, allow_infinity=True)


def learned(model: CostModel) -> BatchCost:
    assert model.cost is not None
    return model.cost


def taught(cost: BatchCost, counts: list[int], outliers: float = 0.0, spread: float = 0.0, seed: int = 1) -> CostModel:
    return teach(CostModel(), cost, counts, outliers, spread, seed)


def teach(
    model: CostModel, cost: BatchCost, counts: list[int], outliers: float = 0.0, spread: float = 0.0, seed: int = 1
) -> CostModel:
    rng = random.Random(seed)
    for count in counts:
        seconds = cost.seconds(count) * rng.lognormvariate(0.0, spread)
        model.learn(count, seconds * (rng.choice((0.0, 0.1, 30.0, 1000.0)) if rng.random() < outliers else 1.0))
    return model


def mixed(batches: int, seed: int = 3) -> list[int]:
    rng = random.Random(seed)
    return [rng.choice((1, 2, 3, 5, 17, 60, 200, 511, 512)) for _ in range(batches)]


def test_nothing_is_known_at_first() -> None:
    assert CostModel().cost is None
    assert taught(TREES, [1] * (FIT_EVERY - 1)).cost is None


def test_a_few_timings_of_each_size_are_too_few() -> None:
    assert taught(TREES, [1, 2, 4, 8, 16, 32, 64, 128]).cost is None


def test_exact_times_give_the_exact_line() -> None:
    cost = learned(taught(TREES, mixed(400)))
    assert cost.fixed_s == pytest.approx(TREES.fixed_s, rel=0.005)
    assert cost.per_event_s == pytest.approx(TREES.per_event_s, rel=0.005)


@given(
    st.floats(5e-6, 5e-3),
    st.floats(1e-7, 5e-4),
    st.integers(0, 1000),
)
def test_a_twentieth_of_wild_timings_moves_it_by_a_tenth_at_most(fixed_s: float, event_s: float, seed: int) -> None:
    true = BatchCost(fixed_s, event_s)
    cost = learned(taught(true, mixed(600, seed), outliers=0.05, spread=0.05, seed=seed))
    for count in (1, 20, 512):
        assert cost.seconds(count) == pytest.approx(true.seconds(count), rel=0.1)


def test_parts_that_matter_are_told_apart_in_spite_of_outliers() -> None:
    cost = learned(taught(TREES, mixed(600), outliers=0.05, spread=0.1))
    assert cost.fixed_s == pytest.approx(TREES.fixed_s, rel=0.15)
    assert cost.per_event_s == pytest.approx(TREES.per_event_s, rel=0.15)


def test_a_slow_first_call_decides_nothing() -> None:
    model = CostModel()
    model.learn(1, 3.0)
    assert learned(teach(model, TREES, [1] * FIT_EVERY)).seconds(1) == pytest.approx(TREES.seconds(1))


def test_a_pause_in_every_tenth_batch_decides_nothing() -> None:
    model = CostModel()
    for number in range(400):
        count = (1, 30, 300)[number % 3]
        model.learn(count, TREES.seconds(count) + (0.05 if number % 10 == 0 else 0.0))
    assert learned(model).fixed_s == pytest.approx(TREES.fixed_s, rel=0.01)


@pytest.mark.parametrize("count", [1, 7, 512])
def test_batches_of_one_size_say_what_they_cost_and_the_rest_is_believed_small(count: int) -> None:
    cost = learned(taught(TREES, [count] * 40))
    assert cost.seconds(count) == pytest.approx(TREES.seconds(count), rel=0.001)
    assert cost.fixed_s == pytest.approx(cost.per_event_s, rel=0.01)


def test_a_change_is_followed_within_a_dozen_batches_of_each_size() -> None:
    sizes = [1, 20, 512]
    model = taught(TREES, sizes * 200)
    slower = BatchCost(200e-6, 9e-6)
    cost = learned(teach(model, slower, sizes * (KEPT // 2 + 4)))
    assert cost.fixed_s == pytest.approx(slower.fixed_s, rel=0.01)
    assert cost.per_event_s == pytest.approx(slower.per_event_s, rel=0.01)


def test_a_size_that_occurs_outweighs_those_that_do_so_no_longer() -> None:
    model = taught(TREES, [1, 20, 512] * 200)
    slower = BatchCost(180e-6, 3.6e-6)
    cost = learned(teach(model, slower, [20] * 2000))
    assert cost.seconds(20) == pytest.approx(slower.seconds(20), rel=0.05)


def test_a_rare_size_is_remembered() -> None:
    model = taught(TREES, [1, 512] * ENOUGH + [1] * 200)
    assert learned(model).per_event_s == pytest.approx(TREES.per_event_s, rel=0.01)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_times_that_no_clock_can_mean_are_passed_over(seconds: float) -> None:
    model = taught(TREES, mixed(400))
    before = learned(model)
    for _ in range(100):
        model.learn(5, seconds)
    assert learned(model) == before


def test_empty_batches_are_passed_over() -> None:
    model = CostModel()
    for _ in range(100):
        model.learn(0, 1.0)
    assert model.cost is None


@given(st.lists(st.tuples(st.integers(-3, 100_000), ODD_TIMES), max_size=200))
def test_whatever_it_is_told_it_answers_with_finite_costs_not_below_zero(timings: list[tuple[int, float]]) -> None:
    model = CostModel()
    for count, seconds in timings:
        model.learn(count, seconds)
    if model.cost is not None:
        assert 0.0 <= model.cost.fixed_s < math.inf
        assert 0.0 <= model.cost.per_event_s < math.inf
