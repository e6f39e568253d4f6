"""Bytewax: ``flat_map_batch`` between its own Kafka source and sink.

Rule: as its documentation advises. The batches are those its source reads; offsets go to its recovery store at the end
of an epoch, here a second. Its sink flushes after every batch, so few large ones suit it best.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bytewax.operators as op
from bytewax._bytewax import cli_main
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig, init_db_dir

from bench.rivals.contract import COMMIT_INTERVAL_S, Task
from bench.rivals.scorers import scorer

_READ_AT_ONCE = 1000


def make_app(task: Task) -> Dataflow:
    """Source, model, sink."""
    score = scorer(task)

    def score_batch(messages: Sequence[Any]) -> Iterator[Any]:
        for at in range(0, len(messages), task.batch):
            part = messages[at : at + task.batch]
            values = score([message.value for message in part])
            yield from (KafkaSinkMessage(message.key, value) for message, value in zip(part, values, strict=True))

    flow = Dataflow("scorer")
    source = KafkaSource(
        [task.bootstrap], [task.input], add_config={"fetch.queue.backoff.ms": "10"}, batch_size=_READ_AT_ONCE
    )
    events = op.input("events", flow, source)
    scored = op.flat_map_batch("score", events, score_batch)
    op.output("scored", scored, KafkaSink([task.bootstrap], task.output, {"linger.ms": "5"}))
    return flow


def main() -> int:
    """Run until SIGTERM. Bytewax ends in order only at the end of its input: its recovery store makes up for that."""
    stopped = threading.Event()

    def stop(*_signal: object) -> None:
        stopped.set()
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    with TemporaryDirectory() as folder:
        store = Path(folder)
        init_db_dir(store, 1)
        try:
            cli_main(
                make_app(Task.from_environment(os.environ)),
                epoch_interval=timedelta(seconds=COMMIT_INTERVAL_S),
                recovery_config=RecoveryConfig(store),
            )
        except (KeyboardInterrupt, BytewaxRuntimeError):
            # Where a step was running, its interruption comes out as the step's failure.
            if not stopped.is_set():
                raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
