"""What a trial did and what came of it, as plain values: the evidence that `integration.faults.checker` judges.

Rule: a history only states what was observed, and by whom: the harness's own producer (`Produced`, `Attempted`), a
``read_committed`` reader (`Output.visible`), the broker's own files (`Output.outcome`), the group (`CommittedOffset`).
It draws no conclusion, so that a judgement can be repeated, and a made-up history is as good as a recorded one.

A file holds one JSON array a line: the head first, then each fact under its name, ``["produced", 0, 17, 42, "good"]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Literal, TypeAlias, TypeVar

import msgspec

Guarantee: TypeAlias = Literal["at_least_once", "exactly_once"]
Kind: TypeAlias = Literal["good", "poison", "tombstone"]
"""What has to come of an input: a scored event, a dead letter, nothing."""
TopicRole: TypeAlias = Literal["scored", "dead"]
Outcome: TypeAlias = Literal["committed", "aborted", "open", "plain"]
"""How the transaction of a record ended by the broker's log; ``plain``: it was written outside of any."""

CRASHED = "crashed"
"""`Output.reason` of an event that was condemned for killing whoever tried it."""


class Produced(msgspec.Struct, frozen=True, array_like=True, tag="produced"):
    """An input event that the broker acknowledged to the harness's own producer."""

    partition: int
    offset: int
    number: int
    kind: Kind


class Attempted(msgspec.Struct, frozen=True, array_like=True, tag="attempted"):
    """An input event that was sent and never acknowledged: it may be in the log or not, at an offset nobody told."""

    number: int


class Output(msgspec.Struct, frozen=True, array_like=True, tag="output"):
    """One record that physically stands in an output log, whoever may read it."""

    topic_role: TopicRole
    partition: int
    offset: int
    input_partition: int
    input_offset: int
    number: int | None
    """The number that the outcome itself names; None where it can name none (a payload that is no event)."""
    instance: str
    """Who wrote it, for the reader of a history; empty where unknown."""
    visible: bool
    """A ``read_committed`` reader got it."""
    producer_id: int
    epoch: int
    outcome: Outcome
    reason: str = ""
    """Of a dead letter: why, as its header says (``malformed``, ``crashed``, ...)."""


class CommittedOffset(msgspec.Struct, frozen=True, array_like=True, tag="committed_offset"):
    """What the group has committed of an input partition after the final drain: the next offset to read."""

    partition: int
    offset: int


class Fault(msgspec.Struct, frozen=True, array_like=True, tag="fault"):
    """Something that was done to the service or to its broker, ``at_s`` seconds after the trial began."""

    at_s: float
    kind: str
    target: str


@dataclass(frozen=True, slots=True)
class History:
    """Everything that is known of one trial.

    Args:
        guarantee: what the service was configured to keep.
        seed: what the trial's input and schedule were made from.
        protocol: how the group shared out partitions: ``range``, ``cooperative-sticky``, ``consumer``.
        produced: acknowledged inputs, in any order.
        attempted: inputs without an acknowledgement.
        outputs: every record of the output and dead-letter logs, in any order.
        committed: one for each partition that has a committed offset.
        log_ends: input partition -> its end offset after the final drain.
        faults: in the order in which they were done.
        replicas_exit_codes: replica -> exit code of each of its lives; negative: the signal that ended it.
    """

    guarantee: Guarantee
    seed: int
    protocol: str
    produced: tuple[Produced, ...] = ()
    attempted: tuple[Attempted, ...] = ()
    outputs: tuple[Output, ...] = ()
    committed: tuple[CommittedOffset, ...] = ()
    log_ends: Mapping[int, int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    replicas_exit_codes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class _Head(msgspec.Struct, frozen=True, array_like=True, tag="history"):
    guarantee: Guarantee
    seed: int
    protocol: str
    log_ends: dict[int, int]
    replicas_exit_codes: dict[str, tuple[int, ...]]


Fact: TypeAlias = Produced | Attempted | Output | CommittedOffset | Fault
_FactT = TypeVar("_FactT", Produced, Attempted, Output, CommittedOffset, Fault)
_DECODER: msgspec.json.Decoder[_Head | Fact] = msgspec.json.Decoder(_Head | Fact)


def save(history: History, path: Path) -> None:
    """Write a history, replacing the file."""
    head = _Head(
        history.guarantee,
        history.seed,
        history.protocol,
        dict(history.log_ends),
        dict(history.replicas_exit_codes),
    )
    facts = chain(history.produced, history.attempted, history.outputs, history.committed, history.faults)
    path.write_bytes(msgspec.json.Encoder().encode_lines(chain([head], facts)))


def load(path: Path) -> History:
    """Read a history back.

    Raises:
        ValueError: a line is not of a history (the line is named), or the head is missing.
        OSError: the file cannot be read.
    """
    lines = _decoded(path)
    head = next(lines, None)
    if not isinstance(head, _Head):
        raise ValueError(f"{path}: line 1 is not the head of a history")
    facts = list(lines)
    if any(isinstance(fact, _Head) for fact in facts):
        raise ValueError(f"{path}: a second history begins in the middle")
    return History(
        head.guarantee,
        head.seed,
        head.protocol,
        _only(facts, Produced),
        _only(facts, Attempted),
        _only(facts, Output),
        _only(facts, CommittedOffset),
        head.log_ends,
        _only(facts, Fault),
        head.replicas_exit_codes,
    )


def _decoded(path: Path) -> Iterator[_Head | Fact]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield _DECODER.decode(line)
            except msgspec.DecodeError as error:
                raise ValueError(f"{path}: line {number} is not of a history: {error}") from error


def _only(facts: Iterable[_Head | Fact], kind: type[_FactT]) -> tuple[_FactT, ...]:
    return tuple(fact for fact in facts if isinstance(fact, kind))


__all__ = [
    "CRASHED",
    "Attempted",
    "CommittedOffset",
    "Fault",
    "Guarantee",
    "History",
    "Kind",
    "Outcome",
    "Output",
    "Produced",
    "TopicRole",
    "load",
    "save",
]
