"""librdkafka's own log lines, on the logger ``stream_infer.kafka.client``, at a bearable rate.

Rule: a broker that is away makes librdkafka log at every attempt to connect; a reader needs the first line and
then a reminder. Of each kind of line (librdkafka's facility: FAIL, MAXPOLL, ...) one passes in
`REPEAT_AFTER_S`, with the number of those held back.
"""

from __future__ import annotations

import logging

from stream_infer.clock import Clock, SystemClock

LOGGER_NAME = "stream_infer.kafka.client"
REPEAT_AFTER_S = 30.0
"""Long enough to keep an hour's outage to a screenful, short enough to see that it lasts."""


class RepeatFilter(logging.Filter):
    """Passes the first record of each facility and level, then one every ``repeat_after_s`` seconds."""

    def __init__(self, clock: Clock, repeat_after_s: float = REPEAT_AFTER_S) -> None:
        super().__init__()
        self._clock = clock
        self._repeat_after_s = repeat_after_s
        self._passed_at: dict[tuple[str, int], float] = {}
        self._held_back: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """False for a record that repeats what was said a moment ago."""
        kind = (_facility(record), record.levelno)
        now = self._clock.monotonic()
        if now - self._passed_at.get(kind, float("-inf")) < self._repeat_after_s:
            self._held_back[kind] = self._held_back.get(kind, 0) + 1
            return False
        self._passed_at[kind] = now
        held_back = self._held_back.pop(kind, 0)
        if held_back:
            record.msg = f"{record.getMessage()} ({held_back} more like this since the last)"
            record.args = None
        return True


def client_logger() -> logging.Logger:
    """The logger to hand to a client as its ``logger`` property."""
    logger = logging.getLogger(LOGGER_NAME)
    if not any(isinstance(known, RepeatFilter) for known in logger.filters):
        logger.addFilter(RepeatFilter(SystemClock()))
    return logger


def _facility(record: logging.LogRecord) -> str:
    """The client logs ``"%s [%s] %s"`` with the facility, its own name and the text."""
    if isinstance(record.args, tuple) and record.args:
        return str(record.args[0])
    return str(record.msg)


__all__ = ["LOGGER_NAME", "REPEAT_AFTER_S", "RepeatFilter", "client_logger"]
