"""The line with transactions over fakes: what a reader of committed events sees, whatever fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stream_infer.core.retry import Backoff
from stream_infer.errors import CommitFailed, Fenced, RetriesExhausted, SinkUnavailable, SourceUnavailable
from tests.lines import DELIVERY, SETTINGS, ExactLine


@pytest.fixture
def line() -> ExactLine:
    return ExactLine()


def offsets(line: ExactLine, partition: int) -> list[int]:
    return [offset for found, offset in line.delivered() if found == partition]


def test_events_and_offsets_are_seen_together_and_in_order(line: ExactLine) -> None:
    line.fill(10)
    line.pipeline.start()
    line.steps_until(lambda: line.committed == {0: 10, 1: 10})
    assert offsets(line, 0) == offsets(line, 1) == list(range(10))


def test_dead_letters_are_part_of_the_transaction(line: ExactLine) -> None:
    line.source.append(0, b"good", b"bad one", None, b"good")
    line.pipeline.start()
    line.steps_until(lambda: line.committed.get(0) == 4)
    assert [(e.offset, e.reason) for e in line.sink.visible] == [(0, None), (1, "malformed"), (3, None)]


def test_tombstones_alone_are_committed_too(line: ExactLine) -> None:
    line.source.append(0, None, None)
    line.pipeline.start()
    line.steps_until(lambda: line.committed == {0: 2})
    assert line.sink.visible == []


def test_a_transaction_that_fails_is_aborted_and_done_again(line: ExactLine) -> None:
    line.fill(4, partitions=1)
    line.sink.failures.append((SinkUnavailable("coordinator away"), False))
    line.pipeline.start()
    line.steps_until(lambda: line.committed == {0: 4})
    assert offsets(line, 0) == [0, 1, 2, 3]
    assert len(line.sink.aborted) == 4
    assert line.facts.named("transaction_aborted") == [("coordinator away",)]


def test_a_commit_without_an_answer_that_happened_is_not_repeated(line: ExactLine) -> None:
    line.fill(4, partitions=1)
    line.sink.failures.append((SinkUnavailable("no answer"), True))
    line.pipeline.start()
    line.steps_until(lambda: bool(line.facts.named("transaction_aborted")))
    line.fill(2, partitions=1)
    line.steps_until(lambda: line.committed == {0: 6})
    assert offsets(line, 0) == [0, 1, 2, 3, 4, 5]


def test_scoring_goes_on_while_a_transaction_is_committed_and_publishing_waits(line: ExactLine) -> None:
    line.fill(4, partitions=1)
    line.sink.hang = True
    line.pipeline.start()
    line.steps_until(lambda: bool(line.sink.pending))
    line.steps(3)
    line.fill(4, partitions=1)
    line.steps(50)
    assert sum(line.work.sizes) == 8
    assert len(line.sink.pending) == 4
    line.sink.hang = False
    line.steps_until(lambda: line.committed == {0: 8})
    assert offsets(line, 0) == list(range(8))


def test_a_revoke_commits_what_is_in_flight(line: ExactLine) -> None:
    line.fill(3)
    line.pipeline.start()
    line.steps_until(lambda: bool(line.sink.pending))
    line.source.script(lambda: line.source.revoke(0))
    line.steps_until(lambda: line.source.owned() == [1])
    assert line.committed[0] == 3
    assert offsets(line, 0) == [0, 1, 2]
    line.steps_until(lambda: line.committed[1] == 3)
    assert sorted(line.delivered()) == [(p, o) for p in (0, 1) for o in range(3)]


def test_a_revoke_that_cannot_drain_aborts_and_rewinds_what_stays() -> None:
    line = ExactLine(manual=True)
    line.source.append(0, b"a", b"b", b"c", b"d")
    line.source.append(1, b"e", b"f", b"g", b"h")
    line.pipeline.start()
    line.steps_until(lambda: len(line.executor.waiting) == 2)
    line.executor.finish(0)
    line.steps_until(lambda: bool(line.sink.pending))
    line.sink.hang = True
    line.source.script(lambda: line.source.revoke(0))
    line.steps_until(lambda: line.source.owned() == [1])
    line.sink.hang = False
    while line.executor.waiting:
        line.executor.finish(0)
    line.source.script(lambda: line.source.assign(0))
    for _ in range(400):
        if line.executor.waiting:
            line.executor.finish(0)
        line.pipeline.step()
    assert line.committed == {0: 4, 1: 4}
    assert sorted(line.delivered()) == [(p, o) for p in (0, 1) for o in range(4)], "each once"


def test_a_transaction_with_events_of_a_lost_split_is_aborted_and_the_others_go_again(line: ExactLine) -> None:
    line.fill(4)
    line.pipeline.start()
    line.steps_until(lambda: line.committed == {0: 4, 1: 4})
    line.fill(2)
    line.steps_until(lambda: len(line.sink.pending) == 4)
    line.source.script(lambda: line.source.lose(0))
    line.steps_until(lambda: line.committed.get(1) == 6)
    assert line.committed[0] == 4
    assert offsets(line, 0) == [0, 1, 2, 3]
    assert offsets(line, 1) == [0, 1, 2, 3, 4, 5]


def test_who_is_no_member_any_more_commits_nothing(line: ExactLine) -> None:
    line.fill(4)
    line.pipeline.start()
    line.source.expelled = True
    line.steps_until(lambda: bool(line.facts.named("checkpoint_failed")))
    line.source.script(lambda: line.source.lose(0, 1))
    line.steps(5)
    line.source.expelled = False
    line.source.script(lambda: line.source.assign(0, 1))
    line.steps_until(lambda: line.committed == {0: 4, 1: 4})
    assert sorted(line.delivered()) == [(p, o) for p in (0, 1) for o in range(4)]


def test_the_membership_of_a_past_generation_is_fenced(line: ExactLine) -> None:
    line.fill(4, partitions=1)
    line.sink.hang = True
    line.pipeline.start()
    line.steps_until(lambda: bool(line.sink.pending))
    line.steps(2)
    line.source.script(lambda: line.source.lose(0))
    line.steps(1)
    line.sink.hang = False
    line.steps(5)
    assert line.committed == {}
    assert line.sink.visible == []


def test_an_abort_that_fails_is_tried_again_and_nothing_is_published_before(line: ExactLine) -> None:
    line.fill(4, partitions=1)
    line.sink.failures.append((SinkUnavailable("broker away"), False))
    line.sink.abort_failures.extend([SinkUnavailable("still away")] * 3)
    line.source.lookup_failures.append(SourceUnavailable("no answer"))
    line.pipeline.start()
    line.steps_until(lambda: line.committed == {0: 4}, limit=20_000)
    assert offsets(line, 0) == [0, 1, 2, 3]
    assert len(line.facts.named("retry_scheduled")) == 5


def test_retries_have_a_budget() -> None:
    line = ExactLine(delivery=replace(DELIVERY, backoff=Backoff(budget_s=60.0)))
    line.fill(4, partitions=1)
    line.sink.failures.append((SinkUnavailable("broker away"), False))
    line.sink.abort_failures.extend([SinkUnavailable("still away")] * 1000)
    line.pipeline.start()
    with pytest.raises(RetriesExhausted, match=r"publish has failed for 6\d s .*still away"):
        line.steps(100_000)


def test_being_fenced_ends_the_run(line: ExactLine) -> None:
    line.fill(4, partitions=1)
    line.sink.failures.append((SinkUnavailable("fenced"), False))
    line.sink.abort_failures.append(Fenced("another instance"))
    line.pipeline.start()
    with pytest.raises(Fenced):
        line.steps(100)


def test_a_drain_commits_everything(line: ExactLine) -> None:
    line.fill(6, partitions=1)
    line.pipeline.start()
    stop = iter([False, False, True])
    assert line.pipeline.run(lambda: next(stop)) == "stopped"
    assert line.committed[0] == len(line.delivered()) > 0


def test_a_drain_whose_commit_gets_no_answer_says_so(line: ExactLine) -> None:
    line.fill(6, partitions=1)
    line.sink.hang = True
    line.pipeline.start()
    line.steps(3)
    assert line.pipeline.run(lambda: True) == "incomplete"
    assert line.committed == {}


def test_a_refused_farewell_costs_nothing(line: ExactLine) -> None:
    line.fill(4, partitions=1)
    line.pipeline.start()
    line.steps_until(lambda: line.committed == {0: 4})
    line.source.commit_failures.append(CommitFailed("coordinator away"))
    assert line.pipeline.run(lambda: True) == "stopped"
    assert line.facts.named("checkpoint_failed") == [("commit", "coordinator away")]


def test_what_is_uncommitted_is_bounded() -> None:
    line = ExactLine(
        settings=replace(SETTINGS, max_records=40),
        delivery=replace(DELIVERY, commit_interval_s=600.0, max_uncommitted=8),
    )
    line.fill(40, partitions=1)
    line.pipeline.start()
    line.pipeline.run(lambda: False)
    sizes = [offsets_committed for offsets_committed, _ in line.facts.named("checkpoint_committed")]
    assert len(sizes) >= 5, "a checkpoint came each time that the bound was reached, not after ten minutes"
    assert offsets(line, 0) == list(range(40))
