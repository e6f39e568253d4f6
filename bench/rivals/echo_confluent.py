"""The other floor: bytes passed through by confluent-kafka's classes, the shortest loop that they allow.

Rule: as every rival: at least once, committed every second; keys and timestamps are kept. Nobody who scores events can
be cheaper with these classes, unless what he writes is smaller.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace

from confluent_kafka import Message

from bench.rivals.contract import Task
from bench.rivals.plain_loop import Loop, Produce

_BATCH = 1024


def echo(messages: Sequence[Message], produce: Produce) -> None:
    """Produce what came."""
    for message in messages:
        produce(message.value(), message.key(), message.timestamp()[1])


def main() -> int:
    """Run until SIGTERM."""
    loop = Loop(replace(Task.from_environment(os.environ), batch=_BATCH), echo)
    signal.signal(signal.SIGTERM, loop.stop)
    loop.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
