"""The encoders against fastavro, msgspec and json: CPU per scored event, on events that none has seen.

Rule: all variants encode the same scored events, one after the other within a round, and their bytes are compared. Only
the ratio within a round means something; the median of all rounds is reported.

    python -m bench.kernel_encode

The dicts that fastavro, msgspec and json are given are made before; a service would have to make them as well.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import fastavro
import msgspec
import numpy as np

from stream_infer.codecs import AvroEncoder, JsonEncoder, output_schema
from stream_infer.codecs.output import OutputSchema
from stream_infer.testing import records
from stream_infer.testing.payments import PaymentStream
from stream_infer.testing.payments_columns import PaymentColumns
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA
from stream_infer.types import Binary, Column, ModelIdentity, Records, ScoredColumns

_CARRIED = ("transaction_id", "card_id", "amount")
_PREFIX = b"\x00\x00\x00\x00\x01"
_SCORED_AT = 1_800_000_000_000
_MODEL = ModelIdentity("fraud", "7", "ab" * 32, 0.92)


class Batch(NamedTuple):
    """Scored events as columns in the output's encoding, and as dicts."""

    records: Records
    avro: ScoredColumns
    json: ScoredColumns
    dicts: list[dict[str, Any]]


def draw(payments: PaymentColumns, first_offset: int) -> Batch:
    """Payments with made-up scores."""
    count = len(payments)
    recs = records([None] * count, first_offset=first_offset)
    score = np.random.default_rng(first_offset).random(count, dtype=np.float32)
    values = payments.to_dicts()
    fields = [payments.avro_fields(row) for row in range(count)]
    avro = {name: [row[name] for row in fields] for name in _CARRIED}
    text = {name: [msgspec.json.encode(row[name]) for row in values] for name in _CARRIED}
    types = {field["name"]: field["type"] for field in PAYMENT_SCHEMA["fields"]}

    def scored(encoding: str, columns: dict[str, list[bytes]]) -> ScoredColumns:
        carried = [Column(name, types[name], encoding, Binary.from_values(spans)) for name, spans in columns.items()]
        zeros = np.zeros(count, np.uint8)
        return ScoredColumns(score, score > _MODEL.threshold, zeros, zeros, (_MODEL,), tuple(carried))

    dicts = [
        _fixed(recs, row, value) | {name: values[row][name] for name in _CARRIED}
        for row, value in enumerate(score.tolist())
    ]
    return Batch(recs, scored("avro", avro), scored("json", text), dicts)


def _fixed(recs: Records, row: int, score: float) -> dict[str, Any]:
    return {
        "score": score,
        "flagged": score > _MODEL.threshold,
        "status": "scored",
        "threshold": _MODEL.threshold,
        "model_name": _MODEL.name,
        "model_version": _MODEL.version,
        "model_digest": _MODEL.digest,
        "input_topic": recs.split(row).source,
        "input_partition": recs.split(row).partition,
        "input_offset": int(recs.offset[row]),
        "event_timestamp": int(recs.timestamp_ms[row]),
        "scored_at": _SCORED_AT,
    }


def variants(output: OutputSchema) -> dict[str, Callable[[Batch], Any]]:
    """What is measured, by name."""
    avro, text = AvroEncoder(output, _PREFIX), JsonEncoder(output)
    schema = fastavro.parse_schema(output.avro)
    to_json = msgspec.json.Encoder().encode

    def with_fastavro(event: dict[str, Any]) -> bytes:
        out = io.BytesIO()
        out.write(_PREFIX)
        fastavro.schemaless_writer(out, schema, event)
        return out.getvalue()

    return {
        "avro": lambda batch: avro.encode(batch.records, batch.avro, _SCORED_AT)[0],
        "fastavro": lambda batch: list(map(with_fastavro, batch.dicts)),
        "json text": lambda batch: text.encode(batch.records, batch.json, _SCORED_AT)[0],
        "msgspec": lambda batch: list(map(to_json, batch.dicts)),
        "json": lambda batch: [json.dumps(event).encode() for event in batch.dicts],
    }


def rounds(stream: PaymentStream, batch_rows: int, count: int, calls: int) -> Iterator[dict[str, float]]:
    """Microseconds of CPU per event, by variant, of each round.

    Raises:
        SystemExit: an encoder's bytes are not those of fastavro or msgspec.
    """
    measured = variants(output_schema(PAYMENT_SCHEMA, _CARRIED))
    for turn in range(count):
        batches = [draw(stream.columns(batch_rows), call * batch_rows) for call in range(calls)]
        spent: dict[str, float] = {}
        answers: dict[str, list[Any]] = {}
        for name in list(measured)[:: 1 if turn % 2 else -1]:
            began = time.process_time()
            answers[name] = list(map(measured[name], batches))
            spent[name] = (time.process_time() - began) / (calls * batch_rows) * 1e6
        for ours, theirs in (("avro", "fastavro"), ("json text", "msgspec")):
            if [answer.to_list() for answer in answers[ours]] != answers[theirs]:
                raise SystemExit(f"the bytes of {ours} and {theirs} differ")
        yield spent


def main() -> None:
    """Print a line for each batch size."""
    parser = argparse.ArgumentParser(prog="python -m bench.kernel_encode", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch-rows", type=int, nargs="*", default=[1, 16, 256])
    parser.add_argument("--events", type=int, default=2048, help="of each round")
    arguments = parser.parse_args()
    stream = PaymentStream(1)
    list(rounds(stream, 16, 1, 1))  # compiles
    print(f"{'rows':>5}{'avro us':>9}{'fastavro':>9}{'ratio':>8}{'json us':>9}", end="")
    print(f"{'msgspec':>9}{'ratio':>8}{'json':>9}{'ratio':>8}")
    for batch_rows in arguments.batch_rows:
        found = list(rounds(stream, batch_rows, arguments.rounds, max(1, arguments.events // batch_rows)))
        line = f"{batch_rows:5}"
        for name, rival in (
            ("avro", ""),
            ("fastavro", "avro"),
            ("json text", ""),
            ("msgspec", "json text"),
            ("json", "json text"),
        ):
            line += f"{statistics.median(turn[name] for turn in found):9.2f}"
            if rival:
                line += f"{statistics.median(turn[name] / turn[rival] for turn in found):8.1f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
