"""The kinds of values that settings hold, and what makes each of them valid.

Rule: a validator looks at one value and answers with the value or with a sentence; the sentence never quotes the
value, which may be a secret.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Strict,
    Tag,
    ValidationInfo,
    WithJsonSchema,
)

CLIENT_ROLES = ("consumer", "producer", "admin")
"""Sub-tables of ``kafka.client`` whose properties go to one kind of client only."""

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_BROKER = re.compile(r"([A-Za-z_]+://)?(\[[0-9A-Fa-f:.]+\]|[^\s,:\[\]]+)(:[0-9]{1,5})?")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):(?P<port>[0-9]{1,5})")


def flatten(table: Mapping[str, Any], keep: tuple[str, ...] = ()) -> dict[str, Any]:
    """Client properties by their dotted names, whichever way TOML wrote them.

    An unquoted ``security.protocol = "SSL"`` is a table in a table for TOML, and means the property
    ``security.protocol``. The tables named in ``keep`` stay tables; of two spellings the later wins.
    """
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if not isinstance(value, Mapping):
            flat[key] = value
        elif key in keep:
            flat[key] = flatten(value)
        else:
            flat.update({f"{key}.{name}": item for name, item in flatten(value).items()})
    return flat


def _flatten_kafka_client(value: object) -> object:
    return flatten(value, CLIENT_ROLES) if isinstance(value, Mapping) else value


def _flatten_registry_client(value: object) -> object:
    return flatten(value) if isinstance(value, Mapping) else value


def _check_property(value: object) -> object:
    if isinstance(value, str | int | float):
        return value
    raise ValueError("must be text, a number, true or false")


def _property_or_table(value: object) -> str:
    return "table" if isinstance(value, Mapping) else "property"


def _check_topic(name: str) -> str:
    if not _TOPIC.fullmatch(name) or name in (".", ".."):
        raise ValueError("must be a topic name: 1 to 249 letters, digits, dots, underscores and hyphens")
    return name


def _check_brokers(text: str) -> str:
    if not all(_BROKER.fullmatch(broker.strip()) for broker in text.split(",")):
        raise ValueError("must be HOST:PORT, or several of them with commas between")
    return text


def _check_host_port(text: str) -> str:
    match = _HOST_PORT.fullmatch(text)
    if not match or int(match["port"]) > 65535:
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:9464 or [::1]:9464")
    return text


def _resolve(path: str, info: ValidationInfo) -> str:
    """``path`` seen from the config file's folder. A final slash, which marks a folder of schemas, stays."""
    directory = (info.context or {}).get("directory", "")
    return os.path.normpath(os.path.join(directory, path)) + ("/" if path.endswith("/") else "")


def _resolve_path(path: Path, info: ValidationInfo) -> Path:
    return Path(_resolve(str(path), info))


def _resolve_source_schema(text: str, info: ValidationInfo) -> str:
    return text if text == "registry" else _resolve(text, info)


def _resolve_sink_schema(text: str, info: ValidationInfo) -> str:
    return text if text in ("registry", "none") else _resolve(text, info)


ClientProperty: TypeAlias = Annotated[
    Any,
    BeforeValidator(_check_property),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
KafkaClient: TypeAlias = Annotated[
    dict[
        str,
        Annotated[
            Annotated[ClientProperty, Tag("property")] | Annotated[dict[str, ClientProperty], Tag("table")],
            Discriminator(_property_or_table),
        ],
    ],
    BeforeValidator(_flatten_kafka_client),
]
RegistryClient: TypeAlias = Annotated[dict[str, ClientProperty], BeforeValidator(_flatten_registry_client)]
Name: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")]
NonEmpty: TypeAlias = Annotated[str, Field(min_length=1)]
TopicName: TypeAlias = Annotated[str, AfterValidator(_check_topic)]
FilePath: TypeAlias = Annotated[Path, Strict(False), AfterValidator(_resolve_path)]
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=86_400)]
Brokers: TypeAlias = Annotated[NonEmpty, AfterValidator(_check_brokers)]
HostPort: TypeAlias = Annotated[str, AfterValidator(_check_host_port)]
SourceSchema: TypeAlias = Annotated[NonEmpty, AfterValidator(_resolve_source_schema)]
SinkSchema: TypeAlias = Annotated[NonEmpty, AfterValidator(_resolve_sink_schema)]
"""``"registry"``, ``"none"``, or a path seen from the config file's folder."""

__all__ = [
    "CLIENT_ROLES",
    "Brokers",
    "FilePath",
    "HostPort",
    "KafkaClient",
    "Name",
    "NonEmpty",
    "RegistryClient",
    "Seconds",
    "SinkSchema",
    "SourceSchema",
    "TopicName",
    "flatten",
]
