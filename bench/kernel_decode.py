"""The Avro decoder against fastavro: CPU per event, on events that neither has seen.

Rule: all variants decode the same events, one after the other within a round, and no event comes twice: repeated events
teach the branch predictor. Only the ratio within a round means something; the median of all rounds is reported.

    python -m bench.kernel_decode

``fastavro`` is one ``schemaless_reader`` call per event, to a dict: no features, no cells. ``decoder`` is the whole of
`AvroDecoder.decode`: from records to the model's input, carried columns and a status for each. ``kernel`` is that
without the framing, the checks of sizes and what is joined afterwards.
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
import numpy as np

from stream_infer.codecs import AvroDecoder, FramedSchemas
from stream_infer.codecs.columnar import ColumnPlan, Columns
from stream_infer.codecs.layout import Layout
from stream_infer.codecs.schema import parse_schema
from stream_infer.codecs.writers import PREFIX_BYTES
from stream_infer.projection import Feature, ModelInput, Projection
from stream_infer.testing.payments import PaymentStream
from stream_infer.testing.payments_patterns import CHANNELS
from stream_infer.testing.payments_schema import PAYMENT_SCHEMA
from stream_infer.testing.payments_world import CATEGORY_NAMES
from stream_infer.types import Binary, Records, Split, Status

_PREFIX = b"\x00\x00\x00\x00\x01"
_MAX_EVENT_BYTES = 1_000_000
_FLOATS = 20


class Workload(NamedTuple):
    """Events of one schema, and what is wanted of them."""

    schema: dict[str, Any]
    projection: Projection
    draw: Callable[[int], Binary]
    """The next n events, framed."""


def payment() -> Workload:
    """The payment: 18 features, 4 of them categories, and three carried fields."""
    numbers = (
        "amount", "event_time", "geo.lat", "geo.lon", "local_hour", "card_age_days", "credit_limit", "device_age_days",
        "authenticated", "cross_border", "seconds_since_last", "payments_last_hour", "amount_ratio",
        "distance_from_home_km",
    )  # fmt: skip
    features = [Feature(name, name) for name in numbers]
    features += [
        Feature("category", "merchant_category", categories=tuple(CATEGORY_NAMES)),
        Feature("channel", "channel", categories=tuple(CHANNELS)),
        Feature("country", "country", categories=("DE", "FR", "GB", "ES", "IT", "NL", "US")),
        Feature("currency", "currency", categories=("EUR", "GBP", "USD", "CHF")),
    ]
    inputs = (ModelInput("X", "float32", tuple(features)),)
    carried = ("transaction_id", "card_id", "amount")
    stream = PaymentStream(1)
    return Workload(
        PAYMENT_SCHEMA,
        Projection(inputs, carried, PAYMENT_SCHEMA),
        lambda count: stream.columns(count).to_avro_column(_PREFIX),
    )


def floats() -> Workload:
    """An id of 16 letters and twenty floats."""
    fields = [{"name": "id", "type": "string"}, *({"name": f"f{i}", "type": "float"} for i in range(_FLOATS))]
    schema = {"type": "record", "name": "Event", "fields": fields}
    features = tuple(Feature(f"f{i}", f"f{i}") for i in range(_FLOATS))
    random = np.random.default_rng(1)

    def draw(count: int) -> Binary:
        cells = random.normal(size=(count, _FLOATS)).astype("<f4")
        heads = [b"%016d" % number for number in random.integers(0, 2**50, count).tolist()]
        return Binary.from_values(
            [_PREFIX + b"\x20" + head + row.tobytes() for head, row in zip(heads, cells, strict=True)]
        )

    return Workload(schema, Projection((ModelInput("X", "float32", features),), ("id",), schema), draw)


WORKLOADS = {"payment": payment, "id and 20 floats": floats}


class OneSchema:
    """A registry that knows one schema."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._text = json.dumps(schema)

    def by_id(self, schema_id: int) -> str | None:
        """The schema, whatever the id."""
        return self._text

    def by_guid(self, guid: str) -> str | None:
        """None: events are framed by ids."""
        return None

    def register(self, subject: str, schema: str) -> int:
        """Never asked for."""
        raise NotImplementedError


def as_records(values: Binary) -> Records:
    """Records with these values and nothing else."""
    count = len(values)
    keys = Binary(np.empty(0, np.uint8), np.zeros(count + 1, np.int64), np.zeros(count, np.bool_))
    numbers = np.arange(count)
    return Records(values, keys, (Split("events", 0),), np.zeros(count, np.int32), numbers, numbers, 0)


class Contest:
    """The variants over one workload."""

    def __init__(self, workload: Workload) -> None:
        schema = fastavro.parse_schema(workload.schema)
        registry = FramedSchemas(OneSchema(workload.schema))
        decoder = AvroDecoder(workload.projection, registry, max_event_bytes=_MAX_EVENT_BYTES)
        plan = ColumnPlan(Layout(workload.projection))
        program = plan.assemble(parse_schema(workload.schema))

        def by_fastavro(records: Records) -> None:
            for value in records.values.to_list():
                fastavro.schemaless_reader(io.BytesIO((value or b"")[PREFIX_BYTES:]), schema, None)

        def by_kernel(records: Records) -> None:
            Columns(plan, records).run(program, np.arange(len(records)), PREFIX_BYTES)

        self._draw = workload.draw
        self._decoder = decoder
        self._variants: dict[str, Callable[[Records], object]] = {
            "fastavro": by_fastavro,
            "decoder": decoder.decode,
            "kernel": by_kernel,
        }

    def rounds(self, batch_rows: int, rounds: int, calls: int) -> Iterator[dict[str, float]]:
        """Microseconds of CPU per event of each variant, round by round.

        Raises:
            SystemExit: an event was not decoded.
        """
        for turn in range(rounds + 1):
            drawn = self._draw(calls * batch_rows)
            batches = [as_records(drawn.slice(i, i + batch_rows)) for i in range(0, len(drawn), batch_rows)]
            spent = {}
            for name in list(self._variants)[:: 1 if turn % 2 else -1]:
                began = time.process_time()
                for batch in batches:
                    self._variants[name](batch)
                spent[name] = (time.process_time() - began) / len(drawn) * 1e6
            if (self._decoder.decode(batches[0]).status != Status.OK).any():
                raise SystemExit("an event was not decoded")
            if turn:  # the first one compiles
                yield spent


def main() -> None:
    """Print a line for each workload and batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch-rows", type=int, nargs="*", default=[1, 16, 256])
    arguments = parser.parse_args()
    print(f"{'event':20}{'rows':>6}{'fastavro us':>13}{'decoder us':>12}{'ratio':>7}{'kernel us':>11}{'ratio':>7}")
    for name, make in WORKLOADS.items():
        contest = Contest(make())
        for batch_rows in arguments.batch_rows:
            found = list(contest.rounds(batch_rows, arguments.rounds, max(10, 4096 // batch_rows)))
            us = {variant: statistics.median(spent[variant] for spent in found) for variant in found[0]}
            ratio = {v: statistics.median(spent["fastavro"] / spent[v] for spent in found) for v in found[0]}
            print(
                f"{name:20}{batch_rows:6}{us['fastavro']:13.2f}{us['decoder']:12.2f}{ratio['decoder']:7.1f}"
                f"{us['kernel']:11.2f}{ratio['kernel']:7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
