"""A history as columns: laid out once, so that every rule of the checker is a few operations on whole arrays.

Rule: nothing is judged here, but for one thing that all rules need: which outputs are outcomes, and which of them are
those of an attempted input.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from integration.faults.history import CRASHED, History, Output, Produced
from stream_infer.types import BoolArray, Int64Array

_SHIFT = 44
"""A place is one int64: the partition above, the offset below (up to 2^44 records a partition)."""
NOWHERE = -1
"""The place of what names no partition or no offset."""
NO_NUMBER = -1
"""The number of an outcome that names none."""
_Places = TypeVar("_Places", int, Int64Array)


def partition_of(place: _Places) -> _Places:
    """Partition of a place, or of each."""
    return place >> _SHIFT


def offset_of(place: _Places) -> _Places:
    """Offset of a place, or of each."""
    return place & ((1 << _SHIFT) - 1)


def place_text(place: int) -> str:
    """A place as examples write it: ``partition@offset``."""
    return f"{partition_of(place)}@{offset_of(place)}"


def is_outcome(output: Output) -> bool:
    """True for a record that counts by the broker's log: a reader of committed records must get it."""
    return output.outcome in ("committed", "plain")


def in_log_order(outputs: Iterable[Output]) -> list[Output]:
    """Outputs by log, partition and offset."""
    return sorted(outputs, key=lambda output: (output.topic_role, output.partition, output.offset))


def output_text(output: Output) -> str:
    """An output as examples write it: where it stands, and of which input it speaks."""
    number = "" if output.number is None else f" number {output.number}"
    place = f"{output.topic_role} {output.partition}@{output.offset}"
    return f"{place} of {output.input_partition}@{output.input_offset}{number}"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Acknowledged inputs by ascending place, a column each."""

    place: Int64Array
    number: Int64Array
    kind: npt.NDArray[np.str_]

    @classmethod
    def of(cls, produced: Iterable[Produced]) -> Inputs:
        """Inputs in any order, laid out."""
        rows = sorted(produced, key=lambda event: (event.partition, event.offset))
        place = _places(_column(row.partition for row in rows), _column(row.offset for row in rows))
        return cls(place, _column(row.number for row in rows), np.array([row.kind for row in rows], np.str_))

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
        """Those of all outputs that are outcomes, laid out."""
        rows = in_log_order(filter(is_outcome, outputs))
        return cls(
            rows,
            _places(_column(row.input_partition for row in rows), _column(row.input_offset for row in rows)),
            _column(NO_NUMBER if row.number is None else row.number for row in rows),
            np.array([row.topic_role == "dead" for row in rows], np.bool_),
            np.array([row.reason == CRASHED for row in rows], np.bool_),
            _column(row.partition for row in rows),
            _column(row.producer_id for row in rows),
        )

    def texts(self, rows: Iterable[int]) -> Iterator[str]:
        """The named rows, as examples write them."""
        return (output_text(self.rows[row]) for row in rows)


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
        """A history, laid out.

        Raises:
            ValueError: two records, or two inputs, stand at the same place.
        """
        _require_unique(((row.topic_role, row.partition, row.offset) for row in history.outputs), "records")
        _require_unique(((row.partition, row.offset) for row in history.produced), "inputs")
        inputs, outcomes = Inputs.of(history.produced), Outcomes.of(history.outputs)
        input_row = inputs.rows_of(outcomes.place)
        committed = {place.partition: place.offset for place in history.committed}
        recovered = _recovered(history, outcomes, input_row)
        return cls(history, inputs, outcomes, input_row, recovered, _log_ends(history), committed)

    def committed_of(self, partition: int) -> int:
        """The committed offset of an input partition; 0 where there is none."""
        return self.committed.get(partition, 0)

    @property
    def answered(self) -> BoolArray:
        """True for each input with an outcome."""
        found = np.zeros(len(self.inputs.place), np.bool_)
        found[self.input_row[self.input_row >= 0]] = True
        return found

    @property
    def explained(self) -> BoolArray:
        """True for each outcome of an input that there was, acknowledged or attempted."""
        return (self.input_row >= 0) | self.recovered


def _column(values: Iterable[int]) -> Int64Array:
    return np.fromiter(values, np.int64)


def _places(partitions: Int64Array, offsets: Int64Array) -> Int64Array:
    known = (partitions >= 0) & (offsets >= 0)
    return np.where(known, (partitions << _SHIFT) | offsets, NOWHERE)


def _require_unique(places: Iterable[tuple[str | int, ...]], what: str) -> None:
    seen: set[tuple[str | int, ...]] = set()
    for place in places:
        if place in seen:
            raise ValueError(f"two {what} stand at {place}: the history contradicts itself")
        seen.add(place)


def _log_ends(history: History) -> dict[int, int]:
    """End of each input partition: as told, but never before an acknowledged event, even if the log has lost it."""
    ends = dict(history.log_ends)
    for event in history.produced:
        ends[event.partition] = max(ends.get(event.partition, 0), event.offset + 1)
    return ends


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
    return np.isin(outcomes.place, _column(believed))
