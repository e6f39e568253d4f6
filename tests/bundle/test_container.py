"""Avro containers as bare records: the same as fastavro reads and writes."""

from __future__ import annotations

import io
from typing import Any

import fastavro
import pytest

from stream_infer.bundle.container import ContainerError, encode_rows, read_container, write_container

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "amount", "type": ["null", "double"]},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
    ],
}
ROWS: list[dict[str, Any]] = [
    {"at": number, "amount": None if number % 3 else number / 7, "tags": ["x"] * (number % 5)} for number in range(300)
]


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_fastavros_files_are_read_record_by_record(codec: str) -> None:
    file = io.BytesIO()
    fastavro.writer(file, SCHEMA, ROWS, codec=codec, sync_interval=500)
    container = read_container(file.getvalue(), 1000)
    assert list(container.rows) == ROWS
    assert list(container.encoded) == encode_rows(SCHEMA, ROWS)
    assert container.schema == SCHEMA


def test_our_files_are_read_by_fastavro() -> None:
    data = write_container(SCHEMA, encode_rows(SCHEMA, ROWS))
    rows: list[Any] = list(fastavro.reader(io.BytesIO(data)))
    plain = [{**row, "at": round(row["at"].timestamp() * 1000)} for row in rows]
    assert plain == ROWS
    assert data == write_container(SCHEMA, encode_rows(SCHEMA, ROWS))


def test_an_empty_file_has_no_records() -> None:
    assert read_container(write_container(SCHEMA, []), 10).rows == ()


def test_no_more_than_asked_is_read() -> None:
    data = write_container(SCHEMA, encode_rows(SCHEMA, ROWS))
    assert len(read_container(data, 7).rows) == 7


def test_damage_is_a_container_error() -> None:
    data = write_container(SCHEMA, encode_rows(SCHEMA, ROWS))
    for damaged in (b"", b"Obj\x01", data[:100], data[:-30], b"PK\x03\x04" + data):
        with pytest.raises(ContainerError):
            read_container(damaged, 1000)
    with pytest.raises(ContainerError, match="no records"):
        read_container(write_container({"type": "string"}, []), 10)


def test_a_row_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match="record 1 does not fit"):
        encode_rows(SCHEMA, [ROWS[0], {"at": "text", "tags": []}])
