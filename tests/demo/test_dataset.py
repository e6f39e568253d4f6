"""Data sets: both forms, their labels, the same bytes twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import fastavro
import pytest

from stream_infer.demo.dataset import write_dataset
from stream_infer.errors import UsageError
from stream_infer.testing.payments import PaymentStream


def test_a_folder_gets_payments_in_both_forms_and_labels(tmp_path: Path) -> None:
    written = write_dataset(tmp_path / "set", events=300, seed=4)
    assert [path.name for path in written] == ["payments.avro", "payments.jsonl", "labels.csv"]
    expected = PaymentStream(4).columns(300)
    lines = [json.loads(line) for line in written[1].read_bytes().splitlines()]
    assert lines == expected.to_dicts()
    with written[0].open("rb") as file:
        from_avro = [payment["transaction_id"] for payment in fastavro.reader(file) if isinstance(payment, dict)]
    assert from_avro == [line["transaction_id"] for line in lines]
    with written[2].open(newline="") as file:
        labels = list(csv.DictReader(file))
    assert [label["is_fraud"] == "true" for label in labels] == expected.is_fraud.tolist()


@pytest.mark.parametrize("name", ["some.jsonl", "some.avro"])
def test_a_file_is_written_with_its_labels_and_the_same_bytes_twice(tmp_path: Path, name: str) -> None:
    first = [path.read_bytes() for path in write_dataset(tmp_path / "a" / name, events=200, seed=4)]
    second = [path.read_bytes() for path in write_dataset(tmp_path / "b" / name, events=200, seed=4)]
    assert first == second
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == sorted([name, "some.labels.csv"])


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"Cannot write payments to .*file/below"):
        write_dataset(tmp_path / "file" / "below", events=10, seed=1)
