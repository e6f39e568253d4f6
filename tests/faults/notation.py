"""Histories in a notation short enough to be read at a glance.

    made("at_least_once", inputs="ggpt", scored="A0 A1 B1", dead="B2", committed=4)

One input partition, 0. ``inputs``: a letter for each offset; ``g`` good, ``p`` poison, ``t`` tombstone, ``-`` nothing
that was acknowledged. The number of an input is 100 + its offset.

``scored`` and ``dead``: the logs, a record a word: writer (a letter, A by default), offset of the input, marks.

    !   its transaction was aborted         ?     it is open
    *   the reader saw it although it should not, or the other way round
    x   reason "crashed"                    #9    it names the number 9        #-  it names no number
"""

from __future__ import annotations

import re
from typing import Final

from integration.faults.history import (
    CRASHED,
    Attempted,
    CommittedOffset,
    Guarantee,
    History,
    Kind,
    Outcome,
    Output,
    Produced,
    TopicRole,
)

FIRST_NUMBER: Final = 100
KINDS: Final[dict[str, Kind]] = {"g": "good", "p": "poison", "t": "tombstone"}
WORD: Final = re.compile(r"([A-Z]?)(\d+)([!?*x]*)(?:#(\d+|-))?")


def made(
    guarantee: Guarantee,
    inputs: str,
    scored: str = "",
    dead: str = "",
    *,
    committed: int | None = None,
    attempted: tuple[int, ...] = (),
) -> History:
    """A history in short notation; committed to the end of the log by default."""
    end = len(inputs)
    return History(
        guarantee,
        seed=1,
        protocol="range",
        produced=tuple(
            Produced(0, offset, FIRST_NUMBER + offset, KINDS[letter])
            for offset, letter in enumerate(inputs)
            if letter != "-"
        ),
        attempted=tuple(map(Attempted, attempted)),
        outputs=(*log(guarantee, "scored", scored), *log(guarantee, "dead", dead)),
        committed=(CommittedOffset(0, end if committed is None else committed),),
        log_ends={0: end},
    )


def log(guarantee: Guarantee, role: TopicRole, text: str) -> list[Output]:
    return [record(guarantee, role, place, word) for place, word in enumerate(text.split())]


def record(guarantee: Guarantee, role: TopicRole, place: int, word: str) -> Output:
    match = WORD.fullmatch(word)
    assert match is not None, word
    writer, offset, marks, number = match.groups()
    standing: Outcome = "committed" if guarantee == "exactly_once" else "plain"
    outcome: Outcome = "aborted" if "!" in marks else "open" if "?" in marks else standing
    return Output(
        role,
        0,
        place,
        0,
        int(offset),
        None if number == "-" else int(number or FIRST_NUMBER + int(offset)),
        "",
        (outcome == standing) != ("*" in marks),
        ord(writer or "A"),
        0,
        outcome,
        CRASHED if "x" in marks else "malformed" if role == "dead" else "",
    )
