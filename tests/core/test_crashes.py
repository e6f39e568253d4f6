"""The crash watch, rule by rule. The whole group over time is in test_crashes_model.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.core.crashes import CrashWatch, Level, Note
from stream_infer.testing import records
from stream_infer.types import Commit, Records, Split, Start

A, B = Split("payments", 0, 1), Split("payments", 1, 1)
WATCH = 100


def batch(split: Split, *offsets: int) -> Records:
    found = records([b"x"] * len(offsets), split=split)
    found.offset[:] = offsets
    return found


def mixed(*parts: Records) -> Records:
    return Records.concat(parts)


def settle(watch: CrashWatch, tried: Records) -> None:
    counts = np.bincount(tried.split_index, minlength=len(tried.splits)).tolist()
    watch.settled(dict(zip(tried.splits, counts, strict=True)), tried.next_offsets())


def try_and_settle(watch: CrashWatch, tried: Records, committed: dict[Split, int]) -> dict[Split, str]:
    """Mark, try, settle; returns the marks' notes."""
    marks = watch.marks(tried, committed)
    watch.marked(marks)
    settle(watch, tried)
    return {split: commit.note for split, commit in marks.items()}


def owner(note: str, offset: int = 10, end_offset: int = -1) -> CrashWatch:
    watch = CrashWatch(WATCH)
    watch.assigned({A: Start(offset, end_offset, note)})
    return watch


# ---------------------------------------------------------------------- notes

notes = st.builds(
    Note,
    running=st.booleans(),
    watched=st.integers(0, 2**63 - 1),
    alone_until=st.integers(-1, 2**63 - 1),
    trial_end=st.integers(-1, 2**63 - 1),
)


@given(notes)
def test_a_note_is_read_as_it_was_written(note: Note) -> None:
    assert Note.parse(note.text()) == note
    assert len(note.text()) <= 71
    assert note.text().isascii()


@given(st.text() | st.from_regex(r"si1 [rc]( [wat]=\d+){0,4}") | st.builds(lambda n, t: n.text() + t, notes, st.text()))
def test_any_text_is_a_note_or_none(text: str) -> None:
    note = Note.parse(text)
    assert note is None or Note.parse(note.text()) == note


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("", None),
        ("another tool was here", None),
        ("si2 r", None),
        ("si1 r\n", None),
        ("si1 r w=99999999999999999999", None),
        ("si1 r w=9223372036854775808", None),
        ("si1 r w=٣", None),
        ("si1 r", Note(True)),
        ("si1 c w=5", Note(False, watched=5)),
        ("si1 r w=108192 a=12345 t=12346", Note(True, 108192, 12345, 12346)),
    ],
)
def test_the_form_of_notes(text: str, note: Note | None) -> None:
    assert Note.parse(text) == note


# ---------------------------------------------------------------------- the ordinary course


def test_a_split_is_marked_once_before_its_first_batch_and_unmarked_by_an_orderly_end() -> None:
    watch = CrashWatch(WATCH)
    assert watch.assigned({A: Start(10, 50)}) == {}
    assert not watch.careful
    assert not watch.is_marked(A)
    first = batch(A, 10, 11)
    assert watch.marks(first, {A: 10}) == {A: Commit(10, "si1 r")}
    watch.marked({A: Commit(10, "si1 r")})
    assert watch.marks(first, {A: 10}) == {}
    assert watch.is_marked(A)
    assert watch.note(A, 12) == "si1 r"
    assert watch.farewell(A, 12) == ""
    assert not watch.alone()
    assert not watch.condemned(batch(A, 12))


def test_splits_that_nothing_was_tried_of_are_marked_all_at_once() -> None:
    watch = CrashWatch(WATCH)
    watch.assigned({A: Start(10, 50), B: Start(7, 7)})
    assert watch.marks(batch(A, 10), {A: 10, B: 7}) == {A: Commit(10, "si1 r"), B: Commit(7, "si1 r")}


def test_what_is_no_longer_owned_is_forgotten() -> None:
    watch = owner("si1 r")
    watch.removed([A])
    assert not watch.careful
    assert not watch.is_marked(A)
    assert watch.marks(batch(B, 1), {}) == {}


@pytest.mark.parametrize("note", ["", "si1 c", "lag exporter 1.2"])
def test_an_orderly_end_or_a_foreign_note_makes_no_suspect(note: str) -> None:
    assert not owner(note).careful


# ---------------------------------------------------------------------- level by level


def test_an_owner_that_died_makes_the_next_one_watch() -> None:
    watch = CrashWatch(WATCH)
    assert watch.assigned({A: Start(10, 500, "si1 r"), B: Start(0, 500)}) == {A: Level.WATCH}
    assert watch.careful
    assert not watch.alone()
    tried = mixed(batch(A, 10, 12, 15), batch(B, 0, 1))
    assert try_and_settle(watch, tried, {A: 10, B: 0}) == {A: "si1 r w=100 t=16", B: "si1 r"}
    assert watch.note(A, 16) == "si1 r w=97"
    assert watch.note(B, 2) == "si1 r"


def test_an_owner_that_died_in_a_trial_has_its_range_gone_through_alone() -> None:
    watch = CrashWatch(WATCH)
    assert watch.assigned({A: Start(10, 500, "si1 r w=100 t=16")}) == {A: Level.ALONE}
    assert watch.alone() == {A}
    assert try_and_settle(watch, batch(A, 10), {A: 10}) == {A: "si1 r w=100 a=16 t=11"}
    assert watch.note(A, 11) == "si1 r w=99 a=16"
    assert try_and_settle(watch, batch(A, 15), {A: 11}) == {A: "si1 r w=99 a=16 t=16"}
    assert watch.note(A, 16) == "si1 r w=98"
    assert not watch.alone()
    assert watch.careful, "the rest is watched on"


def test_an_owner_that_died_of_one_event_has_it_condemned() -> None:
    watch = CrashWatch(WATCH)
    assert watch.assigned({A: Start(11, 500, "si1 r w=99 a=16 t=13")}) == {A: Level.CONDEMNED}
    assert watch.alone() == {A}
    event = batch(A, 12)
    assert watch.condemned(event)
    assert watch.marks(event, {A: 11}) == {}, "the note that condemns it stands"
    assert watch.note(A, 12) == "si1 r w=99 a=16 t=13", "a commit below it must not acquit it"
    settle(watch, event)
    assert not watch.condemned(batch(A, 13))
    assert watch.note(A, 13) == "si1 r w=98 a=16"
    assert watch.alone() == {A}


def test_the_last_event_of_a_range_is_condemned_like_any_other() -> None:
    assert owner("si1 r w=99 a=16 t=16", 15).condemned(batch(A, 15))


def test_a_single_event_in_a_trial_of_a_batch_is_not_yet_condemned() -> None:
    assert owner("si1 r w=100 t=11").alone() == {A}
    assert not owner("si1 r w=100 t=11").condemned(batch(A, 10))
    assert not owner("si1 r w=100 a=10 t=12").condemned(batch(A, 11)), "the range that is over does not count"


def test_a_condemned_event_that_is_no_longer_there_is_passed() -> None:
    watch = owner("si1 r w=99 a=16 t=13", 11)
    assert try_and_settle(watch, batch(A, 14), {A: 11}) == {A: "si1 r w=99 a=16 t=15"}
    assert watch.note(A, 15) == "si1 r w=98 a=16"


def test_a_trial_below_the_start_is_over() -> None:
    watch = CrashWatch(WATCH)
    assert watch.assigned({A: Start(20, 500, "si1 r w=9 a=16 t=13")}) == {A: Level.WATCH}
    assert watch.note(A, 20) == "si1 r w=100", "as after any end without a trial"


def test_an_unclean_end_without_a_trial_begins_the_watch_anew() -> None:
    """What was open may have been records behind those under watch."""
    watch = owner("si1 r w=3")
    assert watch.note(A, 10) == "si1 r w=100"


def test_care_is_handed_on_in_order() -> None:
    watch = owner("si1 r w=100 a=16", 11)
    try_and_settle(watch, batch(A, 11), {A: 11})
    farewell = watch.farewell(A, 12)
    assert farewell == "si1 c w=99 a=16"
    heir = owner(farewell, 12)
    assert heir.alone() == {A}
    assert heir.note(A, 12) == "si1 r w=99 a=16"


def test_whoever_has_rejected_a_condemned_event_ends_in_order() -> None:
    watch = owner("si1 r a=16 t=13", 11)
    assert not watch.is_marked(A)
    settle(watch, batch(A, 12))
    assert watch.is_marked(A)
    assert watch.farewell(A, 13) == "si1 c a=16"


def test_a_condemned_event_is_handed_on_as_such() -> None:
    watch = owner("si1 r w=99 a=16 t=13", 11)
    assert owner(watch.farewell(A, 11), 11).condemned(batch(A, 12))


# ---------------------------------------------------------------------- where care ends


def test_a_watch_ends_at_the_end_the_log_had() -> None:
    watch = owner("si1 r", 10, end_offset=12)
    assert watch.careful
    tried = batch(A, 10, 11)
    assert try_and_settle(watch, tried, {A: 10}) == {A: "si1 r w=100 t=12"}
    assert watch.note(A, 12) == "si1 r"
    assert watch.farewell(A, 12) == ""
    assert watch.careful, "the trial stands until more is committed"
    assert watch.marks(batch(A, 12, 13), {A: 12}) == {}
    assert not watch.careful


def test_nothing_is_watched_where_nothing_was_left_to_read() -> None:
    assert not owner("si1 r", 10, end_offset=10).careful


def test_a_watch_ends_after_its_records() -> None:
    watch = owner("si1 c w=3")
    try_and_settle(watch, batch(A, 10, 20, 30), {A: 10})
    assert watch.note(A, 31) == "si1 r"
    assert try_and_settle(watch, batch(A, 31), {A: 31}) == {}
    assert not watch.careful


def test_a_record_behind_all_care_is_no_trial() -> None:
    watch = owner("si1 r", 10, end_offset=15)
    assert watch.careful, "nobody knows yet that there is nothing below 15"
    assert try_and_settle(watch, batch(A, 15, 16), {A: 10}) == {A: "si1 r w=100"}
    assert try_and_settle(watch, batch(A, 17), {A: 17}) == {}
    assert not watch.careful


def test_a_trial_that_stands_is_not_committed_twice() -> None:
    watch = owner("si1 r")
    tried = batch(A, 10, 11)
    watch.marked(watch.marks(tried, {A: 10}))
    assert watch.marks(tried, {A: 10}) == {}, "the same batch is tried again"
    assert watch.marks(batch(A, 10), {A: 10}) != {}


# ---------------------------------------------------------------------- rewinds


def test_state_follows_a_rewind() -> None:
    watch = owner("si1 r")
    tried = batch(A, 10, 11)
    assert try_and_settle(watch, tried, {A: 10}) == {A: "si1 r w=100 t=12"}
    again = A._replace(generation=2)
    watch.rewound({A: again})
    assert watch.is_marked(again)
    assert not watch.is_marked(A)
    assert watch.careful
    assert watch.marks(batch(again, 10, 11), {again: 10}) == {}, "the trial still stands"
    assert try_and_settle(watch, batch(again, 10), {again: 10}) == {again: "si1 r w=100 t=11"}


def test_a_trial_that_a_rewind_took_away_is_withdrawn_before_anything_else_is_tried() -> None:
    """The next crash is not its own: it would leave an event condemned that nobody was trying."""
    watch = CrashWatch(WATCH)
    watch.assigned({A: Start(10, 500, "si1 r w=9 a=20"), B: Start(0, 500)})
    trial = watch.marks(batch(A, 10), {A: 10, B: 0})
    assert trial == {A: Commit(10, "si1 r w=100 a=20 t=11"), B: Commit(0, "si1 r")}
    watch.marked(trial)
    again, other = A._replace(generation=2), B._replace(generation=2)
    watch.rewound({A: again, B: other})
    withdrawal = watch.marks(batch(other, 0), {again: 10, other: 0})
    assert withdrawal == {again: Commit(10, "si1 r w=100 a=20")}
    watch.marked(withdrawal)
    assert watch.marks(batch(other, 0), {again: 10, other: 0}) == {}


def test_a_rewind_brings_back_what_was_settled_and_not_committed() -> None:
    watch = owner("si1 r w=9 t=11")
    assert watch.alone() == {A}
    try_and_settle(watch, batch(A, 10), {A: 10})
    assert not watch.alone()
    again = A._replace(generation=2)
    watch.rewound({A: again})
    assert watch.alone() == {again}
    assert watch.note(again, 10) == "si1 r w=9 a=11"
    assert watch.marks(batch(again, 10), {again: 10}) == {}, "the trial still stands"


def test_what_is_committed_no_rewind_brings_back() -> None:
    watch = owner("si1 c w=5")
    try_and_settle(watch, batch(A, 10, 11), {A: 10})
    watch.marked(watch.marks(batch(A, 12), {A: 12}))
    again = A._replace(generation=2)
    watch.rewound({A: again})
    assert watch.note(again, 12) == "si1 r w=3"


def test_a_commit_below_what_is_settled_keeps_the_care_of_that_place() -> None:
    watch = owner("si1 r w=9 a=12", 10, end_offset=10)
    try_and_settle(watch, batch(A, 10), {A: 10})
    try_and_settle(watch, batch(A, 11), {A: 11})
    assert watch.farewell(A, 12) == ""
    assert watch.farewell(A, 11) == "si1 c a=12"
    watch = owner("si1 c w=5")
    try_and_settle(watch, batch(A, 10, 11), {A: 10})
    assert watch.farewell(A, 12) == "si1 c w=3"
    assert watch.farewell(A, 10) == "si1 c w=5"


def test_what_comes_in_more_than_one_cannot_be_a_trial_of_one() -> None:
    with pytest.raises(AssertionError, match="alone"):
        owner("si1 r w=9 a=20").marks(batch(A, 10, 11), {A: 10})
