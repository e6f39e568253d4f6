"""Results are kept, found again, and summed up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from integration.faults.checker import Finding, check
from integration.faults.history import Fault
from integration.faults.report import TrialName, TrialResult, append, line, load, result_of, table
from tests.faults.notation import made

GOOD = TrialResult(
    3, "at_least_once", "range", {"kill": 2, "freeze": 1}, 1200, 1450, 250, {Finding.REPEATED: 250}, 31.4, "ab12"
)
BAD = TrialResult(
    4, "exactly_once", "consumer", {"kill": 3}, 900, 899, 0, {Finding.LOST: 2, Finding.CONDEMNED: 1}, 28.6, "ab12+"
)


def test_a_result_is_what_history_and_verdict_say() -> None:
    faults = (Fault(1.0, "kill", "r1"), Fault(2.0, "freeze", "r2"), Fault(3.0, "kill", "r2"))
    history = replace(made("at_least_once", "gpg", "A0 B0 B2", "B1"), faults=faults)
    assert result_of(history, check(history), seconds=12.345, commit="ab12") == TrialResult(
        seed=1,
        guarantee="at_least_once",
        protocol="range",
        faults={"kill": 2, "freeze": 1},
        events=3,
        outputs=4,
        repeats=1,
        findings={Finding.REPEATED: 1},
        seconds=12.3,
        commit="ab12",
    )


def test_results_are_kept_and_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results.jsonl"
    assert load(path) == {}
    append(GOOD, path)
    append(BAD, path)
    assert load(path) == {
        TrialName("at_least_once", "range", 3): GOOD,
        TrialName("exactly_once", "consumer", 4): BAD,
    }


def test_the_last_result_of_a_trial_counts(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    again = msgspec.structs.replace(BAD, findings={}, commit="cd34")
    for result in (BAD, GOOD, again):
        append(result, path)
    assert load(path)[BAD.name] == again
    assert len(path.read_text().splitlines()) == 3


def test_a_line_that_is_no_result_is_named(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    append(GOOD, path)
    path.write_text(path.read_text() + '{"seed": 1}\n')
    with pytest.raises(ValueError, match="line 2 is not the result of a trial"):
        load(path)


def test_a_trial_fails_by_an_error_or_for_another_reason() -> None:
    assert GOOD.ok
    assert not BAD.ok
    assert not msgspec.structs.replace(GOOD, failure="r1 ended with code 1").ok


def test_a_line_says_what_happened() -> None:
    assert line(GOOD) == (
        "ok     at_least_once range              seed 3     1200 events, 250 repeats, 31 s: freeze, 2 kill"
    )
    assert line(BAD) == (
        "FAILED exactly_once  consumer           seed 4     900 events, 0 repeats, 29 s: 3 kill -> 2 lost, 1 condemned"
    )
    assert line(msgspec.structs.replace(GOOD, faults={}, failure="r1 ended with code 1")).endswith(
        "31 s: no faults -> r1 ended with code 1"
    )


def test_the_table_sums_up_by_guarantee_and_protocol() -> None:
    more = msgspec.structs.replace(GOOD, seed=5, faults={"kill": 1}, repeats=800)
    ahead = msgspec.structs.replace(BAD, seed=6, faults={}, findings={Finding.COMMIT_AHEAD: 4, Finding.PHANTOM: 1})
    assert table([BAD, more, GOOD, ahead]).splitlines() == [
        "| guarantee | protocol | trials | failed | faults | events | lost | duplicated | out of order | other errors "
        "| repeats | condemned |",
        "| --- | --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
        "| at_least_once | range | 2 | 0 | 4 | 2,400 | 0 | 0 | 0 | 0 | 1,050 | 0 |",
        "| exactly_once | consumer | 2 | 2 | 3 | 1,800 | 6 | 0 | 0 | 1 | 0 | 1 |",
        "| all |  | 4 | 2 | 7 | 4,200 | 6 | 0 | 0 | 1 | 1,050 | 1 |",
        "",
        "| fault | at_least_once | exactly_once |",
        "| --- | --: | --: |",
        "| freeze | 1 | 0 |",
        "| kill | 3 | 3 |",
    ]


def test_every_error_is_in_some_column() -> None:
    for finding in Finding:
        totals = table([msgspec.structs.replace(BAD, findings={finding: 7}, faults={})]).splitlines()[2]
        assert (" 7 |" in totals) == (finding not in (Finding.REPEATED, Finding.RECOVERED)), finding
