"""The schema of a scored event: a fixed part, then the fields carried from the input.

Rule: derived, never written by hand, so that it cannot disagree with what the encoders do. The fixed part without
a multi-class model's fields is also published as ``schemas/scored_event.avsc``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stream_infer.codecs.faults import SchemaRefused
from stream_infer.codecs.layout import carried_fields, reader_node
from stream_infer.codecs.schema import Field, field_json
from stream_infer.errors import ConfigError, ConfigProblem, ModelLoadError

SCORED_EVENT = "stream_infer.ScoredEvent"
STATUS_SYMBOLS = ("scored", "shed")
_STATUS_NAME = "stream_infer.ScoredStatus"
_MILLIS = {"type": "long", "logicalType": "timestamp-millis"}

FIXED_FIELDS: tuple[dict[str, Any], ...] = (
    {
        "name": "score",
        "type": ["null", "float"],
        "default": None,
        "doc": "The model's score; null for an event that was shed.",
    },
    {"name": "flagged", "type": "boolean", "doc": "True where the score reaches the threshold."},
    {
        "name": "status",
        "type": {"type": "enum", "name": _STATUS_NAME, "symbols": list(STATUS_SYMBOLS)},
        "doc": "scored, or shed: passed on unscored because it was too old under overload.",
    },
    {"name": "threshold", "type": "double", "doc": "The threshold in force."},
    {"name": "model_name", "type": "string"},
    {"name": "model_version", "type": "string"},
    {"name": "model_digest", "type": "string", "doc": "SHA-256 of the bundle's bundle.json, in hexadecimal."},
    {"name": "input_topic", "type": "string", "doc": "Topic, partition and offset tell a repeat."},
    {"name": "input_partition", "type": "int"},
    {"name": "input_offset", "type": "long"},
    {
        "name": "event_timestamp",
        "type": ["null", _MILLIS],
        "default": None,
        "doc": "The input record's own timestamp.",
    },
    {"name": "scored_at", "type": _MILLIS},
)
MULTI_CLASS_FIELDS: tuple[dict[str, Any], ...] = (
    {"name": "predicted_class", "type": ["null", "string"], "default": None, "doc": "The most probable class."},
    {
        "name": "probabilities",
        "type": ["null", {"type": "array", "items": "float"}],
        "default": None,
        "doc": "Of each class, in the order of the bundle's classes.",
    },
)


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """What a scored event looks like.

    Attributes:
        name: full name of the record.
        multi_class: with ``predicted_class`` and ``probabilities``.
        carried: the input's fields that follow the fixed part.
    """

    name: str
    multi_class: bool
    carried: tuple[Field, ...]

    @property
    def avro(self) -> dict[str, Any]:
        """The Avro schema as parsed JSON."""
        defined: set[str] = set()
        carried = [field_json(field, defined) for field in self.carried]
        return {"type": "record", "name": self.name, "fields": [*fixed_fields(self.multi_class), *carried]}

    @property
    def text(self) -> str:
        """The Avro schema as JSON text, as it is registered."""
        return json.dumps(self.avro)


def fixed_fields(multi_class: bool) -> tuple[dict[str, Any], ...]:
    """The fixed part's fields, with or without those of a multi-class model."""
    return FIXED_FIELDS + MULTI_CLASS_FIELDS if multi_class else FIXED_FIELDS


def output_schema(
    reader_schema: Mapping[str, Any],
    carried: Sequence[str],
    multi_class: bool = False,
    name: str = SCORED_EVENT,
) -> OutputSchema:
    """Derive the output schema.

    Args:
        reader_schema: the bundle's ``input.avsc``.
        carried: names of its top-level fields (``sink.fields``); they keep their types and defaults.
        multi_class: the model has more than two classes.
        name: full name of the record.

    Raises:
        ConfigError: a carried field does not exist, is named twice, or bears a name of the fixed part.
        ModelLoadError: the reader's schema cannot be used.
    """
    try:
        schema = reader_node(reader_schema)
    except SchemaRefused as refused:
        raise ModelLoadError(f"the bundle's input schema cannot be used: {refused}") from refused
    fields = carried_fields(schema, carried)
    taken = {field["name"] for field in fixed_fields(multi_class)}
    faults = [f"{field} is a field of every scored event" for field in carried if field in taken]
    faults += [f"{field} is named twice" for field in dict.fromkeys(carried) if list(carried).count(field) > 1]
    faults += [
        f"the type {type_} is one of every scored event" for type_ in _type_names(fields, name) & {name, _STATUS_NAME}
    ]
    if faults:
        hint = "name each field once, and rename in the input schema what a scored event has itself"
        raise ConfigError([ConfigProblem("sink.fields", fault, hint) for fault in faults])
    return OutputSchema(name, multi_class, fields)


def _type_names(fields: Sequence[Field], output_name: str) -> set[str]:
    """Full names of the types in fields, as they are once they stand in the output's namespace."""
    names: set[str] = set()
    for field in fields:
        field_json(field, names)
    namespace = output_name.rpartition(".")[0]
    return {name if "." in name else f"{namespace}.{name}" for name in names}
