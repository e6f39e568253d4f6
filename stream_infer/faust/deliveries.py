"""A scored batch to Faust's topics, and every delivery waited for.

Rule: it returns when the broker has acknowledged all, and raises if one thing was not; what a record looks like is what
the service's publisher says: the input's key and timestamp, and headers for dead letters only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from stream_infer.clock import Clock
from stream_infer.errors import FatalError
from stream_infer.faust.parts import Topic
from stream_infer.kafka.dead_letters import dead_letter_headers
from stream_infer.types import NO_TIMESTAMP, Records, Reject, ScoredBatch


class Deliveries:
    """Publishes scored events and dead letters.

    Args:
        scored: where scored events go.
        dead_letters: where events go that cannot be scored; None where there must be none.
        group_id: the app's, named in dead letters.
        clock: says when an event failed.
    """

    def __init__(self, scored: Topic, dead_letters: Topic | None, group_id: str, clock: Clock) -> None:
        self._scored = scored
        self._dead_letters = dead_letters
        self._group_id = group_id
        self._clock = clock

    async def publish(self, batch: ScoredBatch) -> None:
        """Publish everything of a batch, in its order, and wait until it is acknowledged.

        Raises:
            FatalError: an event cannot be scored, and there is no topic for dead letters.
            Exception: what Faust's producer raised.
        """
        records, failed_at_ms = batch.records, self._clock.wall_ms()
        keys = records.keys.to_list()
        pending = [
            await _send(self._scored, records, row, keys[row], payload)
            for row, payload in enumerate(batch.payload.to_list())
            if payload is not None
        ]
        pending += [await self._reject(batch, reject, keys[reject.row], failed_at_ms) for reject in batch.rejects]
        await asyncio.gather(*pending)

    async def _reject(self, batch: ScoredBatch, reject: Reject, key: bytes | None, failed_at_ms: int) -> Awaitable[Any]:
        if self._dead_letters is None:
            split, offset = batch.records.split(reject.row), int(batch.records.offset[reject.row])
            raise FatalError(
                f"topic {split.source}, partition {split.partition}, offset {offset}: the event cannot be scored "
                f"({reject.status.reason}), and there is nowhere for it to go; pass a topic as dead_letters"
            )
        headers = dead_letter_headers(batch, reject, group_id=self._group_id, failed_at_ms=failed_at_ms)
        value = batch.records.values.to_list()[reject.row]
        return await _send(self._dead_letters, batch.records, reject.row, key, value, headers)


async def _send(
    topic: Topic,
    records: Records,
    row: int,
    key: bytes | None,
    value: bytes | None,
    headers: list[tuple[str, Any]] | None = None,
) -> Awaitable[Any]:
    timestamp_ms = int(records.timestamp_ms[row])
    return await topic.send(
        key=key,
        value=value,
        # Faust multiplies by 1000 and cuts off: half a millisecond more keeps the one that is meant.
        timestamp=None if timestamp_ms == NO_TIMESTAMP else (timestamp_ms + 0.5) / 1000,
        headers=headers,
        key_serializer="raw",
        value_serializer="raw",
        force=True,  # now, and not when the current event is acknowledged
    )
