"""Small made-up histories, each with exactly what must be found in it: the checker is trusted for these."""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import pytest

from integration.faults.checker import MAX_EXAMPLES, Finding, check
from integration.faults.history import Attempted, CommittedOffset, Guarantee, History, Output, Produced
from tests.faults.notation import made

ALO: Guarantee = "at_least_once"
EO: Guarantee = "exactly_once"


@dataclass(frozen=True)
class Clean:
    history: History
    tolerated: dict[Finding, int] | None = None


@dataclass(frozen=True)
class Bad:
    history: History
    finding: Finding
    count: int
    tolerated: dict[Finding, int] | None = None


CLEAN = {
    "nothing happened": Clean(made(EO, "")),
    "each event once": Clean(made(EO, "gggg", "0 1 2 3")),
    "each event once, at least once": Clean(made(ALO, "gggg", "0 1 2 3")),
    "poison in the dead letters": Clean(made(EO, "gpgp", "0 2", "1 3")),
    "poison that names no number": Clean(made(EO, "gpg", "0 2", "1#-")),
    "tombstones, and nothing of them": Clean(made(EO, "tgtt", "1")),
    "only tombstones": Clean(made(EO, "ttt")),
    "an aborted attempt": Clean(made(EO, "ggg", "A0 A1! A2! B1 B2")),
    "several aborted attempts, and a dead letter among them": Clean(
        made(EO, "ggpg", "A0! A1! B0! C0 C1 C3! C3", "A2! C2")
    ),
    "an attempt that nobody ended": Clean(made(EO, "ggg", "A0 A1 A2 B0? B1?")),
    "a partition that goes to and fro": Clean(made(EO, "gggggg", "A0 A1 B2 B3 A4 A5")),
    "a partition that goes to and fro, at least once": Clean(made(ALO, "gggggg", "A0 A1 B2 B3 A4 A5")),
    "a crash": Clean(made(ALO, "ggggg", "A0 A1 A2 B1 B2 B3 B4"), {Finding.REPEATED: 2}),
    "a crash in the repetition": Clean(made(ALO, "gggg", "A0 A1 A2 B0 B1 C1 C2 C3"), {Finding.REPEATED: 4}),
    "a rewind": Clean(made(ALO, "gggg", "A0 A1 A2 A1 A2 A3"), {Finding.REPEATED: 2}),
    "a rewind because of a delivery that failed": Clean(made(ALO, "gggg", "A0 A2 A3 A1 A2 A3"), {Finding.REPEATED: 2}),
    "a delivery that failed, and a crash": Clean(made(ALO, "gggg", "A0 A2 B0 B1 B2 B3"), {Finding.REPEATED: 2}),
    "the queue of a frozen process": Clean(made(ALO, "gggggg", "A0 A1 B0 B1 B2 B3 A2 A3 B4 B5"), {Finding.REPEATED: 4}),
    "the queue of a frozen process, ahead of its successor": Clean(
        made(ALO, "ggggg", "A0 B0 A1 A2 A3 B1 B2 B3 B4"), {Finding.REPEATED: 4}
    ),
    "a frozen process that gets its partition back": Clean(
        made(ALO, "ggggggg", "A0 A1 B2 B3 B4 B5 A2 A3 A6"), {Finding.REPEATED: 2}
    ),
    "several frozen processes, one ahead of the others": Clean(
        made(ALO, "gggggg", "A0 A1 A2 A3 C2 C3 B2 A4 B5"), {Finding.REPEATED: 3}
    ),
    "a condemned event": Clean(made(EO, "ggg", "0 2", "1x"), {Finding.CONDEMNED: 1}),
    "an event that one life scored and the next condemned": Clean(
        made(ALO, "gggg", "A0 A1 A2 B0 B2 B3", "B1x"), {Finding.REPEATED: 3, Finding.CONDEMNED: 1}
    ),
    "an event that one life scored and the next condemned, in a replay": Clean(
        made(ALO, "ggggg", "A0 A1 A2 A3 B1 B3 B4", "B2x"), {Finding.REPEATED: 3, Finding.CONDEMNED: 1}
    ),
    "an attempted event that was in the log": Clean(
        made(EO, "g-g", "0 1 2", attempted=(101, 900)), {Finding.RECOVERED: 1}
    ),
    "an attempted event that was in the log, twice out": Clean(
        made(ALO, "g-g", "A0 A1 B0 B1 B2", attempted=(101,)), {Finding.REPEATED: 2, Finding.RECOVERED: 1}
    ),
    "an attempted event that names no number": Clean(
        made(EO, "g-g", "0 2", "1#-", attempted=(101,)), {Finding.RECOVERED: 1}
    ),
    "attempted events of which one is named by one outcome only": Clean(
        made(ALO, "g--", "A0 A1 B0", "B1x#- B2#-", attempted=(101, 102)),
        {Finding.REPEATED: 2, Finding.CONDEMNED: 1, Finding.RECOVERED: 2},
    ),
    "attempted events that never came": Clean(made(EO, "gg", "0 1", attempted=(900, 901))),
}

BAD = {
    "a hole": Bad(made(EO, "gggg", "0 2 3"), Finding.LOST, 1),
    "a hole after a crash": Bad(made(ALO, "ggggg", "A0 A1 B3 B4"), Finding.LOST, 1),
    "a dead letter that never came": Bad(made(EO, "gppg", "0 3", "2"), Finding.LOST, 1),
    "an attempt that was aborted and not repeated": Bad(made(EO, "ggg", "A0 A1! B2"), Finding.LOST, 1),
    "committed and not published": Bad(made(EO, "gggg", "0 1"), Finding.COMMIT_AHEAD, 2),
    "committed with an open transaction": Bad(made(EO, "ggg", "0 1 2?"), Finding.COMMIT_AHEAD, 1),
    "committed beyond the end": Bad(made(EO, "gg", "0 1", committed=7), Finding.COMMIT_AHEAD, 5),
    "the end is not reached": Bad(made(EO, "gggg", "0 1", committed=2), Finding.NOT_DRAINED, 2),
    "published but not committed": Bad(made(ALO, "ggg", "0 1 2", committed=1), Finding.NOT_DRAINED, 2),
    "never committed": Bad(replace(made(EO, "gg", "0 1"), committed=()), Finding.NOT_DRAINED, 2),
    "an acknowledged event that the log has lost": Bad(
        replace(made(EO, "ggg", "0 1", committed=2), log_ends={0: 2}), Finding.NOT_DRAINED, 1
    ),
    "twice": Bad(made(EO, "ggg", "A0 A1 B1 B2"), Finding.DUPLICATED, 1),
    "three times": Bad(made(EO, "gg", "A0 A1 B1 C1"), Finding.DUPLICATED, 2),
    "poison twice": Bad(made(EO, "gp", "0", "1 1"), Finding.DUPLICATED, 1),
    "scored, and condemned": Bad(made(EO, "gg", "0 1", "1x"), Finding.DUPLICATED, 1, {Finding.CONDEMNED: 1}),
    "twice, of an attempted event": Bad(
        made(EO, "g-", "0 1 1", attempted=(101,)), Finding.DUPLICATED, 1, {Finding.RECOVERED: 1}
    ),
    "two change places": Bad(made(EO, "gggg", "0 2 1 3"), Finding.REORDERED, 1),
    "an old generation publishes late": Bad(made(EO, "ggggg", "A2 A3 B0 B1 B4"), Finding.REORDERED, 2),
    "dead letters change places": Bad(made(EO, "ppg", "2", "1 0"), Finding.REORDERED, 1),
    "late, and the later one does not come again": Bad(made(ALO, "ggg", "A0 A2 B1"), Finding.REORDERED, 1),
    "late, and only some later ones come again": Bad(
        made(ALO, "gggg", "A0 A2 A3 B1 B3"), Finding.REORDERED, 1, {Finding.REPEATED: 1}
    ),
    "two change places, at least once": Bad(made(ALO, "gggg", "A0 A2 A1 A3"), Finding.REORDERED, 1),
    "a hole in a rewind": Bad(made(ALO, "ggggg", "A0 A1 A2 A3 A1 A3 A4"), Finding.REORDERED, 1, {Finding.REPEATED: 2}),
    "a hole after a crash that an earlier life had filled": Bad(
        made(ALO, "gggggg", "A0 A1 A2 A3 B1 B3 B4 B5"), Finding.REORDERED, 1, {Finding.REPEATED: 2}
    ),
    "a hole in a replay of its own": Bad(
        made(ALO, "ggggg", "A0 B1 B2 B3 B1 B3 B4"), Finding.REORDERED, 1, {Finding.REPEATED: 2}
    ),
    "a hole that was filled by one who began before": Bad(
        made(ALO, "ggggg", "A0 A1 A2 B1 B2 B3 A2 A4"), Finding.REORDERED, 1, {Finding.REPEATED: 3}
    ),
    "the reader sees what was aborted": Bad(made(EO, "ggg", "A0 A1!* A2! B1 B2"), Finding.ABORTED_VISIBLE, 1),
    "the reader sees what is open": Bad(made(EO, "gg", "A0 A1 B0?*"), Finding.ABORTED_VISIBLE, 1),
    "the reader misses what is committed": Bad(made(EO, "ggg", "0 1* 2*"), Finding.COMMITTED_INVISIBLE, 2),
    "nobody acknowledged it": Bad(made(EO, "g-g", "0 1 2"), Finding.NEVER_ACKNOWLEDGED, 1),
    "nobody acknowledged it, and it names no number": Bad(made(EO, "g-g", "0 2", "1#-"), Finding.NEVER_ACKNOWLEDGED, 1),
    "more than was attempted": Bad(
        made(EO, "g--", "0", "1#- 2#-", attempted=(101,)), Finding.NEVER_ACKNOWLEDGED, 1, {Finding.RECOVERED: 1}
    ),
    "more than was attempted, one by its number": Bad(
        made(EO, "g--", "0 1", "2#-", attempted=(101,)), Finding.NEVER_ACKNOWLEDGED, 1, {Finding.RECOVERED: 1}
    ),
    "one attempted event at two places": Bad(
        made(EO, "g--", "0 1#101 2#101", attempted=(101,)), Finding.NEVER_ACKNOWLEDGED, 1, {Finding.RECOVERED: 1}
    ),
    "of an input beyond the end": Bad(made(EO, "gg", "0 1 7"), Finding.PHANTOM, 1),
    "with the number of another one": Bad(made(EO, "ggg", "0 1#102 2"), Finding.PHANTOM, 1),
    "of a hole, with the number of an acknowledged one": Bad(made(EO, "g-g", "0 1#100 2"), Finding.PHANTOM, 1),
    "good in the dead letters": Bad(made(EO, "ggg", "0 2", "1"), Finding.WRONG_KIND, 1),
    "poison scored": Bad(made(EO, "gpg", "0 1 2"), Finding.WRONG_KIND, 1),
    "a tombstone scored": Bad(made(EO, "gtg", "0 1 2"), Finding.WRONG_KIND, 1),
    "a tombstone in the dead letters": Bad(made(EO, "gtg", "0 2", "1"), Finding.WRONG_KIND, 1),
}


def errors(history: History) -> dict[Finding, int]:
    return {finding: count for finding, count in check(history).counts.items() if not finding.tolerated}


def tolerated(history: History) -> dict[Finding, int]:
    return {finding: count for finding, count in check(history).counts.items() if finding.tolerated}


@pytest.mark.parametrize("case", CLEAN.values(), ids=CLEAN)
def test_nothing_is_found_in_a_clean_history(case: Clean) -> None:
    assert errors(case.history) == {}
    assert tolerated(case.history) == (case.tolerated or {})
    assert check(case.history).ok


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_exactly_this_is_found(case: Bad) -> None:
    assert errors(case.history) == {case.finding: case.count}
    assert tolerated(case.history) == (case.tolerated or {})
    assert not check(case.history).ok


def test_every_error_has_a_history_of_its_own() -> None:
    assert {case.finding for case in BAD.values()} | {Finding.MISPLACED} == {
        finding for finding in Finding if not finding.tolerated
    }


def test_a_scored_event_stands_in_the_partition_of_its_input_a_dead_letter_anywhere() -> None:
    history = made(EO, "gpgg", "0 2 3", "1")
    moved = tuple(
        msgspec.structs.replace(output, partition=3) if output.input_offset in (1, 2) else output
        for output in history.outputs
    )
    assert errors(replace(history, outputs=moved)) == {Finding.MISPLACED: 1}


def test_partitions_have_no_order_among_each_other() -> None:
    of_two = tuple(Output("dead", 0, n, p, o, None, "", True, 1, 0, "committed") for n, (p, o) in enumerate(PLACES))
    history = History(
        EO,
        1,
        "range",
        produced=tuple(Produced(p, o, 10 * p + o, "poison") for p, o in PLACES),
        outputs=of_two,
        committed=(CommittedOffset(0, 2), CommittedOffset(1, 2)),
    )
    assert errors(history) == {}
    turned = tuple(msgspec.structs.replace(output, offset=9 - output.offset) for output in of_two)
    assert errors(replace(history, outputs=turned)) == {Finding.REORDERED: 2}


PLACES = ((1, 0), (0, 0), (0, 1), (1, 1))


def test_an_outcome_of_nowhere_is_a_phantom() -> None:
    history = made(EO, "g", "0")
    stray = Output("dead", 0, 0, -1, -1, None, "", True, 1, 0, "committed", "malformed")
    assert errors(replace(history, outputs=(*history.outputs, stray), attempted=(Attempted(9),))) == {
        Finding.PHANTOM: 1
    }


def test_writers_without_an_identity_are_not_taken_for_one() -> None:
    # One writer would have left out 1 on its way from 0 to 2.
    history = made(ALO, "ggg", "A0 A1 B0 A2")
    nameless = tuple(msgspec.structs.replace(output, producer_id=-1) for output in history.outputs)
    assert errors(replace(history, outputs=nameless)) == {}


def test_the_order_in_which_a_history_was_written_down_means_nothing() -> None:
    history = made(EO, "ggpgg", "A0 A1! B1 B3 B4", "A2! B2")
    turned = replace(history, produced=history.produced[::-1], outputs=history.outputs[::-1])
    assert check(turned) == check(history)


def test_a_history_that_contradicts_itself_is_refused() -> None:
    history = made(EO, "gg", "0 1")
    with pytest.raises(ValueError, match=r"two inputs stand at .*contradicts itself"):
        check(replace(history, produced=history.produced * 2))
    with pytest.raises(ValueError, match=r"two records stand at .*contradicts itself"):
        check(replace(history, outputs=history.outputs * 2))


def test_the_sentence_says_what_was_found_and_where() -> None:
    assert check(made(EO, "ggg", "0 1 2")).sentence() == "ok: 3 events, 3 outcomes"
    assert check(made(ALO, "ggg", "A0 A1 B1 B2")).sentence() == "ok: 3 events, 4 outcomes, 1 repeated"
    assert check(made(EO, "gggg", "0 3 3", "2x")).sentence() == (
        "FAILED: 1 lost (0@1); 1 duplicated (0@3 2 times); of 4 events, 4 outcomes, 1 condemned"
    )
    assert check(made(EO, "gpg", "0 1 2")).sentence() == (
        "FAILED: 1 wrong kind (scored 0@1 of 0@1 number 101); of 3 events, 3 outcomes"
    )


def test_only_some_examples_are_kept() -> None:
    evidence = check(made(EO, "g" * 20, "0 19")).findings[Finding.LOST]
    assert evidence.count == 18
    assert evidence.examples == ("0@1", "0@2", "0@3", "0@4", "0@5")
    assert len(evidence.examples) == MAX_EXAMPLES


def test_repeats_are_told_apart_from_duplicates() -> None:
    assert check(made(ALO, "gg", "A0 A1 B0 B1")).repeats == 2
    assert check(made(EO, "gg", "A0 A1 B0 B1")).repeats == 0


def test_a_hundred_thousand_events_are_judged() -> None:
    """In a second or two; a rule that compares each with each would take minutes."""
    events = 100_000
    history = History(
        ALO,
        1,
        "range",
        produced=tuple(Produced(0, offset, offset, "good") for offset in range(events)),
        # Each writer puts out 1000 events and dies; the next one repeats half of them.
        outputs=tuple(
            Output("scored", 0, place, 0, offset, offset, "", True, place // 1000, 0, "plain")
            for place, offset in enumerate(start + n for start in range(0, events - 500, 500) for n in range(1000))
        ),
        committed=(CommittedOffset(0, events),),
    )
    verdict = check(history)
    assert verdict.counts == {Finding.REPEATED: events - 1000}
    assert verdict.outcomes == len(history.outputs)
