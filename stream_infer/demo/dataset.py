"""``stream-infer demo --write``: the generator's payments as files, with their labels.

Rule: the same seed and number of payments give the same bytes, and a file is there only when it is complete.
"""

from __future__ import annotations

import csv
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from stream_infer.errors import UsageError
from stream_infer.testing.payments import PaymentColumns, PaymentStream
from stream_infer.testing.payments_avro import long
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA

CHUNK_PAYMENTS = 20_000
"""Payments held in memory at a time: some 20 MB as Python objects."""
LABEL_FIELDS = ("transaction_id", "is_fraud", "pattern", "label_known_at")


class PaymentWriter(Protocol):
    """Writes payments to one open file."""

    def write(self, payments: PaymentColumns) -> None:
        """Append ``payments``."""
        ...


class _AvroWriter:
    """An Avro container, compressed, one block for each call of `write`.

    Written by hand: fastavro draws the sync marker by chance and the order of the schema's keys from the hash seed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        schema = json.dumps(PAYMENT_SCHEMA).encode()
        metadata = {b"avro.codec": b"deflate", b"avro.schema": schema}
        pairs = b"".join(_sized(key) + _sized(value) for key, value in metadata.items())
        self._sync_marker = hashlib.sha256(schema).digest()[:16]
        file.write(b"Obj\x01" + _long(len(metadata)) + pairs + _long(0) + self._sync_marker)

    def write(self, payments: PaymentColumns) -> None:
        compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        block = compressor.compress(payments.to_avro_column().data.tobytes()) + compressor.flush()
        self._file.write(_long(len(payments)) + _sized(block) + self._sync_marker)


def _long(number: int) -> bytes:
    return long(np.array([number])).data.tobytes()


def _sized(value: bytes) -> bytes:
    return _long(len(value)) + value


class _JsonLinesWriter:
    """One JSON object a line."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, payments: PaymentColumns) -> None:
        self._file.writelines(payment + b"\n" for payment in payments.to_json())


class _LabelWriter:
    """The truth as CSV, with a heading."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._write_row = csv.writer(_TextFile(file), lineterminator="\n").writerow
        self._write_row(LABEL_FIELDS)

    def write(self, payments: PaymentColumns) -> None:
        for label in payments.labels():
            self._write_row([str(label["is_fraud"]).lower() if n == "is_fraud" else label[n] for n in LABEL_FIELDS])


@dataclass(frozen=True, slots=True)
class _TextFile:
    """What `csv` writes to: ASCII into a binary file."""

    file: IO[bytes]

    def write(self, text: str) -> int:
        return self.file.write(text.encode("ascii"))


_WRITERS: dict[str, Callable[[IO[bytes]], PaymentWriter]] = {".avro": _AvroWriter, ".jsonl": _JsonLinesWriter}


def write_dataset(path: Path, *, events: int, seed: int) -> list[Path]:
    """Write ``events`` payments of ``seed``, and their labels. Returns the files written.

    ``NAME.avro`` or ``NAME.jsonl`` becomes that file and ``NAME.labels.csv`` beside it; any other path is a
    folder, which gets ``payments.avro``, ``payments.jsonl`` and ``labels.csv``.

    Raises:
        UsageError: the place cannot be written to.
    """
    targets = _targets(path)
    try:
        next(iter(targets)).parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            writers = [make(stack.enter_context(_replacing(target))) for target, make in targets.items()]
            for payments in _chunks(events, seed):
                for writer in writers:
                    writer.write(payments)
    except OSError as error:
        raise UsageError(f"Cannot write payments to {path}: {error.strerror or error}.") from error
    return list(targets)


def _targets(path: Path) -> dict[Path, Callable[[IO[bytes]], PaymentWriter]]:
    if path.suffix in _WRITERS and not path.is_dir():
        return {path: _WRITERS[path.suffix], path.with_suffix(".labels.csv"): _LabelWriter}
    payments = {path / f"payments{suffix}": make for suffix, make in _WRITERS.items()}
    return payments | {path / "labels.csv": _LabelWriter}


def _chunks(events: int, seed: int) -> Iterator[PaymentColumns]:
    stream = PaymentStream(seed)
    for start in range(0, events, CHUNK_PAYMENTS):
        yield stream.columns(min(CHUNK_PAYMENTS, events - start))


@contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``target`` once it is complete, and is removed if it never is."""
    partial = target.with_name(target.name + ".partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
