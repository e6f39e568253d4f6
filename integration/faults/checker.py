"""Judges a history: what was lost, repeated, out of order, seen too early, or came from nowhere.

Rule: pure; the same history gives the same verdict, and every rule is a small function that yields its own finding.
Two witnesses are asked about the outputs. The **broker's log** says which records count: those that stand outside of
any transaction or in a committed one are the *outcomes*. The **reader** must have got exactly these; where it did not,
that is a finding of its own (`Finding.ABORTED_VISIBLE`, `Finding.COMMITTED_INVISIBLE`), and is not told a second time
as a loss or a repetition.

Likewise an input without an outcome is told once, by what will become of it:

    below the committed offset, later events have outcomes    LOST
    below the committed offset, no later event has one        COMMIT_AHEAD; lost as well: nobody reads it again
    at the committed offset or behind it                      NOT_DRAINED; somebody would still read it

An outcome at a place where no acknowledged input stands is that of an *attempted* one when it names its number
(`Finding.RECOVERED`), and there can be only one such place. An outcome that names no number (an undecodable payload)
is believed as long as there are attempted inputs left to explain it.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from integration.faults.columns import (
    NO_NUMBER,
    Case,
    in_log_order,
    is_outcome,
    offset_of,
    output_text,
    partition_of,
    place_text,
)
from integration.faults.history import Guarantee, History, Output
from integration.faults.order import Stream, out_of_order_at_least_once, out_of_order_exactly_once

MAX_EXAMPLES = 5


class Finding(enum.StrEnum):
    """What a history shows. Most members are errors; `tolerated` ones are counted only."""

    LOST = "lost"
    """An acknowledged input has no outcome, and it was committed past it."""
    COMMIT_AHEAD = "commit_ahead"
    """The committed offset is ahead of all that has an outcome: what lies between is lost. Or of the log's end."""
    NOT_DRAINED = "not_drained"
    """The committed offset is below the log's end after the final drain. Counts the offsets between."""
    DUPLICATED = "duplicated"
    """An input has a second outcome, under exactly once. Counts the outcomes beyond the first."""
    REORDERED = "reordered"
    """An event is out of order within its input partition: see `integration.faults.order`."""
    ABORTED_VISIBLE = "aborted_visible"
    """The reader got a record whose transaction was aborted or is open."""
    COMMITTED_INVISIBLE = "committed_invisible"
    """The reader did not get a record that is committed."""
    NEVER_ACKNOWLEDGED = "never_acknowledged"
    """An outcome of a place in the log where nothing was acknowledged, and of no attempted input."""
    PHANTOM = "phantom"
    """An outcome of an input that cannot be: beyond the log's end, or with the number of another one."""
    WRONG_KIND = "wrong_kind"
    """A good event in the dead letters, a bad one scored, or anything at all of a tombstone."""
    MISPLACED = "misplaced"
    """A scored event in another partition than its input's (dead letters go by their key)."""
    REPEATED = "repeated"
    """Tolerated: what `DUPLICATED` is, under at least once."""
    CONDEMNED = "condemned"
    """Tolerated: a dead letter because the event was taken for one that kills (reason ``crashed``)."""
    RECOVERED = "recovered"
    """Tolerated: an input without an acknowledgement was in the log after all, and has its outcome."""

    @property
    def tolerated(self) -> bool:
        """True where the guarantee allows it."""
        return self in (Finding.REPEATED, Finding.CONDEMNED, Finding.RECOVERED)

    @property
    def words(self) -> str:
        """As people write it."""
        return self.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Evidence:
    """How often something was found, and where, at most `MAX_EXAMPLES` times.

    An example names places as ``partition@offset``.
    """

    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checker found. Only what was found is in ``findings``."""

    guarantee: Guarantee
    events: int
    """Acknowledged inputs."""
    outcomes: int
    """Records that count, scored and dead."""
    findings: Mapping[Finding, Evidence]

    @property
    def ok(self) -> bool:
        """True where nothing was found but what is tolerated."""
        return all(finding.tolerated for finding in self.findings)

    @property
    def counts(self) -> dict[Finding, int]:
        """How often each was found."""
        return {finding: evidence.count for finding, evidence in self.findings.items()}

    @property
    def repeats(self) -> int:
        """Outcomes beyond the first of an input, where the guarantee allows them."""
        return self.counts.get(Finding.REPEATED, 0)

    def sentence(self) -> str:
        """The verdict in one line; errors come with their examples."""
        errors = [
            f"{evidence.count} {finding.words} ({', '.join(evidence.examples)})"
            for finding, evidence in self.findings.items()
            if not finding.tolerated
        ]
        allowed = [f"{count} {finding.words}" for finding, count in self.counts.items() if finding.tolerated]
        size = f"{self.events} events, {self.outcomes} outcomes"
        if not errors:
            return ", ".join([f"ok: {size}", *allowed])
        return f"FAILED: {'; '.join(errors)}; of {', '.join([size, *allowed])}"


def check(history: History) -> Verdict:
    """Judge a history by the guarantee that it was recorded under.

    Raises:
        ValueError: two records, or two inputs, stand at the same place: this is no history.
    """
    case = Case.of(history)
    findings: dict[Finding, Evidence] = {}
    for rule in _RULES:
        for finding, count, examples in rule(case):
            if count:
                findings[finding] = Evidence(count, tuple(islice(examples, MAX_EXAMPLES)))
    return Verdict(history.guarantee, len(case.inputs.place), len(case.outcomes.rows), MappingProxyType(findings))


# ------------------------------------------------------------------ rules

_Found: TypeAlias = Iterator[tuple[Finding, int, Iterable[str]]]


def _visibility(case: Case) -> _Found:
    outputs = in_log_order(case.history.outputs)
    early = [output for output in outputs if output.visible and not is_outcome(output)]
    withheld = [output for output in outputs if not output.visible and is_outcome(output)]
    yield Finding.ABORTED_VISIBLE, len(early), map(output_text, early)
    yield Finding.COMMITTED_INVISIBLE, len(withheld), map(output_text, withheld)


def _missing(case: Case) -> _Found:
    inputs, answered = case.inputs, case.answered
    # Places ascend, so the last one stays.
    newest = {partition_of(place): place for place in inputs.place[answered].tolist()}
    missing = inputs.place[~answered & (inputs.kind != "tombstone")].tolist()
    passed = [place for place in missing if offset_of(place) < case.committed_of(partition_of(place))]
    holes = [place for place in passed if place < newest.get(partition_of(place), -1)]
    tails = [place for place in passed if place > newest.get(partition_of(place), -1)]
    ahead = {partition: case.committed_of(partition) - end for partition, end in case.log_ends.items()}
    beyond = {partition: count for partition, count in ahead.items() if count > 0}
    told = (f"{partition}@{case.committed_of(partition)} beyond the end" for partition in beyond)
    yield Finding.LOST, len(holes), map(place_text, holes)
    yield Finding.COMMIT_AHEAD, len(tails) + sum(beyond.values()), chain(map(place_text, tails), told)


def _drained(case: Case) -> _Found:
    left = {partition: end - case.committed_of(partition) for partition, end in case.log_ends.items()}
    behind = {partition: count for partition, count in left.items() if count > 0}
    told = (f"{partition}@{case.committed_of(partition)}, {count} to go" for partition, count in behind.items())
    yield Finding.NOT_DRAINED, sum(behind.values()), told


def _repeated(case: Case) -> _Found:
    places, counts = np.unique(case.outcomes.place[case.explained], return_counts=True)
    often = zip(places[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True)
    told = (f"{place_text(place)} {count} times" for place, count in often)
    exactly_once = case.history.guarantee == "exactly_once"
    yield Finding.DUPLICATED if exactly_once else Finding.REPEATED, int((counts - 1).sum()), told


def _unexplained(case: Case) -> _Found:
    outcomes = case.outcomes
    named = outcomes.number != NO_NUMBER
    known = case.input_row >= 0
    renamed = known & named
    renamed[renamed] = case.inputs.number[case.input_row[renamed]] != outcomes.number[renamed]
    # Somebody else's number at a place where nothing was acknowledged is as wrong as at one where something was.
    stolen = ~case.explained & named & np.isin(outcomes.number, case.inputs.number)
    unwritten = ~case.explained & ~stolen
    beyond = unwritten & np.array([_is_beyond(row, case.log_ends) for row in outcomes.rows], np.bool_)
    phantoms = np.flatnonzero(renamed | stolen | beyond).tolist()
    unacknowledged = np.flatnonzero(unwritten & ~beyond).tolist()
    yield Finding.PHANTOM, len(phantoms), outcomes.texts(phantoms)
    yield Finding.NEVER_ACKNOWLEDGED, len(unacknowledged), outcomes.texts(unacknowledged)
    recovered = np.unique(outcomes.place[case.recovered]).tolist()
    yield Finding.RECOVERED, len(recovered), map(place_text, recovered)


def _is_beyond(output: Output, log_ends: Mapping[int, int]) -> bool:
    return not 0 <= output.input_offset < log_ends.get(output.input_partition, 0)


def _kinds(case: Case) -> _Found:
    outcomes, known = case.outcomes, np.flatnonzero(case.input_row >= 0)
    kind = case.inputs.kind[case.input_row[known]]
    dead, condemned = outcomes.dead[known], outcomes.condemned[known]
    wrong = (kind == "tombstone") | ((kind == "poison") & ~dead) | ((kind == "good") & dead & ~condemned)
    yield Finding.WRONG_KIND, int(wrong.sum()), outcomes.texts(known[wrong].tolist())
    yield Finding.CONDEMNED, int(outcomes.condemned.sum()), outcomes.texts(np.flatnonzero(outcomes.condemned).tolist())


def _misplaced(case: Case) -> _Found:
    outcomes = case.outcomes
    elsewhere = outcomes.partition != partition_of(outcomes.place)
    wrong = np.flatnonzero(case.explained & ~outcomes.dead & elsewhere).tolist()
    yield Finding.MISPLACED, len(wrong), outcomes.texts(wrong)


def _reordered(case: Case) -> _Found:
    judge = out_of_order_exactly_once if case.history.guarantee == "exactly_once" else out_of_order_at_least_once
    wrong: list[str] = []
    for (role, output_partition, input_partition), stream in _streams(case):
        offsets = judge(stream).tolist()
        wrong += [f"{role} {output_partition}: {input_partition}@{offset}" for offset in offsets]
    yield Finding.REORDERED, len(wrong), wrong


def _streams(case: Case) -> Iterator[tuple[tuple[str, int, int], Stream]]:
    """Each output partition's outcomes of each input partition, in the order of the log."""
    outcomes = case.outcomes
    input_partition = partition_of(outcomes.place)
    # An event with outcomes of both roles (scored by one life, condemned by the next) is in no order with itself.
    both = np.intersect1d(outcomes.place[outcomes.dead], outcomes.place[~outcomes.dead])
    rows = np.flatnonzero(case.explained & ~np.isin(outcomes.place, both))
    keys = np.stack([outcomes.dead[rows], outcomes.partition[rows], input_partition[rows]], axis=1)
    found, stream_of = np.unique(keys, axis=0, return_inverse=True)
    for number, (dead, output_partition, of) in enumerate(found.tolist()):
        own = rows[stream_of.ravel() == number]
        offsets = offset_of(outcomes.place[own])
        yield ("dead" if dead else "scored", output_partition, of), Stream(offsets, outcomes.writer[own])


_RULES: tuple[Callable[[Case], _Found], ...] = (
    _missing,
    _drained,
    _repeated,
    _reordered,
    _visibility,
    _unexplained,
    _kinds,
    _misplaced,
)


__all__ = ["MAX_EXAMPLES", "Evidence", "Finding", "Verdict", "check"]
