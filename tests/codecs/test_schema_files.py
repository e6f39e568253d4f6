"""A directory of schema files as the source of schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stream_infer.codecs import FileSchemaSource
from stream_infer.errors import ConfigError, FatalError

GUID = "89791762-2336-4186-9674-299b90a802e2"
SCHEMA = '{"type": "record", "name": "E", "fields": [{"name": "n", "type": "long", "doc": "a number"}]}'


def write(directory: Path, ids: Any = None, **files: str) -> Path:
    for name, text in files.items():
        (directory / f"{name}.avsc").write_text(text)
    if ids is not None:
        (directory / "ids.json").write_text(ids if isinstance(ids, str) else json.dumps(ids))
    return directory


def test_schemas_by_id_guid_and_subject(tmp_path: Path) -> None:
    (tmp_path / "payments-value.avsc").write_text(SCHEMA)
    source = FileSchemaSource(write(tmp_path, {"42": "payments-value.avsc", GUID.upper(): "payments-value.avsc"}))
    assert source.by_id(42) == source.by_guid(GUID) == source.by_subject("payments-value") == SCHEMA
    assert source.by_id(43) is None
    assert source.by_guid(GUID.replace("8", "9")) is None
    assert source.by_subject("other-value") is None
    assert source.by_subject("../payments-value") is None


def test_without_ids_there_are_subjects_only(tmp_path: Path) -> None:
    source = FileSchemaSource(write(tmp_path, e=SCHEMA))
    assert source.by_id(1) is None
    assert source.by_subject("e") == SCHEMA


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ({"42": "absent.avsc"}, "no file absent.avsc"),
        ({"42": "../e.avsc"}, "plain file name"),
        ({"42": 7}, "plain file name"),
        ({"4294967296": "e.avsc"}, "4 bytes"),
        ({"abc": "e.avsc"}, "entry abc"),
        ({"42": "broken.avsc"}, "not valid JSON"),
        ("[1]", "no JSON object"),
        ("{", "no JSON object"),
    ],
)
def test_every_problem_is_found_at_the_start(ids: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        FileSchemaSource(write(tmp_path, ids, e=SCHEMA, broken="{"))


def test_several_problems_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        FileSchemaSource(write(tmp_path, {"1": "a.avsc", "2": "b.avsc"}))
    assert len(caught.value.problems) == 2


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no directory"):
        FileSchemaSource(tmp_path / "none")


def test_registering_finds_the_id_of_the_very_schema(tmp_path: Path) -> None:
    source = FileSchemaSource(write(tmp_path, {GUID: "e.avsc", "42": "e.avsc"}, e=SCHEMA, f=SCHEMA))
    without_doc = '{"type":"record","name":"E","fields":[{"name":"n","type":"long"}]}'
    assert source.register("e", without_doc) == 42
    with pytest.raises(FatalError, match="gives no id to f"):
        source.register("f", SCHEMA)
    with pytest.raises(FatalError, match=r"not in .*g\.avsc"):
        source.register("g", SCHEMA)
    with pytest.raises(FatalError, match="not the output schema"):
        source.register("e", without_doc.replace("long", "int"))
