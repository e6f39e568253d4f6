"""A sample becomes what the topic would hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stream_infer.bench import avro_events, json_events
from stream_infer.bundle.container import encode_rows, write_container
from stream_infer.errors import ExportRefused, UsageError

SCHEMA = {"type": "record", "name": "E", "fields": [{"name": "a", "type": "int"}, {"name": "b", "type": "double"}]}
WIDER = {**SCHEMA, "fields": [{"name": "b", "type": "double"}, {"name": "a", "type": "long"}]}
ROWS = [{"a": 1, "b": 0.5}, {"a": 2, "b": 2.5}]


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), encoding="utf-8")
    return path


@pytest.fixture
def container(tmp_path: Path) -> Path:
    path = tmp_path / "events.avro"
    path.write_bytes(write_container(SCHEMA, encode_rows(SCHEMA, ROWS)))
    return path


def test_lines_of_json_stay_as_they_are_bad_ones_too(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        b'{"a":  1}\r\n\n  nonsense "$key"\n{"a": 2, "$key": "k", "$timestamp": 5, "$headers": {"h": "x"}}'
    )
    events = json_events(path)
    assert events.values == [b'{"a":  1}', b'  nonsense "$key"', b'{"a":2}']
    assert [envelope.key for envelope in events.envelopes] == [None, None, b"k"]
    assert list(events.envelopes[2].headers) == [("h", b"x")]
    assert events.schema is None


def test_a_container_becomes_json_for_a_topic_of_json(container: Path) -> None:
    assert [json.loads(value) for value in json_events(container).values] == ROWS


def test_avro_keeps_the_samples_schema_where_events_name_their_own(container: Path) -> None:
    events = avro_events(container, writer=None, model=WIDER, framed=True)
    assert list(events.values) == [b"\x00\x00\x00\x00\x01" + value for value in encode_rows(SCHEMA, ROWS)]
    assert events.schema == SCHEMA


def test_avro_is_written_anew_with_the_one_schema_of_the_topic(container: Path) -> None:
    events = avro_events(container, writer=WIDER, model=SCHEMA, framed=False)
    assert (list(events.values), events.schema) == (encode_rows(WIDER, ROWS), WIDER)


def test_lines_become_avro_of_the_schema_that_the_model_was_exported_with(lines: Path) -> None:
    events = avro_events(lines, writer=None, model=WIDER, framed=False)
    assert (list(events.values), events.schema) == (encode_rows(WIDER, ROWS), WIDER)


def test_what_does_not_fit_the_schema_is_named(lines: Path) -> None:
    texts = {**SCHEMA, "fields": [{"name": "a", "type": "string"}]}
    with pytest.raises(UsageError, match=r"events\.jsonl: record 0 does not fit the schema .* as an Avro container"):
        avro_events(lines, writer=texts, model=SCHEMA, framed=False)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("e.jsonl", b"\n \n", "holds no event"),
        ("e.csv", b"a", "no known kind"),
        ("e.avro", b"no", "not a readable Avro"),
    ],
)
def test_a_sample_that_cannot_be_used_is_one_sentence(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ExportRefused, match=words):
        json_events(path)


def test_an_absent_sample_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ExportRefused, match=r"none\.jsonl cannot be read"):
        json_events(tmp_path / "none.jsonl")
