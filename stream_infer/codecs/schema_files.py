"""Schemas from a directory instead of a registry.

Rule: the directory is read once, at construction, and every problem in it is reported then. It holds
``{topic}-value.avsc`` files (the subject is the file's name) and, where events carry ids, ``ids.json``, an object
that maps ids (``"42"``) and GUIDs to file names in the directory.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from stream_infer.codecs.faults import SchemaRefused
from stream_infer.codecs.schema import parse_schema, type_json
from stream_infer.errors import ConfigError, ConfigProblem, FatalError

IDS_FILE = "ids.json"
_OPTION = "source.codec.schema"


class FileSchemaSource:
    """A `stream_infer.ports.SchemaSource` on a directory of schema files."""

    def __init__(self, directory: str | Path) -> None:
        """Read ``ids.json`` and every file it names.

        Raises:
            ConfigError: the directory or a file is not there, not valid, or outside the directory.
        """
        self._directory = Path(directory)
        if not self._directory.is_dir():
            raise ConfigError([ConfigProblem(_OPTION, f"{directory} is no directory", "name the schemas' directory")])
        problems: list[ConfigProblem] = []
        self._files: dict[int | str, str] = {}
        self._texts: dict[str, str] = {}
        for key, name in self._read_ids(problems).items():
            self._add(key, name, problems)
        if problems:
            raise ConfigError(problems)

    def _read_ids(self, problems: list[ConfigProblem]) -> dict[str, Any]:
        path = self._directory / IDS_FILE
        if not path.exists():
            return {}
        try:
            ids = json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError, OSError):
            ids = None
        if isinstance(ids, dict):
            return ids
        problems.append(ConfigProblem(_OPTION, f"{path} is no JSON object", 'write {"42": "payments-value.avsc"}'))
        return {}

    def _add(self, key: str, name: Any, problems: list[ConfigProblem]) -> None:
        try:
            schema_key = _schema_key(key)
            self._texts[name] = self._read(name)
            self._files[schema_key] = name
        except (ValueError, OSError, SchemaRefused) as error:
            hint = "an entry maps an id or a GUID to a schema file in the same directory"
            problems.append(ConfigProblem(_OPTION, f"{self._directory / IDS_FILE}: entry {key}: {error}", hint))

    def _read(self, name: Any) -> str:
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError("not a plain file name")
        path = self._directory / name
        if not path.is_file():
            raise ValueError(f"there is no file {name}")
        text = path.read_text("utf-8")
        parse_schema(text)
        return text

    def by_id(self, schema_id: int) -> str | None:
        """The schema of a 4-byte id, None where ``ids.json`` does not name it."""
        return self._text(schema_id)

    def by_guid(self, guid: str) -> str | None:
        """The schema of a GUID, None where ``ids.json`` does not name it."""
        return self._text(guid.lower())

    def _text(self, key: int | str) -> str | None:
        name = self._files.get(key)
        return None if name is None else self._texts[name]

    def by_subject(self, subject: str) -> str | None:
        """The schema in ``{subject}.avsc`` (``payments-value``), None where there is no such file."""
        path = self._directory / f"{subject}.avsc"
        return path.read_text("utf-8") if Path(subject).name == subject and path.is_file() else None

    def register(self, subject: str, schema: str) -> int:
        """The id that ``ids.json`` gives to ``{subject}.avsc``, where that file holds this very schema.

        Raises:
            FatalError: the file or its id is not there, or it holds another schema. Files are never written here.
        """
        name = f"{subject}.avsc"
        text = self.by_subject(subject)
        place = self._directory / name
        if text is None:
            raise FatalError(f"the output schema is not in {place}; write it there and its id into {IDS_FILE}")
        if _canonical(text) != _canonical(schema):
            raise FatalError(f"{place} is not the output schema of this configuration; write the new one there")
        schema_id = next((key for key, file in self._files.items() if file == name and isinstance(key, int)), None)
        if schema_id is None:
            raise FatalError(f"{self._directory / IDS_FILE} gives no id to {name}; add one")
        return schema_id


def _schema_key(key: str) -> int | str:
    """An id as int, a GUID in its usual form. Raises ValueError."""
    if not key.isdecimal():
        return str(uuid.UUID(key))
    if int(key) >= 2**32:
        raise ValueError("an id has 4 bytes")
    return int(key)


def _canonical(schema: str) -> Any:
    try:
        return type_json(parse_schema(schema))
    except SchemaRefused as refused:
        raise FatalError(f"a schema file cannot be used: {refused}") from refused
