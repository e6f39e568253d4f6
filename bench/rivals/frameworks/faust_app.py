"""faust-streaming: an agent over ``take_events``.

Rule: as its documentation advises; batches for the model, no web server, no tables.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import faust

from bench.rivals.contract import COMMIT_INTERVAL_S, Task
from bench.rivals.scorers import scorer


def make_app(task: Task, folder: Path) -> faust.App:
    """The app, with its agent."""
    score = scorer(task)
    app = faust.App(
        task.group,
        broker=f"kafka://{task.bootstrap}",
        datadir=folder,
        web_enabled=False,
        broker_commit_interval=COMMIT_INTERVAL_S,
        consumer_auto_offset_reset="earliest",
        producer_linger=0.02,
        topic_disable_leader=True,
    )
    raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    source, target = app.topic(task.input, **raw), app.topic(task.output, **raw)

    async def score_events(stream: Any) -> AsyncIterator[None]:
        async for events in stream.take_events(task.batch, within=task.linger_ms / 1000):
            values = score([event.value for event in events])
            for event, value in zip(events, values, strict=True):
                await target.send(key=event.key, value=value)
            yield

    app.agent(source)(score_events)
    return app


def main() -> None:
    """Run until SIGTERM, which Faust handles itself."""
    with TemporaryDirectory() as folder:
        sys.argv[1:] = ["worker", "--loglevel", "warn", "--without-web"]
        make_app(Task.from_environment(os.environ), Path(folder)).main()


if __name__ == "__main__":
    main()
