"""What was sent back, as sets of numbers and as text: checked against plain sets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_infer.errors import FatalError
from stream_infer.kafka.dead_letter_progress import MAX_NOTE_BYTES, SentBack

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)).map(lambda found: (found[0], sum(found))))


@given(start=st.integers(0, 30), steps=st.lists(RANGES))
def test_it_holds_exactly_what_was_put_in(start: int, steps: list[list[tuple[int, int]]]) -> None:
    memory, model = SentBack(start), set(range(start))
    for ranges in steps:
        memory = memory.including(ranges)
        model |= {offset for first, end in ranges for offset in range(first, end)}
        memory = SentBack.read(memory.offset, memory.note())
    assert {offset for offset in range(90) if offset in memory} == model
    assert memory.offset == next(offset for offset in range(100) if offset not in model)
    edges = [memory.offset, *(edge for found in memory.beyond for edge in found)]
    assert edges == sorted(set(edges)), "apart from each other"


def test_nothing_beyond_is_no_note() -> None:
    assert SentBack(5).note() == ""
    assert SentBack(5).including([(5, 7), (7, 9)]) == SentBack(9)
    assert SentBack.read(9, "") == SentBack(9)


def test_thousands_of_ranges_fit_into_a_note() -> None:
    regular = SentBack().including([(number, number + 1) for number in range(1, 20_000, 2)])
    assert len(regular.note()) < MAX_NOTE_BYTES
    scattered = SentBack().including(
        [(number, number + 1) for number in range(1, 20_000) if hash((number, 3)) % 8 == 0]
    )
    assert len(scattered.beyond) > 2000
    assert len(scattered.note()) < MAX_NOTE_BYTES


@pytest.mark.parametrize("note", ["clean", "sent-back:", "sent-back:!!", "sent-back:" + "a" * 20, "\u20ac"])
def test_a_note_of_somebody_else_is_refused(note: str) -> None:
    with pytest.raises(FatalError, match="kafka-consumer-groups --delete-offsets"):
        SentBack.read(3, note)
