"""What becomes of a dead letter, and how they are summed up: by example, without a broker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stream_infer.app.dead_letters import Fate, details, fate, selects, summarise
from stream_infer.config.options import DeadLetterGroup, DeadLetterSelection, ResendOptions
from stream_infer.kafka.dead_letter_progress import SentBack
from stream_infer.kafka.dead_letter_reader import DeadLetter
from stream_infer.kafka.dead_letters import ATTEMPTS_HEADER, PREFIX, Verdict
from stream_infer.types import NO_TIMESTAMP

VERDICT = Verdict("native", "payments", 3, 90210, 1000, "truncated", "decode", "ends", "g", "fraud 7", 5000, 1)
LETTER = DeadLetter(0, 7, 1000, b"key", b"value", [("trace", b"x"), (PREFIX + "reason", b"truncated")], VERDICT)


def letter(offset: int = 7, timestamp_ms: int = 1000, **said: object) -> DeadLetter:
    return replace(LETTER, offset=offset, timestamp_ms=timestamp_ms, verdict=replace(VERDICT, **said))  # type: ignore[arg-type]  # names and types are Verdict's


@pytest.mark.parametrize(
    ("selection", "selected"),
    [
        (DeadLetterSelection(), True),
        (DeadLetterSelection(reasons=("oversize", "truncated")), True),
        (DeadLetterSelection(reasons=("oversize",)), False),
        (DeadLetterSelection(since_ms=5000), True),
        (DeadLetterSelection(since_ms=5001), False),
        (DeadLetterSelection(until_ms=5001), True),
        (DeadLetterSelection(until_ms=5000), False),
        (DeadLetterSelection(only=frozenset({(0, 7), (1, 1)})), True),
        (DeadLetterSelection(only=frozenset({(1, 7)})), False),
        (DeadLetterSelection(reasons=("truncated",), since_ms=6000), False),
    ],
)
def test_a_selection_holds_where_every_condition_does(selection: DeadLetterSelection, selected: bool) -> None:
    assert selects(selection, LETTER) is selected


def test_the_timestamp_stands_in_where_nobody_says_when() -> None:
    unsaid = letter(timestamp_ms=4000, failed_at_ms=None)
    assert selects(DeadLetterSelection(since_ms=4000, until_ms=4001), unsaid)
    assert not selects(DeadLetterSelection(since_ms=0), letter(timestamp_ms=NO_TIMESTAMP, failed_at_ms=None))


@pytest.mark.parametrize(
    ("found", "options", "expected"),
    [
        (letter(), ResendOptions(), Fate.SEND),
        (letter(), ResendOptions(DeadLetterSelection(reasons=("empty",))), Fate.NOT_SELECTED),
        (letter(offset=4), ResendOptions(), Fate.SENT_BEFORE),
        (letter(offset=9), ResendOptions(), Fate.SENT_BEFORE),
        (letter(offset=9), ResendOptions(again=True), Fate.SEND),
        (letter(topic="elsewhere"), ResendOptions(), Fate.NO_INPUT),
        (letter(topic=None), ResendOptions(again=True), Fate.NO_INPUT),
        (letter(attempts=2), ResendOptions(), Fate.SEND),
        (letter(attempts=3), ResendOptions(), Fate.TRIED_TOO_OFTEN),
        (letter(attempts=3), ResendOptions(max_attempts=4), Fate.SEND),
        (letter(attempts=1), ResendOptions(max_attempts=1), Fate.TRIED_TOO_OFTEN),
    ],
)
def test_what_becomes_of_a_dead_letter(found: DeadLetter, options: ResendOptions, expected: Fate) -> None:
    assert fate(found, options, {"payments"}, SentBack(5, ((9, 10),))) is expected


def test_dead_letters_are_summed_up_by_reason_and_stage() -> None:
    letters = [
        letter(1, failed_at_ms=3000),
        letter(2, failed_at_ms=1000, topic="orders"),
        letter(3, failed_at_ms=2000, topic=None),
        letter(4, reason="oversize", failed_at_ms=None, timestamp_ms=NO_TIMESTAMP),
    ]
    assert summarise(letters) == [
        DeadLetterGroup("truncated", "decode", 3, 1000, 3000, ("orders", "payments"), (0, 1)),
        DeadLetterGroup("oversize", "decode", 1, -1, -1, ("payments",), (0, 4)),
    ]
    assert summarise([]) == []


def test_any_number_of_reasons_is_summed_up_in_bounded_space() -> None:
    groups = summarise(letter(number, reason=f"reason {number}") for number in range(3000))
    assert groups[0].reason == "other"
    assert groups[0].count == 2000
    assert len(groups) == 1001


def test_details_are_what_the_headers_say_and_the_events_own_headers() -> None:
    found = details(replace(LETTER, headers=[*LETTER.headers, (ATTEMPTS_HEADER, b"1")]))
    assert (found.place, found.headers, found.key, found.value) == ((0, 7), (("trace", b"x"),), b"key", b"value")
    assert found.facts == {
        "reason": "truncated",
        "stage": "decode",
        "message": "ends",
        "input_topic": "payments",
        "input_partition": 3,
        "input_offset": 90210,
        "timestamp_ms": 1000,
        "failed_at_ms": 5000,
        "attempts": 1,
        "group": "g",
        "model": "fraud 7",
        "style": "native",
    }
