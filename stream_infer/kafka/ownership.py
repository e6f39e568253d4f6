"""The partitions that this process owns, and where reading stands on each.

Rule: a partition is owned in one generation at a time. Whoever holds a split of another generation holds the past.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from confluent_kafka import OFFSET_INVALID, TopicPartition

from stream_infer.kafka.assignment import OwnedPartition
from stream_infer.kafka.client import ConsumerClient
from stream_infer.kafka.records import Place, keep_splits, place_of
from stream_infer.types import Records, Split


class Ownership:
    """Owned partitions by topic and number."""

    def __init__(self) -> None:
        self._partitions: dict[Place, OwnedPartition] = {}
        self._generation = 0

    def __contains__(self, place: Place) -> bool:
        return place in self._partitions

    def __getitem__(self, place: Place) -> OwnedPartition:
        return self._partitions[place]

    def __iter__(self) -> Iterator[OwnedPartition]:
        return iter(self._partitions.values())

    def __len__(self) -> int:
        return len(self._partitions)

    def next_generation(self) -> int:
        """A generation that was never given before."""
        self._generation += 1
        return self._generation

    def add(self, partitions: Iterable[OwnedPartition]) -> None:
        """These are owned from now on."""
        for partition in partitions:
            self._partitions[partition.place] = partition

    def remove(self, places: Iterable[Place]) -> None:
        """These are owned no longer."""
        for place in places:
            self._partitions.pop(place, None)

    def restart(self, split: Split, offset: int, generation: int) -> OwnedPartition | None:
        """Give a split a new generation that starts at ``offset``; None where it is not owned in its own."""
        partition = self._partitions.get(place_of(split))
        if partition is None or partition.split != split:
            return None
        partition.split = split._replace(generation=generation)
        partition.start_offset = offset
        partition.was_committed = True
        return partition

    def current(self, splits: Iterable[Split]) -> list[Split]:
        """Those of ``splits`` that are owned in their generation."""
        owned = {partition.split for partition in self}
        return [split for split in splits if split in owned]

    def splits(self, places: Iterable[Place]) -> list[Split]:
        """The current splits of those places that are owned."""
        return [self._partitions[place].split for place in places if place in self._partitions]

    def anywhere(self) -> list[TopicPartition]:
        """All owned partitions as the client wants them where no offset matters."""
        return [partition.at(OFFSET_INVALID) for partition in self]

    def next_offsets(
        self, consumer: ConsumerClient, chosen: Sequence[OwnedPartition] | None = None
    ) -> list[tuple[OwnedPartition, int]]:
        """Next offset that the client will give, of these or of all owned partitions. Asks no broker."""
        partitions = list(self) if chosen is None else list(chosen)
        positions = consumer.position([partition.at(OFFSET_INVALID) for partition in partitions])
        # After an assign or a seek the client knows no position until a message came.
        return [
            (partition, position.offset if position.offset >= 0 else partition.start_offset)
            for partition, position in zip(partitions, positions, strict=True)
        ]

    def next_offsets_without(self, consumer: ConsumerClient, places: Collection[Place]) -> list[TopicPartition]:
        """Where reading stands on every owned partition but those at ``places``."""
        return [
            partition.at(offset) for partition, offset in self.next_offsets(consumer) if partition.place not in places
        ]

    def claim(self, records: Records, received_ms: int) -> Records | None:
        """What a client gave, under the generations of this moment; without what is not owned, and None for nothing.

        ``received_ms`` is the wall-clock time of arrival, milliseconds since the epoch.
        """
        owned = np.array([place_of(split) in self for split in records.splits], np.bool_)
        ours = keep_splits(records, owned)
        if ours is None:
            return None
        splits = tuple(self[place_of(split)].split for split in ours.splits)
        return replace(ours, splits=splits, received_ms=received_ms)


__all__ = ["Ownership"]
