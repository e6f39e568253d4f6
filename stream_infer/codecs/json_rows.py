"""JSON events to columns, one event after the other.

Rule: the definition of what a JSON event means, and of what is wrong with one. It is what kernels are held against,
and where every event ends that they are not sure of.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, TypedDict

import msgspec

from stream_infer.codecs.avro_decoder import check_size
from stream_infer.codecs.faults import BadEvent, Fault, Verdicts, fail
from stream_infer.codecs.json_text import checked_text, classify
from stream_infer.codecs.layout import Layout
from stream_infer.codecs.paths import PlainReader, own_column
from stream_infer.codecs.schema import Field
from stream_infer.codecs.transcode import Transcode, avro_to_json, json_to_avro, number_fault
from stream_infer.types import Decoded, Records


class RowDecoder:
    """Decodes events with msgspec, a Python object for each needed field."""

    def __init__(self, layout: Layout, max_event_bytes: int) -> None:
        """Compile what ``layout`` asks of an event; values longer than ``max_event_bytes`` are rejected unread."""
        self._layout = layout
        self._max_event_bytes = max_event_bytes
        self.readers = [PlainReader(path) for path in layout.paths]
        self.carriers = [
            Carrier(field, default) for field, default in zip(layout.carried, layout.carried_defaults, strict=True)
        ]
        used = {name for path in layout.paths for name in path.steps[0].field.names}
        raw = {name for field in layout.carried for name in field.names}
        self._used_raw = tuple(sorted(used & raw))
        self._decode = _object_decoder(used, raw).decode

    def decode(self, records: Records) -> Decoded:
        """Decode every record; see `stream_infer.ports.Decoder`."""
        verdicts = Verdicts.all_ok(len(records))
        values: list[list[Any]] = [[] for _ in self.readers]
        carried: list[list[bytes | Fault | None]] = [[] for _ in self.carriers]
        for row, value in enumerate(records.values.to_list()):
            event, raw = self._event(row, value, verdicts)
            for column, read in zip(values, self.readers, strict=True):
                column.append(read(event))
            for spans, carrier in zip(carried, self.carriers, strict=True):
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
        text = checked_text(value)
        try:
            return self._decode(value)
        except msgspec.DecodeError as error:
            return fail(classify(text, error))

    def _values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Fields that are both carried and used, parsed."""
        return {name: json_value(bytes(raw[name])) for name in self._used_raw if name in raw}


def _object_decoder(used: set[str], raw: set[str]) -> msgspec.json.Decoder[dict[str, Any]]:
    """A decoder of objects that leaves out all other fields and keeps the raw ones as text."""
    fields: dict[str, Any] = {**dict.fromkeys(used, Any), **dict.fromkeys(raw, msgspec.Raw)}
    event_type = TypedDict("Event", fields, total=False)  # type: ignore[misc]
    return msgspec.json.Decoder(event_type)


_decode_any = msgspec.json.Decoder().decode


def json_value(text: bytes) -> Any:
    """The value of valid JSON; a Fault where a number is beyond what can be held."""
    try:
        return _decode_any(text)
    except msgspec.ValidationError as error:
        return number_fault(error)


class Carrier:
    """Takes one carried field out of events as JSON text.

    Attributes:
        default: what stands for an absent one.
    """

    def __init__(self, field: Field, default: bytes | Fault) -> None:
        self._names = field.names
        self._check: Transcode = json_to_avro(field.node)
        self.default = default if isinstance(default, Fault) else avro_to_json(field.node)(default)

    def span(self, raw: Mapping[str, Any]) -> bytes | Fault:
        """The field's text in an event, its default, or what is wrong with it."""
        for name in self._names:
            if name in raw:
                return self.checked(bytes(raw[name]))
        return self.default

    def checked(self, text: bytes) -> bytes | Fault:
        """The text, or why it does not fit the field's type."""
        try:
            self._check(text)
        except BadEvent as bad:
            return bad.fault
        return text
