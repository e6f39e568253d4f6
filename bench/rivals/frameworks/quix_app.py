"""Quix Streams: ``apply`` on a streaming data frame, then ``to_topic``.

Rule: as its documentation advises. It hands a function one event at a time, so the model is called for each.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from quixstreams import Application

from bench.rivals.contract import COMMIT_INTERVAL_S, Task
from bench.rivals.scorers import scorer


def main() -> None:
    """Run until SIGTERM, which Quix handles itself."""
    task = Task.from_environment(os.environ)
    score = scorer(task)
    with TemporaryDirectory() as state:
        app = Application(
            task.bootstrap,
            consumer_group=task.group,
            auto_offset_reset="earliest",
            commit_interval=COMMIT_INTERVAL_S,
            producer_extra_config={"linger.ms": 20},
            state_dir=Path(state),
            auto_create_topics=False,
            loglevel="WARNING",
        )
        source = app.topic(task.input, value_deserializer="bytes", key_deserializer="bytes")
        target = app.topic(task.output, value_serializer="bytes", key_serializer="bytes")
        app.dataframe(source).apply(lambda value: score([value])[0]).to_topic(target)
        app.run()


if __name__ == "__main__":
    main()
