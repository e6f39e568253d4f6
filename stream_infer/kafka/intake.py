"""What a client gives, until it is handed out: the one buffer between the client and the source.

Rule: a record is handed out only for whoever owned its partition all the while. The client calls back from inside its
``fetch``, so each fetch may bring messages that nobody asked for, or take partitions away. Therefore

1. whatever a fetch brought that the caller had no room for waits here, and a partition that is revoked or rewound is
   taken out of it at once;
2. what a fetch brings of a partition that a callback moved or took away during that very fetch is dropped, and where
   the partition is still ours it is read again from its start: nobody can say which of it came before the move.

The bug that both prevent: a message polled before a rebalance and handed out after it would carry the new generation
of its partition, and be scored twice in one life.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from stream_infer.clock import Clock
from stream_infer.kafka.client import ConsumerClient, Report
from stream_infer.kafka.fetching import Fetching
from stream_infer.kafka.ownership import Ownership
from stream_infer.kafka.records import Carried, Place, place_of, without
from stream_infer.types import Records


class Intake:
    """Fetches, and keeps what came.

    Args:
        consumer: the client.
        owned: whose partitions are ours.
        clock: gives ``received_ms``.
    """

    def __init__(self, consumer: ConsumerClient, owned: Ownership, clock: Clock) -> None:
        self._consumer = consumer
        self._owned = owned
        self._clock = clock
        self._carried = Carried()
        self._moved: set[Place] = set()
        self._astray: set[Place] = set()

    def __len__(self) -> int:
        """Records that wait to be handed out."""
        return len(self._carried)

    def fetch(self, max_messages: int, wait_s: float) -> tuple[int, Sequence[Report]]:
        """Wait up to ``wait_s`` seconds for the first message, then take what is there; serves callbacks.

        Returns how many records came, and the errors in the place of others.
        """
        self._moved.clear()
        fetched = self._consumer.fetch(max_messages, wait_s)
        ours = None if fetched.records is None else self._ours(fetched.records)
        if ours is not None:
            self._carried.add(ours)
        return 0 if ours is None else len(ours), fetched.reports

    def take(self, max_records: int) -> Records | None:
        """Hand out at most ``max_records``; None where there is nothing to hand out."""
        return self._carried.take(max_records)

    def drop(self, places: Collection[Place]) -> None:
        """These were given up, or go on elsewhere: forget what came of them."""
        self._moved.update(places)
        self._carried.drop(places)

    def first_offsets(self) -> dict[Place, int]:
        """Lowest offset of each place that waits to be handed out."""
        return self._carried.first_offsets()

    @property
    def complete(self) -> bool:
        """True when nothing waits here, and nothing had to be dropped that is still to be read."""
        return not self._carried and not self._astray

    def read_again(self, fetching: Fetching) -> None:
        """Go back to the start of partitions of which something had to be dropped."""
        if self._astray:
            ours = [self._owned[place] for place in self._astray if place in self._owned]
            fetching.move([partition.at(partition.start_offset) for partition in ours])
            self._astray.clear()

    def _ours(self, records: Records) -> Records | None:
        self._astray |= {place for split in records.splits if (place := place_of(split)) in self._moved}
        settled = without(records, self._astray) if self._astray else records
        return None if settled is None else self._owned.claim(settled, self._clock.wall_ms())


__all__ = ["Intake"]
