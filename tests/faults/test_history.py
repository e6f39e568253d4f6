"""A history survives being written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration.faults.history import CommittedOffset, Fault, History, Output, Produced, load, save
from tests.faults.notation import made


def full() -> History:
    return History(
        "exactly_once",
        seed=7,
        protocol="consumer",
        produced=(Produced(1, 0, 42, "poison"),),
        attempted=made("exactly_once", "", attempted=(5,)).attempted,
        outputs=(Output("dead", 3, 9, 1, 0, None, "r1", False, 12, 4, "open", "malformed"),),
        committed=(CommittedOffset(1, 1),),
        log_ends={0: 0, 1: 1},
        faults=(Fault(1.5, "kill", "r1"), Fault(2.0, "black_hole", "broker")),
        replicas_exit_codes={"r1": (-9, 0), "r2": (0,)},
    )


@pytest.mark.parametrize(
    "history", [full(), made("at_least_once", "ggp", "A0 A1 B0 B1", "B2#-")], ids=["full", "plain"]
)
def test_it_comes_back_as_it_was(history: History, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    save(history, path)
    assert load(path) == history


def test_every_fact_has_a_line_that_a_person_can_read(tmp_path: Path) -> None:
    save(full(), tmp_path / "h")
    assert (tmp_path / "h").read_text().splitlines() == [
        '["history","exactly_once",7,"consumer",{"0":0,"1":1},{"r1":[-9,0],"r2":[0]}]',
        '["produced",1,0,42,"poison"]',
        '["attempted",5]',
        '["output","dead",3,9,1,0,null,"r1",false,12,4,"open","malformed"]',
        '["committed_offset",1,1]',
        '["fault",1.5,"kill","r1"]',
        '["fault",2.0,"black_hole","broker"]',
    ]


def test_a_history_is_replaced_not_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "h"
    save(full(), path)
    save(made("exactly_once", "g", "0"), path)
    assert load(path) == made("exactly_once", "g", "0")


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "line 1 is not the head"),
        (['["attempted",5]'], "line 1 is not the head"),
        (["HEAD", '["attempted"]'], "line 2 is not of a history"),
        (["HEAD", '["produced",1,0,42,"rotten"]'], "line 2 is not of a history"),
        (["HEAD", "", '["attempted",5]'], "line 2 is not of a history"),
        (["HEAD", '["attempted",5]', "HEAD"], "a second history begins"),
    ],
)
def test_what_is_no_history_is_refused(lines: list[str], complaint: str, tmp_path: Path) -> None:
    head = '["history","exactly_once",7,"consumer",{},{}]'
    path = tmp_path / "h"
    path.write_text("\n".join(lines).replace("HEAD", head))
    with pytest.raises(ValueError, match=complaint):
        load(path)
