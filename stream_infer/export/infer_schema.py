"""An Avro schema for events that came without one: JSON lines, rows of a Parquet file.

Rules: a field that is null or absent in some event is nullable, with null as its default. ``true`` is boolean, text is
string, an integer is long, a number with a fraction anywhere is double, an object is a record, a list is an array; a
moment (Parquet only) is a timestamp-millis, a day a date, a decimal a double. What is null everywhere, an empty list
everywhere, named as Avro does not allow, or text in one event and a number in another has no type: it is left out, and
a feature that needs it is refused.
"""

from __future__ import annotations

import datetime
import decimal
import re
from collections.abc import Sequence
from typing import Any

from stream_infer.types import MAX_NESTING

_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_LONG = range(-(2**63), 2**63)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_LOGICAL: dict[str, Any] = {
    "timestamp": {"type": "long", "logicalType": "timestamp-millis"},
    "date": {"type": "int", "logicalType": "date"},
}


def infer_schema(events: Sequence[dict[str, Any]], name: str = "Event") -> dict[str, Any]:
    """The record schema of a sample of events (JSON objects)."""
    return _record(events, name, 0)


def fit_event(event: Any, avro_type: Any) -> Any:
    """A value as its inferred type stores it: absent fields are null, a moment is its number."""
    if isinstance(avro_type, list):
        return None if event is None else fit_event(event, avro_type[1])
    if avro_type == "double":
        return float(event)
    if isinstance(avro_type, dict) and avro_type["type"] == "record":
        return {field["name"]: fit_event(event.get(field["name"]), field["type"]) for field in avro_type["fields"]}
    if isinstance(avro_type, dict) and avro_type["type"] == "array":
        return [fit_event(item, avro_type["items"]) for item in event]
    if isinstance(event, datetime.datetime):
        moment = event if event.tzinfo else event.replace(tzinfo=datetime.UTC)
        return (moment - _EPOCH) // datetime.timedelta(milliseconds=1)
    return (event - _EPOCH.date()).days if isinstance(event, datetime.date) else event


def _record(objects: Sequence[dict[str, Any]], name: str, depth: int) -> dict[str, Any]:
    keys = {key: None for event in objects for key in event if _NAME.match(key)}
    fields = []
    for key in keys:
        values = [event.get(key) for event in objects]
        present = [value for value in values if value is not None]
        avro_type = _type(present, f"{name}_{key}", depth + 1)
        if avro_type is not None and len(present) < len(values):
            fields.append({"name": key, "type": ["null", avro_type], "default": None})
        elif avro_type is not None:
            fields.append({"name": key, "type": avro_type})
    return {"type": "record", "name": name, "fields": fields}


def _type(values: Sequence[Any], name: str, depth: int) -> Any:
    """The one type of all values (none of them None); None when there is none."""
    kinds = {_kind(value) for value in values}
    if kinds == {"long", "double"}:
        return "double"
    kind = kinds.pop() if len(kinds) == 1 and depth <= MAX_NESTING else None
    if kind is None:
        return None
    if kind == "record":
        record = _record(values, name, depth)
        return record if record["fields"] else None
    if kind == "array":
        return _array([item for value in values for item in value], name, depth)
    return _LOGICAL.get(kind, kind)


def _array(items: Sequence[Any], name: str, depth: int) -> Any:
    present = [item for item in items if item is not None]
    item_type = _type(present, f"{name}_item", depth + 1)
    if item_type is None:
        return None
    return {"type": "array", "items": item_type if len(present) == len(items) else ["null", item_type]}


def _kind(value: Any) -> str | None:
    """What a value is; None for what has no place in an event. The order matters: a bool is an int, too."""
    if isinstance(value, int) and not isinstance(value, bool):
        return "long" if value in _LONG else "double"
    return next((name for kind, name in _KINDS.items() if isinstance(value, kind)), None)


_KINDS: dict[type, str] = {
    bool: "boolean",
    float: "double",
    decimal.Decimal: "double",
    str: "string",
    bytes: "bytes",
    datetime.datetime: "timestamp",
    datetime.date: "date",
    dict: "record",
    list: "array",
}
