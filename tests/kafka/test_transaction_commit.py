from __future__ import annotations

import queue
from collections import deque
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stream_infer.clock import Deadline
from stream_infer.kafka.transaction_commit import TransactionCommit, carry_out_all, insist
from stream_infer.testing import FakeClock

AGAIN = KafkaException(KafkaError(KafkaError._TIMED_OUT, retriable=True))
ABORT = KafkaException(KafkaError(KafkaError.ILLEGAL_GENERATION, txn_requires_abort=True))
FATAL = KafkaException(KafkaError(KafkaError._FENCED, fatal=True))
OFFSETS = [TopicPartition("payments", 0, 7, metadata="running")]


class ScriptedProducer:
    """Answers each call with the next of its outcomes: an exception, or None."""

    def __init__(self, clock: FakeClock, *outcomes: KafkaException | None) -> None:
        self._clock = clock
        self._outcomes = deque(outcomes)
        self.calls: list[tuple[str, Any]] = []

    def send_offsets_to_transaction(self, offsets: list[TopicPartition], membership: bytes, timeout_s: float) -> None:
        self.calls.append(("offsets", (offsets, membership)))
        self._answer(timeout_s)

    def commit_transaction(self, timeout_s: float) -> None:
        self.calls.append(("commit", timeout_s))
        self._answer(timeout_s)

    def _answer(self, timeout_s: float) -> None:
        outcome = self._outcomes.popleft() if self._outcomes else None
        if outcome is not None:
            self._clock.sleep(timeout_s)
            raise outcome


def carried_out(*outcomes: KafkaException | None, seconds: float = 30.0) -> tuple[TransactionCommit, ScriptedProducer]:
    clock = FakeClock()
    producer: Any = ScriptedProducer(clock, *outcomes)
    commit = TransactionCommit(producer, OFFSETS, b"member", Deadline.after(seconds, clock.monotonic()), clock)
    commit.carry_out()
    assert commit.ended.is_set()
    return commit, producer


def test_offsets_are_sent_then_the_transaction_ends() -> None:
    commit, producer = carried_out()
    assert commit.committed
    assert commit.error is None
    assert [name for name, _ in producer.calls] == ["offsets", "commit"]


def test_what_may_be_repeated_is_repeated_with_the_same_arguments() -> None:
    commit, producer = carried_out(AGAIN, AGAIN, None, AGAIN, None)
    assert commit.committed
    assert [name for name, _ in producer.calls] == ["offsets"] * 3 + ["commit"] * 2
    sent = [arguments for name, arguments in producer.calls if name == "offsets"]
    assert sent == [(OFFSETS, b"member")] * 3


def test_where_the_offsets_are_refused_nothing_is_committed() -> None:
    commit, producer = carried_out(ABORT)
    assert not commit.committed
    assert commit.error is not None
    assert commit.error.txn_requires_abort()
    assert [name for name, _ in producer.calls] == ["offsets"]


@pytest.mark.parametrize("failure", [ABORT, FATAL])
def test_a_commit_that_is_refused_is_not_repeated(failure: KafkaException) -> None:
    commit, producer = carried_out(None, failure)
    assert commit.error == failure.args[0]
    assert len(producer.calls) == 2


def test_no_answer_ends_at_the_deadline() -> None:
    commit, producer = carried_out(None, *[AGAIN] * 100, seconds=3.0)
    assert not commit.committed
    assert commit.error is not None
    assert commit.error.retriable()
    assert all(timeout_s <= 0.5 for name, timeout_s in producer.calls if name == "commit")
    assert 6 <= len(producer.calls) <= 8


def test_a_commit_that_is_given_up_ends_after_the_call_that_runs() -> None:
    clock = FakeClock()
    producer: Any = ScriptedProducer(clock, None, *[AGAIN] * 100)
    commit = TransactionCommit(producer, OFFSETS, b"member", Deadline.after(30, clock.monotonic()), clock)
    commit.given_up.set()
    commit.carry_out()
    assert not commit.committed
    assert [name for name, _ in producer.calls] == ["offsets", "commit"]


def test_a_bug_is_never_taken_for_a_commit() -> None:
    clock = FakeClock()
    producer: Any = None
    commit = TransactionCommit(producer, OFFSETS, b"member", Deadline.after(30, clock.monotonic()), clock)
    with pytest.raises(AttributeError):
        commit.carry_out()
    assert commit.ended.is_set()
    assert not commit.committed


def test_the_thread_takes_one_commit_after_the_other_until_none() -> None:
    clock = FakeClock()
    commits: queue.SimpleQueue[TransactionCommit | None] = queue.SimpleQueue()
    producer: Any = ScriptedProducer(clock)
    made = [TransactionCommit(producer, OFFSETS, b"", Deadline.after(1, clock.monotonic()), clock) for _ in range(2)]
    for commit in (*made, None):
        commits.put(commit)
    carry_out_all(commits)
    assert all(commit.committed for commit in made)


def test_a_call_is_never_made_without_time() -> None:
    clock = FakeClock()
    given: list[float] = []

    def call(timeout_s: float) -> None:
        given.append(timeout_s)
        raise AGAIN

    error = insist(call, Deadline(clock.monotonic()), clock)
    assert error is not None
    assert given == [0.02]
