from __future__ import annotations

from stream_infer.kafka.fencing import Fencing


def test_a_random_name_has_no_rival() -> None:
    fencing = Fencing(stable_name=False, transaction_timeout_s=15)
    assert not any(fencing.by_a_rival(now) for now in (1.0, 2.0, 3.0))


def test_once_may_be_a_predecessor_and_twice_in_a_minute_is_a_rival() -> None:
    fencing = Fencing(stable_name=True, transaction_timeout_s=15)
    assert not fencing.by_a_rival(100.0)
    assert fencing.by_a_rival(159.9)


def test_twice_in_a_long_time_is_no_rival() -> None:
    fencing = Fencing(stable_name=True, transaction_timeout_s=15)
    assert not fencing.by_a_rival(100.0)
    assert not fencing.by_a_rival(160.0)


def test_a_transaction_that_was_too_old_shut_its_producer_out_itself() -> None:
    fencing = Fencing(stable_name=True, transaction_timeout_s=15)
    for began_at in (100.0, 120.0, 140.0):
        fencing.transaction_began(began_at)
        assert not fencing.by_a_rival(began_at + 15.0)
    fencing.transaction_began(160.0)
    assert not fencing.by_a_rival(174.9), "the first that was young enough"
    assert fencing.by_a_rival(174.9)
