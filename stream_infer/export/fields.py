"""Paths through an Avro schema: is there such a field, and what is it?

Rule: types are looked at through nullable unions, since a field that may be absent is still the field.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from stream_infer.bundle.manifest import FeatureSpec, InputSpec
from stream_infer.types import AvroType

RECORD_PATHS = ("$key", "$timestamp")
HEADER_PREFIX = "$headers."

_NUMERIC = frozenset({"int", "long", "float", "double", "boolean"})
_TEXT = frozenset({"string", "enum"})
_MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class Field:
    """A field found by its path: its type without null (the first other branch), and whether null is allowed."""

    type: AvroType
    nullable: bool

    @property
    def kind(self) -> str:
        """The type's name: ``double``, ``record``, ``array``, ..."""
        return str(self.type["type"]) if isinstance(self.type, dict) else str(self.type)

    @property
    def logical(self) -> str | None:
        """The logical type, such as ``timestamp-millis``."""
        return self.type.get("logicalType") if isinstance(self.type, dict) else None


def is_record_path(path: str) -> bool:
    """True for ``$key``, ``$timestamp`` and ``$headers.NAME``: the record's own, not the event's."""
    return path in RECORD_PATHS or path.startswith(HEADER_PREFIX)


class SchemaFields:
    """The fields of an Avro record schema, by dotted path."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = schema
        self._named: dict[str, dict[str, Any]] = {}
        self._collect(schema)

    def find(self, path: str) -> Field | None:
        """The field at ``path``; None when there is none."""
        record: AvroType = self._schema
        field = None
        for part in path.split("."):
            found = next((entry for entry in self._record_fields(record) if entry["name"] == part), None)
            if found is None:
                return None
            field = self._field(found["type"])
            record = field.type
        return field

    def top_level(self) -> list[str]:
        """The names of the record's own fields."""
        return [str(entry["name"]) for entry in self._record_fields(self._schema)]

    def nearest(self, path: str) -> str | None:
        """The existing path that is most like a wrong one."""
        paths = list(self._paths(self._schema, "", 0))
        by_leaf = [known for known in paths if known.split(".")[-1] == path.split(".")[-1]]
        return next(iter(by_leaf or difflib.get_close_matches(path, paths, 1, 0.5)), None)

    def _paths(self, record: AvroType, prefix: str, depth: int) -> Iterator[str]:
        for entry in self._record_fields(record) if depth < _MAX_DEPTH else ():
            yield prefix + entry["name"]
            yield from self._paths(self._field(entry["type"]).type, f"{prefix}{entry['name']}.", depth + 1)

    def _record_fields(self, record: AvroType) -> list[dict[str, Any]]:
        return record.get("fields", []) if isinstance(record, dict) else []

    def _field(self, avro_type: AvroType) -> Field:
        branches = avro_type if isinstance(avro_type, list) else [avro_type]
        present = [branch for branch in branches if branch != "null"]
        chosen = present[0] if present else "null"
        if isinstance(chosen, dict) and isinstance(chosen["type"], dict | list):
            chosen = chosen["type"]
        return Field(
            self._named.get(chosen, chosen) if isinstance(chosen, str) else chosen, len(present) < len(branches)
        )

    def _collect(self, avro_type: AvroType, namespace: str = "") -> None:
        if isinstance(avro_type, list):
            for branch in avro_type:
                self._collect(branch, namespace)
        elif isinstance(avro_type, dict):
            inner = avro_type.get("namespace", namespace)
            if "name" in avro_type and avro_type["type"] in ("record", "enum", "fixed"):
                self._named[avro_type["name"]] = avro_type
                self._named[f"{inner}.{avro_type['name']}"] = avro_type
            for part in [*(entry["type"] for entry in self._record_fields(avro_type)), *_parts(avro_type)]:
                self._collect(part, inner)


def _parts(avro_type: dict[str, Any]) -> list[AvroType]:
    parts = [avro_type[key] for key in ("items", "values") if key in avro_type]
    return [*parts, avro_type["type"]] if isinstance(avro_type["type"], dict | list) else parts


def path_problems(fields: SchemaFields, inputs: tuple[InputSpec, ...], events: str) -> Iterator[str]:
    """Features whose path is not in the events, or holds another kind of value than the input takes."""
    for spec in inputs:
        for feature in spec.features:
            if problem := _path_problem(fields, spec, feature, events):
                yield f"feature {feature.name!r}: {problem}"


def _path_problem(fields: SchemaFields, spec: InputSpec, feature: FeatureSpec, events: str) -> str | None:
    if is_record_path(feature.path):
        return None
    field = fields.find(feature.path)
    if field is None:
        nearest = fields.nearest(feature.path)
        hint = f"; did you mean {nearest!r}?" if nearest else ""
        return f"the events of {events} have no field {feature.path!r}{hint}"
    if feature.format == "array":
        return None if field.kind == "array" else f"{feature.path!r} is {field.kind}, not an array"
    wants_text = spec.dtype == "string" or feature.categories is not None or feature.format == "csv"
    if wants_text and field.kind not in _TEXT:
        return f"{feature.path!r} is {field.kind}; categories and text inputs take a string or an enum"
    if not wants_text and not (field.kind in _NUMERIC or field.logical == "decimal"):
        remedy = "list its `categories`, or encode it in the graph" if field.kind in _TEXT else "name a field inside it"
        return f"{feature.path!r} is {field.kind}, and input {spec.name!r} takes numbers: {remedy}"
    return None
