"""Backoff grows, is bounded, and jitter only shortens it."""

import pytest

from stream_infer.core.retry import Backoff, Retry

BACKOFF = Backoff(first_s=0.1, max_s=5.0, factor=2.0)


@pytest.mark.parametrize(("attempt", "delay_s"), [(1, 0.1), (2, 0.2), (4, 0.8), (7, 5.0), (10_000, 5.0)])
def test_delay_doubles_up_to_its_bound(attempt: int, delay_s: float) -> None:
    assert BACKOFF.delay(attempt, 0.0) == pytest.approx(delay_s)
    assert BACKOFF.delay(attempt, 1.0) == pytest.approx(delay_s / 2)


def test_a_retry_is_ready_after_its_delay_and_forgets_on_success() -> None:
    retry = Retry(BACKOFF)
    assert retry.ready(0.0)
    assert retry.failed(10.0, 0.0) == pytest.approx(0.1)
    assert not retry.ready(10.05)
    assert retry.seconds_until_ready(10.05) == pytest.approx(0.05)
    assert retry.ready(10.1)
    assert retry.failed(10.1, 0.0) == pytest.approx(0.2)
    assert retry.succeeded()
    assert not retry.succeeded(), "nothing had failed since"
    assert retry.ready(0.0)


def test_a_retry_is_exhausted_when_it_has_failed_for_longer_than_its_budget() -> None:
    retry = Retry(Backoff(budget_s=60.0))
    assert retry.seconds_failing(1_000.0) == 0.0
    assert not retry.exhausted(1_000.0), "nothing has failed"
    retry.failed(1_000.0, 0.0)
    retry.failed(1_030.0, 0.0)
    assert retry.seconds_failing(1_060.0) == pytest.approx(60.0)
    assert not retry.exhausted(1_060.0)
    assert retry.exhausted(1_060.1), "the budget runs from the first failure"


def test_a_success_renews_the_budget() -> None:
    retry = Retry(Backoff(budget_s=60.0))
    retry.failed(0.0, 0.0)
    retry.succeeded()
    assert not retry.exhausted(100.0)
    retry.failed(100.0, 0.0)
    assert retry.seconds_failing(150.0) == pytest.approx(50.0)
    assert not retry.exhausted(150.0)


def test_without_a_budget_there_is_no_end() -> None:
    retry = Retry(Backoff())
    retry.failed(0.0, 0.0)
    assert not retry.exhausted(1e9)
