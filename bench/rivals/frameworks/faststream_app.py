"""FastStream over confluent-kafka: a subscriber of batches that publishes batches.

Rule: as its documentation advises; acknowledged by hand, since its own policies commit after every batch.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.confluent import KafkaBroker, KafkaMessage, KafkaPublishMessage

from bench.rivals.contract import COMMIT_INTERVAL_S, Task
from bench.rivals.scorers import scorer


async def raw(message: Any) -> list[bytes]:
    """The values of a batch as they are; without this FastStream would look for JSON."""
    return list(message.body)


def make_app(task: Task) -> FastStream:
    """The app, with its subscriber."""
    score = scorer(task)
    broker = KafkaBroker(task.bootstrap, linger_ms=5, enable_idempotence=True, acks="all", logger=None)
    committed_at = time.monotonic()

    async def score_batch(values: list[bytes], message: KafkaMessage) -> None:
        nonlocal committed_at
        keys = [record.key() for record in message.raw_message]
        scored = [KafkaPublishMessage(value, key=key) for value, key in zip(score(values), keys, strict=True)]
        await broker.publish_batch(*scored, topic=task.output)
        if time.monotonic() - committed_at > COMMIT_INTERVAL_S:
            await message.ack()
            committed_at = time.monotonic()

    broker.subscriber(
        task.input,
        group_id=task.group,
        auto_offset_reset="earliest",
        batch=True,
        max_records=task.batch,
        polling_interval=task.linger_ms / 1000,
        ack_policy=AckPolicy.MANUAL,
        decoder=raw,
    )(score_batch)
    return FastStream(broker, logger=None)


if __name__ == "__main__":
    asyncio.run(make_app(Task.from_environment(os.environ)).run())
