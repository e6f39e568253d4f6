"""JSON events to columns.

Rule: an event is one JSON object in UTF-8; the reader's schema says what its fields mean. The parser is msgspec,
which leaves out unneeded fields quickly but, for that, does not look at their text: so UTF-8 is checked here
first, and so is nesting. Of a repeated key the last one counts. NaN and Infinity are refused wherever they
stand; a number beyond a double or int64 only where it is used.

A carried field keeps its own JSON text. It is checked against the reader's type all the same, so that an event
does not pass or fail by what the output is encoded in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any, NoReturn, TypedDict

import msgspec

from stream_infer.codecs.avro_decoder import check_size
from stream_infer.codecs.faults import BadEvent, Fault, Verdicts, fail
from stream_infer.codecs.layout import Layout
from stream_infer.codecs.paths import PlainReader, own_column
from stream_infer.codecs.schema import Field
from stream_infer.codecs.transcode import Transcode, avro_to_json, json_to_avro, number_fault
from stream_infer.projection import Projection
from stream_infer.types import MAX_NESTING, Decoded, Records, Status

_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""Text, or a bracket. Possessive, for the places to go back to would take a hundred times the bytes of the text."""


class JsonDecoder:
    """A `stream_infer.ports.Decoder` for JSON objects. May be used by several threads at once."""

    def __init__(self, projection: Projection, *, max_event_bytes: int) -> None:
        """Compile the projection.

        Args:
            projection: what the model and the output need.
            max_event_bytes: longer values are rejected unread.

        Raises:
            ModelLoadError: the reader's schema or the feature list cannot be used.
            ConfigError: a carried field is not in the reader's schema.
        """
        self._layout = Layout(projection)
        self._max_event_bytes = max_event_bytes
        self._readers = [PlainReader(path) for path in self._layout.paths]
        self._carriers = [
            _Carrier(field, default)
            for field, default in zip(self._layout.carried, self._layout.carried_defaults, strict=True)
        ]
        used = {name for path in self._layout.paths for name in path.steps[0].field.names}
        raw = {name for field in self._layout.carried for name in field.names}
        self._used_raw = tuple(sorted(used & raw))
        self._decode = _object_decoder(used, raw).decode
        self._decode_raw = msgspec.json.Decoder().decode

    def decode(self, records: Records) -> Decoded:
        """Decode every record; see `stream_infer.ports.Decoder`."""
        verdicts = Verdicts.all_ok(len(records))
        values: list[list[Any]] = [[] for _ in self._readers]
        carried: list[list[bytes | Fault | None]] = [[] for _ in self._carriers]
        for row, value in enumerate(records.values.to_list()):
            event, raw = self._event(row, value, verdicts)
            for column, read in zip(values, self._readers, strict=True):
                column.append(read(event))
            for spans, carrier in zip(carried, self._carriers, strict=True):
                spans.append(carrier.span(raw))
        return self._layout.decoded(values, carried, partial(own_column, records), verdicts, "json")

    def _event(self, row: int, value: bytes | None, verdicts: Verdicts) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The used fields of an event, and the same with the carried ones as raw text. Empty for a bad one."""
        try:
            raw = self._parse(check_size(value, self._max_event_bytes))
            return ({**raw, **self._values(raw)} if self._used_raw else raw), raw
        except BadEvent as bad:
            verdicts.reject(row, bad.fault)
            return {}, {}

    def _parse(self, value: bytes) -> dict[str, Any]:
        text = _checked_text(value)
        try:
            return self._decode(value)
        except msgspec.DecodeError as error:
            return fail(_classify(text, error))

    def _values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Fields that are both carried and used, parsed."""
        return {name: self._value(bytes(raw[name])) for name in self._used_raw if name in raw}

    def _value(self, text: bytes) -> Any:
        try:
            return self._decode_raw(text)
        except msgspec.ValidationError as error:
            return number_fault(error)


def _object_decoder(used: set[str], raw: set[str]) -> msgspec.json.Decoder[dict[str, Any]]:
    """A decoder of objects that leaves out all other fields and keeps the raw ones as text."""
    fields: dict[str, Any] = {**dict.fromkeys(used, Any), **dict.fromkeys(raw, msgspec.Raw)}
    event_type = TypedDict("Event", fields, total=False)  # type: ignore[misc]
    return msgspec.json.Decoder(event_type)


def _checked_text(value: bytes) -> str:
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


def _classify(text: str, error: Exception) -> Fault:
    """Why an event could not be parsed. Slow, and only asked for events that are bad."""
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


class _Carrier:
    """Takes one carried field out of events as JSON text."""

    def __init__(self, field: Field, default: bytes | Fault) -> None:
        self._names = field.names
        self._check: Transcode = json_to_avro(field.node)
        self._default = default if isinstance(default, Fault) else avro_to_json(field.node)(default)

    def span(self, raw: Mapping[str, Any]) -> bytes | Fault:
        for name in self._names:
            if name in raw:
                return self._checked(bytes(raw[name]))
        return self._default

    def _checked(self, text: bytes) -> bytes | Fault:
        try:
            self._check(text)
        except BadEvent as bad:
            return bad.fault
        return text
