"""The model, laid flat: one `Key` for every setting and section, by its dotted path.

Rule: read off the model's JSON Schema and nowhere else, so that messages (`problems`), the reference page
(`describe`) and the schema file cannot say different things. A list of tables has ``[]`` in its path:
``sink.routes[].when``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from stream_infer.config.model import Config

Schema = Mapping[str, Any]

_TYPE_WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "table",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One setting or section of the configuration file."""

    path: str
    kind: str
    """What it holds in words: ``text``, ``whole number``, ``number``, ``true or false``, ``table``, ``list of text``
    or ``list of tables``."""
    required: bool
    default: str | None
    """As TOML writes it; None where there is none."""
    choices: tuple[str, ...]
    low: str
    """Lower bound as text, such as ``at least 1`` or ``above 0``; empty for none."""
    high: str
    description: str
    condition: str = ""
    """For a key that only one variant of its table has: the variant, such as ``type = "avro"``."""

    @property
    def name(self) -> str:
        """Last part of the path."""
        return self.path.rpartition(".")[2].removesuffix("[]")

    @property
    def parent(self) -> str:
        """Path of the section that it lies in; empty at the top."""
        return self.path.rpartition(".")[0]

    @property
    def range(self) -> str:
        """The bounds in words; empty for none."""
        return " and ".join(bound for bound in (self.low, self.high) if bound)


@cache
def outline() -> Mapping[str, Key]:
    """Every key of the configuration by path, in the model's order. Sections come before what they hold."""
    schema = Config.model_json_schema(by_alias=True)
    keys: dict[str, Key] = {}
    for key in _walk(schema, schema.get("$defs", {}), ""):
        keys[key.path] = _merge(keys[key.path], key) if key.path in keys else key
    return keys


def children(path: str) -> list[str]:
    """Names of what lies directly in the section ``path`` (empty: the top)."""
    return [key.name for key in outline().values() if key.parent == path]


def _merge(first: Key, second: Key) -> Key:
    """One key of two variants of a table, such as ``type`` of the Avro and the JSON codec."""
    description = first.description if first.description == second.description else ""
    return replace(first, choices=tuple(dict.fromkeys(first.choices + second.choices)), description=description)


def _walk(section: Schema, definitions: Schema, prefix: str) -> Iterator[Key]:
    for name, field in section.get("properties", {}).items():
        variants = [_resolve(variant, definitions) for variant in _variants(field)]
        path = f"{prefix}{name}"
        tables = [variant for variant in variants if "properties" in variant]
        if variants[0].get("type") == "array":
            item = _resolve(variants[0]["items"], definitions)
            tables = [item] if "properties" in item else []
            path += "[]" if tables else ""
        yield _key(path, field, variants[0], required=name in section.get("required", ()))
        for table in tables:
            alone = table["properties"].keys() - set.intersection(*(set(other["properties"]) for other in tables))
            for key in _walk(table, definitions, f"{path}."):
                only_here = key.parent == path and key.name in alone
                yield replace(key, condition=_variant(table)) if only_here else key


def _variant(table: Schema) -> str:
    return f'type = "{table["properties"]["type"]["const"]}"'


def _variants(field: Schema) -> list[Schema]:
    """The alternatives of a field; null, which TOML cannot write, is none of them."""
    options = field.get("anyOf") or field.get("oneOf") or [field]
    return [option for option in options if option.get("type") != "null"]


def _resolve(schema: Schema, definitions: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    found: Schema = definitions[schema["$ref"].rpartition("/")[2]]
    return found


def _key(path: str, field: Schema, shape: Schema, *, required: bool) -> Key:
    choices = shape.get("enum") or ([shape["const"]] if "const" in shape else [])
    description = field.get("description") or shape.get("description", "")
    default = field.get("default")
    return Key(
        path=path,
        kind=_kind(shape),
        required=required,
        default=None if default is None or "properties" in shape else json.dumps(default),
        choices=tuple(str(choice) for choice in choices),
        low=_bound(shape, "minimum", "at least", "exclusiveMinimum", "above"),
        high=_bound(shape, "maximum", "at most", "exclusiveMaximum", "below"),
        description=" ".join(description.split()),
    )


def _kind(shape: Schema) -> str:
    if shape.get("type") != "array":
        return _TYPE_WORDS[shape.get("type", "object")]
    return "list of text" if shape["items"].get("type") == "string" else "list of tables"


def _bound(shape: Schema, inclusive: str, inclusive_word: str, exclusive: str, exclusive_word: str) -> str:
    for name, word in ((inclusive, inclusive_word), (exclusive, exclusive_word)):
        if name in shape:
            return f"{word} {shape[name]:g}" if shape[name] < 1e6 else f"{word} {shape[name]:.0f}"
    return ""


__all__ = ["Key", "children", "outline"]
