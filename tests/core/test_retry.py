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
