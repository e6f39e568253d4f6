"""A history as columns: laid out once, so that every rule of the checker is a few operations on whole arrays.

Rule: nothing is judged here, but for one thing that all rules need: which outputs are outcomes, and which of them are
those of an attempted input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from integration.faults.history import CRASHED, History, Output, Produced
from stream_infer.types import BoolArray, Int64Array

_SHIFT = 44
"""A place is one int64: the partition above, the offset below (up to 2^44 records a partition)."""
NOWHERE = -1
NO_NUMBER = -1


def places_of(partitions: Int64Array, offsets: Int64Array) -> Int64Array:
    known = (partitions >= 0) & (offsets >= 0)
    return np.where(known, (partitions << _SHIFT) | offsets, NOWHERE)


def at(place: int) -> str:
    return f"{place >> _SHIFT}@{place & ((1 << _SHIFT) - 1)}" if place != NOWHERE else "nowhere"


def _int_column(values: Iterable[int]) -> Int64Array:
    return np.fromiter(values, np.int64)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Acknowledged inputs by ascending place, a column each."""

    place: Int64Array
    number: Int64Array
    kind: npt.NDArray[np.str_]

    @classmethod
    def of(cls, produced: Iterable[Produced]) -> Inputs:
        rows = sorted(produced, key=lambda event: (event.partition, event.offset))
        place = places_of(_int_column(row.partition for row in rows), _int_column(row.offset for row in rows))
        _require_unique(place, "two inputs")
        return cls(place, _int_column(row.number for row in rows), np.array([row.kind for row in rows], np.str_))

    @property
    def partition(self) -> Int64Array:
        return self.place >> _SHIFT

    @property
    def offset(self) -> Int64Array:
        return self.place & ((1 << _SHIFT) - 1)

    def rows_of(self, places: Int64Array) -> Int64Array:
        """Row of each place; -1 where no acknowledged input stands there."""
        if not len(self.place):
            return np.full(len(places), -1, np.int64)
        rows = np.minimum(np.searchsorted(self.place, places), len(self.place) - 1)
        return np.where(self.place[rows] == places, rows, -1)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Records that count, in the order of their logs: ``rows``, and a column for each thing asked of many at once."""

    rows: list[Output]
    place: Int64Array
    """Of the input."""
    number: Int64Array
    dead: BoolArray
    condemned: BoolArray
    partition: Int64Array
    writer: Int64Array

    @classmethod
    def of(cls, outputs: Iterable[Output]) -> Outcomes:
        rows = sorted(filter(counts, outputs), key=log_place)
        return cls(
            rows,
            places_of(_int_column(row.input_partition for row in rows), _int_column(row.input_offset for row in rows)),
            _int_column(NO_NUMBER if row.number is None else row.number for row in rows),
            np.array([row.topic_role == "dead" for row in rows], np.bool_),
            np.array([row.topic_role == "dead" and row.reason == CRASHED for row in rows], np.bool_),
            _int_column(row.partition for row in rows),
            _int_column(row.producer_id for row in rows),
        )

    def told(self, rows: Iterable[int]) -> Iterator[str]:
        """Examples: where each of the named rows stands, and of which input it speaks."""
        return (told(self.rows[row]) for row in rows)


def counts(output: Output) -> bool:
    return output.outcome in ("committed", "plain")


def log_place(output: Output) -> tuple[str, int, int]:
    return output.topic_role, output.partition, output.offset


def told(output: Output) -> str:
    numbered = "" if output.number is None else f" number {output.number}"
    return (
        f"{output.topic_role} {output.partition}@{output.offset}"
        f" of {output.input_partition}@{output.input_offset}{numbered}"
    )


def _require_unique(places: Int64Array, what: str) -> None:
    values, counts = np.unique(places, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"{what} stand at {at(int(values[counts > 1][0]))}: the history contradicts itself")


@dataclass(frozen=True, slots=True)
class Case:
    """A history, laid out for the rules."""

    history: History
    inputs: Inputs
    outcomes: Outcomes
    input_row: Int64Array
    """Of each outcome the row of its input; -1 where no acknowledged input stands at its place."""
    recovered: BoolArray
    """True for each outcome of an attempted input."""
    log_ends: Mapping[int, int]
    committed: Mapping[int, int]

    @classmethod
    def of(cls, history: History) -> Case:
        for role in ("scored", "dead"):
            ours = [output for output in history.outputs if output.topic_role == role]
            places = places_of(_int_column(row.partition for row in ours), _int_column(row.offset for row in ours))
            _require_unique(places, f"two records of the {role} log")
        inputs, outcomes = Inputs.of(history.produced), Outcomes.of(history.outputs)
        input_row = inputs.rows_of(outcomes.place)
        committed = {place.partition: place.offset for place in history.committed}
        recovered = _recovered(history, outcomes, input_row)
        return cls(history, inputs, outcomes, input_row, recovered, _log_ends(history, inputs), committed)

    @property
    def has_outcome(self) -> BoolArray:
        """True for each input with an outcome."""
        found = np.zeros(len(self.inputs.place), np.bool_)
        found[self.input_row[self.input_row >= 0]] = True
        return found

    @property
    def explained(self) -> BoolArray:
        """True for each outcome of an input that there was, acknowledged or attempted."""
        return (self.input_row >= 0) | self.recovered


def _log_ends(history: History, inputs: Inputs) -> dict[int, int]:
    """End of each input partition: as told, else behind its last acknowledged event."""
    ends = {int(partition): 0 for partition in np.unique(inputs.partition)}
    for partition in ends:
        ends[partition] = int(inputs.offset[inputs.partition == partition].max()) + 1
    return ends | dict(history.log_ends)


def _recovered(history: History, outcomes: Outcomes, input_row: Int64Array) -> BoolArray:
    """Which outcomes are those of attempted inputs, each of which can stand at one place only."""
    attempted = {event.number for event in history.attempted}
    unknown = np.flatnonzero((input_row < 0) & (outcomes.place != NOWHERE)).tolist()
    place_of: dict[int, int] = {}
    for row in unknown:
        number = int(outcomes.number[row])
        if number in attempted:
            place_of.setdefault(number, int(outcomes.place[row]))
    found = set(place_of.values())
    nameless = (int(outcomes.place[row]) for row in unknown if outcomes.number[row] == NO_NUMBER)
    unnamed = (place for place in dict.fromkeys(nameless) if place not in found)
    believed = found | set(islice(unnamed, len(attempted) - len(place_of)))
    return (input_row < 0) & np.isin(outcomes.place, _int_column(believed))
