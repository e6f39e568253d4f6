"""How the line waits: asleep while a batch gathers company, listening while there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stream_infer.testing import FakeWork
from stream_infer.types import Records
from stream_infer.work import WorkResult
from tests.lines import SETTINGS, Line

GOAL = replace(SETTINGS, slo_s=0.025, publish_s=0.005, max_in_flight=2, max_batch_size=8)


class TimedWork(FakeWork):
    """Work that takes a millisecond and a microsecond for each event, as far as anybody can tell."""

    def score(self, batch: Records) -> WorkResult:
        return replace(super().score(batch), score_seconds=0.001 + 1e-6 * len(batch))


def dispatched(line: Line) -> list[tuple[int, str]]:
    return [(count, trigger) for count, trigger, _ in line.facts.named("batch_dispatched")]


def test_a_batch_that_waits_for_its_linger_is_slept_through() -> None:
    line = Line()
    line.pipeline.start()
    line.steps(3)
    line.source.append(0, b"a")
    began_at, turns = line.clock.monotonic(), len(line.facts.named("ticked"))
    line.steps_until(lambda: bool(dispatched(line)))
    assert dispatched(line) == [(1, "linger")]
    assert line.clock.monotonic() - began_at == pytest.approx(0.005, abs=1e-9)
    assert len(line.facts.named("ticked")) - turns == 2, "one turn takes the event, one lets it go"


def test_with_a_goal_a_lone_event_is_scored_at_once_and_the_trigger_says_so() -> None:
    line = Line(settings=GOAL)
    line.pipeline.start()
    line.source.append(0, b"a")
    line.steps_until(lambda: bool(dispatched(line)))
    assert line.facts.named("batch_dispatched") == [(1, "slo", 0.0)]


def test_with_a_goal_a_batch_grows_while_every_worker_is_busy() -> None:
    line = Line(manual=True, settings=GOAL)
    line.pipeline.start()
    line.source.append(0, b"a")
    line.steps_until(lambda: len(line.executor.waiting) == 1)
    for value in (b"b", b"c", b"d"):
        line.source.append(0, value)
        line.steps(30)
    assert len(line.executor.waiting) == 1
    line.executor.finish()
    line.steps_until(lambda: len(line.executor.waiting) == 1)
    assert dispatched(line) == [(1, "slo"), (3, "slo")]


def test_with_a_goal_and_a_free_worker_nobody_waits_for_the_busy_one() -> None:
    line = Line(manual=True, settings=replace(GOAL, parallel=2))
    line.pipeline.start()
    line.source.append(0, b"a")
    line.steps_until(lambda: len(line.executor.waiting) == 1)
    line.source.append(0, b"b")
    line.steps_until(lambda: len(line.executor.waiting) == 2)


def test_with_a_goal_a_full_batch_does_not_wait_for_a_worker() -> None:
    line = Line(manual=True, settings=replace(GOAL, max_batch_size=4))
    line.pipeline.start()
    line.source.append(0, b"a")
    line.steps_until(lambda: len(line.executor.waiting) == 1)
    line.source.append(0, *[b"b"] * 3)
    line.steps(30)
    assert len(line.executor.waiting) == 1
    line.source.append(0, b"c")
    line.steps_until(lambda: len(line.executor.waiting) == 2)
    assert dispatched(line) == [(1, "slo"), (4, "size")]


def test_what_a_batch_costs_is_learned_and_told() -> None:
    line = Line(settings=GOAL)
    line.pipeline._work = TimedWork()
    line.pipeline.start()
    line.fill(200)
    line.steps_until(lambda: bool(line.facts.named("batching_learned")), limit=20_000)
    fixed_s, event_s, wait_s = line.facts.named("batching_learned")[0]
    assert 0.001 < fixed_s + 8 * event_s < 0.0011
    assert 0.0 <= wait_s < 0.02


def test_without_a_goal_nothing_is_learned() -> None:
    line = Line()
    line.pipeline._work = TimedWork()
    line.pipeline.start()
    line.fill(200)
    line.steps_until(lambda: line.committed == {0: 200, 1: 200}, limit=20_000)
    line.clock.advance(10)
    line.steps(2)
    assert line.facts.named("batching_learned") == []
