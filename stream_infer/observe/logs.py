r"""Log lines: one line per fact, for people or for machines.

Rule: a value can never forge a line. Whatever comes from outside (topic names, error messages) may hold line breaks
or terminal codes; every control character leaves escaped (``\n``, ``\x1b``). Secrets are masked by their key, and an
exception is ``Type: message``: its traceback is for ``debug`` only.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

import numpy as np

from stream_infer.redact import redact

logger = logging.getLogger("stream_infer.observe")

# Everything that ends a line, moves a cursor or turns the direction of writing round: C0, DEL, C1, the Unicode line
# and paragraph separators, bidirectional marks, the byte order mark, and lone surrogates (which no encoder takes).
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_BARE = re.compile(r"[^\s\"'=\\]+")
_COLOURS = {
    logging.DEBUG: "2",
    logging.INFO: "32",
    logging.WARNING: "33",
    logging.ERROR: "31",
    logging.CRITICAL: "1;31",
}
# What every record has: all else was passed as `extra`.
_STANDARD = {*vars(logging.LogRecord("", 0, "", 0, "", (), None)), "message", "asctime", "taskName"}


def escape(text: str) -> str:
    r"""``text`` with each control character written as ``\n``, ``\x1b``, ``\u2028``."""
    return _UNSAFE.sub(lambda match: _escaped(match[0]), text)


def _escaped(char: str) -> str:
    return ascii(char)[1:-1]


def _plain(value: Any) -> Any:
    """``value`` as something JSON has."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value)} bytes)"  # bytes may be payload, and payload is never logged
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # NaN and Infinity are not JSON
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _extras(record: logging.LogRecord, debug: bool) -> dict[str, Any]:
    given = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    extras: dict[str, Any] = _plain(redact(given))
    if record.exc_info and record.exc_info[1] is not None:
        error = record.exc_info[1]
        extras["error"] = f"{type(error).__name__}: {error}"
        if debug:
            extras["traceback"] = "".join(traceback.format_exception(error))
    return extras


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, logger, event, then the extras. ASCII only, so nothing needs escaping twice.

    An extra that bears one of these names gets an underscore behind it.
    """

    def __init__(self, debug: bool = False) -> None:
        super().__init__()
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "ts": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        for key, value in _extras(record, self._debug).items():
            line[key if key not in line else f"{key}_"] = value
        return json.dumps(line, allow_nan=False).replace("\x7f", "\\u007f")


class TextFormatter(logging.Formatter):
    """``TIME LEVEL room: event  key=value ...``; a value with spaces, quotes or ``=`` stands in double quotes.

    In debug the traceback follows on lines of its own, indented and escaped like the rest.
    """

    def __init__(self, colour: bool = False, debug: bool = False) -> None:
        super().__init__()
        self._colour = colour
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        extras = _extras(record, self._debug)
        details = extras.pop("traceback", "").splitlines()
        line = f"{_timestamp(record)} {self._level(record)} {self._room(record)}: {escape(record.getMessage())}"
        if extras:
            line += "  " + " ".join(f"{escape(key)}={_quoted(value)}" for key, value in extras.items())
        return "\n".join([line, *(f"    {escape(detail)}" for detail in details)])

    def _level(self, record: logging.LogRecord) -> str:
        name = f"{record.levelname:<7}"
        return f"\x1b[{_COLOURS.get(record.levelno, '0')}m{name}\x1b[0m" if self._colour else name

    @staticmethod
    def _room(record: logging.LogRecord) -> str:
        return escape(record.name.removeprefix("stream_infer."))


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and not _BARE.fullmatch(text):
        text = json.dumps(text, ensure_ascii=False)
    return escape(text)


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines to a stream. A line that cannot be written is lost: it must not stop the scoring."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name is logging's)
        """Give the line up. The stream is broken (a closed pipe, a full disk), so there is nowhere to say so."""


def configure_logging(
    format: Literal["text", "json"] = "text",
    level: str = "info",
    stream: TextIO | None = None,
    debug: bool = False,
) -> None:
    """Send the log to ``stream``; called once, by the app, and again to change it.

    stream_infer logs at ``level``; other libraries at WARNING, or ``level`` where that is higher. Warnings of Python
    and exceptions that end a thread become log lines too.

    Args:
        format: ``text`` for people (coloured on a terminal unless NO_COLOR is set), ``json`` for machines.
        level: ``debug``, ``info``, ``warning`` or ``error``.
        stream: default standard error.
        debug: add tracebacks.
    """
    target = stream if stream is not None else sys.stderr
    colour = target.isatty() and not os.environ.get("NO_COLOR")
    handler = LineHandler(target)
    handler.setFormatter(JsonFormatter(debug) if format == "json" else TextFormatter(colour, debug))
    threshold = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers = [*(kept for kept in root.handlers if not isinstance(kept, LineHandler)), handler]
    root.setLevel(max(threshold, logging.WARNING))
    logging.getLogger("stream_infer").setLevel(threshold)
    logging.captureWarnings(True)
    threading.excepthook = _log_thread_end


def _log_thread_end(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is None or args.exc_type is SystemExit:
        return
    name = args.thread.name if args.thread else "?"
    error = (args.exc_type, args.exc_value, args.exc_traceback)
    logger.error("a thread ended by an unexpected error", extra={"thread_name": name}, exc_info=error)
