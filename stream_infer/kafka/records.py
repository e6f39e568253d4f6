"""Runs of records, sorted by who owns their partitions.

Rule: a record is somebody's by its topic and partition. Clients do not know generations: what comes from them has the
generation 0, and gets that of the owner when it is taken in, or is dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from stream_infer.types import BoolArray, Records, Split

Place = tuple[str, int]
"""Topic and partition number."""


def keep_splits(records: Records, keep: BoolArray) -> Records | None:
    """The rows of those splits of the table that are kept (bool, one per split); None where no row is left."""
    if keep.all():
        return records
    kept = records.take(np.flatnonzero(keep[records.split_index]))
    if not len(kept):
        return None
    renumbered = (np.cumsum(keep) - 1).astype(np.int32)
    splits = tuple(split for split, wanted in zip(kept.splits, keep.tolist(), strict=True) if wanted)
    return replace(kept, splits=splits, split_index=renumbered[kept.split_index])


def place_of(split: Split) -> Place:
    """Where a split is, whatever its generation."""
    return (split.source, split.partition)


class Carried:
    """Records that came and were not handed out yet: first in, first out."""

    def __init__(self) -> None:
        self._runs: list[Records] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, records: Records) -> None:
        """These came last."""
        self._runs.append(records)

    def take(self, max_records: int) -> Records | None:
        """Hand out at most ``max_records``; None where there is nothing to hand out."""
        taken: list[Records] = []
        room = max_records
        while room > 0 and self._runs:
            run = self._runs.pop(0)
            if len(run) > room:
                self._runs.insert(0, run.slice(room, len(run)))
                run = run.slice(0, room)
            taken.append(run)
            room -= len(run)
        return Records.concat(taken) if taken else None

    def drop(self, places: Collection[Place]) -> None:
        """Forget everything of these."""
        self._runs = [kept for run in self._runs if (kept := without(run, places)) is not None]

    def first_offsets(self) -> dict[Place, int]:
        """Lowest offset of each place that is there."""
        found: dict[Place, int] = {}
        for run in self._runs:
            for split, offset in run.first_offsets().items():
                found.setdefault(place_of(split), offset)
        return found


def without(records: Records, places: Collection[Place]) -> Records | None:
    """The rows that lie elsewhere than at ``places``; None where no row is left."""
    return keep_splits(records, _elsewhere(records.splits, places))


def _elsewhere(splits: Sequence[Split], places: Collection[Place]) -> BoolArray:
    return np.array([place_of(split) not in places for split in splits], np.bool_)


__all__ = ["Carried", "Place", "keep_splits", "place_of", "without"]
