"""Which partitions the client fetches, and from where: by increments or as a whole, as the group's protocol wants it.

Rule: offsets are always said; the client never chooses one.
"""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import KafkaException, TopicPartition

from stream_infer.kafka.client import ConsumerClient
from stream_infer.kafka.errors import is_transient
from stream_infer.kafka.ownership import Ownership
from stream_infer.kafka.properties import Properties


class Fetching:
    """What a consumer fetches.

    Args:
        consumer: the client.
        owned: where reading stands on every owned partition.
        properties: of `consumer_properties`.
    """

    def __init__(self, consumer: ConsumerClient, owned: Ownership, properties: Properties) -> None:
        self._consumer = consumer
        self._owned = owned
        self._incremental = _is_incremental(properties)

    def add(self, partitions: list[TopicPartition]) -> None:
        """Fetch these, which were just assigned, from their offsets."""
        if self._incremental:
            self._consumer.incremental_assign(partitions)
        else:
            self._consumer.assign(partitions)

    def move(self, targets: Sequence[TopicPartition]) -> None:
        """Read on from ``targets``. A partition that is not being fetched cannot seek: it is assigned anew."""
        stuck = [target for target in targets if not self._seek(target)]
        if not stuck:
            return
        if self._incremental:
            self._consumer.incremental_unassign(stuck)
            self._consumer.incremental_assign(stuck)
        else:
            moved = {(target.topic, target.partition) for target in targets}
            self._consumer.assign([*self._owned.next_offsets_without(self._consumer, moved), *targets])

    def _seek(self, target: TopicPartition) -> bool:
        try:
            self._consumer.seek(target)
        except KafkaException as error:
            if is_transient(error.args[0]):
                return False
            raise
        return True


def _is_incremental(properties: Properties) -> bool:
    """True where partitions are assigned one by one instead of all at once."""
    strategies = str(properties.get("partition.assignment.strategy", ""))
    return properties.get("group.protocol") == "consumer" or "cooperative" in strategies


__all__ = ["Fetching"]
