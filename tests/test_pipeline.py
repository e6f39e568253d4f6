"""The line over fakes: order, checkpoints, retries, rebalances, backpressure, the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stream_infer.errors import (
    CommitFailed,
    RegistryUnavailable,
    ScoreTimeout,
    SinkUnavailable,
    Stuck,
    TooManyRejects,
    TopicMissing,
)
from stream_infer.types import Commit
from tests.lines import DELIVERY, SETTINGS, Line


@pytest.fixture
def line() -> Line:
    return Line()


def begin(line: Line) -> None:
    """Start, and run until somebody else would see that partition 0 is being worked on."""
    line.pipeline.start()
    line.steps_until(lambda: 0 in line.source.commits)


def test_every_event_is_published_in_order_and_committed(line: Line) -> None:
    line.fill(10)
    line.pipeline.start()
    line.steps_until(lambda: line.committed == {0: 10, 1: 10})
    for partition in (0, 1):
        assert [o for p, o in line.delivered() if p == partition] == list(range(10))


def test_bad_events_become_dead_letters_and_tombstones_are_passed_over(line: Line) -> None:
    line.source.append(0, b"good", b"bad one", None, b"good")
    line.pipeline.start()
    line.steps_until(lambda: line.committed.get(0) == 4)
    assert [(e.offset, e.reason) for e in line.sink.acknowledged] == [(0, None), (1, "malformed"), (3, None)]


def test_results_settle_in_dispatch_order_whatever_order_they_finish_in() -> None:
    line = Line(manual=True)
    executor = line.executor
    line.fill(8, partitions=1)
    line.pipeline.start()
    line.steps_until(lambda: len(executor.waiting) == 2)
    executor.finish(1)
    line.steps(5)
    assert line.sink.pending == []
    executor.finish(0)
    line.steps_until(lambda: len(line.delivered()) == 8)
    assert [offset for _, offset in line.delivered()] == list(range(8))


def test_nothing_is_committed_before_it_is_acknowledged(line: Line) -> None:
    line.sink.hang = True
    line.fill(4, partitions=1)
    line.pipeline.start()
    line.steps(300)
    assert line.committed == {}
    assert line.sink.pending
    line.sink.hang = False
    line.steps_until(lambda: line.committed == {0: 4})


def test_nothing_is_published_while_a_checkpoint_flushes_or_it_would_never_end(line: Line) -> None:
    line.sink.hang = True
    line.fill(4, partitions=1)
    line.pipeline.start()
    line.steps_until(lambda: len(line.sink.pending) == 4)
    line.steps(5)
    line.source.append(0, b"e", b"f")
    line.steps(100)
    assert len(line.sink.pending) == 4
    line.sink.hang = False
    line.steps_until(lambda: line.committed == {0: 6})


def test_a_failed_delivery_commits_nothing_and_reads_again_from_the_last_commit(line: Line) -> None:
    line.fill(4, partitions=1)
    line.pipeline.start()
    line.steps_until(lambda: line.committed == {0: 4})
    line.source.append(0, b"e", b"f")
    line.sink.failures.append(SinkUnavailable("broker away"))
    line.steps_until(lambda: line.committed == {0: 6})
    assert [offset for _, offset in line.delivered()] == [0, 1, 2, 3, 4, 5]
    assert line.facts.named("checkpoint_failed") == [("publish", "broker away")]
    assert ("retry_succeeded", ("publish",)) in line.facts.facts


def test_a_publish_that_hangs_ends_at_its_timeout_and_is_done_again(line: Line) -> None:
    line.fill(4, partitions=1)
    line.sink.hang = True
    line.pipeline.start()
    line.steps_until(lambda: line.facts.named("stage_timed_out") == [("publish", 3.0)], limit=100_000)
    line.sink.hang = False
    line.steps_until(lambda: line.committed == {0: 4})
    assert [offset for _, offset in line.delivered()] == [0, 1, 2, 3]


def test_a_commit_that_hangs_ends_at_its_timeout_and_nothing_is_scored_twice(line: Line) -> None:
    line.fill(4, partitions=1)
    begin(line)
    line.source.hang_commits = True
    line.steps_until(lambda: line.facts.named("stage_timed_out") == [("commit", 2.0)], limit=100_000)
    line.source.hang_commits = False
    line.steps_until(lambda: line.committed == {0: 4})
    assert len(line.delivered()) == 4


def test_a_refused_commit_is_tried_again(line: Line) -> None:
    line.fill(4, partitions=1)
    begin(line)
    line.source.commit_failures.append(CommitFailed("coordinator loading"))
    line.steps_until(lambda: line.committed == {0: 4})
    assert line.facts.named("checkpoint_failed") == [("commit", "coordinator loading")]


def test_a_commit_that_cannot_even_be_sent_is_tried_again(line: Line) -> None:
    line.fill(4, partitions=1)
    begin(line)
    line.source.unsent_commits.append(CommitFailed("no coordinator"))
    line.steps_until(lambda: line.committed == {0: 4})
    assert line.facts.named("checkpoint_failed") == [("commit", "no coordinator")]


def test_records_that_retention_deleted_are_reported(line: Line) -> None:
    line.fill(4, partitions=1)
    line.pipeline.start()
    line.source.delete(0, 3)
    line.steps_until(lambda: line.committed == {0: 4})
    assert [(split.partition, count) for split, count in line.facts.named("records_lost")] == [(0, 3)]
    assert line.delivered() == [(0, 3)]


def test_what_was_not_opened_is_not_closed(line: Line) -> None:
    line.pipeline.close()
    assert not line.source.closed
    line = Line()
    line.pipeline.start()
    line.pipeline.close()
    assert line.source.closed
    assert line.sink.closed


def test_a_registry_that_is_away_holds_the_batch_and_order_holds(line: Line) -> None:
    line.fill(12, partitions=1)
    line.work_failures.extend([RegistryUnavailable("down")] * 3)
    line.pipeline.start()
    line.steps_until(lambda: line.committed == {0: 12})
    assert [offset for _, offset in line.delivered()] == list(range(12))
    assert [fact[0] for fact in line.facts.named("retry_scheduled")] == ["registry"] * 3


def test_a_model_that_is_stopped_three_times_on_one_batch_ends_the_run(line: Line) -> None:
    line.fill(4, partitions=1)
    line.work_failures.extend([ScoreTimeout("stopped")] * 3)
    line.pipeline.start()
    with pytest.raises(Stuck, match="3 tries"):
        line.steps(2000)
    assert line.committed == {}


def test_a_revoke_settles_and_commits_what_is_in_flight_and_drops_the_rest() -> None:
    line = Line(manual=True)
    executor = line.executor
    line.fill(8, partitions=1)
    line.pipeline.start()
    line.steps_until(lambda: len(executor.waiting) == 2)
    executor.finish(0)
    executor.finish(0)
    line.source.script(lambda: line.source.revoke(0))
    line.steps_until(lambda: line.source.owned() == [1])
    assert line.committed == {0: 8}


def test_a_revoke_waits_no_longer_than_its_deadline_and_commits_what_settled() -> None:
    line = Line(manual=True)
    executor = line.executor
    line.fill(8, partitions=1)
    line.pipeline.start()
    line.steps_until(lambda: len(executor.waiting) == 2)
    executor.finish(0)
    line.source.script(lambda: line.source.revoke(0))
    line.steps_until(lambda: 0 not in line.source.owned())
    assert line.committed == {0: 4}
    executor.finish(0)
    line.source.script(lambda: line.source.assign(0))
    line.steps_until(lambda: len(executor.waiting) == 1)
    executor.finish(0)
    line.steps_until(lambda: line.committed == {0: 8})
    assert [offset for _, offset in line.delivered()] == list(range(8)), "the late result was dropped"


def test_of_a_batch_that_outlives_a_revoke_only_the_partitions_that_stayed_are_published() -> None:
    line = Line(manual=True)
    line.fill(2)
    line.pipeline.start()
    line.steps_until(lambda: len(line.executor.waiting) == 1)
    line.source.script(lambda: line.source.revoke(0))
    line.steps_until(lambda: line.source.owned() == [1])
    line.executor.finish(0)
    line.steps_until(lambda: line.committed == {1: 2})
    assert line.delivered() == [(1, 0), (1, 1)]


def test_a_checkpoint_under_way_leaves_out_what_was_revoked_meanwhile(line: Line) -> None:
    line.fill(2)
    line.sink.hang = True
    line.pipeline.start()
    line.steps_until(lambda: len(line.sink.pending) == 4)
    line.steps(2)
    line.source.script(lambda: line.source.lose(0))
    line.steps(1)
    line.sink.hang = False
    line.steps_until(lambda: line.committed == {1: 2})


def test_a_lost_split_is_dropped_without_a_commit() -> None:
    line = Line(manual=True)
    executor = line.executor
    line.fill(4, partitions=1)
    line.pipeline.start()
    line.steps_until(lambda: len(executor.waiting) == 1)
    line.source.script(lambda: line.source.lose(0))
    line.steps(3)
    executor.finish(0)
    line.steps(2000)
    assert line.committed == {}
    assert line.sink.acknowledged == []


def test_a_delivery_that_fails_during_a_revoke_commits_nothing_and_rewinds_the_others(line: Line) -> None:
    line.fill(4)
    line.pipeline.start()
    line.steps_until(lambda: line.committed == {0: 4, 1: 4})
    line.fill(2)
    line.steps_until(lambda: len(line.sink.pending) == 4)
    line.sink.failures.append(SinkUnavailable("gone"))
    line.source.script(lambda: line.source.revoke(0))
    line.steps_until(lambda: line.committed.get(1) == 6)
    assert line.committed[0] == 4
    assert [o for p, o in line.delivered() if p == 1] == [0, 1, 2, 3, 4, 5]


def test_a_slow_model_holds_then_pauses_the_source_and_memory_is_bounded() -> None:
    line = Line(manual=True)
    executor = line.executor
    line.fill(1000, partitions=1)
    line.pipeline.start()
    line.steps(200)
    assert len(executor.waiting) == 2
    assert sum(count for count, _ in line.facts.named("records_polled")) <= 8
    line.clock.advance(9.0)
    line.steps(2)
    assert line.source.paused
    while executor.waiting:
        executor.finish(0)
    line.steps_until(lambda: not line.source.paused)
    assert [state for (state,) in line.facts.named("gate_changed")] == ["hold", "paused", "open"]


def test_a_sink_without_room_is_not_given_anything() -> None:
    line = Line(capacity=3)
    line.fill(4, partitions=1)
    line.pipeline.start()
    line.steps(50)
    assert line.sink.pending == []


def test_draining_settles_and_commits_what_was_polled(line: Line) -> None:
    line.fill(6, partitions=1)
    line.pipeline.start()
    stop = iter([False, False, True])
    assert line.pipeline.run(lambda: next(stop)) == "stopped"
    assert line.committed[0] == len(line.delivered()) > 0


def test_a_drain_that_cannot_end_stops_at_its_timeout_and_says_so() -> None:
    line = Line(manual=True)
    line.fill(6, partitions=1)
    line.pipeline.start()
    line.steps(3)
    assert line.pipeline.run(lambda: True) == "incomplete"
    assert line.facts.named("stage_timed_out") == [("drain", 30.0)]
    assert line.committed == {}


def test_max_records_ends_the_run_after_exactly_that_many() -> None:
    line = Line(settings=replace(SETTINGS, max_records=7))
    line.fill(20, partitions=1)
    line.pipeline.start()
    assert line.pipeline.run(lambda: False) == "finished"
    assert line.committed == {0: 7}


def test_max_records_counts_no_record_twice_when_a_delivery_failed() -> None:
    line = Line(settings=replace(SETTINGS, max_records=7))
    line.fill(20, partitions=1)
    line.sink.failures.append(SinkUnavailable("broker away"))
    line.pipeline.start()
    assert line.pipeline.run(lambda: False) == "finished"
    assert line.committed == {0: 7}
    assert [offset for _, offset in line.delivered()] == list(range(7))


def test_until_caught_up_ends_at_the_end_that_stood_there_at_the_start() -> None:
    line = Line(settings=replace(SETTINGS, until_caught_up=True))
    line.fill(9)
    line.pipeline.start()
    line.source.append(0, b"later")
    assert line.pipeline.run(lambda: False) == "finished"
    assert line.committed[1] == 9
    assert line.committed[0] in (9, 10)


def test_a_dry_run_commits_nothing() -> None:
    line = Line(settings=replace(SETTINGS, max_records=8), delivery=replace(DELIVERY, commits=False))
    line.fill(8, partitions=1)
    line.pipeline.start()
    line.pipeline.run(lambda: False)
    assert line.source.commits == {}
    assert len(line.delivered()) == 8


def test_an_idle_line_waits_instead_of_spinning(line: Line) -> None:
    line.pipeline.start()
    before = line.clock.monotonic()
    line.steps(10)
    assert line.clock.monotonic() - before >= 0.9


def test_lag_is_observed_with_the_age_of_the_oldest_held_record() -> None:
    line = Line(manual=True)
    line.fill(20, partitions=1)
    line.pipeline.start()
    line.steps(5)
    line.clock.advance(6.0)
    line.steps(1)
    lag = {split.partition: value for split, value in line.facts.named("lag_observed")[-1][0].items()}
    assert lag[0] == (20, pytest.approx(6.0, abs=0.2))
    assert lag[1] == (0, 0.0)


def test_an_orderly_end_is_not_claimed_of_what_is_still_being_tried() -> None:
    line = Line(manual=True)
    line.fill(4)
    line.pipeline.start()
    line.steps_until(lambda: len(line.executor.waiting) == 1)
    line.source.script(lambda: line.source.revoke(0))
    line.steps_until(lambda: line.source.owned() == [1])
    assert line.source.commits[0].note == "si1 r"


def test_an_orderly_end_takes_back_that_somebody_is_at_work(line: Line) -> None:
    line.fill(4, partitions=1)
    begin(line)
    assert line.source.commits[0].note == "si1 r"
    assert line.pipeline.run(lambda: True) == "stopped"
    assert line.source.commits[0] == Commit(4, "")


def test_so_does_a_fatal_error_without_committing_progress(line: Line) -> None:
    line.fill(4, partitions=1)
    line.sink.failures.append(TopicMissing("gone"))
    line.pipeline.start()
    with pytest.raises(TopicMissing):
        line.pipeline.run(lambda: False)
    assert line.source.commits[0] == Commit(0, "")


def test_but_a_model_that_is_stuck_is_no_orderly_end(line: Line) -> None:
    line.fill(4, partitions=1)
    line.work_failures.extend([ScoreTimeout("stopped")] * 3)
    line.pipeline.start()
    with pytest.raises(Stuck):
        line.pipeline.run(lambda: False)
    assert line.source.commits[0] == Commit(0, "si1 r")


def test_too_many_rejects_end_the_run_before_the_batch_that_has_them_is_published() -> None:
    line = Line(delivery=replace(DELIVERY, max_consecutive_rejects=5))
    line.source.append(0, b"good", *[b"bad"] * 7)
    line.pipeline.start()
    with pytest.raises(TooManyRejects, match=r"7 events in a row were rejected.*malformed.*partition 0, offset 7"):
        line.pipeline.run(lambda: False)
    assert len(line.delivered()) == 4
    assert line.committed == {}


def test_a_revoke_that_comes_along_with_the_answer_to_a_commit_ends_that_commit_itself(line: Line) -> None:
    """Found by a trial: the commit was concluded twice."""
    line.fill(4)
    begin(line)
    line.steps_until(lambda: len(line.sink.acknowledged) == 8)
    line.source.script_at_commit(lambda: line.source.revoke(0))
    line.steps_until(lambda: line.source.owned() == [1])
    line.steps_until(lambda: line.committed == {0: 4, 1: 4})
    assert sorted(line.delivered()) == [(p, o) for p in (0, 1) for o in range(4)]


def test_a_revoke_that_comes_along_with_a_mark_settles_what_is_open_and_nothing_else() -> None:
    """Found by a trial: the revoke had settled the batch that was just being begun, and another one was lost."""
    line = Line(manual=True)
    line.fill(4)
    line.source.script_at_commit(lambda: line.source.revoke(0))
    line.pipeline.start()
    for _ in range(2000):
        if line.executor.waiting:
            line.executor.finish(0)
        line.pipeline.step()
        if line.source.owned() == [1]:
            line.source.script(lambda: line.source.assign(0))
    assert line.committed == {0: 4, 1: 4}
    assert sorted(line.delivered()) == [(p, o) for p in (0, 1) for o in range(4)], "each once"
