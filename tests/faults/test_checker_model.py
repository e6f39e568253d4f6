"""Nothing is found in what a correct service does; whatever is damaged in it is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias, get_args

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from integration.faults.checker import Finding, check
from integration.faults.history import (
    Attempted,
    CommittedOffset,
    Guarantee,
    History,
    Kind,
    Output,
    Produced,
)
from tests.faults.simulation import (
    NUMBERS_OF_A_PARTITION,
    Action,
    AtLeastOnceService,
    ExactlyOnceService,
    Letter,
    Logs,
    Step,
)

KINDS: dict[Letter, Kind] = {"g": "good", "p": "poison", "t": "tombstone"}
LETTERS: tuple[Letter, ...] = ("g", "g", "g", "p", "t", "u")
GUARANTEES: tuple[Guarantee, ...] = get_args(Guarantee)

inputs = st.lists(st.lists(st.sampled_from(LETTERS), min_size=1, max_size=12), min_size=1, max_size=3)
steps = st.lists(st.tuples(st.sampled_from(get_args(Action)), st.integers(0, 6)), max_size=10)


@st.composite
def histories(draw: st.DrawFn, guarantee: Guarantee) -> History:
    partitions = draw(inputs)
    plans = [draw(steps) for _ in partitions]
    return simulated(guarantee, partitions, plans)


def simulated(guarantee: Guarantee, partitions: Sequence[Sequence[Letter]], plans: Sequence[Sequence[Step]]) -> History:
    logs = Logs()
    service = AtLeastOnceService if guarantee == "at_least_once" else ExactlyOnceService
    for partition, (letters, plan) in enumerate(zip(partitions, plans, strict=True)):
        service(logs, partition, letters).run(plan)
    events = [(p, offset, letter) for p, letters in enumerate(partitions) for offset, letter in enumerate(letters)]
    return History(
        guarantee,
        seed=1,
        protocol="range",
        produced=tuple(Produced(p, o, p * NUMBERS_OF_A_PARTITION + o, KINDS[k]) for p, o, k in events if k != "u"),
        attempted=tuple(Attempted(p * NUMBERS_OF_A_PARTITION + o) for p, o, k in events if k == "u"),
        outputs=tuple(logs.records),
        committed=tuple(CommittedOffset(p, len(letters)) for p, letters in enumerate(partitions)),
        log_ends={p: len(letters) for p, letters in enumerate(partitions)},
    )


@pytest.mark.parametrize("guarantee", GUARANTEES)
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_nothing_is_found_in_what_a_correct_service_does(guarantee: Guarantee, data: st.DataObject) -> None:
    verdict = check(data.draw(histories(guarantee)))
    assert verdict.ok, verdict.sentence()


# ------------------------------------------------------------------ damage

Damage: TypeAlias = Callable[[st.DataObject, History], History]


def chosen(data: st.DataObject, outputs: Sequence[Output]) -> Output:
    assume(outputs)
    return data.draw(st.sampled_from(outputs))


def outcomes(history: History) -> list[Output]:
    return [output for output in history.outputs if output.outcome in ("committed", "plain")]


def acknowledged(history: History, *kinds: Kind) -> list[Output]:
    """Outcomes of acknowledged inputs of some kinds."""
    places = {(event.partition, event.offset) for event in history.produced if event.kind in kinds}
    return [output for output in outcomes(history) if source(output) in places]


def source(output: Output) -> tuple[int, int]:
    return output.input_partition, output.input_offset


def without(history: History, gone: Callable[[Output], bool]) -> History:
    return replace(history, outputs=tuple(output for output in history.outputs if not gone(output)))


def swapped(history: History, old: Output, new: Output) -> History:
    return replace(history, outputs=tuple(new if output is old else output for output in history.outputs))


def appended(history: History, output: Output, **changes: object) -> History:
    """With one more record, at the end of every log."""
    last = msgspec.structs.replace(output, offset=1_000_000, **changes)
    return replace(history, outputs=(*history.outputs, last))


def lose(data: st.DataObject, history: History) -> History:
    """An acknowledged event that is not the last one to be answered."""
    answered = acknowledged(history, "good", "poison")
    last = dict(sorted(map(source, answered)))
    victim = chosen(data, [output for output in answered if output.input_offset < last[output.input_partition]])
    return without(history, lambda output: source(output) == source(victim))


def lose_the_tail(data: st.DataObject, history: History) -> History:
    victim = chosen(data, acknowledged(history, "good", "poison"))
    partition, first = source(victim)
    return without(history, lambda output: output.input_partition == partition and output.input_offset >= first)


def commit_too_little(data: st.DataObject, history: History) -> History:
    place = data.draw(st.sampled_from(history.committed))
    less = CommittedOffset(place.partition, data.draw(st.integers(0, place.offset - 1)))
    return replace(history, committed=tuple(less if other is place else other for other in history.committed))


def publish_twice(data: st.DataObject, history: History) -> History:
    return appended(history, chosen(data, outcomes(history)))


def publish_late(data: st.DataObject, history: History) -> History:
    """One event only at the end of its log, behind a later one."""
    answered = outcomes(history)
    last = {(output.topic_role, output.input_partition): output.input_offset for output in sorted(answered, key=source)}
    early = [output for output in answered if output.input_offset < last[output.topic_role, output.input_partition]]
    victim = chosen(data, early)
    return appended(without(history, lambda output: source(output) == source(victim)), victim)


def show_the_aborted(data: st.DataObject, history: History) -> History:
    victim = chosen(data, [output for output in history.outputs if output.outcome == "aborted"])
    return swapped(history, victim, msgspec.structs.replace(victim, visible=True))


def hide_the_committed(data: st.DataObject, history: History) -> History:
    victim = chosen(data, outcomes(history))
    return swapped(history, victim, msgspec.structs.replace(victim, visible=False))


def never_acknowledge(data: st.DataObject, history: History) -> History:
    victim = chosen(data, acknowledged(history, "good"))
    kept = tuple(event for event in history.produced if (event.partition, event.offset) != source(victim))
    return replace(history, produced=kept)


def rename(data: st.DataObject, history: History) -> History:
    victim = chosen(data, acknowledged(history, "good"))
    return swapped(history, victim, msgspec.structs.replace(victim, number=data.draw(st.integers(-9, -2))))


def move_beyond_the_end(data: st.DataObject, history: History) -> History:
    victim = chosen(data, acknowledged(history, "good"))
    end = history.log_ends[victim.input_partition]
    return appended(history, victim, input_offset=end + data.draw(st.integers(0, 9)))


def confuse_kinds(data: st.DataObject, history: History) -> History:
    """An event that was meant to end the other way."""
    victim = chosen(data, acknowledged(history, "good", "poison"))
    other: dict[Kind, Kind] = {"good": "poison", "poison": "good"}
    meant = tuple(
        msgspec.structs.replace(event, kind=other[event.kind])
        if (event.partition, event.offset) == source(victim)
        else event
        for event in history.produced
    )
    return replace(history, produced=meant)


def misplace(data: st.DataObject, history: History) -> History:
    victim = chosen(data, [output for output in outcomes(history) if output.topic_role == "scored"])
    return swapped(history, victim, msgspec.structs.replace(victim, partition=7))


DAMAGES: tuple[tuple[Guarantee, Damage, Finding], ...] = (
    ("at_least_once", lose, Finding.LOST),
    ("exactly_once", lose, Finding.LOST),
    ("at_least_once", lose_the_tail, Finding.COMMIT_AHEAD),
    ("exactly_once", lose_the_tail, Finding.COMMIT_AHEAD),
    ("at_least_once", commit_too_little, Finding.NOT_DRAINED),
    ("exactly_once", commit_too_little, Finding.NOT_DRAINED),
    ("exactly_once", publish_twice, Finding.DUPLICATED),
    ("at_least_once", publish_late, Finding.REORDERED),
    ("exactly_once", publish_late, Finding.REORDERED),
    ("exactly_once", show_the_aborted, Finding.ABORTED_VISIBLE),
    ("at_least_once", hide_the_committed, Finding.COMMITTED_INVISIBLE),
    ("exactly_once", hide_the_committed, Finding.COMMITTED_INVISIBLE),
    ("at_least_once", never_acknowledge, Finding.NEVER_ACKNOWLEDGED),
    ("exactly_once", never_acknowledge, Finding.NEVER_ACKNOWLEDGED),
    ("exactly_once", rename, Finding.PHANTOM),
    ("at_least_once", move_beyond_the_end, Finding.PHANTOM),
    ("exactly_once", confuse_kinds, Finding.WRONG_KIND),
    ("at_least_once", confuse_kinds, Finding.WRONG_KIND),
    ("exactly_once", misplace, Finding.MISPLACED),
)


@pytest.mark.parametrize(
    ("guarantee", "damage", "finding"), DAMAGES, ids=[f"{damage.__name__}-{of}" for of, damage, _ in DAMAGES]
)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_damage_is_found_for_what_it_is(
    guarantee: Guarantee, damage: Damage, finding: Finding, data: st.DataObject
) -> None:
    history = data.draw(histories(guarantee))
    found = check(damage(data, history)).counts
    assert {each for each in found if not each.tolerated} == {finding}
