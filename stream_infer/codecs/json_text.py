"""Whether bytes are one JSON object that is safe to parse, and what is wrong with those that are not.

Rule: msgspec leaves out unneeded fields quickly but, for that, does not look at their text: so UTF-8 is checked first,
and so is nesting. What exactly is wrong is slow to find out, and only asked for events that are bad.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

import msgspec

from stream_infer.codecs.faults import BadEvent, Fault
from stream_infer.codecs.transcode import number_fault
from stream_infer.types import MAX_NESTING, Status

_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""Text, or a bracket. Possessive, for the places to go back to would take a hundred times the bytes of the text."""


def checked_text(value: bytes) -> str:
    """The value as text. Raises BadEvent where it is not UTF-8, or nested too deep."""
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":  # cut within a character
            raise BadEvent(Status.TRUNCATED, "the value ends before the event does") from None
        raise BadEvent(Status.INVALID_UTF8, "the value is not UTF-8") from None
    # Counting brackets costs nothing and clears every ordinary event; only a suspicious one is looked at.
    if value.count(b"[") + value.count(b"{") > MAX_NESTING and _too_deep(value):
        raise BadEvent(Status.TOO_DEEP, f"nested deeper than {MAX_NESTING} levels")
    return text


def _too_deep(value: bytes) -> bool:
    """True where brackets outside text nest deeper than `MAX_NESTING`."""
    depth = 0
    for match in _BRACKETS.finditer(value):
        token = value[match.start()]
        if token in b"[{":
            depth += 1
            if depth > MAX_NESTING:
                return True
        elif token in b"]}":
            depth -= 1
    return False


def classify(text: str, error: Exception) -> Fault:
    """Why msgspec could not parse an event."""
    if isinstance(error, msgspec.ValidationError):
        if str(error).startswith("Expected"):
            return Fault(Status.WRONG_TYPE, "expected an object, found another JSON value")
        return number_fault(error)
    if _has_non_finite(text):
        return Fault(Status.NOT_FINITE, "JSON has no NaN and no Infinity")
    if _ends_early(text, error) and not _is_json(text):
        return Fault(Status.TRUNCATED, "the value ends before the event does")
    if "trailing characters" in str(error):
        return Fault(Status.TRAILING_BYTES, "characters are left after the object")
    return Fault(Status.MALFORMED, "the value is not valid JSON")


def _ends_early(text: str, error: Exception) -> bool:
    """True where the parser wants more; cut behind the sign, point or exponent of a number it says something else."""
    return "truncated" in str(error) or str(error).endswith(f"invalid number (byte {len(text.encode())})")


class _NonFinite(Exception):
    """Found while parsing for `_has_non_finite`."""


def _has_non_finite(text: str) -> bool:
    def refuse(_: str) -> NoReturn:
        raise _NonFinite

    try:
        json.loads(text, parse_constant=refuse)
    except _NonFinite:
        return True
    except ValueError:
        return False
    return False


def _is_json(text: str) -> bool:
    """True for text that a lenient parser takes (half a surrogate pair, which msgspec calls truncated)."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
